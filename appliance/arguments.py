"""What the `reconet` command takes: the kinds of its arguments, and the options of `reconet run`."""

import argparse
import math
from typing import Any, NoReturn, Tuple

from .places import CONFIG

CONFIG_HELP = f"default: {CONFIG}, or the defaults if it is missing"
CPU_THREADS = "CPU threads (default: one per CPU)"


class Parser(argparse.ArgumentParser):
    def error(self, message: str) -> NoReturn:
        self.exit(2, f"reconet: {message}: see {self.prog} --help\n")

    def print_help(self, file: Any = None) -> None:
        print(self.format_help(), end="", file=file)  # argparse would not say that it cannot be written


def seconds(text: str) -> float:
    try:
        value = float(text)
    except ValueError:
        value = math.nan
    if not 0 < value < math.inf:
        raise argparse.ArgumentTypeError(f"{text!r} is not a time: give seconds above 0")
    return value


def threads(text: str) -> int:
    if not text.isdigit() or not 0 < int(text) <= 1024:
        raise argparse.ArgumentTypeError(f"{text!r} is not a number of threads: give 1 or more")
    return int(text)


def size(text: str) -> Tuple[int, int]:
    sides = text.lower().split("x")
    if len(sides) != 2 or not all(side.isdecimal() and 0 < int(side) <= 4096 for side in sides):
        raise argparse.ArgumentTypeError(f"{text!r} is not a size: give WIDTHxHEIGHT, such as 640x360")
    return int(sides[0]), int(sides[1])


def frames(text: str) -> int:
    if not text.isdigit() or not 0 < int(text) <= 1000000:
        raise argparse.ArgumentTypeError(f"{text!r} is not a number of frames: give 1 or more")
    return int(text)


def rate(text: str) -> int:
    if not text.isdecimal() or not 0 < int(text) <= 120:  # as engine.target_fps
        raise argparse.ArgumentTypeError(f"{text!r} is not a rate: give whole frames a second, from 1 to 120")
    return int(text)


def named(text: str) -> str:
    if not text:
        raise argparse.ArgumentTypeError("it is empty: give a name, or leave the option out")
    return text


def add_run_options(run: argparse.ArgumentParser) -> None:
    run.add_argument("--config", type=named, metavar="FILE", help=f"run the appliance with this file ({CONFIG_HELP})")
    run.add_argument(
        "--camera",
        type=named,
        metavar="SOURCE",
        help="a video file, a picture or a folder of pictures, a device such as /dev/video0, or virtual (default)",
    )
    run.add_argument(
        "--display", type=named, metavar="SINK", help="an .mp4 file, a new folder, monitor, or none (default)"
    )
    run.add_argument("--style", type=named, metavar="NAME|BUNDLE", help="default: the one that reconet styles names")
    run.add_argument(
        "--plan", type=named, metavar="NAME", help="default: the one that bench --choose saved, or the first that runs"
    )
    run.add_argument(
        "--size",
        type=size,
        metavar="WxH",
        help="largest size to stylise at (default: the source's, up to 1.5 times the style's pixels)",
    )
    run.add_argument(
        "--fit",
        choices=("whole", "crop"),
        help="whole keeps the source's shape (default); crop fills --size, or the style's own size, and cuts the rest",
    )
    run.add_argument("--seconds", type=seconds, metavar="N", help="stop after N seconds")
    run.add_argument("--every-frame", action="store_true", help="show every frame of virtual, not in real time")
    run.add_argument("--no-sound", action="store_true", help="leave the sound of a film out")
    run.add_argument("--strict", action="store_true", help="stop at a picture that cannot be read, instead of going on")
    run.add_argument(
        "--sheet", type=named, metavar="FILE.png", help="write three source frames above their stylised frames"
    )
    run.add_argument("--threads", type=threads, default=0, metavar="N", help=CPU_THREADS)
    run.add_argument("--stats", action="store_true", help="print counters and milliseconds per stage at the end")
    run.add_argument("--json", action="store_true", help="print the result as one line of JSON")


WEB_HELP = "token: make the token that the page asks for; enabled: exit with 0 if the configuration enables the page"


def add_web_options(web: argparse.ArgumentParser) -> None:
    web.add_argument("--bind", type=named, metavar="ADDRESS:PORT", help="where to listen (default: as configured)")
    web.add_argument("--config", type=named, metavar="FILE", help=CONFIG_HELP)
    web.add_argument("action", nargs="?", choices=("token", "enabled"), help=WEB_HELP)
    web.add_argument("--remove", action="store_true", help="with token: remove it")
