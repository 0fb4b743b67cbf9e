"""The boards that styles and packages are deployed to: one reached by Google's `mdt`, or any host reached by ssh.

MdtBoard works around mdt 1.5: it needs a terminal, disconnects when its standard input ends, mixes its own output with
the board's, loses exit codes, and reads the board's name only from its own settings.
"""

import contextlib
import fcntl
import os
import pty
import re
import select
import shlex
import shutil
import struct
import subprocess
import termios
import time
from pathlib import Path

from appliance.errors import Problem
from appliance.host import status

_ADDRESS = re.compile(r"\d+(\.\d+){3}")
_CONNECT_S = 10
_HOST_NOT_REACHED = 255  # ssh's own exit code
_NO_SUCH_HOST = "Could not resolve hostname"  # ssh's words


class Board:
    """A board or host; `timeout`, in seconds, is how long it may take to answer."""

    pushed = "/home/mendel"  # where `push` leaves files
    timeout: float

    def find(self, say) -> None:
        """Wait until the board answers, and `say` so. Raises Problem."""
        raise NotImplementedError

    def run(self, script: str) -> tuple[bool, str]:
        """Whether the shell script succeeded, and what it printed. Raises Problem when there is no connection."""
        raise NotImplementedError

    def push(self, path: Path) -> str:
        """Copy the file into `pushed`, under its name. Returns the output; the caller checks that it worked."""
        raise NotImplementedError

    def install(self, path: Path) -> str:
        """Install the package at `path`, as `push` does with a file."""
        raise NotImplementedError

    def do(self, script: str) -> str:
        """Run the script and return its output. Raises Problem when it fails."""
        fine, said = self.run(script)
        if not fine:
            raise Problem(f"on the board: {last_line(said)}")
        return said

    def status(self) -> status.Status | str:
        """The daemon's status, or the reason why there is none."""
        fine, said = self.run("reconet status --json")
        return status.Status.model_validate_json(said) if fine else last_line(said)


class SshBoard(Board):
    """The host `target`, such as pi@raspberrypi.local, reached by this machine's ssh and its keys."""

    pushed = "/tmp"

    def __init__(self, target: str, timeout: float):
        self.target, self.timeout = target, timeout
        if not shutil.which("ssh"):
            raise Problem("ssh is not on this machine: apt install openssh-client")

    def find(self, say) -> None:
        deadline, told = time.monotonic() + self.timeout, False
        while True:
            try:
                self.run("true")
                return
            except Problem as problem:
                if _NO_SUCH_HOST in str(problem) or time.monotonic() > deadline:
                    raise
                if not told:
                    say(f"{problem} Trying again for {self.timeout:g} s")
                    told = True
            time.sleep(1)

    def run(self, script: str) -> tuple[bool, str]:
        return self._ssh(f"{{ {script}\n}} 2>&1")

    def push(self, path: Path) -> str:
        with path.open("rb") as file:
            return self._ssh(f"cat > {shlex.quote(f'{self.pushed}/{path.name}')}", file)[1]

    def install(self, path: Path) -> str:
        self.push(path)
        there = shlex.quote(f"{self.pushed}/{path.name}")
        environment = "DEBIAN_FRONTEND=noninteractive"
        command = f"sudo -n {environment} apt-get install -y -q --reinstall --allow-downgrades {there}"
        return self.run(f"{command}; code=$?; rm -f {there}; exit $code")[1]

    def _ssh(self, command: str, stdin=subprocess.DEVNULL) -> tuple[bool, str]:
        limit = max(self.timeout, _CONNECT_S)
        options = ["-o", "BatchMode=yes", "-o", f"ConnectTimeout={_CONNECT_S}", "-o", "LogLevel=ERROR"]
        try:
            done = subprocess.run(
                ["ssh", *options, "--", self.target, command],
                stdin=stdin,
                stdout=subprocess.PIPE,
                stderr=subprocess.STDOUT,
                timeout=limit,
            )
        except subprocess.TimeoutExpired:
            raise Problem(f"no answer from {self.target} within {limit:g} s: is it on?") from None
        said = done.stdout.decode("utf-8", "replace").strip()
        if done.returncode == _HOST_NOT_REACHED:
            raise Problem(f"no connection to {self.target}: {last_line(said)}: does ssh {self.target} work by itself?")
        return done.returncode == 0, said


class MdtBoard(Board):
    """A Coral Dev Board, reached through mdt."""

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

    def find(self, say) -> None:
        if not (self.name and _ADDRESS.fullmatch(self.name)):  # mdt cannot wait for an address
            self.mdt("wait-for-device", timeout=self.timeout)
        self.run("true")

    def run(self, script: str) -> tuple[bool, str]:
        script = f"echo reconet-begin; {{ {script}; }} 2>&1; printf '\\nreconet-end %s\\n' $?"
        said = self.mdt("exec", script, timeout=self.timeout)
        found = re.search(r"^reconet-begin$\n(.*)^reconet-end (\d+)$", said, re.MULTILINE | re.DOTALL)
        if not found:
            raise Problem(f"no connection to the board: {last_line(said) or 'no output from mdt'}")
        return found.group(2) == "0", found.group(1).strip()

    def push(self, path: Path) -> str:
        # To mdt's default target. mdt takes an explicit one for another source if that path exists on this machine.
        return self.mdt("push", path)

    def install(self, path: Path) -> str:
        return self.mdt("install", path)


def _read(terminal: int, timeout: float | None) -> bytes:
    """Everything written to the other end, until it is closed. Raises TimeoutError."""
    deadline, said = timeout and time.monotonic() + timeout, b""
    while True:
        left = deadline and max(0.0, deadline - time.monotonic())
        if not select.select([terminal], [], [], left)[0]:
            raise TimeoutError
        try:
            said += os.read(terminal, 65536)
        except OSError:  # Linux reports a closed pty this way
            return said


def last_line(text: str) -> str:
    """The last line of output that is the board's own, not mdt's or ours; "" without one."""
    lines = [line for line in text.splitlines() if line.strip() and not line.startswith(("reconet-", "Connection to"))]
    return lines[-1].strip() if lines else ""
