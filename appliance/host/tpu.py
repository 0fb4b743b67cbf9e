"""The Edge TPU as its driver reports it in sysfs: temperature, throttling, and which process holds it.

From the source of google/gasket-driver (apex_driver.c): temperatures are in thousandths of a degC; a trip point is
crossed from its temperature on; each halves the clock; the driver checks every `temp_poll_interval` milliseconds, 0 is
never. It does not report the clock, which is therefore computed from these.
"""

from dataclasses import dataclass
from pathlib import Path
from typing import Optional, Tuple, Union

SYSFS = Path("/sys/class/apex/apex_0")
PROC = Path("/proc")

CLOCKS_MHZ = (500, 250, 125, 63)

# A chip that fell off the bus reads as all ones, -89.7 degC, and a sensor that is off as zero, 166.05 degC.
_PLAUSIBLE = (-40.0, 150.0)


@dataclass(frozen=True)
class Tpu:
    """The state of an Edge TPU: temperatures in degC, None for what the driver does not report.

    `trip_points` are the three temperatures from which the clock is halved. `throttling`: whether the driver halves it.
    `owner` is the id of the process that holds the TPU, `owner_name` its name.
    """

    temperature: Optional[float] = None
    trip_points: Tuple[Optional[float], ...] = (None, None, None)
    throttling: bool = True
    owner: Optional[int] = None
    owner_name: Optional[str] = None

    @property
    def crossed(self) -> int:
        """The number of trip points that the temperature has reached, 0 to 3."""
        now = self.temperature
        if now is None:
            return 0
        reached = (number for number, trip in enumerate(self.trip_points, 1) if trip is not None and now >= trip)
        return max(reached, default=0)

    @property
    def hot(self) -> bool:
        """Whether the first trip point is crossed."""
        return self.crossed > 0

    @property
    def clock_mhz(self) -> Optional[int]:
        """The clock that the driver sets at this temperature, in MHz; None when the temperature is unknown."""
        if self.temperature is None:
            return None
        return CLOCKS_MHZ[self.crossed if self.throttling else 0]

    @property
    def warning(self) -> Optional[str]:
        """A line that says how hot and how slow it is, when too hot; else None."""
        if not self.hot:
            return None
        reached = self.trip_points[self.crossed - 1]
        slowed = (
            f"it runs at {self.clock_mhz} instead of {CLOCKS_MHZ[0]} MHz"
            if self.throttling
            else "its driver does not slow it down"
        )
        return f"Edge TPU too hot: {self.temperature:.0f} degC, limit {reached:.0f} degC: {slowed}: cool the board"


def read(sysfs: Union[str, Path] = SYSFS, proc: Union[str, Path] = PROC) -> Optional[Tpu]:
    """The state of the Edge TPU whose sysfs folder is `sysfs`; None when there is none."""
    sysfs = Path(sysfs)
    if not sysfs.is_dir():
        return None
    owner = _integer(sysfs / "device_owner") or None  # 0: nobody
    return Tpu(
        temperature=_degrees(sysfs / "temp"),
        trip_points=tuple(_degrees(sysfs / f"trip_point{number}_temp") for number in range(3)),
        throttling=_integer(sysfs / "temp_poll_interval") != 0,
        owner=owner,
        owner_name=_text(Path(proc) / str(owner) / "comm") if owner else None,
    )


def _text(path: Path) -> Optional[str]:
    try:
        return path.read_text("utf-8", "replace").strip() or None
    except OSError:
        return None


def _integer(path: Path) -> Optional[int]:
    try:
        return int(_text(path) or "")
    except ValueError:
        return None


def _degrees(path: Path) -> Optional[float]:
    value = _integer(path)
    low, high = _PLAUSIBLE
    return value / 1000 if value is not None and low <= value / 1000 <= high else None
