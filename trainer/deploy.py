"""Copies a style, or installs the package, on a board or another host, and checks that it runs."""

import hashlib
import re
import shutil
import subprocess
import tempfile
import time
from pathlib import Path

from appliance.errors import Problem
from appliance.host import status
from appliance.places import STYLES
from appliance.style import bundle
from trainer.boards import Board, MdtBoard, SshBoard, last_line

_MENDEL = re.compile(r"reconet_[^_+]+_arm64\.deb")
_OTHER = re.compile(r"reconet_[^_+]+\+(debian\d+)_(\w+)\.deb")
_INSTALLED = "/var/lib/dpkg/info/reconet.md5sums"
# The refusal of an older file of the same name stays in status.json until the daemon has examined the new one.
_LOOKED_S = 5.0


def deploy(path: Path, device: str | None, timeout: float, say=print) -> None:
    """Copy the bundle or install the package at `path`, and wait until it runs.

    `device` is an ssh host, USER@HOST, or mdt's name of a Coral Dev Board; None for any board. `timeout`, in seconds,
    limits each wait: for the board, and for the style. Raises Problem; the board then has its previous style again.
    """
    host = device if device and "@" in device else None
    wanted = "HOST=... writes dist/reconet_VERSION+HOST.deb" if host else "writes dist/reconet_VERSION_arm64.deb"
    if path.suffix == ".deb" and not path.is_file():
        raise Problem(f"{path}: no such file: make deb {wanted}")
    package = (_OTHER if host else _MENDEL).fullmatch(path.name)
    if path.suffix == ".deb" and not package:
        raise Problem(f"{path}: not a package for {'that host' if host else 'the board'}: make deb {wanted}")
    made = None if package else bundle.read(path)
    checksums = b"" if made else _checksums(path)
    if host:
        remote = SshBoard(host, timeout)
        remote.find(say)
        if package:
            _check_host(remote, path, " ".join(package.groups()))
        _bring(remote, path, made, checksums, say)
        return
    board = MdtBoard(timeout)
    with board.named(device):
        board.find(say)
        _bring(board, path, made, checksums, say)


def _bring(board: Board, path: Path, made: bundle.Bundle | None, checksums: bytes, say) -> None:
    if made:
        _put(board, path, made, say)
    else:
        _install(board, path, checksums, say)


def _check_host(board: SshBoard, path: Path, wanted: str) -> None:
    """Raise Problem unless the host has the release of Debian, or Raspberry Pi OS, and the processor of `wanted`."""
    said = board.do('. /etc/os-release && echo "$ID$VERSION_ID $(dpkg --print-architecture)"')
    here = last_line(said)
    if here != wanted:
        raise Problem(f"{path} is for {wanted}, {board.target} is {here}: make deb HOST={here.replace(' ', '-')}")


def _put(board: Board, path: Path, made: bundle.Bundle, say) -> None:
    name, content = f"{made.name}{bundle.SUFFIX}", path.read_bytes()
    digest = hashlib.sha256(content).hexdigest()
    pushed, new, old = f"{board.pushed}/.reconet-{digest[:12]}", f".{name}.new", f".{name}.old"
    before = board.status()
    shown = before if isinstance(before, status.Status) else status.Status()
    if board.run(f"sha256sum {STYLES}/{name}")[1].startswith(digest) and shown.style == made.name:
        say(f"{name} is already on the board, and shown")
        return
    say(f"pushing {name}, {len(content) / 1e6:.1f} MB")
    with tempfile.TemporaryDirectory() as folder:
        copy = Path(folder) / Path(pushed).name
        copy.write_bytes(content)
        said = board.push(copy)
    arrived = board.run(f"cd {STYLES} && mv -fT {pushed} {new} && chmod 664 {new} && sha256sum {new}")[1]
    if not arrived.startswith(digest):
        board.run(f"rm -f {pushed} {STYLES}/{new}")
        raise Problem(f"{name} did not arrive complete: {last_line(arrived) or last_line(said)}")
    board.do(f"cd {STYLES} && rm -f {old} && {{ test ! -e {name} || cp -p {name} {old}; }} && mv -fT {new} {name}")
    fault = _watch(board, made.name, shown, say)
    if fault is None:
        board.do(f"rm -f {STYLES}/{old}")
        return
    board.do(f"cd {STYLES} && if test -e {old}; then mv -fT {old} {name}; else rm -f {name}; fi")
    if shown.style not in (None, made.name):  # the daemon now shows the restored file
        board.run(f"touch -c {STYLES}/{shown.style}{bundle.SUFFIX}")
    raise Problem(f"{name} was removed from the board again: {fault}")


def _watch(board: Board, style: str, before: status.Status, say) -> str | None:
    """Wait until the new bundle of `style` runs. Returns None, or the reason why it does not."""
    begin = time.monotonic()
    while True:
        now, waited = board.status(), time.monotonic() - begin
        if isinstance(now, status.Status):
            if now.style == style and now.digest != before.digest:
                say("\n".join(status.lines(now)))
                return None
            for reason in now.refused:
                if f"/{style}{bundle.SUFFIX}" in reason and (reason not in before.refused or waited > _LOOKED_S):
                    return reason
        if waited > board.timeout:
            return (
                now
                if isinstance(now, str)
                else (
                    f"after {board.timeout:g} s the board still shows {now.style or 'no style'}: if it is pinned, "
                    "run reconet use --newest there"
                )
            )


def _install(board: Board, path: Path, checksums: bytes, say) -> None:
    digest = hashlib.sha256(checksums).hexdigest()
    say(f"installing {path.name}, {path.stat().st_size / 1e6:.1f} MB")
    said = board.install(path)
    installed = board.run(f"dpkg-query --show --showformat='${{Status}} ' reconet && sha256sum {_INSTALLED}")[1]
    if not installed.startswith(f"install ok installed {digest}"):
        raise Problem(f"{path.name} is not installed: {last_line(said)}")
    begin, now = time.monotonic(), board.status()
    while isinstance(now, str) and time.monotonic() - begin < board.timeout:
        now = board.status()
    if isinstance(now, str):
        raise Problem(f"{path.name} is installed, but: {now}")
    say("\n".join(status.lines(now)))


def _checksums(path: Path) -> bytes:
    """The checksums of the package's files, as dpkg keeps them on the board."""
    if not shutil.which("dpkg-deb"):
        raise Problem("dpkg-deb is not on this machine: apt install dpkg (macOS: brew install dpkg)")
    read = subprocess.run(["dpkg-deb", "--info", path, "md5sums"], capture_output=True)
    if read.returncode:
        raise Problem(f"{path}: not a complete package: build it again with make deb")
    return read.stdout
