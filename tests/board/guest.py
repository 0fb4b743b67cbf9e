"""The virtual board as the tests see it: its power, its screen, and commands run in it."""

import base64
import json
import shlex
import socket
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Callable, Optional, TypeVar

import numpy as np
from PIL import Image as Picture

from . import qemu
from .build import Image

# How long things may take, in seconds: several times what they take on an idle machine.
BOOT, ACT = 300.0, 90.0
Seen = TypeVar("Seen")


@dataclass(frozen=True)
class Outcome:
    """The result of a command: its exit status and its output."""

    code: int
    out: str
    err: str


def wait_for(look: Callable[[], Optional[Seen]], what: str, seconds: float = ACT, every: float = 0.2) -> Seen:
    """Call `look` until its result is true, and return that. Raises AssertionError, with `what`, after `seconds`."""
    deadline = time.monotonic() + seconds
    while True:
        seen = look()
        if seen:
            return seen
        assert time.monotonic() < deadline, f"not within {seconds:.0f} s: {what() if callable(what) else what}"
        time.sleep(every)


class Guest:
    """A virtual board whose disk is in `folder`. When `aside`, it gets the CPU only when others do not need it."""

    def __init__(self, folder: Path, image: Image, aside: bool = False):
        self.folder, self.image, self.aside = Path(folder), image, aside
        self.powered_on = 0.0
        self._channel: Optional[socket.socket] = None
        self._requests = int(time.time() * 1000)  # unlike those of another process that used this channel

    def boot(self, kernel: str = "", share: Optional[Path] = None) -> "Guest":
        """Power on, with more words on the kernel's command line. Does not wait."""
        self.powered_on = time.monotonic()
        qemu.start(self.folder, self.image, kernel, share, self.aside)
        return self

    def power_cut(self) -> None:
        self._hang_up()
        qemu.kill(self.folder)

    def shut_down(self) -> None:
        """As the power button does."""
        qemu.qmp(self.folder, "system_powerdown")
        self._hang_up()
        wait_for(lambda: not qemu.pid(self.folder), "power off", BOOT)

    def run(self, command: str, seconds: float = ACT, data: bytes = b"", check: bool = True) -> Outcome:
        """Run a line of bash as root, with `data` on its standard input.

        Raises AssertionError when its exit status is not 0, unless `check` is False.
        """
        code, out, err = self._request(command, seconds, data)
        outcome = Outcome(code, out.decode("utf-8", "replace").strip(), err.decode("utf-8", "replace").strip())
        assert not (check and code), f"{command}: exit status {code}\n{outcome.out}\n{outcome.err}"
        return outcome

    def put(self, data: bytes, path: str) -> None:
        """Write a file in the guest, as `cat > path` does."""
        self.run(f"cat > {shlex.quote(path)}", data=data)

    def get(self, path: str) -> bytes:
        code, out, err = self._request(f"cat {shlex.quote(path)}", ACT, b"")
        assert not code, err.decode()
        return out

    def screen(self) -> np.ndarray:
        """What the monitor shows now: uint8 RGB (height, width, 3)."""
        path = self.folder / "screen.png"
        qemu.qmp(self.folder, "screendump", filename=str(path), format="png")
        with Picture.open(path) as picture:
            return np.asarray(picture.convert("RGB"))

    def _request(self, command: str, seconds: float, data: bytes):
        if self._channel is None:
            self._channel = socket.socket(socket.AF_UNIX)
            self._channel.connect(str(self.folder / "control"))
        self._requests += 1
        request = {
            "id": self._requests,
            "command": command,
            "timeout": seconds,
            "input": base64.b64encode(data).decode(),
        }
        # QEMU holds the request until the guest has booted and reads it.
        self._channel.settimeout(seconds + BOOT)
        self._channel.sendall(json.dumps(request).encode() + b"\n")
        reply = {}
        while reply.get("id") != self._requests:
            reply = json.loads(self._line())
        return reply["code"], base64.b64decode(reply["out"]), base64.b64decode(reply["err"])

    def _line(self) -> bytes:
        received = bytearray()
        while not received.endswith(b"\n"):
            chunk = self._channel.recv(1 << 20)
            assert chunk, f"the guest is gone: see {self.folder / 'console'}"
            received += chunk
        return bytes(received)

    def _hang_up(self) -> None:
        if self._channel:
            self._channel.close()
            self._channel = None
