"""`reconet run` with a source or a sink: a film, a folder of pictures or a camera, stylised once through."""

import argparse
import contextlib
import os
import signal
import sys
import threading
from typing import Dict, Iterator, Optional

from .camera import open_camera
from .display import open_display
from .engine.interpreter import runtimes
from .engine.stylizer import Stylizer
from .errors import Problem
from .files import Pending
from .host import signals
from .pipeline import Counters, Pipeline
from .sheet import ContactSheet
from .style import state, store
from .style.bundle import Bundle


def stylise(arguments: argparse.Namespace) -> int:
    """Run until the source ends or a signal asks to stop. `arguments` are those of the command line. Raises Problem."""
    arguments.camera, arguments.display = arguments.camera or "virtual", arguments.display or "none"
    _check_outputs(arguments)
    bundle = store.find(arguments.style)
    camera = open_camera(arguments.camera, arguments.every_frame)
    stylizer = Stylizer(
        bundle, arguments.plan, threads=arguments.threads, prefer=_preferred(bundle), size=arguments.size
    )
    sheet = ContactSheet() if arguments.sheet else None
    if sheet:
        Pending(arguments.sheet).discard()  # better to learn now that it cannot be written
    display = open_display(arguments.display)
    pipeline = Pipeline(camera, stylizer, display, arguments.seconds, sheet.add if sheet else None)
    # The second time, the signal is meant: it ends the process.
    with signals.handled({signal.SIGINT: pipeline.stop, signal.SIGTERM: pipeline.stop}, once=True), _progress(
        pipeline.counters
    ):
        counters = pipeline.run()
    if sheet:
        sheet.save(arguments.sheet)
    print(
        f"{_frames(counters)}, {counters.fps:.1f} fps, style {bundle.name}, plan {stylizer.plan}, "
        f"runtime {stylizer.runtime} ({stylizer.runtime.device})"
    )
    if arguments.stats:
        print(
            f"captured {counters.captured}, stylised {counters.stylised}, shown {counters.shown}, "
            f"dropped {counters.dropped}"
        )
        for stage, milliseconds in counters.median_ms.items():
            print(f"{milliseconds:9.2f} ms  {stage}")
    return 0


def _preferred(bundle: Bundle) -> Optional[str]:
    """The plan that bench chose for the best device here."""
    with contextlib.suppress(Problem):
        return state.read(bundle.path.parent).choice(bundle.digest, runtimes()[0].device)
    return None


def _frames(counters: Counters) -> str:
    return f"{counters.shown} frame" + ("s" if counters.shown != 1 else "")


def _check_outputs(arguments: argparse.Namespace) -> None:
    places = [("--camera", arguments.camera), ("--display", arguments.display), ("--sheet", arguments.sheet)]
    seen: Dict[str, str] = {}
    for option, place in places:
        if place in (None, "none", "virtual", "monitor") or place.startswith("/dev/"):
            continue
        path = os.path.realpath(place)
        if path in seen:
            raise Problem(f"{option} and {seen[path]} are the same file, {place}: name another one")
        seen[path] = option
    if arguments.sheet and not arguments.sheet.lower().endswith(".png"):
        raise Problem(f"cannot write {arguments.sheet}: a sheet is a PNG picture: name a .png file")


@contextlib.contextmanager
def _progress(counters: Counters) -> Iterator[None]:
    """A status line on stderr: rewritten twice a second on a terminal, a new one every 5 seconds elsewhere."""
    terminal = sys.stderr.isatty()
    over = threading.Event()

    def report() -> None:
        while not over.wait(0.5 if terminal else 5.0):
            line = f"{_frames(counters)}, {counters.fps:.1f} fps, {counters.dropped} dropped"
            sys.stderr.write(f"\r{line}\x1b[K" if terminal else line + "\n")
            sys.stderr.flush()
        if terminal:
            sys.stderr.write("\r\x1b[K")

    thread = threading.Thread(target=report, name="progress", daemon=True)
    thread.start()
    try:
        yield
    finally:
        over.set()
        thread.join()
