"""Exposure normalisation: bring every frame to the same brightness and contrast before the network.

It gives back, outside the network, much of what instance normalisation did inside it. All values are in [0, 1]
unless they are called bytes.
"""

from typing import Optional, Tuple

import numpy as np

_LUMA = np.array([0.299, 0.587, 0.114], np.float32) / np.float32(255)
_STRIDE = 4
_ROWS = 24


def luma_statistics(frame: np.ndarray) -> Tuple[float, float]:
    """Mean and standard deviation of the luma of every 4th row and column of an RGB uint8 frame (H, W, 3)."""
    luma = frame[::_STRIDE, ::_STRIDE].astype(np.float32) @ _LUMA
    return float(luma.mean()), float(luma.std())


def exposure_curve(mean: float, std: float, target_mean: float, target_std: float) -> Tuple[float, float]:
    """(gain, offset): clip(gain * c + offset) brings luma of `mean` and `std` to the targets.

    The gain stays in [0.5, 3.0], so a flat frame is not blown up to noise.
    """
    gain = min(max(target_std / max(std, 1e-3), 0.5), 3.0)
    return gain, target_mean - gain * mean


def curve_table(gain: float, offset: float) -> np.ndarray:
    """The curve as a table of 256 uint8: table[byte] = gain * byte + offset, rounded to nearest, saturating."""
    values = gain * np.arange(256, dtype=np.float64) + 255.0 * offset
    return np.clip(np.rint(values), 0, 255).astype(np.uint8)


def apply_table(frame: np.ndarray, table: np.ndarray, out: np.ndarray) -> None:
    """out = table[frame] for uint8 frames (H, W, C). A few rows at a time: nothing as large as a frame is allocated."""
    # bytes.translate beats np.take (which widens its indices to 64 bits) two- to fivefold, most on old NumPy.
    translation = table.tobytes()
    for row in range(0, frame.shape[0], _ROWS):
        rows = frame[row:row + _ROWS]
        out[row:row + _ROWS] = np.frombuffer(rows.tobytes().translate(translation), np.uint8).reshape(rows.shape)


class ExposureMeter:
    """The exposure curve of a moving picture: statistics smoothed over time, so that it does not flicker.

    An exponential moving average: the first frame counts whole, each later one with weight `rate`.
    """

    def __init__(self, target_mean: float, target_std: float, rate: float = 0.1):
        self.target = (target_mean, target_std)
        self.rate = rate
        self._smoothed: Optional[Tuple[float, float]] = None

    def update(self, frame: np.ndarray) -> Tuple[float, float]:
        """(gain, offset) for this frame, RGB uint8 (H, W, 3)."""
        now = luma_statistics(frame)
        if self._smoothed is None:
            self._smoothed = now
        else:
            self._smoothed = tuple(old + self.rate * (new - old) for old, new in zip(self._smoothed, now))
        return exposure_curve(self._smoothed[0], self._smoothed[1], self.target[0], self.target[1])

    def reset(self) -> None:
        """Forget the past: the next frame counts whole."""
        self._smoothed = None
