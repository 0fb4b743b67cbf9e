"""What happens between two segments and behind the last, in NumPy, from one preallocated tensor into the next.

Both are a gather of whole rows of bytes by a fixed list of numbers: np.take moves each with one memcpy, allocates
nothing when it is told to clip, and is two to three times as fast as a broadcast assignment.
"""

from functools import lru_cache

import numpy as np


def upsample_nearest(source: np.ndarray, factor: int, out: np.ndarray, top: int = 0) -> None:
    """Repeat each pixel of `source` (h, w, c) factor x factor times, into `out` (rows, w * factor, c).

    Both have to be contiguous. Factor 1 is a copy. Where `out` has fewer than h * factor rows, it gets those from `top`
    on.
    """
    height, width, channels = source.shape
    pixels = out.reshape(-1, channels)
    first = top * width * factor
    np.take(
        source.reshape(-1, channels),
        _repeated(height, width, factor)[first : first + len(pixels)],
        axis=0,
        out=pixels,
        mode="clip",
    )


def shuffle_pixels(source: np.ndarray, factor: int, out: np.ndarray) -> None:
    """Spread the channels of `source` (h, w, factor * factor * c) over `out` (h * factor, w * factor, c).

    Both have to be contiguous. A pixel's channels hold a cell of factor x factor pixels, rows first (depth to space).
    """
    height, width, channels = source.shape
    row = channels // factor  # of a cell
    np.take(source.reshape(-1, row), _shuffled(height, width, factor), axis=0, out=out.reshape(-1, row), mode="clip")


@lru_cache(maxsize=16)
def _repeated(height: int, width: int, factor: int) -> np.ndarray:
    """For each pixel of the result, the number of its source pixel."""
    return np.arange(height * width).reshape(height, width).repeat(factor, 0).repeat(factor, 1).ravel()


@lru_cache(maxsize=16)
def _shuffled(height: int, width: int, factor: int) -> np.ndarray:
    """For each row of a cell in the result, the number of that row in the source."""
    return np.arange(height * width * factor).reshape(height, width, factor).transpose(0, 2, 1).ravel()
