"""Exposure normalisation: bring every frame to the same brightness, contrast and colourfulness before the network.

It gives back, outside the network, much of what instance normalisation did inside it. All values are in [0, 1]
unless they are called bytes; Y is luma, U = (B - Y) / 1.772 and V = (R - Y) / 1.402, within -0.5..0.5 (BT.601).
"""

import math
from typing import NamedTuple, Optional

import numpy as np

from .frames import LUMA, YUV_BLACK, YUV_STEPS, mix

_BYTES = np.arange(256)
_STRIDE = 4
_ROWS = 24


class Statistics(NamedTuple):
    """Mean and standard deviation of Y, and RMS of U and V together; as targets without chroma, it follows luma."""

    mean: float
    std: float
    chroma: Optional[float] = None


class Curve(NamedTuple):
    """clip(gain * Y + offset + chroma_gain * (RGB - Y))."""

    gain: float
    offset: float
    chroma_gain: float


def statistics(frame: np.ndarray, pixels: str = "rgb") -> Statistics:
    """Of every 4th row and column of a uint8 frame (H, W, 3), "rgb" or "yuv"."""
    if pixels == "yuv":
        return _yuv_statistics(frame[::_STRIDE, ::_STRIDE])
    sample = frame[::_STRIDE, ::_STRIDE].astype(np.float32)
    sample /= 255
    luma = sample @ LUMA
    u, v = (sample[..., 2] - luma) / np.float32(1.772), (sample[..., 0] - luma) / np.float32(1.402)
    chroma = float(np.sqrt((np.square(u).mean() + np.square(v).mean()) / 2))
    return Statistics(float(luma.mean()), float(luma.std()), chroma)


def _yuv_statistics(sample: np.ndarray) -> Statistics:
    """In whole numbers, so exactly, and a third of the time that floating point takes."""
    count, sums, squares = sample.shape[0] * sample.shape[1], [], []
    for channel, black in enumerate(YUV_BLACK):
        values = sample[..., channel].astype(np.int64).ravel()
        values -= black
        sums.append(int(values.sum()))
        squares.append(int(values.dot(values)))
    mean, variance = sums[0] / count, (count * squares[0] - sums[0] ** 2) / count**2
    u, v = (square / count / step**2 for square, step in zip(squares[1:], YUV_STEPS[1:]))
    return Statistics(mean / YUV_STEPS[0], math.sqrt(variance) / YUV_STEPS[0], math.sqrt((u + v) / 2))


def exposure_curve(now: Statistics, target: Statistics) -> Curve:
    """The curve that brings a frame to the target.

    The gains stay in [0.5, 3.0] and [0.2, 4.0], so a flat or grey frame is not blown up to noise.
    """
    gain = min(max(target.std / max(now.std, 1e-3), 0.5), 3.0)
    offset = target.mean - gain * now.mean
    if target.chroma is None:
        return Curve(gain, offset, gain)
    return Curve(gain, offset, min(max(target.chroma / max(now.chroma, 1e-3), 0.2), 4.0))


def expose(frame: np.ndarray, curve: Curve, out: np.ndarray, pixels: str = "rgb", flip: int = 0) -> None:
    """The frame, uint8 (H, W, 3), by the curve, into `out`; every byte of it ^ `flip`.

    Rounded to nearest. A few rows at a time: nothing as large as a frame is allocated.
    """
    if pixels == "yuv":
        luma = _table(curve.gain, YUV_BLACK[0], YUV_BLACK[0] + YUV_STEPS[0] * curve.offset, 16, 235, flip)
        _apply_tables(frame, luma, _table(curve.chroma_gain, 128, 128, 16, 240, flip), out)
    elif curve.chroma_gain == curve.gain:
        _apply_table(frame, _table(curve.gain, 0, 255 * curve.offset, 0, 255, flip), out)
    else:
        matrix = curve.chroma_gain * np.eye(3) + (curve.gain - curve.chroma_gain) * LUMA
        mix(frame, matrix, np.full(3, 255 * curve.offset), out)
        if flip:
            out ^= np.uint8(flip)


def _table(gain: float, zero: float, offset: float, lowest: int, highest: int, flip: int) -> bytes:
    """table[byte] = gain * (byte - zero) + offset, rounded to nearest and clipped, ^ flip."""
    values = np.rint(gain * (_BYTES - zero) + offset)
    np.minimum(np.maximum(values, lowest, out=values), highest, out=values)
    return (values.astype(np.uint8) ^ np.uint8(flip)).tobytes()


# bytearray.translate is twice as fast as that of bytes, and up to eight times as np.take, which widens its indices.
def _translated(pixels: np.ndarray, table: bytes) -> np.ndarray:
    return np.frombuffer(bytearray(np.ascontiguousarray(pixels)).translate(table), np.uint8).reshape(pixels.shape)


def _apply_table(frame: np.ndarray, table: bytes, out: np.ndarray) -> None:
    for row in range(0, frame.shape[0], _ROWS):
        out[row : row + _ROWS] = _translated(frame[row : row + _ROWS], table)


def _apply_tables(frame: np.ndarray, luma: bytes, chroma: bytes, out: np.ndarray) -> None:
    for row in range(0, frame.shape[0], _ROWS):
        rows, made = frame[row : row + _ROWS], out[row : row + _ROWS]
        first = _translated(rows[..., 0], luma)
        made[...] = _translated(rows, chroma)
        made[..., 0] = first


class ExposureMeter:
    """The exposure curve of a moving picture: statistics smoothed over time, so that it does not flicker.

    An exponential moving average: the first frame counts whole, each later one with weight `rate`. Without the target
    `chroma`, colours gain as much contrast as luma.
    """

    def __init__(self, mean: float, std: float, chroma: Optional[float] = None, pixels: str = "rgb", rate: float = 0.1):
        self.target = Statistics(mean, std, chroma)
        self.pixels, self.rate = pixels, rate
        self._smoothed: Optional[Statistics] = None

    def update(self, frame: np.ndarray) -> Curve:
        """The curve for this frame, uint8 (H, W, 3) of the meter's pixels."""
        now = statistics(frame, self.pixels)
        if self._smoothed is not None:
            now = Statistics(*(old + self.rate * (new - old) for old, new in zip(self._smoothed, now)))
        self._smoothed = now
        return exposure_curve(now, self.target)

    def reset(self) -> None:
        """Forget the past: the next frame counts whole."""
        self._smoothed = None
