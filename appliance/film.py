"""`reconet run` with a source or a sink: a film, a folder of pictures or a camera, stylised once."""

import argparse
import contextlib
import json
import os
import signal
from typing import Any, Dict, List, Optional

from .camera import open_camera
from .choice import LITE
from .display import open_display
from .engine.interpreter import runtimes
from .engine.stylizer import Stylizer
from .errors import Problem
from .files import Pending
from .host import signals
from .memory import return_large_blocks, share_heaps
from .pipeline import Counters, Pipeline
from .progress import frames, say, shown
from .shapes import Shapes, wanted
from .sheet import ContactSheet
from .style import state, store
from .style.bundle import Bundle

_PLACES = ("none", "virtual", "monitor")  # not files
LANES = 2  # frames of a film in the network at once, each lane with a network's memory


def stylise(arguments: argparse.Namespace) -> int:
    """Run until the source ends or a signal stops it. `arguments` are the command line's. Raises Problem.

    Returns 1 when unreadable pictures were skipped, else 0.
    """
    arguments.camera, arguments.display = arguments.camera or "virtual", arguments.display or "none"
    _check_outputs(arguments)
    return_large_blocks()
    share_heaps()
    bundle = store.find(arguments.style).resizable()
    skipped: List[Problem] = []

    def skip(problem: Problem) -> None:
        skipped.append(problem)
        say(str(problem))

    camera = open_camera(arguments.camera, arguments.every_frame, None if arguments.strict else skip)
    options: Dict[str, Any] = {"plan": arguments.plan, "threads": arguments.threads, "prefer": _preferred(bundle)}
    size = wanted(bundle, arguments.size, arguments.fit == "crop") if arguments.size else None
    live: Optional[Stylizer] = Stylizer(bundle, size=size, **options) if camera.live else None
    sheet = ContactSheet() if arguments.sheet else None
    if sheet:
        Pending(arguments.sheet).discard()  # fails now rather than after the last frame
    sound = _sound(arguments, camera)
    display = open_display(arguments.display, sound, say)
    _check_monitor(display)
    options["lanes"] = LANES if hasattr(camera, "reduced") else 1
    shapes = Shapes(bundle, size, arguments.fit == "crop", getattr(display, "one_size", False), say, **options)
    if hasattr(camera, "reduced"):
        video: Any = camera
        video.reduced, video.format = shapes.network, bundle.manifest.input.pixels
    pipeline = Pipeline(
        camera, live, display, arguments.seconds, sheet.add if sheet else None, None if live else shapes
    )

    def stop() -> None:
        if sound:
            sound.shortened = True
        pipeline.stop()

    # A second signal ends the process at once.
    ways: Dict[int, Any] = {
        number: stop for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP) if _listens(number)
    }
    with signals.handled(ways, once=True), shown(pipeline.counters, _length(camera, arguments), _Faults(camera)):
        counters = _run(pipeline, camera)
    if sheet:
        sheet.save(arguments.sheet)
    if skipped:
        say(f"{len(skipped)} picture{'s' * (len(skipped) != 1)} could not be read and {_were(skipped)} skipped")
    _report(arguments, bundle, live or shapes.latest, counters, skipped)
    return 1 if skipped else 0


def _run(pipeline: Pipeline, camera: Any) -> Counters:
    """Raises Problem, with the camera's reason if it has one, when no frame was shown."""
    try:
        counters = pipeline.run()
    except Problem as problem:
        if pipeline.counters.shown or not getattr(camera, "fault", None):
            raise
        raise Problem(camera.fault) from problem
    if not counters.shown:
        raise Problem(getattr(camera, "fault", None) or "there was no frame to show: name another --camera")
    return counters


class _Faults:
    """Prints the fault of a camera that may be unplugged, each time it changes."""

    def __init__(self, camera: Any):
        self._camera, self._said = camera, None

    def __call__(self) -> None:
        fault = getattr(self._camera, "fault", None)
        if fault and fault != self._said:
            say(fault)
        self._said = fault


def _sound(arguments: argparse.Namespace, camera: Any) -> Any:
    """The sound to copy from film to film; None when there is none or it is not wanted."""
    if arguments.no_sound or not arguments.display.lower().endswith(".mp4") or not hasattr(camera, "reduced"):
        return None
    from .camera.sound import Sound

    sound = Sound(arguments.camera)
    sound.shortened = bool(arguments.seconds)
    return sound


def _check_monitor(display: Any) -> None:
    """Raise Problem when `display` is a monitor that is not connected. Later it may be unplugged."""
    if hasattr(display, "connect") and not display.connect():
        display.discard()
        raise Problem(display.fault or "there is no monitor: plug one in")


def _listens(number: int) -> bool:
    """Whether a signal is not ignored; nohup makes SIGHUP ignored."""
    return signal.getsignal(number) is not signal.SIG_IGN


def _length(camera: Any, arguments: argparse.Namespace) -> Optional[float]:
    """The seconds of the source to be shown; None when unknown."""
    known = [one for one in (getattr(camera, "seconds", None), arguments.seconds) if one]
    return min(known, default=None)


def _report(
    arguments: argparse.Namespace,
    bundle: Bundle,
    stylizer: Optional[Stylizer],
    counters: Counters,
    skipped: List[Problem],
) -> None:
    assert stylizer  # a frame was shown
    if arguments.json:
        document = {
            "frames": counters.shown,
            "dropped": counters.dropped,
            "fps": round(counters.fps, 2),
            "seconds": round(counters.running, 3),
            "style": bundle.name,
            "plan": stylizer.plan,
            "runtime": str(stylizer.runtime),
            "device": stylizer.runtime.device,
            "size": list(stylizer.output_size),
            "skipped": [str(problem) for problem in skipped],
        }
        if arguments.stats:
            document["ms"] = {stage: round(time, 3) for stage, time in counters.median_ms.items()}
        print(json.dumps(document))
        return
    print(
        f"{frames(counters.shown)}, {counters.fps:.1f} fps, style {bundle.name}, plan {stylizer.plan}, "
        f"runtime {stylizer.runtime} ({stylizer.runtime.device})"
    )
    if arguments.stats:
        print(
            f"captured {counters.captured}, stylised {counters.stylised}, shown {counters.shown}, "
            f"dropped {counters.dropped}"
        )
        for stage, milliseconds in counters.median_ms.items():
            print(f"{milliseconds:9.2f} ms  {stage}")


def _were(problems: List[Problem]) -> str:
    return "was" if len(problems) == 1 else "were"


def _preferred(bundle: Bundle) -> Optional[str]:
    """The plan that bench chose for this machine's best device, but LITE: files have the time for the style itself."""
    with contextlib.suppress(Problem):
        chosen = state.read(bundle.path.parent).choice(bundle.digest, runtimes()[0].device)
        return None if chosen == LITE else chosen
    return None


def _check_outputs(arguments: argparse.Namespace) -> None:
    places = [("--camera", arguments.camera), ("--display", arguments.display), ("--sheet", arguments.sheet)]
    seen: Dict[str, str] = {}
    for option, place in places:
        if place is None or place in _PLACES or place.startswith("/dev/") and not os.path.isfile(place):
            continue
        path = os.path.realpath(place)
        if path in seen:
            raise Problem(f"{option} and {seen[path]} are the same file, {place}: name another one")
        seen[path] = option
    if arguments.sheet and not arguments.sheet.lower().endswith(".png"):
        raise Problem(f"cannot write {arguments.sheet}: a sheet is a PNG picture: name a .png file")
