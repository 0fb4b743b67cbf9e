"""Pictures enlarged by a ratio of whole numbers, without squares: bilinear, four bytes at a time.

An output pixel is P[near] + Q[far], where Q is a fraction of the picture, such as 5/16, and P = picture - Q. A fraction
of all four bytes of a pixel is a shift and a mask of its 32-bit word. P and Q are made once for a source row, and the
sum of them is the only thing that is done for an output row: it goes straight to where it is shown, from left to right,
and nothing is read back from there.
"""

from fractions import Fraction
from typing import Dict, List, NamedTuple, Tuple

import numpy as np

_PARTS = 16  # weights are multiples of 1/16
# Sixteenths as sums of halves, quarters ...: the shifts, and a negative one where it is taken away.
_SHIFTS = {1: (4,), 2: (3,), 3: (3, 4), 4: (2,), 5: (2, 4), 6: (2, 3), 7: (1, -4), 8: (1,)}
_MASKS = {shift: np.uint32((0xFF >> shift) * 0x01010101) for shift in (1, 2, 3, 4)}
_MOST_WEIGHTS = 3  # of one axis: each costs up to six passes over the picture
_CACHE = 192 << 10  # bytes of wide rows that are worked on at a time: some of these fit a Cortex-A53's second cache


class Tap(NamedTuple):
    """Every output pixel `first`, `first` + numerator, ... is made of the source pixels `near` and `far`, each + n *
    denominator; `weight` sixteenths of it are `far`'s."""

    first: int
    near: int
    far: int
    weight: int


def taps(zoom: Fraction) -> List[Tap]:
    """How one period of pixels is interpolated between the centres of the source's pixels, by the finest weights that
    do not come to more than `_MOST_WEIGHTS`."""
    for coarseness in (1, 2, 4, 8):
        found = [_tap(first, zoom, coarseness) for first in range(zoom.numerator)]
        if len({tap.weight for tap in found} - {0}) <= _MOST_WEIGHTS:
            break
    return found


def _tap(first: int, zoom: Fraction, coarseness: int) -> Tap:
    position = (first + Fraction(1, 2)) / zoom - Fraction(1, 2)
    near = int(position + Fraction(1, 2))
    offset = position - near
    weight = int(_PARTS * abs(offset) / coarseness + Fraction(1, 2)) * coarseness
    return Tap(first, near, near + (1 if offset > 0 else -1), weight)


class Enlarger:
    """Enlarges pictures of `size` (width, height), uint32 of four bytes each, by `zoom`, at least 1, to `out_size`:
    `most` (width, height) of it, if it comes to more.

    Differs from exact bilinear interpolation by a quarter of the distance between two source pixels at most, and for a
    whole zoom by 1/32 and two steps of 255. A flat area stays exactly what it is.
    """

    def __init__(self, size: Tuple[int, int], zoom: Fraction, most: Tuple[int, int] = (1 << 16, 1 << 16)):
        width, height = size
        self.size, self.zoom = size, zoom
        self.out_size = min(int(width * zoom), most[0]), min(int(height * zoom), most[1])
        self._taps = taps(zoom)
        per_row = 4 * self.out_size[0]
        self._band = max(1, _CACHE // per_row // zoom.denominator) * zoom.denominator
        rows = min(self._band, height) + 2
        self._source = np.empty((rows, width + 2), np.uint32)
        self._wide = np.empty((rows, self.out_size[0]), np.uint32)
        self._narrow_parts, self._wide_parts = _Parts(self._source, self._taps), _Parts(self._wide, self._taps)

    def __call__(self, picture: np.ndarray, out: np.ndarray) -> None:
        """Write `picture` (h, w), of any strides, to `out`, (H, W) of `out_size`, which is only written."""
        if self.zoom == 1:
            out[:] = picture[: len(out), : out.shape[1]]
            return
        zoom, height = self.zoom, len(picture)
        for top in range(0, height, self._band):
            rows = min(self._band, height - top)
            source, wide = self._source[: rows + 2], self._wide[: rows + 2]
            _pad(picture, top, source)
            _interpolate(source.T, self._narrow_parts.of(source, True), self._taps, zoom, wide.T)
            below = min(int((top + rows) * zoom), self.out_size[1])
            _interpolate(wide, self._wide_parts.of(wide), self._taps, zoom, out[int(top * zoom) : below])


def _pad(picture: np.ndarray, top: int, out: np.ndarray) -> None:
    """Copy the rows of `picture` from `top` on to `out`, (rows + 2, w + 2), with one pixel more on every side."""
    first, last = max(0, top - 1), min(len(picture), top + len(out) - 1)
    inside = out[first - top + 1 : last - top + 1]
    inside[:, 1:-1] = picture[first:last]
    inside[:, 0], inside[:, -1] = inside[:, 1], inside[:, -2]
    if first == top:
        out[0] = out[1]
    if last - top + 1 < len(out):
        out[-1] = out[-2]


class _Parts:
    """Memory for P and Q of an array, a pair for each weight."""

    def __init__(self, like: np.ndarray, used: List[Tap]):
        self._pairs = {tap.weight: (np.empty_like(like), np.empty_like(like)) for tap in used if tap.weight}
        self._spare = np.empty_like(like)

    def of(self, source: np.ndarray, transposed: bool = False) -> Dict[int, Tuple[np.ndarray, np.ndarray]]:
        """{weight: (P, Q)} of `source`, which is no longer than the memory."""
        found = {}
        for weight, pair in self._pairs.items():
            rest, part = (memory[: len(source)] for memory in pair)
            _part(source, weight, part, self._spare[: len(source)])
            np.subtract(source, part, out=rest)
            found[weight] = (rest.T, part.T) if transposed else (rest, part)
        return found


def _part(source: np.ndarray, weight: int, out: np.ndarray, spare: np.ndarray) -> None:
    """`weight` sixteenths of each byte of `source`, rounded down term by term."""
    first, *others = _SHIFTS[weight]
    np.right_shift(source, np.uint32(first), out=out)
    np.bitwise_and(out, _MASKS[first], out=out)
    for shift in others:
        np.right_shift(source, np.uint32(abs(shift)), out=spare)
        np.bitwise_and(spare, _MASKS[abs(shift)], out=spare)
        (np.add if shift > 0 else np.subtract)(out, spare, out=out)


def _interpolate(source: np.ndarray, parts: dict, used: List[Tap], zoom: Fraction, out: np.ndarray) -> None:
    """Fill `out` along the first axis from `source`, which has one row more before its first and behind its last."""
    for tap in used:
        rows = out[tap.first :: zoom.numerator]
        if not len(rows):
            continue
        near, far = (_every(zoom.denominator, first + 1, len(rows)) for first in (tap.near, tap.far))
        if tap.weight:
            rest, part = parts[tap.weight]
            np.add(rest[near], part[far], out=rows)
        else:
            rows[...] = source[near]


def _every(step: int, first: int, count: int) -> slice:
    return slice(first, first + step * (count - 1) + 1, step)
