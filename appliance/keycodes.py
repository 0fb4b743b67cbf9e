"""The names of keys and their codes, as in linux/input-event-codes.h."""

from typing import Dict, Optional

_ROWS = {2: "1234567890", 16: "qwertyuiop", 30: "asdfghjkl", 44: "zxcvbnm"}
_NAMED = dict(esc=1, enter=28, space=57, home=102, up=103, pageup=104, left=105, right=106, end=107, down=108)
_NAMED.update(pagedown=109, mute=113, volumedown=114, volumeup=115, power=116, nextsong=163, playpause=164)
_NAMED.update(previoussong=165, select=353, red=398, green=399, yellow=400, blue=401, channelup=402, channeldown=403)
_NAMED.update(next=407, previous=412)
CODES: Dict[str, int] = {key: first + place for first, row in _ROWS.items() for place, key in enumerate(row)}
CODES.update({f"f{number}": 58 + number for number in range(1, 11)})
CODES.update(_NAMED, **{f"btn_{number}": 256 + number for number in range(10)})
NAMES = "a to z, f1 to f10, btn_0 to btn_9, " + ", ".join(_NAMED)


def code(name: str) -> Optional[int]:
    """The code of a key's name, or of a number as a text; None for "off" and for names that are not known."""
    return int(name) if name.isdecimal() and int(name) < 768 else CODES.get(name)
