"""Frames, their geometry, and the single-slot mailbox that hands them from thread to thread."""

import threading
from dataclasses import dataclass
from typing import Any, Optional, Tuple

import numpy as np
from PIL import Image


@dataclass(frozen=True)
class Frame:
    """`pixels`: uint8 (height, width, channels) in `format`: "rgb", "yuv" (BT.601, limited range) or "bgrx".

    `timestamp`: seconds, strictly increasing; `index`: from 0.
    """

    pixels: np.ndarray
    timestamp: float
    index: int
    format: str = "rgb"


def cover(pixels: np.ndarray, size: Tuple[int, int]) -> np.ndarray:
    """Scale uint8 RGB `pixels` (H, W, 3) until they cover `size` (width, height) and crop to its centre."""
    height, width = pixels.shape[:2]
    if (width, height) == tuple(size):
        return pixels
    scale = max(size[0] / width, size[1] / height)
    crop_width, crop_height = size[0] / scale, size[1] / scale
    left, top = (width - crop_width) / 2, (height - crop_height) / 2
    box = (max(left, 0.0), max(top, 0.0), min(left + crop_width, width), min(top + crop_height, height))
    return np.asarray(Image.fromarray(pixels).resize(size, Image.BILINEAR, box=box))


class Mailbox:
    """One slot between two threads. The latest item wins; `dropped` counts those that nobody took."""

    def __init__(self):
        self.dropped = 0
        self._item: Any = None
        self._full = False
        self._closed = False
        self._changed = threading.Condition()

    def put(self, item: Any, block: bool = False) -> bool:
        """Leave `item`, in place of one that is still there; or, with `block`, wait until that one is taken.

        False when the mailbox is closed: nobody will take it.
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

    def get(self, timeout: Optional[float] = None) -> Any:
        """Wait for an item and take it. None when the mailbox is closed and empty, or after `timeout` seconds."""
        with self._changed:
            self._changed.wait_for(lambda: self._closed or self._full, timeout)
            item, self._item, self._full = self._item, None, False
            self._changed.notify_all()
            return item

    def close(self) -> None:
        """Take no more items. What is there can still be taken."""
        with self._changed:
            self._closed = True
            self._changed.notify_all()

    def abort(self) -> None:
        """Close, and throw away what is there."""
        with self._changed:
            self._closed = True
            self._item, self._full = None, False
            self._changed.notify_all()
