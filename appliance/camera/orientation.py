"""The orientation of decoded pictures, from the display matrix that films carry (ISO/IEC 14496-12, 6.2.2)."""

import struct
from typing import Any, NamedTuple

import numpy as np


class Orientation(NamedTuple):
    """How to make a stored picture upright: first transpose it (`transpose`), then reverse the columns (`mirror`), then
    the rows (`flip`)."""

    transpose: bool = False
    mirror: bool = False
    flip: bool = False

    def __call__(self, pixels: np.ndarray) -> np.ndarray:
        """`pixels` (H, W, C) made upright, contiguous; (W, H, C) with `transpose`."""
        if self == UPRIGHT:
            return pixels
        turned = pixels.transpose(1, 0, 2) if self.transpose else pixels
        turned = turned[:, ::-1] if self.mirror else turned
        return np.ascontiguousarray(turned[::-1] if self.flip else turned)


UPRIGHT = Orientation()


def of_matrix(matrix: bytes) -> Orientation:
    """The nearest of the eight orientations to a matrix of nine little-endian int32: a b u, c d v, x y w. It shows a
    stored pixel at (p, q) at (a p + c q, b p + d q)."""
    a, b, _, c, d = struct.unpack_from("<5i", matrix)
    if abs(a) + abs(d) >= abs(b) + abs(c):
        return Orientation(False, a < 0, d < 0)
    return Orientation(True, c < 0, b < 0)


def of_picture(picture: Any) -> Orientation:
    """The orientation of a frame decoded by PyAV."""
    data = picture.side_data.get("DISPLAYMATRIX")
    return UPRIGHT if data is None else of_matrix(bytes(data))
