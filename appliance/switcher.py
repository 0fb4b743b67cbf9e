"""Keeps the right style running: watches the folder, loads the next one beside the running one, swaps."""

import contextlib
import os
import threading
import time
from dataclasses import replace
from pathlib import Path
from typing import Callable, Dict, List, Optional, Tuple

from . import config, trial
from .engine import interpreter
from .engine.stylizer import Stylizer
from .errors import BundleError, Problem
from .host import systemd
from .memory import return_the_rest
from .style import choice, state, store
from .style.bundle import SUFFIX, Bundle
from .style.watch import Watch, signature, signatures

_LOOK_S = 0.5
_TRIAL_S = 180.0
_STEADY_S = 10.0  # that a style has to run until it counts as good
_REFUSED = 16  # reasons that are remembered
_TITLE_S, _REASON_S = 3.0, 8.0

STARTING = ("Starting", "The style is being loaded.")


class Switcher:
    """`swap(stylizer)` puts a style into the pipeline, None takes it out; `tell(text, seconds)` reaches the screen.

    `slate`, (title, text), says why no style runs, and is None while one does. `bundle` and `stylizer` are what runs;
    once that has run for a while, the bundle is without its files.
    `refused` has the reason of each refused file, by its name.
    """

    def __init__(
        self, settings: config.Settings, swap: Callable[[Optional[Stylizer]], None], tell: Callable[[str, float], None]
    ):
        self.slate: Optional[Tuple[str, str]] = STARTING
        self.bundle: Optional[Bundle] = None
        self.stylizer: Optional[Stylizer] = None
        self.refused: Dict[str, str] = {}
        self._settings, self._next, self._swap, self._tell = settings, settings, swap, tell
        self._steady: Optional[float] = None  # when the running style will count as good
        self._pinned: Optional[str] = None
        self._waiting = False  # for an Edge TPU
        self._proved: List[str] = []
        self._warned: Optional[str] = None

    def configure(self, settings: config.Settings) -> None:
        """Go on with other settings. Safe from any thread."""
        self._next = settings

    def run(self, stop: threading.Event) -> None:
        while not stop.is_set():
            settings = self._settings = self._next
            watch = Watch(self._folder)
            try:
                self._begin()
                while not stop.is_set() and self._next is settings:
                    self._notice(*watch.wait(_LOOK_S))
            finally:
                watch.close()

    @property
    def _folder(self) -> Path:
        return Path(self._settings.style.folder)

    def _wanted(self) -> Optional[str]:
        """The name of the style that was asked for; None for the newest."""
        asked = state.pinned(self._folder) or self._settings.style.name
        return None if asked == state.NEWEST else asked

    def _begin(self, again: bool = False) -> None:
        """Choose among all that is there; `again`: without regard to what ran before."""
        self._pinned, self._waiting = state.pinned(self._folder), False
        self._proved = self._proved or list(state.read(self._folder).proved)
        wanted = self._wanted()
        paths = self._candidates(wanted, again)
        if any(self._try(path, wanted) for path in paths):
            return
        if wanted and any(self._try(path, None) for path in paths):
            self._say(f"no style {wanted!r} in {self._folder}: another one is shown instead", systemd.WARNING)
            return
        if self.stylizer is None and not self._waiting:
            self.slate = (
                ("Style refused", list(self.refused.values())[-1])
                if self.refused
                else ("No style", f"Put a {SUFFIX} file into {self._folder}.")
            )

    def _candidates(self, wanted: Optional[str], again: bool) -> List[Path]:
        """What to try, best first: what was put there since the last run, what ran then, then the newest."""
        paths, before = store.paths([self._folder]), state.State() if again else state.read(self._folder)

        def rank(path):
            if wanted:
                return path.stem != wanted
            new = before.seen.get(path.name) != signature(path)
            return 0 if new else 1 if path.name == before.active else 2

        paths.sort(key=rank)
        # Where the best one is refused, what is known to run comes before what is not.
        return paths[:1] + [path for path in [self._folder / state.LAST_GOOD] if path.exists()] + paths[1:]

    def _notice(self, names, allowed) -> None:
        """Act on what happened in the folder, and on what time brings."""
        pinned = state.pinned(self._folder)
        if pinned != self._pinned or "" in names:
            self._begin(again=pinned != self._pinned)
            return
        for name in sorted(names | allowed & self.refused.keys()):
            path = self._folder / name
            if name.startswith("."):
                continue
            if name.endswith(SUFFIX):
                if signature(path):
                    state.forgive(self._folder)
                    self._try(path, self._wanted())
                else:
                    self._gone(name)
            elif self.bundle and path == choice.path_of(self.bundle):
                self._try(self.bundle.path, None)
        if self._waiting and os.path.exists(interpreter.TPU_DEVICE):
            self._begin()
        if self._steady and time.monotonic() >= self._steady:
            self._settle()

    def _settle(self) -> None:
        """The style runs well: keep a copy of it, and let go of what is not needed any more."""
        self._steady = None
        self._write(state.keep, self.bundle)
        self.bundle = self.stylizer.bundle = replace(self.bundle, files={})  # the network holds its own
        return_the_rest()

    def _gone(self, name: str) -> None:
        self.refused.pop(name, None)
        if self.bundle and self.bundle.path.name == name:
            self._say(f"style {self.bundle.name} was removed", systemd.NOTICE)
            self._begin(again=True)

    def _try(self, path: Path, wanted: Optional[str]) -> bool:
        """Run the bundle at `path` when it is sound and is the style `wanted`. Gives whether it runs."""
        try:
            bundle = store.load(path)
            self.refused.pop(path.name, None)
            if wanted and bundle.name != wanted:
                return False
            self._prove(bundle)
            return self._run(bundle)
        except Problem as problem:
            self._refuse(path, str(problem))
            return False

    def _prove(self, bundle: Bundle) -> None:
        """Run it once in a process of its own, which it may take down. Raises BundleError."""
        if bundle.digest not in self._proved:
            reason = trial.passes(bundle.path, _TRIAL_S)
            if reason:
                raise BundleError(reason)
            self._proved.append(bundle.digest)

    def _run(self, bundle: Bundle) -> bool:
        """Load the bundle beside the running one and take its place. Raises Problem."""
        if self.stylizer is None:
            self.slate = "Starting", f"{bundle.manifest.title} is being loaded."
        engine = self._settings.engine
        plan = engine.plan if engine.plan in [one.name for one in bundle.manifest.plans] else None
        compiled = any(one.compiled for one in bundle.manifest.plans)
        # The trial was on the CPU: what it proved does not hold for compiled segments.
        risk = compiled and os.path.exists(interpreter.TPU_DEVICE)
        if risk and state.fatal(self._folder, bundle):
            raise BundleError(f"{bundle.path}: it took the daemon down when it was loaded: compile it again")
        with state.attempt(self._folder, bundle) if risk else contextlib.nullcontext():
            stylizer = Stylizer(
                bundle,
                plan,
                None if engine.runtime == "auto" else engine.runtime,
                engine.threads,
                prefer=choice.read(bundle),
                stillness=engine.stillness,
            )
        if compiled and stylizer.runtime.device != "TPU":
            if engine.tpu_missing == "slate":
                self._stop("No Edge TPU", f"{bundle.manifest.title} waits for it.")
                return True
            self._warn(f"no Edge TPU: {bundle.name} runs on the CPU")
        changed = self.bundle is None or bundle.digest != self.bundle.digest
        self.bundle, self.stylizer, self.slate, self._waiting = bundle, stylizer, None, False
        self._swap(stylizer)
        if changed:
            self._tell(bundle.manifest.title, _TITLE_S)
        systemd.log(
            f"style {bundle.name}, plan {stylizer.plan}, {stylizer.runtime} ({stylizer.runtime.device})",
            systemd.NOTICE,
            STYLE=bundle.name,
        )
        self._write(
            state.remember, state.State(bundle.path.name, signatures(store.paths([self._folder])), self._proved)
        )
        good = bundle.path.name == state.LAST_GOOD
        self._steady = None if good else time.monotonic() + _STEADY_S
        return True

    def _stop(self, title: str, text: str) -> None:
        self._waiting, self.stylizer, self.bundle, self._steady = True, None, None, None
        self.slate = title, text
        self._swap(None)
        self._warn(f"{title}: {text}")

    def _refuse(self, path: Path, reason: str) -> None:
        self.refused.pop(path.name, None)
        self.refused[path.name] = reason
        while len(self.refused) > _REFUSED:
            self.refused.pop(next(iter(self.refused)))
        self._say(f"refused: {reason}", systemd.WARNING)
        if self.stylizer is None and not self._waiting:
            self.slate = "Style refused", reason

    def _write(self, write: Callable, what) -> None:
        try:
            write(self._folder, what)
        except Problem as problem:  # the picture goes on
            self._warn(str(problem))

    def _warn(self, text: str) -> None:
        if text != self._warned:
            self._warned = text
            systemd.log(text, systemd.WARNING)

    def _say(self, text: str, priority: int) -> None:
        self._tell(text, _REASON_S)
        systemd.log(text, priority)
