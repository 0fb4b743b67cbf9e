"""The commands that measure: reconet-train evaluate and report."""

from pathlib import Path

from appliance.errors import Problem
from trainer import cli_style

SHIPPED = Path(__file__).parents[1] / "firmware_overlay/var/lib/reconet"


def add(commands) -> None:
    sub = commands.add_parser("evaluate", help="measure a bundle or a network", description=_evaluate.__doc__)
    sub.add_argument("path", type=Path, metavar="BUNDLE|CHECKPOINT", help="NAME.reconet, or student.keras and the like")
    sub.add_argument("--photos", type=Path, metavar="DIR", help="photographs not used in training")
    sub.add_argument("--sintel", type=Path, metavar="DIR", help="MPI-Sintel, in its official layout")
    sub.add_argument("--faces", type=Path, metavar="DIR", help="photographs of people: how many faces remain faces")
    sub.add_argument("--data", type=Path, default=Path("data"), help="folder of the painting (default: data)")
    sub.add_argument(
        "--run", type=Path, metavar="DIR", help="folder of its teacher and student (default: searched for)"
    )
    sub.add_argument(
        "--most",
        type=cli_style.positive,
        default=24,
        metavar="N",
        help="most photos, and pairs per scene (default: 24)",
    )
    sub.add_argument(
        "--pass", dest="rendering", choices=("clean", "final"), default="clean", help="Sintel's (default: clean)"
    )
    sub.add_argument(
        "--steadiness",
        action="store_true",
        help="measure a bundle in changing light, noise and motion, on synthetic films",
    )
    sub.add_argument("--json", action="store_true", help="print JSON")
    sub.set_defaults(command=_evaluate)
    sub = commands.add_parser("report", help="write a page of pictures and curves", description=_report.__doc__)
    sub.add_argument("paths", nargs="*", type=Path, metavar="BUNDLE|CHECKPOINT", help="default: the styles that ship")
    sub.add_argument("--data", type=Path, default=Path("data"), help="folder of the paintings (default: data)")
    sub.add_argument(
        "--photos", type=Path, metavar="DIR", help="the first three pictures are shown (default: built-in ones)"
    )
    sub.add_argument("--clip", type=Path, help="a video for the temporal error (default: a synthetic one, exact flow)")
    sub.add_argument("--run", type=Path, metavar="DIR", help="folder of teacher and student (default: searched for)")
    sub.add_argument("--out", type=Path, default=Path("report.html"), help="default: report.html")
    sub.set_defaults(command=_report)


def _evaluate(arguments):
    """Measure style and content loss, SSIM and SNR against the teacher, and blobs on photos; e_stab on Sintel; the
    faces that a detector still finds; and the steadiness of a bundle.
    """
    measured = arguments.photos or arguments.sintel or arguments.faces
    if arguments.steadiness:
        _steadiness(arguments)
    elif not measured:
        raise Problem("evaluate: nothing to measure on; give --photos DIR, --sintel DIR, --faces DIR or --steadiness")
    if not measured:
        return
    from trainer.quiet import import_tensorflow

    import_tensorflow()
    from trainer import evaluation, gather, report

    work = gather.gather(arguments.path, arguments.data, arguments.run)
    figures = evaluation.evaluate(
        work,
        arguments.photos,
        arguments.sintel,
        arguments.data,
        arguments.most,
        arguments.rendering,
        arguments.faces,
    )
    report.show({"file": str(arguments.path), **figures}, arguments.json)


def _steadiness(arguments):
    import json

    from rich.console import Console

    from appliance.config import Engine
    from trainer import steadiness

    if arguments.path.suffix != ".reconet":
        raise Problem(f"evaluate: {arguments.path} is not a style bundle; --steadiness measures what the board shows")
    results = list(steadiness.evaluate(arguments.path, Engine().stillness))
    if arguments.json:
        print(json.dumps({"steadiness": {one.scene.name: round(one.value, 3) for one in results}}, indent=1))
    else:
        width = None if Console().is_terminal else 140
        Console(width=width).print(steadiness.table({arguments.path.stem: results}))


def _report(arguments):
    """Write one HTML file: each network's pictures with figures, temporal error, loss curves, costs."""
    from trainer.quiet import import_tensorflow

    import_tensorflow()
    from trainer import report

    paths = arguments.paths or sorted(SHIPPED.glob("*.reconet"))
    if not paths:
        raise Problem(f"report: no styles in {SHIPPED}; name a bundle")
    report.write(paths, arguments.data, arguments.photos, arguments.clip, arguments.run, arguments.out)
