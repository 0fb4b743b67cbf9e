"""Copies a style, or installs the package, on a Coral Dev Board with Google's `mdt`, and checks that it runs.

This works around mdt 1.5: it needs a terminal, disconnects when its standard input ends, mixes its own output with the
board's, loses exit codes, and reads the board's name only from its own settings.
"""

import contextlib
import fcntl
import hashlib
import os
import pty
import re
import select
import shutil
import struct
import subprocess
import tempfile
import termios
import time
from pathlib import Path

from appliance.errors import Problem
from appliance.host import status
from appliance.places import STYLES
from appliance.style import bundle

_ADDRESS = re.compile(r"\d+(\.\d+){3}")
_PACKAGE = re.compile(r"reconet_[^_+]+_arm64\.deb")
_INSTALLED = "/var/lib/dpkg/info/reconet.md5sums"
# Where mdt pushes to by default. If an explicit target exists on this machine, mdt takes it for another source.
_PUSHED = "/home/mendel"
# An old refusal of the same file stays in status.json until the daemon has examined the new one.
_LOOKED_S = 5.0


def deploy(path: Path, device: str | None, timeout: float, say=print) -> None:
    """Copy the bundle or install the package at `path` on the board `device`, and wait until it runs. None: any board.

    `timeout`, in seconds, bounds each wait: for the board, and for the style. Raises Problem; the board then has
    its previous style.
    """
    package = _PACKAGE.fullmatch(path.name)
    if path.suffix == ".deb" and not package:
        raise Problem(f"{path}: not a package for the board: make deb writes dist/reconet_VERSION_arm64.deb")
    made = None if package else bundle.read(path)
    if not path.is_file():
        raise Problem(f"{path}: no such file: make deb writes dist/reconet_VERSION_arm64.deb")
    checksums = b"" if made else _checksums(path)
    board = RemoteBoard(timeout)
    with board.named(device):
        board.find()
        if made:
            _put(board, path, made, say)
        else:
            _install(board, path, checksums, say)


class RemoteBoard:
    """A board, reached through mdt; `timeout` in seconds."""

    def __init__(self, timeout: float):
        self.timeout = timeout
        mdt = shutil.which("mdt")
        if not mdt:
            raise Problem("mdt is not on this machine: pip install mendel-development-tool")
        self._mdt = mdt

    def mdt(self, *arguments, timeout: float | None = None) -> str:
        """Run mdt and return its output. Raises Problem when it takes longer than `timeout`, in seconds."""
        ours, its = pty.openpty()
        fcntl.ioctl(its, termios.TIOCSWINSZ, struct.pack("4H", 24, 400, 0, 0))  # some programs fail with 0 columns
        process = subprocess.Popen([self._mdt, *map(str, arguments)], stdin=its, stdout=its, stderr=its)
        os.close(its)
        try:
            said = _read(ours, timeout)
        except TimeoutError:
            raise Problem(
                f"no answer from the board within {timeout:g} s (mdt {arguments[0]}): is it on and connected "
                "by USB? mdt devices lists the boards it finds"
            ) from None
        finally:
            process.kill()
            process.wait()
            os.close(ours)
        return said.decode("utf-8", "replace").replace("\r", "")

    @contextlib.contextmanager
    def named(self, device: str | None):
        """Make `device` mdt's board inside the `with` block."""
        before = re.search(r"^preferred-device is (?!unset)(\S+)", self.mdt("get", "preferred-device"), re.MULTILINE)
        self.name = device or (before and before.group(1))
        try:
            if device:
                self.mdt("set", "preferred-device", device)
            yield
        finally:
            if device and before:
                self.mdt("set", "preferred-device", before.group(1))
            elif device:
                self.mdt("clear", "preferred-device")

    def find(self) -> None:
        """Wait until the board answers."""
        if not (self.name and _ADDRESS.fullmatch(self.name)):  # mdt cannot wait for an address
            self.mdt("wait-for-device", timeout=self.timeout)
        self.run("true")

    def run(self, script: str) -> tuple[bool, str]:
        """Whether the shell script succeeded, and what it printed. Raises Problem when there is no connection."""
        script = f"echo reconet-begin; {{ {script}; }} 2>&1; printf '\\nreconet-end %s\\n' $?"
        said = self.mdt("exec", script, timeout=self.timeout)
        found = re.search(r"^reconet-begin$\n(.*)^reconet-end (\d+)$", said, re.MULTILINE | re.DOTALL)
        if not found:
            raise Problem(f"no connection to the board: {_last_line(said) or 'no output from mdt'}")
        return found.group(2) == "0", found.group(1).strip()

    def do(self, script: str) -> str:
        """Run the script and return its output. Raises Problem when it fails."""
        fine, said = self.run(script)
        if not fine:
            raise Problem(f"on the board: {_last_line(said)}")
        return said

    def status(self) -> status.Status | str:
        """The daemon's status, or the reason why there is none."""
        fine, said = self.run("reconet status --json")
        return status.Status.model_validate_json(said) if fine else _last_line(said)


def _read(terminal: int, timeout: float | None) -> bytes:
    """Everything written to the other end until it is closed. Raises TimeoutError."""
    deadline, said = timeout and time.monotonic() + timeout, b""
    while True:
        left = deadline and max(0.0, deadline - time.monotonic())
        if not select.select([terminal], [], [], left)[0]:
            raise TimeoutError
        try:
            said += os.read(terminal, 65536)
        except OSError:  # Linux reports a closed pty this way
            return said


def _put(board: RemoteBoard, path: Path, made: bundle.Bundle, say) -> None:
    name, content = f"{made.name}{bundle.SUFFIX}", path.read_bytes()
    digest = hashlib.sha256(content).hexdigest()
    pushed, new, old = f"{_PUSHED}/.reconet-{digest[:12]}", f".{name}.new", f".{name}.old"
    before = board.status()
    shown = before if isinstance(before, status.Status) else status.Status()
    if board.run(f"sha256sum {STYLES}/{name}")[1].startswith(digest) and shown.style == made.name:
        say(f"{name} is already on the board, and shown")
        return
    say(f"pushing {name}, {len(content) / 1e6:.1f} MB")
    with tempfile.TemporaryDirectory() as folder:
        copy = Path(folder) / Path(pushed).name
        copy.write_bytes(content)
        said = board.mdt("push", copy)
    arrived = board.run(f"cd {STYLES} && mv -fT {pushed} {new} && chmod 664 {new} && sha256sum {new}")[1]
    if not arrived.startswith(digest):
        board.run(f"rm -f {pushed} {STYLES}/{new}")
        raise Problem(f"{name} did not arrive complete: {_last_line(arrived) or _last_line(said)}")
    board.do(f"cd {STYLES} && rm -f {old} && {{ test ! -e {name} || cp -p {name} {old}; }} && mv -fT {new} {name}")
    fault = _watch(board, made.name, shown, say)
    if fault is None:
        board.do(f"rm -f {STYLES}/{old}")
        return
    board.do(f"cd {STYLES} && if test -e {old}; then mv -fT {old} {name}; else rm -f {name}; fi")
    if shown.style not in (None, made.name):  # the daemon now shows the restored file
        board.run(f"touch -c {STYLES}/{shown.style}{bundle.SUFFIX}")
    raise Problem(f"{name} was removed from the board again: {fault}")


def _watch(board: RemoteBoard, style: str, before: status.Status, say) -> str | None:
    """Wait until the new bundle of `style` runs: None, or the reason why it does not."""
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


def _install(board: RemoteBoard, path: Path, checksums: bytes, say) -> None:
    digest = hashlib.sha256(checksums).hexdigest()
    say(f"installing {path.name}, {path.stat().st_size / 1e6:.1f} MB")
    said = board.mdt("install", path)
    installed = board.run(f"dpkg-query --show --showformat='${{Status}} ' reconet && sha256sum {_INSTALLED}")[1]
    if not installed.startswith(f"install ok installed {digest}"):
        raise Problem(f"{path.name} is not installed: {_last_line(said)}")
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


def _last_line(text: str) -> str:
    lines = [line for line in text.splitlines() if line.strip() and not line.startswith(("reconet-", "Connection to"))]
    return lines[-1].strip() if lines else ""
