"""The Edge TPUs of this machine, as the kernel shows them: cards by their driver, sticks by the USB bus.

A process may be limited to some of them: see `choose`.

Until its firmware is loaded, at the first open, a stick has another USB ID. It then leaves the bus for a moment.
"""

import os
from pathlib import Path
from typing import List, NamedTuple, Optional

APEX = Path("/dev/apex_0")
USB = Path("/sys/bus/usb/devices")
NODES = Path("/dev/bus/usb")

NEW, STARTED = ("1a6e", "089a"), ("18d1", "9302")
AUTO = "auto"
_USB_3 = 5000
_wanted = AUTO


class EdgeTpu(NamedTuple):
    """An Edge TPU. `kind`: "pci" or "usb", as libedgetpu calls them. `node`: its file in /dev.

    `identity` changes whenever it is replugged. `mbits`: the speed of its USB link, None for a card.
    `started`: whether a stick's firmware is loaded. `option` is what libedgetpu calls it: its kind, or also its number.
    """

    kind: str
    node: Path
    identity: str
    mbits: Optional[int] = None
    started: bool = True
    option: str = ""

    def __str__(self) -> str:
        return f"{self.link} ({self.node})"

    @property
    def link(self) -> str:
        if self.kind == "pci":
            return "PCIe"
        return "USB" if self.mbits is None else "USB 3" if self.mbits >= _USB_3 else "USB 2"

    @property
    def usable(self) -> bool:
        """Whether this user may read and write its node."""
        return os.access(str(self.node), os.R_OK | os.W_OK)


def choose(wanted: str) -> None:
    """Limit this process to the Edge TPUs of one kind, or to one: "usb", "pci", "usb:0" and so on; AUTO lifts it."""
    global _wanted
    _wanted = wanted


def chosen() -> str:
    return _wanted


def found() -> List[EdgeTpu]:
    """The Edge TPUs that this process may use, cards first."""
    kind, _, number = _wanted.partition(":")
    among = [tpu._replace(option=tpu.kind) for tpu in everything() if kind in (AUTO, tpu.kind)]
    return [tpu._replace(option=_wanted) for tpu in among[int(number) :][:1]] if number else among


def everything() -> List[EdgeTpu]:
    """All Edge TPUs, cards first."""
    cards = [EdgeTpu("pci", node, str(node)) for node in sorted(APEX.parent.glob("apex_[0-9]"))]
    return cards + [stick for stick in map(_stick, sorted(USB.glob("*-*"))) if stick]


def _stick(folder: Path) -> Optional[EdgeTpu]:
    """The Edge TPU at `folder` of sysfs; None when it is another device, or is still being enumerated."""
    kind = _text(folder / "idVendor"), _text(folder / "idProduct")
    bus, number = _text(folder / "busnum"), _text(folder / "devnum")
    if kind not in (NEW, STARTED) or not (bus.isdigit() and number.isdigit()):
        return None
    speed = _text(folder / "speed")
    return EdgeTpu(
        "usb",
        NODES / f"{int(bus):03}" / f"{int(number):03}",
        f"{folder.name} {number}",
        int(speed) if speed.isdigit() else None,
        kind == STARTED,
    )


def _text(path: Path) -> str:
    try:
        return path.read_text("ascii", "replace").strip()
    except OSError:
        return ""
