"""The formats, sizes and rates that a V4L2 capture device offers."""

import contextlib
import ctypes
import errno
from typing import Any, Callable, Iterator, List, Optional, Sequence

import numpy as np

from ..frames import Size
from .sizes import Offer, steps

_MANY = 64  # formats, sizes or rates at most, in case a driver's list is endless

Ask = Callable[[str, Any], Any]  # an ioctl without its prefix, and its argument, which is returned; raises OSError


def formats(ask: Ask, api: Any) -> List[str]:
    """The formats, as four characters each. Raises OSError."""
    kind = api.V4L2_BUF_TYPE_VIDEO_CAPTURE
    entries = _listed(ask, "ENUM_FMT", lambda index: api.v4l2_fmtdesc(index=index, type=kind))
    return [fourcc(entry.pixelformat) for entry in entries]


def offers(ask: Ask, api: Any, among: Sequence[str], network: Size) -> List[Offer]:
    """The sizes in the formats `among`; [] when the device does not report them. If it offers ranges of sizes, those
    that suit `network`."""
    return [
        Offer(size, _rate(ask, api, pixels, size), pixels)
        for pixels in among
        for size in _sizes(ask, api, pixels, network)
        if min(size) > 1
    ]


def _sizes(ask: Ask, api: Any, pixels: str, network: Size) -> List[Size]:
    def entry(index: int) -> Any:
        return api.v4l2_frmsizeenum(index=index, pixel_format=number(pixels))

    found: List[Size] = []
    with contextlib.suppress(OSError):  # an older driver
        for one in _listed(ask, "ENUM_FRAMESIZES", entry):
            if one.type == api.V4L2_FRMSIZE_TYPE_DISCRETE:
                found.append((one.discrete.width, one.discrete.height))
            else:  # the package orders these fields differently from the kernel
                across, down = np.array((ctypes.c_uint32 * 9).from_buffer(one)[3:]).reshape(2, 3).tolist()
                least, most, step = zip(across, down)
                found += steps(least, most, step, network)
    return found


def _rate(ask: Ask, api: Any, pixels: str, size: Size) -> Optional[float]:
    """The highest rate at `size`, in frames per second; None where the device does not report it."""

    def entry(index: int) -> Any:
        return api.v4l2_frmivalenum(index=index, pixel_format=number(pixels), width=size[0], height=size[1])

    rates = []
    with contextlib.suppress(OSError):
        for found in _listed(ask, "ENUM_FRAMEINTERVALS", entry):
            discrete = found.type == api.V4L2_FRMIVAL_TYPE_DISCRETE
            interval = found.discrete if discrete else found.stepwise.min
            if interval.numerator:
                rates.append(interval.denominator / interval.numerator)
            if not discrete:
                break
    return max(rates, default=None)


def _listed(ask: Ask, name: str, entry: Callable[[int], Any]) -> Iterator[Any]:
    """The driver's answers to entry(0), entry(1), ... until EINVAL ends the list."""
    for index in range(_MANY):
        try:
            yield ask(name, entry(index))
        except OSError as error:
            if error.errno != errno.EINVAL:
                raise
            return


def number(pixels: str) -> int:
    """The V4L2_PIX_FMT_ constant of four characters."""
    return int.from_bytes(pixels.encode("ascii"), "little")


def fourcc(pixelformat: int) -> str:
    """The four characters of a V4L2_PIX_FMT_ constant."""
    return pixelformat.to_bytes(4, "little").decode("ascii", "replace").strip()
