"""reconet-train: turns a painting into a style bundle."""

import argparse
import os
import sys
from pathlib import Path

from appliance.errors import Problem


def main(argv=None) -> int:
    """Runs one command; returns the exit code: 0 done, 1 a problem that the user can mend, 2 wrong usage, 130
    interrupted.
    """
    arguments = parser().parse_args(argv)
    os.environ.setdefault("KERAS_BACKEND", "jax")
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
    try:
        arguments.command(arguments)
    except Problem as problem:
        print(f"reconet-train: {problem}", file=sys.stderr)
        return 1
    except ModuleNotFoundError as error:
        if error.name is None or error.name.split(".")[0] in ("trainer", "appliance"):
            raise
        advice = "pip install 'reconet-edgetpu[trainer]', on Python 3.11 or newer"
        print(f"reconet-train: {error.name} is not installed; {advice}", file=sys.stderr)
        return 1
    except OSError as error:
        if error.errno is None:
            raise
        where = f"{error.filename}: " if error.filename else ""
        print(f"reconet-train: {where}{error.strerror}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        print("reconet-train: interrupted; the same command goes on from the last checkpoint", file=sys.stderr)
        return 130
    return 0


def parser() -> argparse.ArgumentParser:
    top = argparse.ArgumentParser(prog="reconet-train", description=__doc__)
    commands = top.add_subparsers(required=True, metavar="COMMAND")
    for name, command, about in (
        ("train", _train, "train the teacher, with normalisation"),
        ("distill", _distill, "distil the teacher into a student without normalisation"),
        ("export", _export, "quantise the student to int8, cut it and write the bundle"),
    ):
        sub = commands.add_parser(name, help=about, description=about)
        sub.add_argument("recipe", type=Path, metavar="RECIPE", help="a .toml file, see trainer/recipes")
        sub.add_argument(
            "--data", type=Path, default=Path("data"), help="folder of the painting, photos and Sintel (default: data)"
        )
        sub.add_argument("--out", type=Path, help="folder for what is made (default: runs/NAME)")
        sub.set_defaults(command=command)
    return top


def _places(arguments):
    from trainer.quiet import import_tensorflow
    from trainer.recipe import load

    recipe = load(arguments.recipe)
    import_tensorflow()
    out = arguments.out or Path("runs") / recipe.name
    out.mkdir(parents=True, exist_ok=True)
    return recipe, arguments.data, out


def _train(arguments):
    from trainer.training import train

    train(*_places(arguments))


def _distill(arguments):
    from trainer.distillation import distill

    distill(*_places(arguments))


def _export(arguments):
    from trainer.edgetpu.export import export

    export(*_places(arguments))


if __name__ == "__main__":
    sys.exit(main())
