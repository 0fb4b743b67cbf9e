"""The `reconet` command.

Exit codes: 0 done; 1 an error that the user can fix, reported in one line, or a bug, with a traceback; 2 wrong usage.
"""

import argparse
import contextlib
import errno
import json
import os
import sys
import time
from pathlib import Path
from typing import Any, List, Optional, Sequence

from . import __version__
from .arguments import CONFIG_HELP, CPU_THREADS, Parser, add_run_options, add_web_options, frames, named, rate, threads
from .errors import Problem
from .places import CONFIG

_FULL = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG, errno.EIO)  # what is wrong with a stdout that takes no more


def _parser() -> argparse.ArgumentParser:
    parser = Parser(prog="reconet", description="Stylise live video with a ReCoNet, on an Edge TPU or a CPU.")
    parser.add_argument("--version", action="version", version=f"reconet {__version__}")
    commands = parser.add_subparsers(dest="command", metavar="COMMAND", parser_class=Parser)
    commands.required = True

    run = commands.add_parser("run", help="run the appliance, or stylise a video or pictures", description=_run.__doc__)
    add_run_options(run)
    run.set_defaults(function=_run)

    state = commands.add_parser("status", help="show what the appliance is doing", description=_status.__doc__)
    state.add_argument("--json", action="store_true", help="print the whole status as JSON")
    state.add_argument("--schema", action="store_true", help="print the JSON schema of what --json prints")
    state.add_argument("--watch", action="store_true", help="repeat once a second")
    state.add_argument("--config", type=named, metavar="FILE", help=CONFIG_HELP)
    state.set_defaults(function=_status)
    use = commands.add_parser("use", help="choose the style", description=_use.__doc__)
    which = use.add_mutually_exclusive_group(required=True)
    which.add_argument(
        "style", nargs="?", type=named, metavar="NAME", help="show this style, whatever is added to the folder"
    )
    which.add_argument("--newest", action="store_true", help="show the newest style in the folder")
    use.add_argument("--config", type=named, metavar="FILE", help=CONFIG_HELP)
    use.set_defaults(function=_use)
    styles = commands.add_parser("styles", help="list the styles found", description=_styles.__doc__)
    styles.set_defaults(function=_styles)
    bench = commands.add_parser("bench", help="time every plan and size of a style here", description=_bench.__doc__)
    bench.add_argument(
        "style", nargs="?", type=named, metavar="NAME|BUNDLE", help="default: the one that reconet styles names"
    )
    bench.add_argument("--frames", type=frames, default=200, metavar="N", help="frames at most for each (default: 200)")
    bench.add_argument("--target", type=rate, metavar="FPS", help="wanted frames a second (default: as configured)")
    bench.add_argument("--threads", type=threads, default=0, metavar="N", help=CPU_THREADS)
    bench.add_argument("--choose", action="store_true", help="save that plan and size as the ones that run uses")
    bench.set_defaults(function=_bench)
    web = commands.add_parser("web", help="serve a page with the picture and the styles", description=_web.__doc__)
    add_web_options(web)
    web.set_defaults(function=_web)
    doctor = commands.add_parser("doctor", help="check this machine", description=_doctor.__doc__)
    doctor.add_argument(
        "--config", type=named, metavar="FILE", help=f"check for the appliance (default: {CONFIG}, if it exists)"
    )
    doctor.set_defaults(function=_doctor)
    return parser


def main(argv: Optional[List[str]] = None) -> int:
    try:
        try:
            return _command(argv)
        finally:
            if sys.stdout:
                sys.stdout.flush()
    except BrokenPipeError:  # `reconet styles | head`: not an error
        _forget_output()
    except OSError as error:
        if error.errno not in _FULL or error.filename:
            raise
        _forget_output()
        print(f"reconet: cannot write to stdout: {os.strerror(error.errno).lower()}", file=sys.stderr)
    return 1


def _command(argv: Optional[List[str]]) -> int:
    arguments = _parser().parse_args(argv)
    try:
        code: int = arguments.function(arguments)
        return code
    except Problem as problem:
        print(f"reconet: {problem}", file=sys.stderr)
    except ModuleNotFoundError as error:
        if error.name not in ("numpy", "pydantic", "PIL"):
            raise
        print(f"reconet: {error.name} is not installed: reconet doctor lists what is missing", file=sys.stderr)
    except KeyboardInterrupt:
        print("reconet: interrupted", file=sys.stderr)
    return 1


def _forget_output() -> None:
    """What is still to be written to stdout goes nowhere: the interpreter would complain about it at its end."""
    os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


def _run(arguments: argparse.Namespace) -> int:
    """Without options, run the appliance from camera to monitor until stopped, as the configuration says. With options,
    stylise a video file, a folder of pictures or a camera.
    """
    given = {name for name, value in vars(arguments).items() if value and name not in ("command", "function")}
    if given <= {"config"}:
        from .daemon import serve

        return serve(arguments.config)
    if given == {"camera", "display"} and (arguments.camera, arguments.display) == ("virtual", "none"):
        from . import byhand
        from .daemon import serve

        return serve(read=byhand.settings)
    if "config" in given:
        raise Problem("--config runs the appliance, which takes no other options: remove it or the others")
    from .film import stylise

    return stylise(arguments)


def _status(arguments: argparse.Namespace) -> int:
    """Show what the appliance is doing. Exits 1 when it is not running or has no status."""
    from . import byhand
    from .host import status

    if arguments.schema:
        print(json.dumps(status.Status.model_json_schema(), indent=1))
        return 0
    path = byhand.found(arguments.config).host.status
    while True:
        try:
            now = status.read(path)
            text = (
                now.model_dump_json(indent=None if arguments.watch else 1)
                if arguments.json
                else "\n".join(status.lines(now))
            )
        except Problem as problem:
            if not arguments.watch:
                raise
            text = f"reconet: {problem}"
        clear = "\x1b[H\x1b[2J" if arguments.watch and not arguments.json and sys.stdout.isatty() else ""
        print(clear + text, flush=True)
        if not arguments.watch:
            return 0
        time.sleep(1.0)


def _use(arguments: argparse.Namespace) -> int:
    """Choose the style that the appliance shows. It changes at once and is kept across restarts."""
    from . import byhand
    from .style import state

    folder = Path(byhand.found(arguments.config).style.folder)
    name = state.NEWEST if arguments.newest else _style_in(folder, arguments.style)
    state.pin(folder, name, lambda text: print(f"reconet: {text}", file=sys.stderr))
    print(
        "from now on the newest style is shown"
        if arguments.newest
        else f"from now on {name} is shown; to undo: reconet use --newest"
    )
    return 0


def _web(arguments: argparse.Namespace) -> int:
    """Serve a page with the picture, the styles and the status, until stopped. `reconet web token` makes the token that
    it asks for; beyond this machine it needs one.
    """
    if arguments.action == "enabled":
        from .web.enabled import answer as command
    else:
        from .web.run import command
    return command(arguments)


def _style_in(folder: Path, wanted: str) -> str:
    """The name of the style `wanted`, a name or a path, which must be in the folder. Raises Problem."""
    from .style import store

    bundle = store.find(wanted, [folder])
    if bundle.path.resolve().parent != folder.resolve():
        raise Problem(f"{wanted} is not in {folder}: copy it there first")
    return bundle.name


def _styles(arguments: argparse.Namespace) -> int:
    """List the styles found, newest first, and why others are refused. A * marks the one that is shown now."""
    from . import config
    from .host import status
    from .style import store

    settings = config.load(config.PATH)
    folders, shown = store.directories(), None
    if config.PATH.exists() and Path(settings.style.folder) not in folders:
        folders.insert(0, Path(settings.style.folder))
    with contextlib.suppress(Problem):
        shown = status.read(settings.host.status).style
    valid, refused = store.styles(folders)
    rows = [("NAME", "TITLE", "FRAME", "SIZE", "PLANS", "RUNTIME", "PATH")]
    for bundle in valid:
        manifest = bundle.manifest
        name = manifest.name + ("*" if manifest.name == shown else "")
        rows.append(
            (
                name,
                manifest.title,
                f"{manifest.input.width}x{manifest.input.height}",
                f"{sum(map(len, bundle.files.values())) / 1e6:.1f} MB",
                ",".join(plan.name for plan in manifest.plans),
                "TPU" if any(plan.compiled for plan in manifest.plans) else "CPU",
                str(bundle.path),
            )
        )
    lines = _table(rows)
    if valid:
        print(lines[0])
    for bundle, line in zip(valid, lines[1:]):
        print(line)
        figures = _metrics(bundle.manifest.provenance)
        if figures:
            print("    " + figures)
    for one in refused:
        print(f"refused: {one.reason}")
    default = store.find(None, folders)  # raises Problem where there is none: where it looked and what to do
    print(f"default: {default.name}, which reconet run takes without --style")
    return 0


def _bench(arguments: argparse.Namespace) -> int:
    """Time every plan of a style at every size on this machine: medians and the 99th percentile, in milliseconds per
    frame. Say which one the appliance would take. Then time each step of a frame outside the network.
    """
    from . import bench, config, overhead
    from .engine import devices
    from .engine.stylizer import Stylizer
    from .style import store
    from .style.manifest import size_name

    bundle, settings = store.find(arguments.style), config.load(config.PATH)
    devices.choose(settings.engine.device)
    target = float(arguments.target or settings.engine.target_fps or settings.camera.fps)
    timings = bench.bench(bundle, arguments.frames, arguments.threads, target)
    best = bench.taken(timings, target, [plan.name for plan in bundle.manifest.plans])
    print(*_table(bench.table(timings)), *bench.faults(timings), sep="\n")
    if best is None:
        raise Problem(f"style {bundle.name}: no plan runs on this machine")
    name = f"plan {best.plan} at {size_name(best.size)}"
    overruled = bench.overruled(bundle, settings.engine, best)
    print("", f"for {target:g} fps the appliance would take {name}", *overruled, "", sep="\n")
    stylizer = Stylizer(bundle, best.plan, threads=arguments.threads, size=best.size)
    print(*overhead.lines(overhead.steps(stylizer, min(30, arguments.frames))), sep="\n")
    if arguments.choose:
        print(f"{name} is saved in {bench.save(bundle, best, timings, arguments.threads)}")
    return 0


def _table(rows: Sequence[Sequence[str]]) -> List[str]:
    """Lines with the cells of each row in columns."""
    widths = [max(map(len, column)) for column in zip(*rows)]
    return ["  ".join(cell.ljust(width) for cell, width in zip(row, widths)).rstrip() for row in rows]


def _metrics(provenance: Any) -> str:
    """The figures in a manifest's provenance.metrics, which may hold anything."""
    metrics = provenance.get("metrics")
    if not isinstance(metrics, dict):
        return ""
    figures = [
        f"{name} {value:.4g}"
        for name, value in metrics.items()
        if isinstance(value, (int, float)) and not isinstance(value, bool)
    ]
    return str(Problem(", ".join(figures)[:300]))  # a Problem's text is printable


def _doctor(arguments: argparse.Namespace) -> int:
    """Check what `reconet run` needs on this machine, a line each. Exits 0 only when it would work."""
    from .doctor import examine

    findings = examine(arguments.config)
    for finding in findings:
        print(finding)
    return 0 if all(finding.fine for finding in findings) else 1


if __name__ == "__main__":
    sys.exit(main())
