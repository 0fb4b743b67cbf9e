"""Keys of keyboards, remotes and buttons: what the kernel reports at /dev/input/event* (evdev).

A button at a GPIO is one of them, where the device tree has a gpio-keys node for it. The structure and the codes are
those of linux/input.h and linux/input-event-codes.h.
"""

import errno
import glob
import os
import select
import struct
import threading
from typing import Callable, Dict, List, Mapping, Optional

from ..errors import Problem
from . import systemd

DEVICES = "/dev/input/event*"
_EVENT = struct.Struct("@llHHi")  # seconds, microseconds, type, code, value
_KEY, _PRESSED = 1, 1
_LOOK_S = 1.0  # until devices that have come are noticed

_ROWS = {2: "1234567890", 16: "qwertyuiop", 30: "asdfghjkl", 44: "zxcvbnm"}
CODES: Dict[str, int] = {key: first + place for first, row in _ROWS.items() for place, key in enumerate(row)}
CODES.update({f"f{number}": 58 + number for number in range(1, 11)})
CODES.update(
    esc=1, enter=28, space=57, home=102, up=103, pageup=104, left=105, right=106, end=107, down=108, pagedown=109
)
CODES.update(mute=113, volumedown=114, volumeup=115, power=116, nextsong=163, playpause=164, previoussong=165)
CODES.update(select=353, red=398, green=399, yellow=400, blue=401, channelup=402, channeldown=403, next=407)
CODES.update(previous=412, **{f"btn_{number}": 256 + number for number in range(10)})


def code(name: str) -> Optional[int]:
    """The code of a key's name, or of a number as a text; None for "off" and for what is not known."""
    return int(name) if name.isdecimal() and int(name) < 768 else CODES.get(name)


class Keys:
    """Calls `press(action)` for the keys of `wanted()`, which maps codes to actions. `device()` is a path, "auto" for
    every device, or "off"."""

    def __init__(
        self, device: Callable[[], str], wanted: Callable[[], Mapping[int, str]], press: Callable[[str], object]
    ):
        self._device, self._wanted, self._press = device, wanted, press
        self._open: Dict[str, int] = {}  # descriptors by path
        self._said: Dict[str, str] = {}

    def run(self, stop: threading.Event) -> None:
        """Until `stop` is set."""
        try:
            while not stop.is_set():
                self._follow()
                if not self._open:
                    stop.wait(_LOOK_S)
                    continue
                ready = select.poll()
                for descriptor in self._open.values():
                    ready.register(descriptor, select.POLLIN)
                for descriptor, _ in ready.poll(1000 * _LOOK_S):
                    self._read(descriptor)
        finally:
            for path in list(self._open):
                self._close(path)

    def _follow(self) -> None:
        """Open the devices that have come; close those that are not wanted any more."""
        device = self._device()
        paths: List[str] = {"off": [], "auto": sorted(glob.glob(DEVICES))}.get(device, [device])
        for path in set(self._open) - set(paths):
            self._close(path)
        for path in paths:
            if path in self._open:
                continue
            try:
                self._open[path] = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
                self._said.pop(path, None)
            except OSError as error:
                why = (error.strerror or str(error)).lower()
                if self._said.get(path) != why:
                    self._said[path] = why
                    systemd.log(f"keys: cannot open {path}: {why}", systemd.WARNING)

    def _read(self, descriptor: int) -> None:
        path = next(path for path, one in self._open.items() if one == descriptor)
        try:
            data = os.read(descriptor, 64 * _EVENT.size)
        except OSError as error:
            if error.errno != errno.EAGAIN:
                self._close(path)  # it was unplugged
            return
        if not data:
            self._close(path)
        for place in range(0, len(data) - _EVENT.size + 1, _EVENT.size):
            _, _, kind, key, value = _EVENT.unpack_from(data, place)
            action = self._wanted().get(key) if kind == _KEY and value == _PRESSED else None
            if action:
                try:
                    self._press(action)
                    systemd.log(f"{action}, asked for by a key", systemd.NOTICE)
                except Problem as problem:
                    systemd.log(f"keys: {action}: {problem}", systemd.WARNING)

    def _close(self, path: str) -> None:
        os.close(self._open.pop(path))
