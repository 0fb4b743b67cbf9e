"""Keeps the right style running: watches the folder, loads the next style beside the running one, swaps them.

A state machine in a thread of its own. Its inputs are events: files, changes of the state file, settings, time. Its
outputs are a `Snapshot` and calls of `swap`.
"""

import threading
import time
from pathlib import Path
from typing import Callable, List, NamedTuple, Optional, Tuple

from . import config, loader
from .engine.stylizer import Stylizer
from .errors import Problem
from .files import remove_leftovers
from .host import systemd
from .loader import Loader, Request, Surroundings
from .memory import return_the_rest
from .news import News
from .options import Decision
from .snapshot import Slate, Snapshot, Style
from .style import state, store
from .style.bundle import SUFFIX, Bundle
from .style.watch import Events, Watch, signatures
from .tuner import Tuner

_LOOK_S = 0.5
_STEADY_S = 10.0  # that a style has to run until it counts as good
_BETTER_S, _RARELY_S = 3.0, 300.0  # between attempts to get an Edge TPU: the first pause, and the longest
_TITLE_S = 3.0
_CHECK_S, _TOGETHER_S = 60.0, 5.0  # to read a bundle; between the files of one arrival, such as rsync's


class _Retry(NamedTuple):
    """The next attempt to load the style on the Edge TPU, at `due` on time.monotonic's clock."""

    due: float
    pause: float = _BETTER_S


class Switcher:
    """`swap(stylizer)` puts a style into the pipeline, None takes it out; `tell(text, seconds)` reaches the screen.

    `snapshot` is for any thread.
    """

    def __init__(
        self,
        settings: config.Settings,
        swap: Callable[[Optional[Stylizer]], None],
        tell: Callable[[str, float], None],
        around: Surroundings = Surroundings(),  # noqa: B008
    ):
        starting = Slate("Starting", "The style is being loaded.", time.monotonic() + _CHECK_S)
        self._news = News(Snapshot(slate=starting), tell)
        self._settings, self._next, self._swap = settings, settings, swap
        self._around = around
        self._follow(settings)
        self._tuner: Optional[Tuner] = None
        self._request: Optional[Request] = None  # of what runs or waits for an Edge TPU
        self._retry: Optional[_Retry] = None
        self._unsettled: Optional[Bundle] = None  # what runs, until it counts as good
        self._steady = 0.0  # when that will be
        self._together_until = 0.0  # while an older file than what runs belongs to the same arrival

    @property
    def snapshot(self) -> Snapshot:
        return self._news.snapshot

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
                self._memory.start(loader.tpus())
                self._begin()
                while not stop.is_set() and _concern(self._next) == _concern(self._settings):
                    self._notice(watch.wait(_LOOK_S))

    def _follow(self, settings: config.Settings) -> None:
        self._settings, self._folder = settings, Path(settings.style.folder)
        self._memory = state.Memory(self._folder, self._news.warn)
        self._loader = Loader(self._memory, self._news.busy, self._around)

    def _wanted(self) -> Optional[str]:
        """The name of the style that was asked for; None for the newest."""
        now, style = self._memory.now, self._settings.style
        turn = now.turn if style.every != "off" and now.pinned in (None, state.NEWEST) else None
        asked = turn or now.pinned or style.name
        return None if asked == state.NEWEST else asked

    def _notice(self, events: Events) -> None:
        if events.folder or state.NAME in events.names:
            before, asked = self._memory.now.pinned, self._wanted()
            self._memory.recall()
            now = self._memory.now
            self._news.publish(pinned=now.pinned, brightness=now.slates, off=now.off)
            again = now.pinned != before or self._wanted() != asked
            if events.folder or again:
                self._begin(again=again)
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
        there = bool(self._retry) and loader.tpu_is_there()
        if self._retry and not there:  # one that is plugged in again gets a new chance
            self._retry = _Retry(time.monotonic() + _BETTER_S, _BETTER_S)
        if there and self._retry and self._request and time.monotonic() >= self._retry.due:
            self._look_for_tpu(self._retry, self._request)
        elif self._tuner:
            self._tune(self._tuner)

    def _begin(self, again: bool = False) -> None:
        """Choose among all that is there; `again`: without regard to what ran before."""
        now = self._memory.now
        self._news.publish(pinned=now.pinned, brightness=now.slates, off=now.off)
        wanted = self._wanted()
        paths = store.candidates(self._folder, state.State() if again else self._memory.now, wanted)
        if any(self._try(path, wanted) for path in paths):
            return
        if wanted and any(self._try(path, None) for path in paths):
            self._news.say(f"no style {wanted!r} in {self._folder}: another one is shown instead", systemd.WARNING)
            return
        if self.snapshot.style is None and not self.snapshot.waiting:
            empty = Slate("No style", f"Put a {SUFFIX} file into {self._folder}.")
            refused = [Slate("Style refused", reason) for _, reason in self.snapshot.refused]
            self._news.publish(slate=(refused or [empty])[-1])

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
        self._news.take_back(name)
        if self._request and name == self._request.file:
            self._news.say(f"{name} was removed", systemd.NOTICE)
            if self.snapshot.waiting:
                self._request = self._retry = None
                self._news.publish(waiting=False)
            self._begin(again=True)

    def _settle(self, bundle: Bundle) -> None:
        """The style runs well: keep a copy of it, and free what is not needed any more."""
        try:
            store.keep(self._folder, bundle)
        except Problem as problem:  # the picture goes on
            self._news.warn(str(problem))
        if self.snapshot.style:
            self._news.publish(style=self.snapshot.style._replace(settled=True))

    def _look_for_tpu(self, retry: _Retry, request: Request) -> None:
        """Move the style to the Edge TPU; each failure doubles the pause before the next attempt."""
        pause = min(2 * retry.pause, _RARELY_S)
        try:
            bundle = store.load(self._folder / request.file)
            if bundle.digest == request.digest:  # else there is an event to come
                self._show(bundle, request, *self._loader.load(bundle, self._settings.engine, self._target(), "TPU"))
                return
        except Problem as problem:
            self._news.warn(str(problem))
        finally:
            self._news.rest()
        self._retry = retry._replace(due=time.monotonic() + pause, pause=pause)

    def _try(self, path: Path, wanted: Optional[str]) -> bool:
        """Run the bundle at `path` when it is sound and is the style `wanted`. Returns whether it runs, or waits."""
        bundle = self._checked(path)
        if bundle is None or wanted not in (None, bundle.name):
            return False
        request = Request(bundle.digest, self._settings.engine, self._choices(bundle.digest), path.name)
        try:
            if not request.is_like(self._request):
                self._run(bundle, request)
        except Problem as problem:
            self._news.refuse(path.name, str(problem))
            return False
        finally:
            self._news.rest()
        self._request = request
        self._memory.remember(active=path.name, seen=signatures(store.paths([self._folder])))
        return True

    def _checked(self, path: Path) -> Optional[Bundle]:
        """The bundle at `path`, or None when it is refused."""
        self._news.busy(_CHECK_S)
        try:
            bundle = store.load(path)
        except Problem as problem:
            self._news.refuse(path.name, str(problem))
            return None
        finally:
            self._news.rest()
        self._news.take_back(path.name)
        return bundle

    def _run(self, bundle: Bundle, request: Request) -> None:
        """Load the bundle beside the running one and let it take its place. Raises Problem."""
        engine, title = self._settings.engine, bundle.manifest.title
        if self.snapshot.style is None and not self.snapshot.waiting:
            self._news.publish(slate=Slate("Starting", f"{title} is being loaded."))
        wants_tpu = loader.wants_tpu(bundle, engine)
        if wants_tpu and engine.runtime != "auto" and not loader.tpu_is_there():
            self._wait(bundle, request, loader.why_not_chosen())
            return
        stylizer, decision = self._loader.load(bundle, engine, self._target())
        if not wants_tpu or stylizer.runtime.device == "TPU":
            self._show(bundle, request, stylizer, decision)
        elif engine.tpu_missing == "slate":
            self._wait(bundle, request, self._loader.why_no_tpu)
        else:
            why = self._loader.why_no_tpu or "no Edge TPU"
            self._news.warn(f"{why}: {bundle.name} runs on the CPU")
            self._show(bundle, request, stylizer, decision)
            self._retry = _Retry(time.monotonic() + _BETTER_S)

    def _show(self, bundle: Bundle, request: Request, stylizer: Stylizer, decision: Decision) -> None:
        before, runtime, target = self.snapshot.style, stylizer.runtime, self._target()
        self._request, self._retry = request, None
        self._unsettled, self._steady = bundle, time.monotonic() + _STEADY_S
        path, engine, (row, why) = self._folder / request.file, self._settings.engine, decision[:2]
        self._tuner = Tuner(self._loader, self._around, path, bundle.digest, engine, runtime.device, target, decision)
        name, title, digest = bundle.name, bundle.manifest.title, bundle.digest
        style = Style(name, title, digest, row.plan, str(runtime), runtime.device, *row[1:], target, why)
        self._news.publish(style=style, slate=None, waiting=False)
        self._swap(stylizer)
        if before is None or before.digest != style.digest:
            self._news.tell(style.title, _TITLE_S)
        text = f"style {style.name}, plan {row.plan} at {row.text} ({why}), {style.runtime} ({style.device})"
        systemd.log(text, systemd.NOTICE, STYLE=style.name)

    def _tune(self, tuner: Tuner) -> None:
        """Measure what is left, or keep the rate."""
        try:
            change = tuner.look(self._target())
        except Problem as problem:  # the picture goes on as it is
            self._tuner = None
            self._news.warn(str(problem))
            return
        style = self.snapshot.style
        if change and style:
            row, target = change.row, self._target()
            self._news.publish(
                style=style._replace(plan=row.plan, size=row.size, fps=row.fps, target=target, why=change.why)
            )
            if change.stylizer:
                self._swap(change.stylizer)
            systemd.log(change.journal, systemd.NOTICE, STYLE=style.name)

    def _target(self) -> float:
        """The wanted frames a second."""
        return float(self._next.engine.target_fps or self._next.camera.fps)

    def _wait(self, bundle: Bundle, request: Request, why: Optional[str] = None) -> None:
        """Show nothing until there is an Edge TPU. `why`: what is wrong with the one that is there."""
        text = f"{bundle.manifest.title} waits for it" + (f": {why}." if why else ".")
        self._request, self._unsettled, self._tuner = request, None, None
        self._retry = _Retry(time.monotonic() + _BETTER_S)
        self._news.publish(style=None, slate=Slate("No Edge TPU", text), waiting=True)
        self._swap(None)
        self._news.warn(f"No Edge TPU: {text}")

    # What is wanted

    def _choices(self, digest: str) -> Tuple[Optional[state.Chosen], Optional[state.Chosen]]:
        return self._memory.now.chosen(digest, "CPU"), self._memory.now.chosen(digest, "TPU")


def _concern(settings: config.Settings) -> Tuple[config.Style, config.Engine]:
    """What of the settings matters here."""
    return settings.style, settings.engine


def _is_style(name: str) -> bool:
    return name.endswith(SUFFIX) and not name.startswith(".")
