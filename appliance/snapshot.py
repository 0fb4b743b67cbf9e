"""What other threads read of the switcher: one value, replaced as a whole and never changed."""

import time
from typing import Dict, NamedTuple, Optional, Tuple

from .frames import Size


class Slate(NamedTuple):
    """Why no style runs. `until`: when the work under way is overdue, on the clock of time.monotonic; or None."""

    title: str
    text: str
    until: Optional[float] = None

    @property
    def holds(self) -> bool:
        """False when the work has taken longer than it may: then it hangs."""
        return self.until is None or time.monotonic() < self.until


class Style(NamedTuple):
    """A style that runs: its bundle's name, title and digest; its plan; its runtime, name and version; the device,
    "CPU" or "TPU"; and the size of its picture. `fps`: the rate that was measured before. `target`: the rate that was
    wanted. `why`: why this plan and size. `settled`: it has run for a while.
    """

    name: str
    title: str
    digest: str
    plan: str
    runtime: str
    device: str
    size: Size
    fps: float
    target: float
    why: str
    settled: bool = False


class Snapshot(NamedTuple):
    """`style` is what runs; `slate` says why nothing does. `pinned` is what `reconet use` asked for. `waiting`: for an
    Edge TPU. `refused` has (file name, reason) of each refused bundle, the latest last. `brightness`: of slates. `off`:
    nothing is to be shown.
    """

    style: Optional[Style] = None
    slate: Optional[Slate] = None
    pinned: Optional[str] = None
    waiting: bool = False
    refused: Tuple[Tuple[str, str], ...] = ()
    brightness: float = 1.0
    off: bool = False

    @property
    def reasons(self) -> Dict[str, str]:
        """Why each refused file was refused, by its name."""
        return dict(self.refused)
