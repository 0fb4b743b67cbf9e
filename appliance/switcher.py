"""Keeps the right style running: watches the folder, loads the next style beside the running one, swaps them.

A state machine in a thread of its own. Its inputs are events: files, changes of the state file, settings, time. Its
outputs are a `Snapshot` and calls of `swap`.
"""

import threading
import time
from pathlib import Path
from typing import Any, Callable, List, NamedTuple, Optional, Tuple

from . import config, loader
from .engine.stylizer import Stylizer
from .errors import Problem
from .files import remove_leftovers
from .host import systemd
from .loader import Loader
from .memory import return_the_rest
from .snapshot import Slate, Snapshot, Style
from .style import state, store
from .style.bundle import SUFFIX, Bundle
from .style.watch import Events, Watch, signatures

_LOOK_S = 0.5
_STEADY_S = 10.0  # that a style has to run until it counts as good
_BETTER_S, _RARELY_S = 3.0, 300.0  # between attempts to get an Edge TPU: the first pause, and the longest
_REFUSED = 16  # reasons that are remembered
_TITLE_S, _REASON_S = 3.0, 8.0
_CHECK_S, _TOGETHER_S = 60.0, 5.0  # to read a bundle; between the files of one arrival, such as rsync's


class _Request(NamedTuple):
    """What a style was loaded for: as long as the same is asked for, it is not loaded again.

    The bundle's digest, the settings, the plans that are preferred on CPU and TPU; and the name of the bundle's file,
    which may change.
    """

    digest: str
    engine: config.Engine
    choices: Tuple[Optional[str], Optional[str]]
    file: str

    def is_like(self, other: "Optional[_Request]") -> bool:
        return other is not None and self._replace(file=other.file) == other


class _Retry(NamedTuple):
    """The next attempt to load the style on the Edge TPU, at `due` on time.monotonic's clock."""

    due: float
    pause: float = _BETTER_S


class Switcher:
    """`swap(stylizer)` puts a style into the pipeline, None takes it out; `tell(text, seconds)` reaches the screen.

    `snapshot` is for any thread.
    """

    def __init__(
        self, settings: config.Settings, swap: Callable[[Optional[Stylizer]], None], tell: Callable[[str, float], None]
    ):
        starting = Slate("Starting", "The style is being loaded.", time.monotonic() + _CHECK_S)
        self.snapshot = Snapshot(slate=starting)
        self._settings, self._next, self._swap, self._tell = settings, settings, swap, tell
        self._follow(settings)
        self._request: Optional[_Request] = None  # of what runs or waits for an Edge TPU
        self._retry: Optional[_Retry] = None
        self._unsettled: Optional[Bundle] = None  # what runs, until it counts as good
        self._steady = 0.0  # when that will be
        self._together_until = 0.0  # while an older file than what runs belongs to the same arrival
        self._warned: Optional[str] = None

    def configure(self, settings: config.Settings) -> None:
        """Use other settings from now on. Safe from any thread."""
        self._next = settings

    def forgive(self) -> None:
        """Record that the process ends normally. Safe from any thread."""
        self._memory.forgive()

    def run(self, stop: threading.Event) -> None:
        """Until `stop` is set. Raises Problem when the folder cannot be watched."""
        while not stop.is_set():
            self._follow(self._next)
            with Watch(self._folder) as watch:
                remove_leftovers(self._folder)
                self._memory.start()
                self._begin()
                while not stop.is_set() and _concern(self._next) == _concern(self._settings):
                    self._notice(watch.wait(_LOOK_S))

    def _follow(self, settings: config.Settings) -> None:
        self._settings, self._folder = settings, Path(settings.style.folder)
        self._memory = state.Memory(self._folder, self._warn)
        self._loader = Loader(self._memory, self._busy)

    def _wanted(self) -> Optional[str]:
        """The name of the style that was asked for; None for the newest."""
        asked = self._memory.now.pinned or self._settings.style.name
        return None if asked == state.NEWEST else asked

    def _notice(self, events: Events) -> None:
        if events.folder or state.NAME in events.names:
            pinned = self._memory.now.pinned
            self._memory.recall()
            if events.folder or self._memory.now.pinned != pinned:
                self._begin(again=self._memory.now.pinned != pinned)
            elif self._request and self._request.choices != self._choices(self._request.digest):
                self._try(self._folder / self._request.file, None)
        names = {name for name in events.names | events.allowed & self.snapshot.reasons.keys() if _is_style(name)}
        arrived = [path for path in store.paths([self._folder]) if path.name in names] if names else []
        for name in names - {path.name for path in arrived}:
            self._gone(name)
        self._first(arrived, self._wanted())
        if self._unsettled and time.monotonic() >= self._steady:
            self._settle(self._unsettled)
            self._unsettled = None
            return_the_rest()
        if self._retry and self._request and time.monotonic() >= self._retry.due:
            self._look_for_tpu(self._retry, self._request)

    def _begin(self, again: bool = False) -> None:
        """Choose among all that is there; `again`: without regard to what ran before."""
        self._publish(pinned=self._memory.now.pinned)
        wanted = self._wanted()
        paths = store.candidates(self._folder, state.State() if again else self._memory.now, wanted)
        if any(self._try(path, wanted) for path in paths):
            return
        if wanted and any(self._try(path, None) for path in paths):
            self._say(f"no style {wanted!r} in {self._folder}: another one is shown instead", systemd.WARNING)
            return
        if self.snapshot.style is None and not self.snapshot.waiting:
            empty = Slate("No style", f"Put a {SUFFIX} file into {self._folder}.")
            refused = [Slate("Style refused", reason) for _, reason in self.snapshot.refused]
            self._publish(slate=(refused or [empty])[-1])

    def _first(self, paths: List[Path], wanted: Optional[str]) -> None:
        """Run the first of `paths` that is sound, unless a newer one of the same arrival runs. Check the others."""
        current = self._folder / self._request.file if self._request else None
        runs, together = False, time.monotonic() < self._together_until
        for path in paths:
            runs = runs or bool(together and current and store.is_newer(current, path))
            if runs:
                self._checked(path)
            else:
                runs = self._try(path, wanted)
        if runs:
            self._together_until = time.monotonic() + _TOGETHER_S

    def _gone(self, name: str) -> None:
        self._publish(refused=tuple(one for one in self.snapshot.refused if one[0] != name))
        if self._request and name == self._request.file:
            self._say(f"{name} was removed", systemd.NOTICE)
            if self.snapshot.waiting:
                self._request = self._retry = None
                self._publish(waiting=False)
            self._begin(again=True)

    def _settle(self, bundle: Bundle) -> None:
        """The style runs well: keep a copy of it, and free what is not needed any more."""
        try:
            store.keep(self._folder, bundle)
        except Problem as problem:  # the picture goes on
            self._warn(str(problem))
        if self.snapshot.style:
            self._publish(style=self.snapshot.style._replace(settled=True))

    def _look_for_tpu(self, retry: _Retry, request: _Request) -> None:
        """Move the style to the Edge TPU when there is one; each failure doubles the pause before the next attempt."""
        if not loader.tpu_is_there():
            self._retry = retry._replace(due=time.monotonic() + _BETTER_S, pause=_BETTER_S)
            return
        pause = min(2 * retry.pause, _RARELY_S)
        try:
            bundle = store.load(self._folder / request.file)
            if bundle.digest == request.digest:  # else there is an event to come
                self._show(bundle, self._loader.load(bundle, self._settings.engine, "TPU"), request)
                return
        except Problem as problem:
            self._warn(str(problem))
        finally:
            self._rest()
        self._retry = retry._replace(due=time.monotonic() + pause, pause=pause)

    def _try(self, path: Path, wanted: Optional[str]) -> bool:
        """Run the bundle at `path` when it is sound and is the style `wanted`. Returns whether it runs, or waits."""
        bundle = self._checked(path)
        if bundle is None or wanted not in (None, bundle.name):
            return False
        request = _Request(bundle.digest, self._settings.engine, self._choices(bundle.digest), path.name)
        try:
            if not request.is_like(self._request):
                self._run(bundle, request)
        except Problem as problem:
            self._refuse(path, str(problem))
            return False
        finally:
            self._rest()
        self._request = request
        self._memory.remember(active=path.name, seen=signatures(store.paths([self._folder])))
        return True

    def _checked(self, path: Path) -> Optional[Bundle]:
        """The bundle at `path`, or None when it is refused."""
        self._busy(_CHECK_S)
        try:
            bundle = store.load(path)
        except Problem as problem:
            self._refuse(path, str(problem))
            return None
        finally:
            self._rest()
        self._publish(refused=tuple(one for one in self.snapshot.refused if one[0] != path.name))
        return bundle

    def _run(self, bundle: Bundle, request: _Request) -> None:
        """Load the bundle beside the running one and let it take its place. Raises Problem."""
        engine, title = self._settings.engine, bundle.manifest.title
        if self.snapshot.style is None and not self.snapshot.waiting:
            self._publish(slate=Slate("Starting", f"{title} is being loaded."))
        wants_tpu = loader.wants_tpu(bundle, engine)
        if wants_tpu and engine.runtime != "auto" and not loader.tpu_is_there():
            self._wait(bundle, request)
            return
        stylizer = self._loader.load(bundle, engine)
        if not wants_tpu or stylizer.runtime.device == "TPU":
            self._show(bundle, stylizer, request)
        elif engine.tpu_missing == "slate":
            self._wait(bundle, request)
        else:
            self._warn(f"no Edge TPU: {bundle.name} runs on the CPU")
            self._show(bundle, stylizer, request)
            self._retry = _Retry(time.monotonic() + _BETTER_S)

    def _show(self, bundle: Bundle, stylizer: Stylizer, request: _Request) -> None:
        before, runtime = self.snapshot.style, stylizer.runtime
        self._request, self._retry = request, None
        self._unsettled, self._steady = bundle, time.monotonic() + _STEADY_S
        style = Style(bundle.name, bundle.manifest.title, bundle.digest, stylizer.plan, str(runtime), runtime.device)
        self._publish(style=style, slate=None, waiting=False)
        self._swap(stylizer)
        if before is None or before.digest != style.digest:
            self._tell(style.title, _TITLE_S)
        text = f"style {style.name}, plan {style.plan}, {style.runtime} ({style.device})"
        systemd.log(text, systemd.NOTICE, STYLE=style.name)

    def _wait(self, bundle: Bundle, request: _Request) -> None:
        """Show nothing until there is an Edge TPU."""
        text = f"{bundle.manifest.title} waits for it."
        self._request, self._unsettled = request, None
        self._retry = _Retry(time.monotonic() + _BETTER_S)
        self._publish(style=None, slate=Slate("No Edge TPU", text), waiting=True)
        self._swap(None)
        self._warn(f"No Edge TPU: {text}")

    def _refuse(self, path: Path, reason: str) -> None:
        others = tuple(one for one in self.snapshot.refused if one[0] != path.name)
        self._publish(refused=(others + ((path.name, reason),))[-_REFUSED:])
        self._say(f"refused: {reason}", systemd.WARNING)
        if self.snapshot.style is None and not self.snapshot.waiting:
            self._publish(slate=Slate("Style refused", reason))

    def _choices(self, digest: str) -> Tuple[Optional[str], Optional[str]]:
        return self._memory.now.choice(digest, "CPU"), self._memory.now.choice(digest, "TPU")

    def _busy(self, seconds: float) -> None:
        """A slate stands for work that may take so long from now on."""
        if self.snapshot.slate:
            self._publish(slate=self.snapshot.slate._replace(until=time.monotonic() + seconds))

    def _rest(self) -> None:
        """The work is done: a slate holds."""
        if self.snapshot.slate:
            self._publish(slate=self.snapshot.slate._replace(until=None))

    def _publish(self, **changes: Any) -> None:
        self.snapshot = self.snapshot._replace(**changes)

    def _warn(self, text: str) -> None:
        if text != self._warned:
            self._warned = text
            systemd.log(text, systemd.WARNING)

    def _say(self, text: str, priority: int) -> None:
        self._tell(text, _REASON_S)
        systemd.log(text, priority)


def _concern(settings: config.Settings) -> Tuple[config.Style, config.Engine]:
    """What of the settings matters here."""
    return settings.style, settings.engine


def _is_style(name: str) -> bool:
    return name.endswith(SUFFIX) and not name.startswith(".")
