"""Pictures with separate planes of Y, U and V: NV12, YU12 and decoded JPEG."""

from typing import Iterator, List, NamedTuple, Tuple

import numpy as np

from ..frames import Size
from .thin import Planes, Reducer, mean


class Planar(NamedTuple):
    """A picture: `luma` is uint8 (H, W). `chroma` has U and V, uint8 (h, w, 1) each, or both in one array (h, w, 2).

    h is H or H / 2, w is W or W / 2. Rows are contiguous.
    """

    luma: np.ndarray
    chroma: Tuple[np.ndarray, ...]

    @property
    def shared(self) -> Tuple[int, int]:
        """How many rows and columns of pixels share a U and V: 1 or 2 each."""
        height, width = self.luma.shape
        return height // self.chroma[0].shape[0], width // self.chroma[0].shape[1]


def nv12(memory: np.ndarray, size: Size, row: int) -> Planar:
    """The picture in a buffer of bytes: Y, then pairs of U and V for each 2 x 2 pixels. `row`: bytes per row."""
    (width, height), pairs = size, memory[row * size[1] :]
    luma = _plane(memory, height, width, row)
    return Planar(luma, (_plane(pairs, height // 2, width, row).reshape(height // 2, width // 2, 2),))


def yu12(memory: np.ndarray, size: Size, row: int) -> Planar:
    """The picture in a buffer of bytes: Y, then U, then V, each for 2 x 2 pixels, in rows of `row` / 2 bytes."""
    width, height = size
    quarter = row // 2 * (height // 2)
    planes = [memory[row * height + number * quarter :] for number in (0, 1)]
    u, v = (_plane(plane, height // 2, width // 2, row // 2)[..., np.newaxis] for plane in planes)
    return Planar(_plane(memory, height, width, row), (u, v))


def bytes_of(size: Size, row: int) -> int:
    """The bytes of a picture in NV12 or YU12, without the padding of its last row."""
    return row * size[1] + row // 2 * size[1] - (row - size[0]) // 2


def _plane(memory: np.ndarray, height: int, width: int, row: int) -> np.ndarray:
    return np.lib.stride_tricks.as_strided(memory, (height, width), (row, 1))


def as_yuyv(picture: Planar) -> np.ndarray:
    """The picture as YUYV, uint8 (H, W, 2), each pair with the U and V of its left pixel."""
    height, width = picture.luma.shape
    down, across = picture.shared
    yuyv = np.empty((height, width, 2), np.uint8)
    yuyv[..., 0] = picture.luma
    for start, plane in enumerate(_channels(picture.chroma)):
        yuyv[:, start::2, 1] = np.repeat(plane[:, :: 2 // across], down, axis=0)
    return yuyv


class PlanarReducer(Reducer):
    """A Reducer of Planar pictures."""

    def bands(self, picture: Planar) -> Iterator[Tuple[int, Planes]]:
        factor, (width, height), _ = self.way
        down, across = picture.shared
        top, left = self.top // down * down, self.left
        for first in range(0, height, factor * self.rows):
            end = min(height, first + factor * self.rows)
            # Whole rows are copied, see thin.py.
            luma = picture.luma[top + first : top + end, left : left + width].copy()
            first_down, last_down = (top + first) // down, -(-(top + end) // down)
            chroma = tuple(
                plane[first_down:last_down, left // across : (left + width) // across].copy()
                for plane in picture.chroma
            )
            u, v = (
                _reduced(plane, down, across, factor, (top + first) % down, end - first) for plane in _channels(chroma)
            )
            yield first // factor, (_means(luma, factor, factor), u, v)


def _channels(chroma: Tuple[np.ndarray, ...]) -> List[np.ndarray]:
    """U and V, (h, w) each."""
    return [plane[..., channel] for plane in chroma for channel in range(plane.shape[2])]


def _reduced(plane: np.ndarray, down: int, across: int, factor: int, skip: int, rows: int) -> np.ndarray:
    """Means over `factor` x `factor` pixels, of which `down` x `across` share an element of `plane`.

    Covers `rows` rows of pixels, from `skip` pixels below the top of `plane`.
    """
    if factor % down == 0 and factor % across == 0 and not skip:
        return _means(plane, factor // down, factor // across)
    pixels = np.repeat(np.repeat(plane, down, axis=0)[skip : skip + rows], across, axis=1)
    return _means(pixels, factor, factor)


def _means(plane: np.ndarray, down: int, across: int) -> np.ndarray:
    """Means over `down` x `across` elements of uint8 `plane`, rounded to the nearest."""
    if down == across == 1:
        return plane
    if across % 2:
        sums = sum(plane[:, column::across].astype(np.uint16) for column in range(across))
    else:  # two neighbours are the bytes of a word
        words = np.ascontiguousarray(plane).view(np.uint16)
        pairs = (words & 255) + (words >> 8)
        sums = sum(pairs[:, column :: across // 2] for column in range(across // 2))
    total = np.array(sums[::down])  # type: ignore[index]
    for row in range(1, down):
        total += sums[row::down]  # type: ignore[index]
    return mean(total, down * across)
