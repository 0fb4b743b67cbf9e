"""Frames, their pixel formats and geometry, and the single-slot mailbox that hands them from thread to thread.

Pixel formats are uint8 arrays: "rgb" (H, W, 3), 0..255; "yuv" (H, W, 3), Y 16..235, U and V 16..240 around 128 (ITU-R
BT.601); "bgrx" (H, W, 4), whose X is ignored.
"""

import threading
from dataclasses import dataclass, replace
from typing import Callable, Generic, Optional, Tuple, TypeVar

import numpy as np
from PIL import Image

from .colour import TO_YUV

Size = Tuple[int, int]  # width, height
Item = TypeVar("Item")

YUV_BLACK, YUV_STEPS = (16, 128, 128), (219, 224, 224)  # the bytes of black, and from black to white
BLACK = {"rgb": (0, 0, 0), "yuv": YUV_BLACK}
RGB_TO_YUV = TO_YUV * np.array(YUV_STEPS)[:, None] / 255
YUV_TO_RGB = np.linalg.inv(RGB_TO_YUV)
_ROWS = 24


def _fresh(shape: Tuple[int, ...]) -> np.ndarray:
    return np.empty(shape, np.uint8)


@dataclass(frozen=True)
class Frame:
    """`pixels`: uint8 (height, width, channels), of `format`; `timestamp`: seconds, increasing; `index`: from 0.

    `made_for`: the size (width, height) of the network's input that a camera reduced it for, None for a whole frame.
    `duration`: for how many seconds it is shown, None where the source does not say.
    `draw`: of a frame that is yet to be drawn: writes the pixels into an array, as often as it is called and without
    reading it. `pixels` is then only a shape, see `undrawn`.
    """

    pixels: np.ndarray
    timestamp: float
    index: int
    format: str = "rgb"
    made_for: Optional[Size] = None
    duration: Optional[float] = None
    draw: Optional[Callable[[np.ndarray], None]] = None

    def to_draw(self, shape: Tuple[int, ...], format: str, draw: Callable[[np.ndarray], None]) -> "Frame":
        """What is to be shown for the frame: a picture of `shape` (H, W, channels) that is yet to be drawn."""
        return replace(self, pixels=undrawn(shape), format=format, draw=draw, made_for=None)

    def whole(self, array: Callable[[Tuple[int, ...]], np.ndarray] = _fresh) -> "Frame":
        """The frame with its pixels, drawn into `array(shape)`, uint8, if they are not there yet."""
        if self.draw is None:
            return self
        pixels = array(self.pixels.shape)
        self.draw(pixels)
        return replace(self, pixels=pixels, draw=None)


def undrawn(shape: Tuple[int, ...]) -> np.ndarray:
    """The `pixels` of a frame that is yet to be drawn: zeros (H, W, channels) that take no memory."""
    return np.broadcast_to(np.uint8(0), shape)


def cover(pixels: np.ndarray, size: Size) -> np.ndarray:
    """Scale RGB or YUV `pixels` (H, W, 3) until they cover `size` (width, height) and crop to its centre."""
    height, width = pixels.shape[:2]
    if (width, height) == tuple(size):
        return pixels
    scale = max(size[0] / width, size[1] / height)
    crop_width, crop_height = size[0] / scale, size[1] / scale
    left, top = (width - crop_width) / 2, (height - crop_height) / 2
    box = (max(left, 0.0), max(top, 0.0), min(left + crop_width, width), min(top + crop_height, height))
    return np.asarray(Image.fromarray(pixels).resize(size, Image.Resampling.BILINEAR, box=box))


def converted(pixels: np.ndarray, source: str, target: str) -> np.ndarray:
    """`pixels` converted from the format `source` to `target`; the same array when they are equal."""
    if source == target:
        return pixels
    if source == "bgrx":
        return converted(_reversed(pixels, 3), "rgb", target)
    if target == "bgrx":
        return _reversed(converted(pixels, source, "rgb"), 4)
    out = np.empty_like(pixels)
    if target == "yuv":
        mix(pixels, RGB_TO_YUV, np.array(YUV_BLACK), out)
    else:
        mix(pixels, YUV_TO_RGB, -YUV_TO_RGB @ YUV_BLACK, out)
    return out


def _reversed(pixels: np.ndarray, channels: int) -> np.ndarray:
    """R, G, B from B, G, R or the other way round; a fourth channel is 255."""
    out = np.full(pixels.shape[:2] + (channels,), 255, np.uint8)
    for channel in range(3):  # strided copies: a single one is three to six times slower in NumPy
        out[..., channel] = pixels[..., 2 - channel]
    return out


def mix(pixels: np.ndarray, matrix: np.ndarray, offset: np.ndarray, out: np.ndarray) -> None:
    """out = matrix (3, 3) @ each pixel of `pixels` (H, W, 3) + `offset` (3,), rounded and clipped to bytes.

    Works on a few rows at a time, so nothing as large as a frame is allocated.
    """
    transposed = matrix.T.astype(np.float32)
    row_offset = np.tile(np.float32(offset + 0.5), (pixels.shape[1], 1))
    source, made = np.empty((2, _ROWS) + pixels.shape[1:], np.float32)
    for row in range(0, len(pixels), _ROWS):
        rows = pixels[row : row + _ROWS]
        x, y = source[: len(rows)], made[: len(rows)]
        np.copyto(x, rows)
        np.matmul(x.reshape(-1, 3), transposed, out=y.reshape(-1, 3))
        y += row_offset
        np.clip(y, 0, 255, out=y)
        np.copyto(out[row : row + _ROWS], y, casting="unsafe")


class Mailbox(Generic[Item]):
    """One slot between two threads. The latest item wins; `dropped` counts those that were replaced before any get."""

    def __init__(self) -> None:
        self.dropped = 0
        self._item: Optional[Item] = None
        self._full = False
        self._closed = False
        self._changed = threading.Condition()

    def put(self, item: Item, block: bool = False) -> bool:
        """Put `item`, replacing one that is still there; or, with `block`, wait until that one is taken.

        Returns False when the mailbox is closed.
        """
        with self._changed:
            if block:
                self._changed.wait_for(lambda: self._closed or not self._full)
            if self._closed:
                return False
            self.dropped += self._full
            self._item, self._full = item, True
            self._changed.notify_all()
            return True

    def get(self, timeout: Optional[float] = None) -> Optional[Item]:
        """Wait for an item and take it. Returns None when closed and empty, or after `timeout` seconds."""
        with self._changed:
            self._changed.wait_for(lambda: self._closed or self._full, timeout)
            item, self._item, self._full = self._item, None, False
            self._changed.notify_all()
            return item

    def close(self) -> None:
        """Accept no more items. One that is there can still be taken."""
        with self._changed:
            self._closed = True
            self._changed.notify_all()

    def abort(self) -> None:
        """Close, and discard an item that is there."""
        with self._changed:
            self._closed = True
            self._item, self._full = None, False
            self._changed.notify_all()
