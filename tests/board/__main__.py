"""A virtual board to use by hand: python -m tests.board start | run | put | get | screen | stop."""

import argparse
import sys
import time
from pathlib import Path

from PIL import Image as Picture

from . import build, debian, qemu
from .board import small_styles
from .guest import ACT, Guest


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.board", description=__doc__)
    parser.add_argument(
        "--folder",
        type=Path,
        default=debian.cache() / "guest",
        help="where its disk and sockets are: one folder, one guest (default: %(default)s)",
    )
    commands = parser.add_subparsers(dest="command", required=True)
    start = commands.add_parser("start", help="power on, and wait until it runs commands")
    start.add_argument("--suite", choices=debian.SUITES, default=debian.BOARD, help="default: %(default)s")
    start.add_argument("--deb", type=Path, help="the project's package for the guest's Python; default: it is built")
    start.add_argument("--bare", action="store_true", help="Debian alone, without the project")
    start.add_argument("--share", type=Path, help="a folder of this machine, to be seen read-only at /mnt")
    start.add_argument("--kernel", default="", help='more for the kernel, such as "modprobe.blacklist=vivid"')
    start.add_argument("--fresh", action="store_true", help="forget what an earlier guest wrote to its disk")
    run = commands.add_parser("run", help="run a line of bash as root")
    run.add_argument("line")
    run.add_argument("--seconds", type=float, default=ACT)
    put = commands.add_parser("put", help="copy a file into the guest")
    get = commands.add_parser("get", help="copy a file out of the guest")
    for copy in (put, get):
        copy.add_argument("source")
        copy.add_argument("target")
    commands.add_parser("screen", help="save what the monitor shows").add_argument("picture", help="a .png")
    commands.add_parser("stop", help="cut the power")
    arguments = parser.parse_args()
    return globals()[f"_{arguments.command}"](arguments)


def _start(arguments) -> int:
    folder = arguments.folder
    qemu.kill(folder)
    if arguments.fresh:
        (folder / "disk.qcow2").unlink(missing_ok=True)
    folder.mkdir(parents=True, exist_ok=True)
    suite = arguments.suite
    contents = () if arguments.bare else (arguments.deb or debian.package(suite, as_board=True), small_styles(folder))
    image = build.build(*contents, suite=suite)
    guest = Guest(folder, image).boot(arguments.kernel, arguments.share)
    guest.run("systemctl is-system-running --wait", check=False)
    if arguments.share:
        guest.run("mount -t 9p -o trans=virtio,version=9p2000.L,ro share /mnt")
    print(f"booted in {time.monotonic() - guest.powered_on:.1f} s; its folder is {folder}")
    return 0


def _run(arguments) -> int:
    outcome = _guest(arguments).run(arguments.line, arguments.seconds, check=False)
    print(outcome.out)
    print(outcome.err, file=sys.stderr)
    return outcome.code


def _put(arguments) -> int:
    _guest(arguments).put(Path(arguments.source).read_bytes(), arguments.target)
    return 0


def _get(arguments) -> int:
    Path(arguments.target).write_bytes(_guest(arguments).get(arguments.source))
    return 0


def _screen(arguments) -> int:
    Picture.fromarray(_guest(arguments).screen()).save(arguments.picture)
    return 0


def _stop(arguments) -> int:
    qemu.kill(arguments.folder)
    return 0


def _guest(arguments) -> Guest:
    if not qemu.pid(arguments.folder):
        raise SystemExit("no guest runs: python -m tests.board start")
    return Guest(arguments.folder, None)


try:
    sys.exit(main())
except debian.Failure as failure:
    sys.exit(str(failure))
