"""The commands that run all steps: reconet-train style and gallery."""

import argparse
from pathlib import Path

from appliance.errors import Problem


def add(commands) -> None:
    about = "make a style of a painting: train, export, check and report"
    sub = commands.add_parser("style", help=about, description=_style.__doc__)
    sub.add_argument("painting", type=Path, metavar="PAINTING", help="a picture, 256 pixels or more on each side")
    sub.add_argument("--title", help="the style's title (default: from the file's name)")
    sub.add_argument("--out", type=Path, metavar="DIR", help="output folder (default: runs/NAME)")
    sub.add_argument(
        "--photos",
        type=Path,
        metavar="DIR",
        help="photographs to train on, a few hundred (default: 600 of COCO's, downloaded once, 0.8 GB)",
    )
    sub.add_argument(
        "--quality",
        choices=("draft", "gallery"),
        help="draft: 3,200 steps, to see whether a painting is suitable; gallery: 10,000 steps (default: "
        "gallery). Without a GPU, draft is 1,000 steps at 160x88",
    )
    sub.add_argument("--steps", type=positive, metavar="N", help="training steps, for a trial")
    sub.add_argument(
        "--from",
        dest="start",
        metavar="STYLE",
        help="start from a shipped style's network, with its losses; takes a third of the steps",
    )
    _add_set(sub, "KEY=VALUE", "another value for a setting of the recipe, such as student.loss.content=6; repeatable")
    sub.add_argument("--restart", action="store_true", help="discard the earlier run; start at step 0")
    sub.set_defaults(command=_style)
    about = "make the styles of many recipes, or of variants of one, as jobs"
    sub = commands.add_parser("gallery", help=about, description=_gallery.__doc__)
    sub.add_argument("recipes", type=Path, nargs="+", metavar="RECIPE", help=".toml files")
    sub.add_argument(
        "--on", choices=("local", "slurm"), default="local", help="this machine, or a Slurm cluster (default: local)"
    )
    sub.add_argument("--data", type=Path, default=Path("data"), help="folder of paintings and photos (default: data)")
    sub.add_argument(
        "--out", type=Path, default=Path("runs"), metavar="DIR", help="parent of each style's folder (default: runs)"
    )
    sub.add_argument(
        "--workers", type=positive, metavar="N", help="jobs at a time (default: one per GPU; on Slurm, all)"
    )
    sub.add_argument("--partition", help="Slurm partition")
    sub.add_argument("--account", help="Slurm account")
    _add_set(
        sub,
        "KEY=VALUE,...",
        "make a style for each value, such as student.loss.content=4,5,6; with several --set, for each combination",
    )
    sub.set_defaults(command=_gallery)


def positive(text: str) -> int:
    value = int(text)
    if value < 1:
        raise argparse.ArgumentTypeError("must be 1 or more")
    return value


def _add_set(parser, form, about):
    parser.add_argument("--set", dest="settings", action="append", default=[], metavar=form, help=about)


def _style(arguments):
    """Make a style of a painting: choose a recipe, fetch photographs, train, export, check, report. The same command
    resumes a run that was stopped. Prints the paths of the bundle and of a picture.
    """
    from trainer.quiet import import_tensorflow

    import_tensorflow()
    from trainer.style import style

    made = style(
        arguments.painting,
        arguments.title,
        arguments.out,
        arguments.photos,
        arguments.quality,
        arguments.steps,
        arguments.start,
        arguments.settings,
        arguments.restart,
    )
    for path in made:
        print(path)


def _gallery(arguments):
    """Make the styles of many recipes, each as a separate job on one GPU. Jobs that die are retried. The same command
    resumes an interrupted gallery. Prints a table of figures, and writes OUT/gallery.jpg.
    """
    from rich.console import Console

    try:
        from trainer import executors, gallery, sweep
    except ModuleNotFoundError as error:
        if error.name != "submitit":
            raise
        raise Problem("gallery: submitit is not installed; pip install 'reconet-edgetpu[cluster]'") from None
    from trainer.recipe import load

    settings = sweep.parse(arguments.settings)
    recipes = [one for path in arguments.recipes for one in sweep.product(load(path), settings)]
    out = arguments.out
    tasks = [gallery.Task(recipe, arguments.data.resolve(), (out / recipe.name).resolve()) for recipe in recipes]
    jobs = out / "jobs"
    if arguments.on == "local":
        places = executors.local(jobs, arguments.workers)
    else:
        places = executors.slurm(jobs, arguments.workers or len(tasks), arguments.partition, arguments.account)
    console = Console(width=None if Console().is_terminal else 140)
    entries = gallery.run(tasks, places, gallery.Work(gallery.make), console)
    gallery.show(entries, out / "gallery.jpg", console)
