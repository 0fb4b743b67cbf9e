"""Bilinear enlargement by a ratio of whole numbers, four bytes at a time.

An output pixel is P[near] + Q[far], where Q is a fraction of the picture, such as 5/16, and P = picture - Q. A fraction
of all four bytes of a pixel is a shift and a mask of its 32-bit word. P and Q are computed once for each source row. An
output row is only their sum. It is written from left to right into the buffer that is shown, which is never read.
"""

from fractions import Fraction
from typing import Any, Dict, List, NamedTuple, Tuple

import numpy as np

_PARTS = 16  # weights are multiples of 1/16
# Sixteenths as sums of halves, quarters and so on: the shifts; a negative one is subtracted.
_SHIFTS = {1: (4,), 2: (3,), 3: (3, 4), 4: (2,), 5: (2, 4), 6: (2, 3), 7: (1, -4), 8: (1,)}
_MASKS = {shift: (np.uint32(shift), np.uint32((0xFF >> shift) * 0x01010101)) for shift in (1, 2, 3, 4)}
_MOST_WEIGHTS = 3  # of one axis: each costs up to six passes over the picture
_CACHE = 256 << 10  # bytes of wide rows in a band: a few times as much fits a Cortex-A53's second-level cache


class Tap(NamedTuple):
    """How output pixels `first` + n * numerator are interpolated: from source pixels `near` and `far`, each + n *
    denominator. `far` has a weight of `weight` sixteenths, `near` the rest."""

    first: int
    near: int
    far: int
    weight: int


def taps(zoom: Fraction) -> List[Tap]:
    """One period of output pixels, with the finest weights of which there are at most `_MOST_WEIGHTS`."""
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
    """Enlarges pictures of `size` (width, height), uint32 of four bytes each, by `zoom`, which is at least 1.

    `out_size` is the result's, cut to `most` (width, height). It differs from exact bilinear interpolation by at most a
    quarter of the difference of two neighbouring source pixels, and for a whole zoom by 1/32 of it and two steps of
    255. Flat areas are exact.
    """

    def __init__(self, size: Tuple[int, int], zoom: Fraction, most: Tuple[int, int] = (1 << 16, 1 << 16)):
        width, height = size
        self.size, self.zoom = size, zoom
        self.out_size = min(int(width * zoom), most[0]), min(int(height * zoom), most[1])
        self._taps = taps(zoom)
        self._ratio = numerator, ratio = zoom.numerator, zoom.denominator
        self._periods = -(-width // ratio) + 2  # of a row, the first and the last beside the picture
        self._band = max(1, _CACHE // (4 * self.out_size[0]) // ratio) * ratio
        count = (min(self._band, height) + 2) * self._periods
        self._source, self._wide = np.zeros(count * ratio, np.uint32), np.zeros(count * numerator, np.uint32)
        self._source_parts, self._wide_parts = (_Parts(each, self._taps) for each in (self._source, self._wide))

    def __call__(self, picture: np.ndarray, out: np.ndarray) -> None:
        """Enlarge `picture` (h, w), with any strides, into `out` (H, W) of `out_size`, which is never read."""
        if self.zoom == 1:
            out[:] = picture[: len(out), : out.shape[1]]
            return
        (numerator, denominator), height, (across, down) = self._ratio, len(picture), self.out_size
        columns = slice(numerator, numerator + across)
        for top in range(0, height, self._band):
            rows = min(self._band, height - top)
            count = (rows + 2) * self._periods
            source, wide = self._source[: count * denominator], self._wide[: count * numerator]
            _pad(picture, top, source.reshape(rows + 2, -1), denominator)
            self._along(source, wide)
            parts = self._wide_parts.of(wide, rows + 2)
            below = min((top + rows) * numerator // denominator, down)
            self._across(wide.reshape(rows + 2, -1), parts, columns, out[top * numerator // denominator : below])

    def _along(self, source: np.ndarray, out: np.ndarray) -> None:
        """Enlarge along rows, all of them as one line: NumPy is fastest with one-dimensional strides."""
        numerator, denominator = self._ratio
        count, parts = len(source) // denominator - 2, self._source_parts.of(source)
        for tap in self._taps:
            near, far = (_every(denominator, denominator + first, count) for first in (tap.near, tap.far))
            _blend(source, parts, tap, near, far, out[_every(numerator, numerator + tap.first, count)])

    def _across(self, source: np.ndarray, parts: "Pairs", columns: slice, out: np.ndarray) -> None:
        """Enlarge along columns, from `source`, which has one more row at the top and at the bottom, into `out`."""
        numerator, denominator = self._ratio
        for tap in self._taps:
            rows = out[tap.first :: numerator]
            if len(rows):
                near, far = (_every(denominator, first + 1, len(rows)) for first in (tap.near, tap.far))
                _blend(source, parts, tap, (near, columns), (far, columns), rows)


def _pad(picture: np.ndarray, top: int, out: np.ndarray, margin: int) -> None:
    """Copy the rows of `picture` from `top` on to `out`, with its edge repeated: one row above and below, and one pixel
    left and right, the left one in the last of `margin` columns."""
    first, last = max(0, top - 1), min(len(picture), top + len(out) - 1)
    inside, right = out[first - top + 1 : last - top + 1], margin + picture.shape[1]
    inside[:, margin:right] = picture[first:last]
    inside[:, margin - 1], inside[:, right] = inside[:, margin], inside[:, right - 1]
    if first == top:
        out[0] = out[1]
    if last - top + 1 < len(out):
        out[-1] = out[-2]


Pairs = Dict[int, Tuple[np.ndarray, np.ndarray]]  # weight: P, Q


class _Parts:
    """Memory for P and Q of an array, a pair for each weight."""

    def __init__(self, like: np.ndarray, used: List[Tap]):
        self._pairs = {tap.weight: (np.empty_like(like), np.empty_like(like)) for tap in used if tap.weight}
        self._spare = np.empty_like(like)

    def of(self, source: np.ndarray, rows: int = 0) -> Pairs:
        """P and Q of `source`, which is no longer than the memory; in `rows` rows unless that is 0."""
        found = {}
        for weight, pair in self._pairs.items():
            rest, part = (memory[: len(source)] for memory in pair)
            _part(source, weight, part, self._spare[: len(source)])
            np.subtract(source, part, out=rest)
            found[weight] = (rest.reshape(rows, -1), part.reshape(rows, -1)) if rows else (rest, part)
        return found


def _part(source: np.ndarray, weight: int, out: np.ndarray, spare: np.ndarray) -> None:
    """`weight` sixteenths of each byte of `source`, rounded down term by term."""
    first, *others = _SHIFTS[weight]
    _shifted(source, first, out)
    for shift in others:
        _shifted(source, abs(shift), spare)
        (np.add if shift > 0 else np.subtract)(out, spare, out=out)


def _shifted(source: np.ndarray, shift: int, out: np.ndarray) -> None:
    """Each byte of `source` over 2 ** `shift`, rounded down."""
    bits, mask = _MASKS[shift]
    np.right_shift(source, bits, out=out)
    np.bitwise_and(out, mask, out=out)


def _blend(source: np.ndarray, parts: Pairs, tap: Tap, near: Any, far: Any, out: np.ndarray) -> None:
    if tap.weight:
        rest, part = parts[tap.weight]
        np.add(rest[near], part[far], out=out)
    else:
        out[...] = source[near]


def _every(step: int, first: int, count: int) -> slice:
    return slice(first, first + step * (count - 1) + 1, step)
