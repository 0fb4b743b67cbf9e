"""Buttons between a GPIO line and ground: what the kernel reports through /dev/gpiochip* (linux/gpio.h).

Linux 5.10 and later set the pull-up and debounce. Earlier ones, such as the Coral board's 4.14, know only the first
version of the interface, which does neither: the line then needs a resistor. Bounces are filtered here in both cases.
"""

import errno
import fcntl
import os
import struct
from typing import Callable, Dict, Iterator, List, Mapping, NamedTuple, Tuple

from .inputs import Inputs

FOLDER = "/dev"
_BOUNCE_US = 20_000
_CONSUMER = b"reconet"

# struct gpio_v2_line_request: offsets, consumer; the configuration with its flags and attributes, each with its id,
# value and mask of lines; number of lines, size of the event buffer, and the descriptor that the kernel fills in.
REQUEST = struct.Struct("=64I 32s  Q I 20x" + " I 4x Q Q" * 10 + "  I I 20x i")
EVENT = struct.Struct("=Q I 36x")  # struct gpio_v2_line_event: nanoseconds, kind of edge
_GET_LINE = 0xC250B407  # GPIO_V2_GET_LINE_IOCTL
_INPUT_ACTIVE_LOW_PULLED_UP = 1 << 2 | 1 << 1 | 1 << 8
_RISING, _FALLING = 1 << 4, 1 << 5
_DEBOUNCE = 3  # GPIO_V2_LINE_ATTR_ID_DEBOUNCE

# The first version: struct gpioevent_request (line, its flags, edges, consumer, descriptor) and struct gpioevent_data.
OLD_REQUEST = struct.Struct("=3I 32s i")
OLD_EVENT = struct.Struct("=Q I 4x")
_GET_EVENT = 0xC030B404  # GPIO_GET_LINEEVENT_IOCTL
_OLD_INPUT_ACTIVE_LOW, _OLD_BOTH_EDGES = 1 << 0 | 1 << 2, 1 << 0 | 1 << 1

_ACTIVE = 1  # an edge from released to pressed, in both versions


class Contact(NamedTuple):
    """A button after an edge at `time`, in nanoseconds. `held`: whether it was pressed before it began to bounce.
    `counted`: whether a press was counted since then. `counts`: whether this edge is that press."""

    time: int = 0
    pressed: bool = False
    held: bool = False
    counted: bool = False
    counts: bool = False


def buttons(wanted: Callable[[], Mapping[str, str]], press: Callable[[str], object]) -> Inputs:
    """Calls `press(action)` for the lines of `wanted()`, which maps lines, such as "gpiochip0:17", to actions."""
    events: Dict[str, struct.Struct] = {}  # by line
    contacts: Dict[str, Contact] = {}

    def lines() -> List[str]:
        return sorted(wanted())

    def opened(line: str) -> int:
        contacts[line] = Contact()
        descriptor, events[line] = _request(line)
        return descriptor

    def actions(line: str, data: bytes) -> Iterator[str]:
        event = events[line]
        for place in range(0, len(data) - event.size + 1, event.size):
            time, kind = event.unpack_from(data, place)
            contacts[line] = _after(contacts[line], time, kind == _ACTIVE)
            action = wanted().get(line)
            if action and contacts[line].counts:
                yield action

    return Inputs("buttons", lines, opened, actions, press)


def _request(line: str) -> Tuple[int, struct.Struct]:
    """A descriptor that gives the edges of a line, and how they are laid out. Raises OSError."""
    chip, _, offset = line.rpartition(":")
    descriptor = os.open(os.path.join(FOLDER, chip), os.O_RDONLY | os.O_CLOEXEC)
    try:
        try:
            edges, event = _edges(descriptor, int(offset)), EVENT
        except OSError as error:
            if error.errno not in (errno.EINVAL, errno.ENOTTY):
                raise
            edges, event = _edges_by_version_1(descriptor, int(offset)), OLD_EVENT
    except OSError as error:
        if error.errno == errno.EINVAL:
            raise OSError(error.errno, "it has no such line, or the line cannot report edges") from error
        raise
    finally:
        os.close(descriptor)
    os.set_blocking(edges, False)
    return edges, event


def _edges(chip: int, offset: int) -> int:
    flags = _INPUT_ACTIVE_LOW_PULLED_UP | _RISING | _FALLING
    debounce = (_DEBOUNCE, _BOUNCE_US, 1)
    request = REQUEST.pack(offset, *[0] * 63, _CONSUMER, flags, 1, *debounce, *[0] * 27, 1, 0, 0)
    return int(REQUEST.unpack(fcntl.ioctl(chip, _GET_LINE, request))[-1])


def _edges_by_version_1(chip: int, offset: int) -> int:
    request = OLD_REQUEST.pack(offset, _OLD_INPUT_ACTIVE_LOW, _OLD_BOTH_EDGES, _CONSUMER, 0)
    return int(OLD_REQUEST.unpack(fcntl.ioctl(chip, _GET_EVENT, request))[-1])


def _after(before: Contact, time: int, pressed: bool) -> Contact:
    """The contact after another edge. Edges that follow closely are one bounce, which is one press at most."""
    bounces = 0 <= time - before.time < 1000 * _BOUNCE_US
    held, counted = (before.held, before.counted) if bounces else (before.pressed, False)
    counts = pressed and not held and not counted
    return Contact(time, pressed, held, counted or counts, counts)
