"""The `reconet` command.

Exit codes: 0 done; 1 something the user can mend, said in one line; 2 wrong usage.
"""

import argparse
import contextlib
import math
import os
import signal
import sys
import threading
from typing import List, Optional

from . import __version__
from .errors import Problem


class _Parser(argparse.ArgumentParser):
    def error(self, message):
        self.exit(2, f"reconet: {message}: see {self.prog} --help\n")


def _seconds(text: str) -> float:
    try:
        value = float(text)
    except ValueError:
        value = math.nan
    if not 0 < value < math.inf:
        raise argparse.ArgumentTypeError(f"{text!r} is not a time: give seconds above 0")
    return value


def _threads(text: str) -> int:
    if not text.isdigit() or not 0 < int(text) <= 1024:
        raise argparse.ArgumentTypeError(f"{text!r} is not a number of threads: give 1 or more")
    return int(text)


def _frames(text: str) -> int:
    if not text.isdigit() or not 0 < int(text) <= 1000000:
        raise argparse.ArgumentTypeError(f"{text!r} is not a number of frames: give 1 or more")
    return int(text)


def _parser() -> argparse.ArgumentParser:
    parser = _Parser(prog="reconet", description="Stylise live video with a ReCoNet, on an Edge TPU or a CPU.")
    parser.add_argument("--version", action="version", version=f"reconet {__version__}")
    commands = parser.add_subparsers(dest="command", metavar="COMMAND", parser_class=_Parser)
    commands.required = True

    run = commands.add_parser("run", help="stylise a camera, a video or pictures", description=_run.__doc__)
    run.add_argument("--camera", default="virtual", metavar="SOURCE",
                     help="a video file, a folder of pictures, or virtual (default)")
    run.add_argument("--display", default="none", metavar="SINK", help="an .mp4 file, a new folder, or none (default)")
    run.add_argument("--style", metavar="NAME|BUNDLE", help="default: the newest one found")
    run.add_argument("--plan", metavar="NAME",
                     help="default: the one that bench --choose found, or the first that runs here")
    run.add_argument("--seconds", type=_seconds, metavar="N", help="stop after so long")
    run.add_argument("--every-frame", action="store_true", help="do not play in real time: show every frame")
    run.add_argument("--sheet", metavar="FILE.png", help="write three source frames above their stylised frames")
    run.add_argument("--threads", type=_threads, default=0, metavar="N", help="CPU threads (default: one per CPU)")
    run.add_argument("--stats", action="store_true", help="end with counters and milliseconds per stage")
    run.set_defaults(function=_run)

    styles = commands.add_parser("styles", help="list the styles found", description=_styles.__doc__)
    styles.set_defaults(function=_styles)
    bench = commands.add_parser("bench", help="time every plan of a style here", description=_bench.__doc__)
    bench.add_argument("style", nargs="?", metavar="NAME|BUNDLE", help="default: the newest one found")
    bench.add_argument("--frames", type=_frames, default=200, metavar="N", help="frames a plan (default: 200)")
    bench.add_argument("--threads", type=_threads, default=0, metavar="N", help="CPU threads (default: one per CPU)")
    bench.add_argument("--choose", action="store_true", help="remember the fastest: run takes it from now on")
    bench.set_defaults(function=_bench)
    doctor = commands.add_parser("doctor", help="say what this machine has and lacks", description=_doctor.__doc__)
    doctor.set_defaults(function=_doctor)
    return parser


def main(argv: Optional[List[str]] = None) -> int:
    arguments = _parser().parse_args(argv)
    try:
        return arguments.function(arguments)
    except Problem as problem:
        print(f"reconet: {problem}", file=sys.stderr)
    except ModuleNotFoundError as error:
        if error.name not in ("numpy", "pydantic", "PIL"):
            raise
        print(f"reconet: {error.name} is not installed: reconet doctor says what is missing", file=sys.stderr)
    except BrokenPipeError:  # `reconet styles | head`: not our fault, and nothing left to say
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
    except KeyboardInterrupt:
        print("reconet: interrupted", file=sys.stderr)
    return 1


def _run(arguments) -> int:
    """Stylise a camera, a video file or a folder of pictures."""
    from .camera import open_camera
    from .daemon import Pipeline
    from .display import open_display
    from .engine.stylizer import Stylizer
    from .files import Pending
    from .sheet import ContactSheet
    from .style import choice, store

    _check_outputs(arguments)
    bundle = store.find(arguments.style)
    if bundle.manifest.input.pixels != "rgb":
        raise Problem(f"style {bundle.name} takes {bundle.manifest.input.pixels} pixels, which --camera "
                      f"{arguments.camera} does not give: export it for rgb")
    camera = open_camera(arguments.camera, arguments.every_frame)
    stylizer = Stylizer(bundle, arguments.plan, threads=arguments.threads, prefer=choice.read(bundle))
    sheet = ContactSheet() if arguments.sheet else None
    if sheet:
        Pending(arguments.sheet).discard()  # better to learn now that it cannot be written
    display = open_display(arguments.display)
    pipeline = Pipeline(camera, stylizer, display, arguments.seconds, sheet.add if sheet else None)
    with _stopping_on_signals(pipeline), _progress(pipeline.counters):
        counters = pipeline.run()
    if sheet:
        sheet.save(arguments.sheet)
    print(f"{counters.shown} frames, {counters.fps:.1f} fps, style {bundle.name}, plan {stylizer.plan}, "
          f"runtime {stylizer.runtime} ({stylizer.runtime.device})")
    if arguments.stats:
        print(f"captured {counters.captured}, stylised {counters.stylised}, shown {counters.shown}, "
              f"dropped {counters.dropped}")
        for stage, milliseconds in counters.median_ms.items():
            print(f"{milliseconds:9.2f} ms  {stage}")
    return 0


def _styles(arguments) -> int:
    """List the styles found, newest first, and say why others are refused."""
    from .style import store

    valid, refused = store.styles()
    rows = [("NAME", "TITLE", "FRAME", "SIZE", "PLANS", "RUNTIME", "PATH")]
    for bundle in valid:
        manifest = bundle.manifest
        rows.append((manifest.name, manifest.title, f"{manifest.input.width}x{manifest.input.height}",
                     f"{sum(map(len, bundle.files.values())) / 1e6:.1f} MB",
                     ",".join(plan.name for plan in manifest.plans),
                     "TPU" if any(plan.compiled for plan in manifest.plans) else "CPU", str(bundle.path)))
    widths = [max(len(row[column]) for row in rows) for column in range(len(rows[0]))]
    metrics = [None] + [_metrics(bundle.manifest.provenance) for bundle in valid]
    for row, figures in zip(rows, metrics) if valid else ():
        print("  ".join(cell.ljust(width) for cell, width in zip(row, widths)).rstrip())
        if figures:
            print("    " + figures)
    for one in refused:
        print(f"refused: {one.reason}")
    if not valid:
        store.find(None)  # raises: it says where was searched and what to do
    return 0


def _bench(arguments) -> int:
    """Time every plan of a style on this machine: medians in milliseconds, and the 99th percentile of whole frames."""
    from .bench import bench
    from .style import choice, store

    bundle = store.find(arguments.style)
    timings = bench(bundle, arguments.frames, arguments.threads)
    rows = [("PLAN", "MEDIAN", "P99", "INFERENCE", "NUMPY", "COPIES", "FPS", "RUNTIME")]
    for one in timings:
        if not one.fault:
            numbers = (one.median, one.p99, one.inference, one.numpy, one.copies)
            rows.append((one.plan, *(f"{number:.2f}" for number in numbers), f"{1000 / one.median:.1f}", one.runtime))
    widths = [max(len(row[column]) for row in rows) for column in range(len(rows[0]))]
    for row in rows:
        print("  ".join(cell.ljust(width) for cell, width in zip(row, widths)).rstrip())
    for one in timings:
        if one.fault:
            print(f"{one.plan}: {one.fault}")
    if timings[0].fault:
        raise Problem(f"style {bundle.name}: none of its plans runs here")
    if arguments.choose:
        print(f"plan {timings[0].plan} is remembered in {choice.write(bundle, timings[0].plan)}")
    return 0


def _metrics(provenance) -> str:
    """The figures in a manifest's provenance.metrics, which may hold anything."""
    metrics = provenance.get("metrics")
    if not isinstance(metrics, dict):
        return ""
    figures = [f"{name} {value:.4g}" for name, value in metrics.items()
               if isinstance(value, (int, float)) and not isinstance(value, bool)]
    return str(Problem(", ".join(figures)[:300]))  # a Problem's text is printable


def _doctor(arguments) -> int:
    """Say what this machine has and lacks for `reconet run`, a line each. Exits 0 only when it would work."""
    from .doctor import examine

    findings = examine()
    for finding in findings:
        print(finding)
    return 0 if all(finding.fine for finding in findings) else 1


def _check_outputs(arguments) -> None:
    places = [("--camera", arguments.camera), ("--display", arguments.display), ("--sheet", arguments.sheet)]
    seen = {}
    for option, place in places:
        if place in (None, "none", "virtual"):
            continue
        path = os.path.realpath(place)
        if path in seen:
            raise Problem(f"{option} and {seen[path]} are the same file, {place}: name another one")
        seen[path] = option
    if arguments.sheet and not arguments.sheet.lower().endswith(".png"):
        raise Problem(f"cannot write {arguments.sheet}: a sheet is a PNG picture: name a .png file")


@contextlib.contextmanager
def _stopping_on_signals(pipeline):
    def stop(number, frame):
        pipeline.stop()
        signal.signal(number, before[number])  # the second time, it is meant

    before = {number: signal.signal(number, stop) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


@contextlib.contextmanager
def _progress(counters):
    """A status line on stderr: rewritten twice a second on a terminal, a new one every 5 seconds elsewhere."""
    terminal = sys.stderr.isatty()
    over = threading.Event()

    def report():
        while not over.wait(0.5 if terminal else 5.0):
            line = f"{counters.shown} frames, {counters.fps:.1f} fps, {counters.dropped} dropped"
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


if __name__ == "__main__":
    sys.exit(main())
