"""Averages pictures down to a network's input; YUYV by four or eight bytes and a few rows at a time.

A driver's buffer is probably uncached (vb2-dma-contig), and reading single bytes from it is very slow. So whole rows
are copied out of it once, and everything else works on the copy.
"""

from functools import partial
from typing import Any, Callable, Iterator, Tuple

import numpy as np

from ..frames import Size, cover
from .sizes import way

_LUMA = bytes(round(16 + y * 219 / 255) for y in range(256))
_CHROMA = bytes(round(128 + (c - 128) * 224 / 255) for c in range(256))
_ROWS = 120  # of the camera's picture at a time: the copies fit into the L2 cache, and few calls are needed
_ONE = np.uint64(1)
_HALVES = np.uint64(0x7F7F7F7F7F7F7F7F)
_Y = np.uint32(0x00FF00FF)  # Y0 and Y1 of Y0 U Y1 V
_LANES = np.uint64(0x00FF00FF00FF00FF)  # every second byte

Planes = Tuple[np.ndarray, np.ndarray, np.ndarray]
# A band of YUYV is uint8 (factor, rows, bytes of a camera's row): band[i, j] is row factor * j + i.


class Reducer:
    """Reduces a camera's pictures of size `camera` to a network's input, YUV of size `network`, both (width, height).

    The largest possible middle part is used (sizes.way). Each `factor` x `factor` pixels become their mean, rounded to
    nearest. If no integer factor fits, the result is scaled. `mirror` swaps left and right. The result has limited
    range; pictures of a `full_range` camera go through a table. Subclasses know how pictures are stored: see `bands`.
    """

    def __init__(self, camera: Size, network: Size, mirror: bool = False, full_range: bool = False):
        self.camera, self.network = camera, network
        self.way = way(camera, network)
        self._mirror, self._full_range = mirror, full_range
        factor, (width, height), resampled = self.way
        self.left, self.top = (camera[0] - width) // 4 * 2, (camera[1] - height) // 2
        self.rows = max(1, min(_ROWS, height) // factor)
        self._whole = np.empty((height // factor, width // factor, 3), np.uint8) if resampled else None

    def __call__(self, picture: Any, out: np.ndarray) -> None:
        """Reduce `picture` into `out`, uint8 (h, w, 3)."""
        made = out if self._whole is None else self._whole
        made = made[:, ::-1] if self._mirror else made
        for first, planes in self.bands(picture):
            rows = made[first : first + len(planes[0])]
            for channel, plane in enumerate(planes):
                if self._full_range:
                    plane = _limited(plane, _CHROMA if channel else _LUMA)
                rows[..., channel] = plane
        if self._whole is not None:
            out[:] = cover(self._whole, self.network)

    def bands(self, picture: Any) -> Iterator[Tuple[int, Planes]]:
        """(number of the first row, means of Y, U and V), from the top down, in at most `rows` rows at a time."""
        raise NotImplementedError


class Thinner(Reducer):
    """A Reducer of pictures in YUYV, uint8 (H, W, 2), or with `swapped` in UYVY. Each row is contiguous.

    U and V are rounded up, for factor 2.
    """

    def __init__(
        self, camera: Size, network: Size, mirror: bool = False, full_range: bool = False, swapped: bool = False
    ):
        super().__init__(camera, network, mirror, full_range)
        factor, (width, _), _ = self.way
        self._band = np.empty((factor, self.rows, 2 * width), np.uint8)
        self._swapped = swapped
        self._planes: Callable[[np.ndarray], Planes] = partial(_sums, factor)
        if factor == 1:
            self._planes = _each
        if factor == 2 and width % 4 == 0:
            self._planes = _Pairs(self.rows, width)

    def bands(self, picture: np.ndarray) -> Iterator[Tuple[int, Planes]]:
        factor, (width, height), _ = self.way
        rows = picture.reshape(len(picture), -1)[self.top :, 2 * self.left : 2 * (self.left + width)]
        for top in range(0, height, factor * self.rows):
            band = self._band[:, : (height - top) // factor]
            for row, copies in enumerate(band):
                np.copyto(copies, rows[top + row : top + factor * len(copies) : factor])
                if self._swapped:
                    copies.view(np.uint16).byteswap(inplace=True)
            yield top // factor, self._planes(band)


class _Pairs:
    """Factor 2: the mean of two rows in words of eight bytes, then that of the two Ys of a pair by a multiplication."""

    def __init__(self, rows: int, width: int):
        self._mean, self._spare = np.empty((2, rows, width // 4), np.uint64)
        self._luma = np.empty((rows, width // 2), np.uint32)

    def __call__(self, band: np.ndarray) -> Planes:
        upper, lower = (copies.view(np.uint64) for copies in band)
        mean, spare, luma = (memory[: len(upper)] for memory in (self._mean, self._spare, self._luma))
        # (a + b + 1) / 2 = (a | b) - (a ^ b) / 2, in each byte separately.
        np.bitwise_xor(upper, lower, out=spare)
        np.right_shift(spare, _ONE, out=spare)
        np.bitwise_and(spare, _HALVES, out=spare)
        np.bitwise_or(upper, lower, out=mean)
        np.subtract(mean, spare, out=mean)
        # Y0 + Y1 ends up in the highest 9 bits, so its half is the last byte. One mean is rounded up, the other down.
        np.bitwise_and(mean.view(np.uint32), _Y, out=luma)
        np.multiply(luma, np.uint32(0x00800080), out=luma)
        pairs = mean.view(np.uint8)
        return luma.view(np.uint8)[:, 3::4], pairs[:, 1::4], pairs[:, 3::4]


def _each(band: np.ndarray) -> Planes:
    """Factor 1: both pixels of a pair have its U and V."""
    (row,) = band
    return row[:, 0::2], np.repeat(row[:, 1::4], 2, axis=1), np.repeat(row[:, 3::4], 2, axis=1)


def _sums(factor: int, band: np.ndarray) -> Planes:
    """Any factor up to 16: sums in lanes of 16 bits, first of rows, then along them."""
    words = [_words(copies) for copies in band]
    luma, chroma = words[0] & _LANES, words[0] >> np.uint64(8) & _LANES
    for row in words[1:]:
        luma += row & _LANES
        chroma += row >> np.uint64(8) & _LANES
    luma, chroma = (lanes.view(np.uint16)[:, : band.shape[2] // 2] for lanes in (luma, chroma))
    sums = luma[:, 0::factor].copy()
    for column in range(1, factor):
        sums += luma[:, column::factor]
    u, v = _chroma(chroma[:, 0::2], factor), _chroma(chroma[:, 1::2], factor)
    return mean(sums, factor * factor), u, v


def _words(rows: np.ndarray) -> np.ndarray:
    """`rows` (rows, bytes) as words of eight bytes; the last word of a row may be padded."""
    spare = -rows.shape[1] % 8
    return (np.pad(rows, ((0, 0), (0, spare)), "edge") if spare else rows).view(np.uint64)


def _chroma(sums: np.ndarray, factor: int) -> np.ndarray:
    """Means of U or V, of `sums` (rows, pairs) over `factor` rows. A pair that two pixels share counts half in each."""
    half = factor // 2
    if factor % 2 == 0:
        total = sums[:, 0::half].copy()
        for pair in range(1, half):
            total += sums[:, pair::half]
        return mean(total, factor * half)
    total = np.repeat(sums[:, half::factor], 2, axis=1)
    for pair in range(half):
        total[:, 0::2] += 2 * sums[:, pair::factor]
        total[:, 1::2] += 2 * sums[:, half + 1 + pair :: factor]
    return mean(total, factor * factor)


def mean(sums: np.ndarray, count: int) -> np.ndarray:
    """uint16 `sums`, at most 255 * count <= 65280, over `count`, rounded to the nearest, as uint8. Changes `sums`."""
    if count > 1:
        sums += np.uint16(count // 2)
        sums //= np.uint16(count)
    return sums.view(np.uint8)[:, 0::2]


def _limited(plane: np.ndarray, table: bytes) -> np.ndarray:
    return np.frombuffer(plane.tobytes().translate(table), np.uint8).reshape(plane.shape)
