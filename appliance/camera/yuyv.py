"""YUYV pictures: each two neighbouring pixels are four bytes, Y0 U Y1 V. Pure functions on uint8 arrays."""

from typing import NamedTuple

import numpy as np

from ..colour import LUMA


class Colour(NamedTuple):
    """How Y, U and V encode a colour: the weights of red and blue in Y, and whether Y, U and V use all of 0..255.

    In limited range Y is 16..235, and U and V are 16..240; U and V are around 128 in both.
    """

    red: float = LUMA[0]
    blue: float = LUMA[2]
    full_range: bool = False


BT601 = Colour()
BT709 = Colour(0.2126, 0.0722)

_BITS = 16  # after the binary point
_BAND = 16  # rows at a time: their intermediate values stay in the processor's cache


def yuyv_to_rgb(yuyv: np.ndarray, out: np.ndarray, colour: Colour = BT601) -> None:
    """Convert `yuyv` (H, W, 2), 0..255, to RGB 0..255 in `out` (H, W, 3). W is even, `out` is contiguous.

    Each pair of pixels shares its U and V. The equations are those of ITU-R BT.601-7 (2.5.1, 2.5.3) and BT.709-6 (3.3,
    3.5), solved for R, G, B, in fixed point, rounded to nearest and clipped.
    """
    for top in range(0, len(yuyv), _BAND):
        # Copy whole rows first: a driver's memory is probably uncached.
        _convert(yuyv[top : top + _BAND].copy(), out[top : top + _BAND], colour)


def _convert(yuyv: np.ndarray, out: np.ndarray, colour: Colour) -> None:
    height, width = yuyv.shape[:2]
    black, luma_range, chroma_range = (0, 255, 255) if colour.full_range else (16, 219, 224)
    luma = yuyv[..., 0].reshape(height, width // 2, 2).astype(np.int32)
    luma -= black
    luma *= _fixed(255 / luma_range)
    luma += 1 << _BITS - 1
    u, v = (yuyv[:, start::2, 1].astype(np.int32) - 128 for start in (0, 1))
    per_u, per_v = 2 * (1 - colour.blue) * 255 / chroma_range, 2 * (1 - colour.red) * 255 / chroma_range
    green = 1 - colour.red - colour.blue
    chroma = (
        v * _fixed(per_v),
        u * _fixed(-per_u * colour.blue / green) + v * _fixed(-per_v * colour.red / green),
        u * _fixed(per_u),
    )
    pairs = out.reshape(height, width // 2, 2, 3)
    for channel, difference in enumerate(chroma):
        value = luma + difference[..., np.newaxis]
        value >>= _BITS
        np.clip(value, 0, 255, out=value)
        pairs[..., channel] = value


def _fixed(value: float) -> int:
    return round(value * (1 << _BITS))
