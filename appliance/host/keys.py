"""Keys of keyboards and remotes: what the kernel reports at /dev/input/event* (evdev).

The structure is that of linux/input.h.
"""

import glob
import os
import struct
from typing import Callable, Iterator, List, Mapping

from .inputs import Inputs

DEVICES = "/dev/input/event*"
_EVENT = struct.Struct("@llHHi")  # seconds, microseconds, type, code, value
_KEY, _PRESSED = 1, 1


def keys(device: Callable[[], str], wanted: Callable[[], Mapping[int, str]], press: Callable[[str], object]) -> Inputs:
    """Calls `press(action)` for the keys of `wanted()`, which maps codes to actions. `device()` is a path, "auto" for
    every device, or "off"."""

    def paths() -> List[str]:
        named = device()
        return {"off": [], "auto": sorted(glob.glob(DEVICES))}.get(named, [named])

    def actions(_: str, data: bytes) -> Iterator[str]:
        for place in range(0, len(data) - _EVENT.size + 1, _EVENT.size):
            _, _, kind, key, value = _EVENT.unpack_from(data, place)
            action = wanted().get(key) if kind == _KEY and value == _PRESSED else None
            if action:
                yield action

    return Inputs("keys", paths, lambda path: os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC), actions, press)
