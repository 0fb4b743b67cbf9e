"""A monitor as a display: full screen, without a window system."""

import contextlib
import errno
import glob
import socket
import time
from dataclasses import replace
from typing import Callable, Iterator, List, Optional, Tuple

from ..errors import Problem
from ..frames import Frame, converted
from ..memory import Memory
from . import libdrm
from .drm import INTERLACED, PREFERRED, Card, Connector
from .holders import holders
from .libdrm import Mode
from .output import PATIENCE, Output
from .placing import UPRIGHT, Showing

BACKOFF = (0.5, 5.0)  # seconds between tries: the first, doubling to the last
_LOOK = 1.0  # seconds between checks of the connector
_SUGGESTIONS = 6
_NETLINK_KOBJECT_UEVENT, _FROM_KERNEL = 15, 1


class KmsDisplay:
    """The monitor on `connector`, in a mode of `size` (width, height) in pixels.

    The default is the first connected monitor of the first card, /dev/dri/card*, in its preferred mode.

    Without a monitor or a card, or while another program holds the card, it retries indefinitely. `fault` is one line
    that says what is wrong, or that the monitor has no mode of that size and which one is used; otherwise None.
    `showing` says how frames fill the screen. `size` is the screen's, as the viewer sees it.
    The methods are for one thread at a time; `fault`, `size` and `mode` may be read from any thread.
    Raises Problem when libdrm is not installed.
    """

    formats = ("rgb", "bgrx")
    draws = True

    def __init__(
        self,
        connector: str = "auto",
        size: Optional[Tuple[int, int]] = None,
        card: Optional[str] = None,
        showing: Showing = UPRIGHT,
    ):
        libdrm.load()
        self.fault: Optional[str] = None
        self.flipped_at = 0.0  # when the latest frame was first shown, on the clock of time.monotonic
        self._wanted, self._showing = (connector, size, card), showing
        self._output: Optional[Output] = None
        self._warning: Optional[str] = None
        self._wait, self._again, self._look = BACKOFF[0], 0.0, 0.0
        self._hotplug, self._memory = Hotplug(), Memory()

    @property
    def size(self) -> Optional[Tuple[int, int]]:
        """(width, height) of the screen as the viewer sees it; None without a monitor."""
        output = self._output  # read once: the thread that shows may close it at any time
        return output.size if output else None

    @property
    def mode(self) -> Optional[str]:
        """The connector, the mode and the scaling, in words; None without a monitor."""
        output = self._output
        if not output:
            return None
        mode = output.mode
        return "{} {}x{} {} Hz, {}".format(output.connector.name, *mode.size, refresh(mode), output.scaling)

    def connect(self) -> bool:
        """Open the monitor, or check that it is still there. Returns whether it is. It sets `size` and `mode`."""
        return self._attempt(lambda output: None)

    def show(self, frame: Frame) -> bool:
        """Show `frame`. Waits for the monitor's next refresh, for a second at most.

        Returns True when it is on the screen, since `flipped_at`; False when there is no monitor: see `fault`.
        """
        return self._attempt(lambda output: self._flip(output, frame))

    def finish(self) -> None:
        """Restore what was on the screen before."""
        self._close()
        self._hotplug.close()

    discard = finish

    def _attempt(self, work: Callable[[Output], None]) -> bool:
        try:
            output = self._current(self._hotplug.happened())
            if output is None:
                return False
            with explained(output.card.path, output.connector.name):
                work(output)
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

    def _flip(self, output: Output, frame: Frame) -> None:
        if frame.format != "bgrx":
            frame = frame.whole(self._memory.array)
            frame = replace(frame, pixels=converted(frame.pixels, frame.format, "bgrx"), format="bgrx")
        # Cards without vertical interrupts may not know the time.
        self.flipped_at = output.show(frame) or time.monotonic()

    def _current(self, changed: bool) -> Optional[Output]:
        """The output to show on; None until the next attempt is due. `changed`: a monitor or a card came or went."""
        if self._output:
            return self._checked(self._output, changed)
        if changed or time.monotonic() >= self._again:
            return self._open()
        return None

    def _checked(self, output: Output, changed: bool) -> Output:
        """`output`, or a new one if the monitor changed. A card goes on flipping without a monitor, hence the check."""
        now = time.monotonic()
        if now < self._look and not changed:
            return output
        self._look = now + _LOOK
        with explained(output.card.path, output.connector.name):
            connector = output.card.connector(output.connector.id)
        if not connector.connected:
            raise no_monitor([connector], output.card.path)
        if connector.modes and choose_mode(connector, self._wanted[1])[0].timings != output.mode.timings:
            self._close()
            return self._open()
        return output

    def _open(self) -> Output:
        connector, size, card = self._wanted
        output, self._warning = open_first(connector, size, card, self._showing)
        self._output, self._look = output, time.monotonic() + _LOOK
        return output

    def _close(self, restore: bool = True) -> None:
        output, self._output = self._output, None
        if output:
            output.close(restore)


class NoMonitor(Problem):
    """A card without a monitor."""


class NotADisplay(Problem):
    """A card that drives no monitor, or not the wanted one."""


class Hotplug:
    """The kernel's events about monitors and cards that come and go. Without netlink there are none."""

    def __init__(self) -> None:
        self._socket: Optional[socket.socket] = None
        with contextlib.suppress(OSError):
            self._socket = socket.socket(
                socket.AF_NETLINK, socket.SOCK_DGRAM | socket.SOCK_NONBLOCK, _NETLINK_KOBJECT_UEVENT
            )
            self._socket.bind((0, _FROM_KERNEL))

    def happened(self) -> bool:
        """Whether one came or went since the last call. True where events may have been lost."""
        found = False
        while self._socket:
            try:
                found |= b"SUBSYSTEM=drm" in self._socket.recv(8192).split(b"\0")
            except BlockingIOError:
                break
            except OSError as error:
                if error.errno != errno.ENOBUFS:  # ENOBUFS: some events were lost, and the next call works again
                    self.close()  # the check once a second has to suffice
                return True
        return found

    def close(self) -> None:
        if self._socket:
            self._socket.close()
            self._socket = None


def open_first(
    connector: str, size: Optional[Tuple[int, int]], card: Optional[str], showing: Showing
) -> Tuple[Output, Optional[str]]:
    """The first output that works, and a warning when it is not as configured. Raises the first card's Problem."""
    paths = [card] if card else sorted(glob.glob("/dev/dri/card[0-9]*"), key=lambda path: (len(path), path))
    problems: List[Problem] = []
    for path in paths:
        try:
            with explained(path):
                opened = Card(path)
            with explained(path, connector):
                return open_output(opened, connector, size, showing)
        except Problem as problem:
            problems.append(problem)
    problems.sort(key=lambda problem: isinstance(problem, NotADisplay))
    raise problems[0] if problems else Problem("no display: there is no /dev/dri/card*: is its driver loaded?")


def open_output(
    card: Card, name: str, size: Optional[Tuple[int, int]], showing: Showing
) -> Tuple[Output, Optional[str]]:
    """The output on the connector `name` of `card`, and a warning when it is not as configured.

    Raises Problem or OSError; the card is then closed.
    """
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
    return Output(card, connector, mode, showing), warning


def choose_connector(connectors: List[Connector], name: str, path: str) -> Connector:
    """The connector `name`, or with "auto" the first that has a monitor. Raises Problem when there is none."""
    named = [connector for connector in connectors if name in ("auto", connector.name)]
    if not named:
        raise NotADisplay(
            f"{path} has no connector {name}: set display.connector to "
            f"{', '.join(connector.name for connector in connectors) or 'auto'}"
        )
    usable = [connector for connector in named if connector.connected and connector.modes and connector.crtcs]
    if not usable:
        raise no_monitor(named, path)
    return usable[0]


def choose_mode(connector: Connector, size: Optional[Tuple[int, int]]) -> Tuple[Mode, Optional[str]]:
    """The mode of `size`; without one the monitor's preferred mode, and a warning when a size was asked for."""
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
    names = "; ".join(f"{name}, process {pid}" for pid, name, _ in owners) or "only root can see which"
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
