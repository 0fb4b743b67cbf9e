"""Keys of keyboards and remotes: what the kernel reports at /dev/input/event* (evdev).

The structure and the codes are those of linux/input.h and linux/input-event-codes.h.
"""

import glob
import os
import struct
from typing import Callable, Dict, Iterator, List, Mapping, Optional

from .inputs import Inputs

DEVICES = "/dev/input/event*"
_EVENT = struct.Struct("@llHHi")  # seconds, microseconds, type, code, value
_KEY, _PRESSED = 1, 1

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
    """The code of a key's name, or of a number as a text; None for "off" and for names that are not known."""
    return int(name) if name.isdecimal() and int(name) < 768 else CODES.get(name)


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
