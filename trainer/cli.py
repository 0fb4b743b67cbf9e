"""reconet-train: turns a painting into a style bundle."""

import argparse
import sys
from pathlib import Path

from appliance.errors import Problem
from appliance.files import replacing
from appliance.style.manifest import parse_size
from trainer import cli_measure, cli_style
from trainer.quiet import choose_backend

HOSTS = ("dev-board", "usb3-max", "usb3-std", "usb2")
PIXELS = ("rgb:rgb", "rgb:bgrx", "yuv:rgb", "yuv:bgrx")


def main(argv=None) -> int:
    """Runs one command; returns the exit code: 0 done, 1 a problem that the user can fix, 2 wrong usage, 3 no Edge TPU
    compiler on this machine, 130 interrupted.
    """
    arguments = parser().parse_args(argv)
    choose_backend()
    try:
        arguments.command(arguments)
    except Problem as problem:
        for one in getattr(problem, "problems", [problem]):
            print(f"reconet-train: {one}", file=sys.stderr)
        return getattr(problem, "exit_code", 1)
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
        print(
            "reconet-train: interrupted; run the same command again to continue from the last checkpoint",
            file=sys.stderr,
        )
        return 130
    return 0


def parser() -> argparse.ArgumentParser:
    top = argparse.ArgumentParser(prog="reconet-train", description=__doc__)
    commands = top.add_subparsers(required=True, metavar="COMMAND")
    cli_style.add(commands)
    for name, command, about in (
        ("train", _train, "train the teacher, or without one the student; and the lite student, if there is one"),
        ("distill", _distill, "distil the teacher into a student without normalisation"),
        ("polish", _polish, "remove the student's fine grid from flat parts of the picture"),
        ("export", _export, "quantise the student to int8, cut it and write the bundle"),
        ("pack", _pack, "copy the networks of a run in float16, for others to evaluate and export"),
    ):
        sub = commands.add_parser(name, help=about, description=about)
        sub.add_argument("recipe", type=Path, metavar="RECIPE", help="a .toml file, see trainer/recipes")
        sub.add_argument(
            "--data", type=Path, default=Path("data"), help="folder of the painting, photos and Sintel (default: data)"
        )
        sub.add_argument("--out", type=Path, help="output folder (default: runs/NAME)")
        sub.set_defaults(command=command)
        if name == "export":
            sub.add_argument(
                "--lite",
                type=Path,
                metavar="BUNDLE",
                help="only add the plan lite, of OUT/lite.keras, to this bundle of the recipe",
            )
            sub.add_argument(
                "--plans", type=_plans, metavar="PLAN,...", help="in order of preference (default: split,fused,lowres)"
            )
            sub.add_argument("--size", type=_size, metavar="WxH", help="frame size (default: the recipe's)")
            sub.add_argument(
                "--pixels",
                choices=PIXELS,
                default="rgb:rgb",
                help="formats it takes and gives: cameras give yuv, screens take bgrx (default: rgb:rgb)",
            )
            sub.add_argument(
                "--tensors",
                choices=("uint8", "int8"),
                default="uint8",
                help="type of input and output; the Edge TPU runtime has to convert int8 (default: uint8)",
            )
        if name == "pack":
            sub.add_argument("--to", type=Path, required=True, metavar="DIR", help="destination folder")
        if name in ("train", "distill"):
            sub.add_argument("--restart", action="store_true", help="discard what an earlier run made; start at step 0")
        if name == "train":
            sub.add_argument(
                "--norm",
                choices=("instance", "frn", "none"),
                help="train a network with another normalisation for comparison, OUT/NORM.keras",
            )
            sub.add_argument("--lite", action="store_true", help="train only the lite student, OUT/lite.keras")
    sub = commands.add_parser("check", help="predict which operations the Edge TPU runs", description=_check.__doc__)
    sub.add_argument("path", type=Path, metavar="FILE|BUNDLE", help="a .tflite network or a style bundle")
    sub.set_defaults(command=_check)
    sub = commands.add_parser("predict", help="predict the time of a frame on the board", description=_predict.__doc__)
    sub.add_argument("path", type=Path, metavar="BUNDLE")
    sub.add_argument("--size", type=_size, metavar="WxH", help="frame size (default: the bundle's)")
    sub.add_argument(
        "--host", choices=HOSTS, default=HOSTS[0], help=f"how the Edge TPU is attached (default: {HOSTS[0]})"
    )
    sub.add_argument("--json", action="store_true", help="print JSON")
    sub.set_defaults(command=_predict)
    sub = commands.add_parser("compile", help="compile a bundle for the Edge TPU", description=_compile.__doc__)
    sub.add_argument("path", type=Path, metavar="BUNDLE")
    sub.add_argument(
        "--timeout", type=cli_style.positive, default=180, metavar="S", help="seconds per plan (default: 180)"
    )
    sizes = sub.add_mutually_exclusive_group()
    sizes.add_argument(
        "--sizes", type=_sizes, default=(), metavar="WxH,...", help="picture sizes (default: the stored size)"
    )
    sizes.add_argument("--sweep", action="store_true", help="try smaller pictures until one is mapped completely")
    sub.set_defaults(command=_compile)
    cli_measure.add(commands)
    sub = commands.add_parser(
        "deploy", help="copy a style to a board, or install the package", description=_deploy.__doc__
    )
    sub.add_argument("path", type=Path, metavar="BUNDLE|DEB", help="NAME.reconet, or the package that make deb wrote")
    sub.add_argument("host", nargs="?", metavar="USER@HOST", help="a host to reach by ssh (default: a board, by mdt)")
    sub.add_argument("--device", metavar="NAME", help="the board's name or address (default: the one mdt finds)")
    sub.add_argument(
        "--timeout",
        type=cli_style.positive,
        default=120,
        metavar="S",
        help="seconds to wait for the board, and for the style to be shown (default: 120)",
    )
    sub.set_defaults(command=_deploy)
    return top


def _plans(text):
    plans = tuple(text.split(","))
    known = ("split", "fused", "lowres")
    wrong = [plan for plan in plans if plan not in known]
    if wrong or len(set(plans)) != len(plans):
        raise argparse.ArgumentTypeError(f"{wrong[0] if wrong else text!r}: choose from {', '.join(known)}, each once")
    return plans


def _sizes(text):
    try:
        return [parse_size(part) for part in text.split(",")]
    except ValueError:
        raise argparse.ArgumentTypeError(f"{text!r}: write WIDTHxHEIGHT,..., such as 640x360,512x288") from None


def _size(text):
    parts = text.lower().split("x")
    if len(parts) != 2 or not all(part.isdigit() for part in parts):
        raise argparse.ArgumentTypeError(f"{text!r}: write WIDTHxHEIGHT, such as 512x216")
    width, height = map(int, parts)
    if any(side % 8 or not 16 <= side <= 2048 for side in (width, height)):
        raise argparse.ArgumentTypeError(f"{text!r}: width and height are multiples of 8 from 16 to 2048")
    return height, width


def _places(arguments):
    from trainer.quiet import import_tensorflow
    from trainer.recipe import load

    recipe = load(arguments.recipe)
    import_tensorflow()
    return recipe, arguments.data, arguments.out or Path("runs") / recipe.name


def _train(arguments):
    from trainer.training import train, train_lite

    recipe, data, out = _places(arguments)
    if arguments.lite:
        train_lite(recipe, data, out, arguments.restart)
    else:
        train(recipe, data, out, arguments.norm, arguments.restart)


def _distill(arguments):
    from trainer.distillation import distill

    recipe, data, out = _places(arguments)
    distill(recipe, data, out, arguments.restart)


def _polish(arguments):
    from trainer.polishing import polish

    polish(*_places(arguments))


def _export(arguments):
    from trainer.edgetpu.export import PLANS, add_lite, export

    recipe, data, out = _places(arguments)
    if arguments.lite:
        add_lite(recipe, data, out, arguments.lite)
        return
    takes, gives = arguments.pixels.split(":")
    plans = arguments.plans or PLANS
    export(recipe, data, out, plans, arguments.size, pixels=(takes, gives), tensors=arguments.tensors)


def _pack(arguments):
    recipe, _, out = _places(arguments)
    from trainer import runs

    names = [name for name in runs.NETWORKS if (out / f"{name}.keras").exists()]
    if not names:
        raise Problem(f"pack: no networks in {out}; run train and distill first, or set --out")
    arguments.to.mkdir(parents=True, exist_ok=True)
    for name in names:
        runs.pack(runs.network_run(recipe, name, out), arguments.to)
    if (out / "style.npz").exists():
        with replacing(arguments.to / "style.npz") as path:
            path.write_bytes((out / "style.npz").read_bytes())


def _check(arguments):
    """Predict whether Google's compiler maps each operation to the Edge TPU, and why; compare sizes with memory."""
    from rich.console import Console

    from trainer.quiet import import_tensorflow

    import_tensorflow()
    from trainer.edgetpu import check

    Console(width=None if Console().is_terminal else 140).print(check.report(arguments.path))


def _predict(arguments):
    """Predict the milliseconds of a frame with an Edge TPU, for each plan of a bundle, with intervals."""
    from rich.console import Console

    from trainer.quiet import import_tensorflow

    import_tensorflow()
    from trainer.edgetpu import predict

    found = predict.predictions(arguments.path, arguments.size, arguments.host)
    if arguments.json:
        print(predict.to_json(found))
    else:
        Console(width=None if Console().is_terminal else 140).print(predict.report(found, arguments.host))


def _compile(arguments):
    """Compile all segments of a plan together with Google's edgetpu_compiler and add them to the bundle. With --sizes:
    every plan for each size; otherwise, for the stored size, the first plan that is mapped completely.
    """
    from trainer.compilation import compile_bundle

    compile_bundle(arguments.path, arguments.timeout, arguments.sizes, arguments.sweep)


def _deploy(arguments):
    """Copy a style to a board with Google's mdt, or to another host with ssh, and wait until it is shown; remove it
    again if the board refuses it. Or install the package.
    """
    from trainer.deploy import deploy

    if arguments.host and (arguments.device or "@" not in arguments.host):
        raise Problem("deploy: name either a host, as USER@HOST, or a board with --device")
    deploy(arguments.path, arguments.host or arguments.device, arguments.timeout)


if __name__ == "__main__":
    sys.exit(main())
