"""Exposure normalisation: bring every frame to the same brightness, contrast and colourfulness before the network.

Outside the network, it does much of what instance normalisation did inside it. All values are in [0, 1] unless they are
called bytes. Y, U and V are those of colour.py.
"""

import math
from functools import lru_cache
from typing import List, NamedTuple, Optional, Tuple

import numpy as np

from ..colour import LUMA
from ..frames import RGB_TO_YUV, YUV_BLACK, YUV_STEPS, mix

GAINS, CHROMA_GAINS = (0.5, 3.0), (0.2, 4.0)
# A frame is brought to the target in full from the second standard deviation of luma, or RMS of chroma, on; in part
# between the two; not at all below the first.
CONTRAST, COLOUR = (0.01, 0.05), (0.004, 0.0125)

_BYTES = np.arange(256)
_STRIDE = 4
_ROWS = 24
_COARSEST = 3  # the largest amplitude of grain, in steps of luma
_CELL = (8, 4)  # rows and columns of samples
# How fast a meter follows, as the weight of a new frame: always; per change of the median cell beyond noise; per share
# of cells that turned white; as a share of the last weight; and from which weight on it is a jump.
_SLOW, _FAST, _NOISE, _BLEACHED, _RELEASE, _JUMP = 0.0005, 40.0, 0.008, 0.2, 0.6, 0.3
_BRIGHTER = 0.05


class Statistics(NamedTuple):
    """A frame's mean and standard deviation of Y, its RMS of U and V together, and how much of both is noise."""

    mean: float
    std: float
    chroma: float
    noise: float = 0.0
    chroma_noise: float = 0.0


class Target(NamedTuple):
    """The statistics that frames are brought to. Without `chroma`, colours are scaled as luma is."""

    mean: float
    std: float
    chroma: Optional[float] = None


class Curve(NamedTuple):
    """clip(gain * Y + offset + chroma_gain * (RGB - Y))."""

    gain: float
    offset: float
    chroma_gain: float


def statistics(frame: np.ndarray, pixels: str = "rgb") -> Statistics:
    """The statistics of every 4th row and column of a uint8 frame (H, W, 3), "rgb" or "yuv"."""
    return _statistics(_samples(frame, pixels))


def _samples(frame: np.ndarray, pixels: str) -> np.ndarray:
    """Y, U and V of every 4th row and column, in YUV_STEPS from 0: (3, h, w), int32 for "yuv", else float32.

    Integers are exact, so every CPU gives the same, and take a third of the time.
    """
    sample = frame[::_STRIDE, ::_STRIDE].transpose(2, 0, 1)
    if pixels == "yuv":
        black = np.array(YUV_BLACK, np.int32).reshape(3, 1, 1)
        return np.asarray(sample.astype(np.int32, order="C") - black)
    flat = np.matmul(RGB_TO_YUV.astype(np.float32), sample.reshape(3, -1).astype(np.float32))
    return np.asarray(flat.reshape(sample.shape))


def _statistics(samples: np.ndarray) -> Statistics:
    count, steps = samples[0].size, YUV_STEPS
    sums, squares = [], []
    for channel in samples.reshape(3, -1):
        channel = channel.astype(np.float64)  # exact for whole numbers, sums and squares too
        sums.append(channel.sum().item())
        squares.append(np.einsum("i,i", channel, channel).item())  # not dot: BLAS would use threads for it
    variance = max(count * squares[0] - sums[0] ** 2, 0) / count**2
    chroma = (squares[1] / steps[1] ** 2 + squares[2] / steps[2] ** 2) / 2 / count
    noise = _noise(samples)
    return Statistics(
        sums[0] / count / steps[0],
        math.sqrt(variance) / steps[0],
        math.sqrt(chroma),
        math.sqrt(noise[0]) / steps[0],
        math.sqrt((noise[1] + noise[2]) / 2) / steps[1],
    )


def _noise(samples: np.ndarray) -> List[float]:
    """The variance of each channel that neighbours do not share, in the flattest quarter of the cells."""
    thin = samples[:, ::2, : samples.shape[2] // 2 * 2]
    if not thin.size:
        return [0.0, 0.0, 0.0]
    steps = thin[..., 1::2] - thin[..., ::2]
    variances = np.sort(_cell_sums(steps * steps).reshape(3, -1) / _cell_sizes(steps.shape).ravel(), axis=1)
    return [value.item() / 2 for value in variances[:, variances.shape[1] // 4]]


def _cell_sums(samples: np.ndarray) -> np.ndarray:
    """Sums over cells of 8x4 samples (..., h, w); cells at the right and at the bottom may be smaller."""
    height, width = samples.shape[-2:]
    rows = np.add.reduceat(samples, np.arange(0, height, _CELL[0]), axis=-2)
    return np.add.reduceat(rows, np.arange(0, width, _CELL[1]), axis=-1)


@lru_cache(maxsize=4)
def _cell_sizes(shape: Tuple[int, ...]) -> np.ndarray:
    return _cell_sums(np.ones(shape[-2:], np.int64))


def exposure_curve(now: Statistics, target: Target) -> Curve:
    """The curve that brings a frame to the target, as far as it has contrast and colour besides noise.

    The gains stay within GAINS and CHROMA_GAINS. As contrast vanishes, the mean is left as it is and the gain goes to
    its lower limit: a covered lens stays dark, a grey wall grey, and noise small. As colour vanishes, so does the gain
    of chroma.
    """
    contrast = _share(now.std, now.noise, CONTRAST)
    gain = min(max(target.std / max(now.std, 1e-3), GAINS[0]), GAINS[1])
    gain = GAINS[0] + contrast * (gain - GAINS[0])
    offset = (1 - gain) * now.mean + contrast * (target.mean - now.mean)
    if target.chroma is None:
        return Curve(gain, offset, gain)
    chroma_gain = min(max(target.chroma / max(now.chroma, 1e-3), CHROMA_GAINS[0]), CHROMA_GAINS[1])
    colour = _share(now.chroma, now.chroma_noise, COLOUR)
    least = GAINS[0] + colour * (1 - GAINS[0])
    return Curve(gain, offset, least + contrast * colour * (chroma_gain - 1))


def _share(deviation: float, noise: float, between: Tuple[float, float]) -> float:
    """0 to 1 as a deviation, less noise, goes from one end of `between` to the other."""
    signal = math.sqrt(max(deviation**2 - noise**2, 0.0))
    return min(max((signal - between[0]) / (between[1] - between[0]), 0.0), 1.0)


def expose(
    frame: np.ndarray,
    curve: Curve,
    out: np.ndarray,
    pixels: str = "rgb",
    flip: int = 0,
    grain: Optional[np.ndarray] = None,
) -> None:
    """Apply the curve to the frame, uint8 (H, W, 3), and write every byte ^ `flip` to `out`, rounded to nearest.

    `grain`, see grain(), is added to the luma of "yuv". Works on a few rows at a time, so nothing as large as a frame
    is allocated.
    """
    if pixels == "yuv":
        most = 0 if grain is None else _COARSEST
        zero, offset = YUV_BLACK[0], YUV_BLACK[0] + YUV_STEPS[0] * curve.offset
        luma = _table(curve.gain, zero, offset, 16 + most, 235 - most, 0 if most else flip)
        _apply_tables(frame, luma, _table(curve.chroma_gain, 128, 128, 16, 240, flip), out, grain, flip)
    elif curve.chroma_gain == curve.gain:
        _apply_table(frame, _table(curve.gain, 0, 255 * curve.offset, 0, 255, flip), out)
    else:
        matrix = curve.chroma_gain * np.eye(3) + (curve.gain - curve.chroma_gain) * np.array(LUMA)
        mix(frame, matrix, np.full(3, 255 * curve.offset), out)
        if flip:
            out ^= np.uint8(flip)


def _table(gain: float, zero: float, offset: float, lowest: int, highest: int, flip: int) -> bytes:
    """table[byte] = gain * (byte - zero) + offset, rounded to nearest and clipped, ^ flip."""
    values = np.rint(gain * (_BYTES - zero) + offset)
    np.minimum(np.maximum(values, lowest, out=values), highest, out=values)
    return bytes(values.astype(np.uint8) ^ np.uint8(flip))


# bytearray.translate is twice as fast as bytes.translate, and up to eight times as np.take, which widens its indices.
def _translated(pixels: np.ndarray, table: bytes) -> np.ndarray:
    return np.frombuffer(bytearray(np.ascontiguousarray(pixels)).translate(table), np.uint8).reshape(pixels.shape)


def _apply_table(frame: np.ndarray, table: bytes, out: np.ndarray) -> None:
    for row in range(0, frame.shape[0], _ROWS):
        out[row : row + _ROWS] = _translated(frame[row : row + _ROWS], table)


def _apply_tables(
    frame: np.ndarray, luma: bytes, chroma: bytes, out: np.ndarray, grain: Optional[np.ndarray], flip: int
) -> None:
    for row in range(0, frame.shape[0], _ROWS):
        rows, made = frame[row : row + _ROWS], out[row : row + _ROWS]
        first = _translated(rows[..., 0], luma)
        if grain is not None:
            first += grain[row : row + _ROWS]
            first ^= np.uint8(flip)
        if frame.strides[2] == 1:
            made[...] = _translated(rows, chroma)
        else:  # the channels are planes
            made[..., 1], made[..., 2] = (_translated(rows[..., channel], chroma) for channel in (1, 2))
        made[..., 0] = first


def grain(shape: Tuple[int, int], gain: float) -> np.ndarray:
    """A fixed dither, uint8 (H, W), to add modulo 256 to luma from a curve with this gain.

    A gain spreads the 219 steps of luma, and a network draws a bar at each step on a wall or in the sky. Triangular
    noise of one step to both sides hides them. It does not move, so nothing flickers.
    """
    return _grain(shape, min(max(round(2 * gain), 1), 2 * _COARSEST) / 2)


@lru_cache(maxsize=4)
def _grain(shape: Tuple[int, int], amplitude: float) -> np.ndarray:
    random = np.random.RandomState(0)
    noise = random.random_sample(shape).astype(np.float32)
    noise -= random.random_sample(shape)
    return np.asarray(np.rint(amplitude * noise).astype(np.int8).view(np.uint8))


class ExposureMeter:
    """The exposure curve of a film. It follows a change of light at once, and hardly anything else.

    The frame is divided into cells. When half of them change in brightness, the light or the scene changed. When fewer
    do, something moves, and the rest of the picture should stay as it is. Without the target `chroma`, colours are
    scaled as luma is.
    """

    def __init__(self, mean: float, std: float, chroma: Optional[float] = None, pixels: str = "rgb"):
        self.target = Target(mean, std, chroma)
        self.pixels = pixels
        self.reset()

    def reset(self) -> None:
        """Forget the past: the next frame counts whole."""
        self._smoothed: Optional[Statistics] = None
        self._cells: np.ndarray = np.zeros((0, 0))
        self._rate = 1.0

    @property
    def jumped(self) -> bool:
        """Whether the light or the scene changed with the latest frame, so that earlier frames say little about it."""
        return self._rate >= _JUMP

    def update(self, frame: np.ndarray) -> Curve:
        """The curve for this frame, uint8 (H, W, 3) of the meter's pixels."""
        samples = _samples(frame, self.pixels)
        now = _statistics(samples)
        cells = _cell_sums(samples[0]) / (_cell_sizes(samples.shape) * YUV_STEPS[0])
        if self._smoothed is None or cells.shape != self._cells.shape:
            self._smoothed, self._cells, self._rate = now, cells, 1.0
        else:
            self._rate = self._follow(self._smoothed, cells)
            blended = [old + self._rate * (new - old) for old, new in zip(self._smoothed, now)]
            self._smoothed = Statistics(*blended)
            self._cells = self._cells + self._rate * (cells - self._cells)
        return exposure_curve(self._smoothed, self.target)

    def _follow(self, smoothed: Statistics, cells: np.ndarray) -> float:
        """The weight of the new frame, from how its cells differ from those of the present exposure."""
        change = cells - self._cells
        median = np.sort(np.abs(change), axis=None)[change.size // 2]
        curve = exposure_curve(smoothed, self.target)
        bleached = np.mean((change > _BRIGHTER) & (curve.gain * cells + curve.offset > 1))
        rest = _RELEASE * self._rate if self._rate < 1 else 0.0
        return float(min(max(_FAST * (median - _NOISE), _BLEACHED * bleached, rest, _SLOW), 1.0))
