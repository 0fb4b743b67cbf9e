"""The screen as a display: the whole of a monitor, without a window system."""

import contextlib
import errno
import glob
import socket
import time
from typing import Callable, Iterator, List, Optional, Tuple

import numpy as np

from ..errors import Problem
from ..frames import Frame, converted
from . import libdrm
from .drm import INTERLACED, PREFERRED, Card, Connector
from .holders import holders
from .libdrm import Mode
from .placing import UPRIGHT, Showing
from .screen import PATIENCE, Screen

BACKOFF = (0.5, 5.0)  # seconds between tries: the first, doubling to the last
_LOOK = 1.0  # seconds between looks at the connector
_SUGGESTIONS = 6
_NETLINK_KOBJECT_UEVENT, _FROM_KERNEL = 15, 1


class KmsDisplay:
    """A monitor on `connector`, in a mode of `size` (width, height); by default the first one, in the mode that it
    asks for, of the first of /dev/dri/card*.

    Without a monitor or a card, or while another program holds the card, it retries indefinitely. `fault` says in one
    line what is wrong and is None while all is well. It may also say that there is no mode of that size and another
    one is used. Frames fill the screen as `showing` says. `size` is that of the screen as it stands.
    One thread at a time may call the methods; `fault`, `size` and `mode` may be read from any thread.
    Raises Problem when libdrm is not installed.
    """

    formats = ("rgb", "bgrx")

    def __init__(
        self,
        connector: str = "auto",
        size: Optional[Tuple[int, int]] = None,
        card: Optional[str] = None,
        showing: Showing = UPRIGHT,
    ):
        libdrm.load()
        self.fault: Optional[str] = None
        self.flipped_at = 0.0  # when the latest frame came on the screen, on the clock of time.monotonic
        self._wanted, self._showing = (connector, size, card), showing
        self._screen: Optional[Screen] = None
        self._warning: Optional[str] = None
        self._wait, self._again, self._look = BACKOFF[0], 0.0, 0.0
        self._hotplug = Hotplug()

    @property
    def size(self) -> Optional[Tuple[int, int]]:
        """(width, height) of the screen as it stands; None while there is no display."""
        screen = self._screen  # read once: the thread that shows may close it at any time
        return screen.size if screen else None

    @property
    def mode(self) -> Optional[str]:
        """The connector, the mode and the scaling, in words; None while there is no display."""
        screen = self._screen
        if not screen:
            return None
        mode = screen.mode
        return "{} {}x{} {} Hz, {}".format(screen.connector.name, *mode.size, refresh(mode), screen.scaling)

    def connect(self) -> bool:
        """Open the display, or check that it is still there. True when it is: `size` and `mode` are known then."""
        return self._attempt(lambda screen: None)

    def show(self, frame: Frame) -> bool:
        """Put `frame` on the screen. True when it is seen, from `flipped_at` on; False when there is no display, and
        `fault` says why. Waits for the monitor's next refresh, for a second at most."""
        return self._attempt(lambda screen: self._flip(screen, frame))

    def finish(self) -> None:
        """Restore what was on the screen at first."""
        self._close()
        self._hotplug.close()

    discard = finish

    def _attempt(self, work: Callable[[Screen], None]) -> bool:
        try:
            screen = self._current(self._hotplug.happened())
            if screen is None:
                return False
            with explained(screen.card.path, screen.connector.name):
                work(screen)
        except BaseException as error:
            self._close(restore=not isinstance(error, NoMonitor))
            if not isinstance(error, Problem):
                raise
            self.fault = str(error)
            self._again = time.monotonic() + self._wait
            self._wait = min(2 * self._wait, BACKOFF[1])
            return False
        self.fault, self._wait = self._warning, BACKOFF[0]
        return True

    def _flip(self, screen: Screen, frame: Frame) -> None:
        bgrx = np.ascontiguousarray(converted(frame.pixels, frame.format, "bgrx"))
        # Cards without vertical interrupts may not know the time.
        self.flipped_at = screen.show(bgrx.view(np.uint32)[..., 0]) or time.monotonic()

    def _current(self, changed: bool) -> Optional[Screen]:
        """The screen to show on; None until the next try is due. `changed`: a monitor or a card came or went."""
        if self._screen:
            return self._checked(self._screen, changed)
        if changed or time.monotonic() >= self._again:
            return self._open()
        return None

    def _checked(self, screen: Screen, changed: bool) -> Screen:
        """`screen`, or another one if the monitor changed. A card goes on flipping without a monitor: so look."""
        now = time.monotonic()
        if now < self._look and not changed:
            return screen
        self._look = now + _LOOK
        with explained(screen.card.path, screen.connector.name):
            connector = screen.card.connector(screen.connector.id)
        if not connector.connected:
            raise no_monitor([connector], screen.card.path)
        if connector.modes and choose_mode(connector, self._wanted[1])[0].timings != screen.mode.timings:
            self._close()
            return self._open()
        return screen

    def _open(self) -> Screen:
        connector, size, card = self._wanted
        screen, self._warning = open_first(connector, size, card, self._showing)
        self._screen, self._look = screen, time.monotonic() + _LOOK
        return screen

    def _close(self, restore: bool = True) -> None:
        screen, self._screen = self._screen, None
        if screen:
            screen.close(restore)


class NoMonitor(Problem):
    """A card without a monitor."""


class NotADisplay(Problem):
    """A card that is there for something else."""


class Hotplug:
    """The kernel's events about monitors and cards that come and go, where it may be heard."""

    def __init__(self) -> None:
        self._socket: Optional[socket.socket] = None
        with contextlib.suppress(OSError):
            self._socket = socket.socket(
                socket.AF_NETLINK, socket.SOCK_DGRAM | socket.SOCK_NONBLOCK, _NETLINK_KOBJECT_UEVENT
            )
            self._socket.bind((0, _FROM_KERNEL))

    def happened(self) -> bool:
        """Whether one came or went since the last call. Where events may have been lost, True."""
        found = False
        while self._socket:
            try:
                found |= b"SUBSYSTEM=drm" in self._socket.recv(8192).split(b"\0")
            except BlockingIOError:
                break
            except OSError as error:
                if error.errno != errno.ENOBUFS:  # ENOBUFS: more events than it could hold, the next call works again
                    self.close()  # looking once a second has to do
                return True
        return found

    def close(self) -> None:
        if self._socket:
            self._socket.close()
            self._socket = None


def open_first(
    connector: str, size: Optional[Tuple[int, int]], card: Optional[str], showing: Showing
) -> Tuple[Screen, Optional[str]]:
    """The first screen that works, and what is not as wished. Raises Problem: why the first card does not."""
    paths = [card] if card else sorted(glob.glob("/dev/dri/card[0-9]*"), key=lambda path: (len(path), path))
    problems: List[Problem] = []
    for path in paths:
        try:
            with explained(path):
                opened = Card(path)
            with explained(path, connector):
                return open_screen(opened, connector, size, showing)
        except Problem as problem:
            problems.append(problem)
    problems.sort(key=lambda problem: isinstance(problem, NotADisplay))
    raise problems[0] if problems else Problem("no display: there is no /dev/dri/card*: is its driver loaded?")


def open_screen(
    card: Card, name: str, size: Optional[Tuple[int, int]], showing: Showing
) -> Tuple[Screen, Optional[str]]:
    """The screen on the connector `name` of `card`, and what is not as wished. The card is closed on failure."""
    try:
        if not card.shows():
            raise NotADisplay(f"{card.path} drives no monitor: name another card")
        if not card.become_master():
            raise taken(card.path)
        connector = choose_connector(card.connectors(), name, card.path)
        mode, warning = choose_mode(connector, size)
    except BaseException:
        card.close()
        raise
    return Screen(card, connector, mode, showing), warning


def choose_connector(connectors: List[Connector], name: str, path: str) -> Connector:
    """The connector `name`, or with "auto" the first, that has a monitor. Raises Problem when there is none."""
    named = [connector for connector in connectors if name in ("auto", connector.name)]
    if not named:
        raise Problem(
            f"{path} has no connector {name}: set display.connector to "
            f"{', '.join(connector.name for connector in connectors) or 'auto'}"
        )
    usable = [connector for connector in named if connector.connected and connector.modes and connector.crtcs]
    if not usable:
        raise no_monitor(named, path)
    return usable[0]


def choose_mode(connector: Connector, size: Optional[Tuple[int, int]]) -> Tuple[Mode, Optional[str]]:
    """The mode of `size`, or else the one that the monitor asks for; and what is not as wished."""
    # Modes are listed best first.
    modes = sorted(connector.modes, key=lambda mode: (bool(mode.flags & INTERLACED), not mode.type & PREFERRED))
    fitting = [mode for mode in modes if mode.size == size]
    if fitting or not size:
        return (fitting or modes)[0], None
    width, height = size
    sizes = sorted({mode.size for mode in modes}, key=lambda each: abs(each[0] - width) + abs(each[1] - height))
    return modes[0], "the monitor on {} has no mode {}x{}, so it shows {}x{}: set display.mode to {}".format(
        connector.name, *size, *modes[0].size, ", ".join("{}x{}".format(*each) for each in sizes[:_SUGGESTIONS])
    )


def refresh(mode: Mode) -> int:
    """Refreshes per second."""
    total = mode.htotal * mode.vtotal
    return int(round(1000 * mode.clock / total) if total else mode.vrefresh)


def no_monitor(connectors: List[Connector], path: str) -> NoMonitor:
    names = ", ".join(connector.name for connector in connectors)
    return NoMonitor(f"no monitor on {names} of {path}: plug one in and turn it on")


def taken(path: str) -> Problem:
    """The Problem that another program holds the card at `path`."""
    owners = holders(path)
    names = "; ".join(f"{name}, process {pid}" for pid, name, _ in owners) or "root sees which"
    units = [unit for _, _, unit in owners if unit]
    return Problem(f"another program ({names}) holds {path}: " + (f"systemctl stop {units[0]}" if units else "end it"))


@contextlib.contextmanager
def explained(path: str, connector: str = "") -> Iterator[None]:
    """Turn an OSError about the card at `path` into a Problem."""
    where = f"{connector} of {path}" if connector not in ("", "auto") else path
    try:
        yield
    except TimeoutError as error:
        raise Problem(
            f"{where} showed nothing for {PATIENCE:.0f} s: turn the monitor off and on, or restart the board"
        ) from error
    except OSError as error:
        if connector and error.errno in (errno.EACCES, errno.EPERM):
            raise taken(path) from error
        why = {
            errno.EACCES: "permission denied: add the user to the group video",
            errno.ENODEV: "it is gone: is its driver still loaded?",
        }.get(error.errno or 0, f"{(error.strerror or str(error)).lower()}: see the kernel's messages (dmesg)")
        raise Problem(f"cannot use the display {where}: {why}") from error
