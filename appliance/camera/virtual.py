"""The virtual camera: slow pans and zooms over photographs, with cross-fades, endlessly.

Frame k is always the same picture, so results are comparable between runs.
"""

import threading
import time
from pathlib import Path
from typing import Generator, Optional, Tuple

import numpy as np
from PIL import Image

from ..frames import Frame, Size
from .pictures import read_picture
from .v4l2 import State, Wanted

SIZE = (640, 360)
FPS = 30.0
_SHOT = 96
_FADE = 18
# Photograph; then the first and last view of the shot: centre x and y, and width, as fractions of the photograph.
_SHOTS = (
    ("raccoon.jpg", (0.46, 0.42, 0.92), (0.58, 0.46, 0.72)),
    ("astronaut.jpg", (0.45, 0.30, 0.72), (0.52, 0.40, 0.98)),
    ("rocket.jpg", (0.44, 0.55, 0.80), (0.52, 0.60, 0.96)),
    ("coffee.jpg", (0.60, 0.46, 0.94), (0.66, 0.42, 0.66)),
    ("cat.jpg", (0.52, 0.44, 0.82), (0.46, 0.42, 0.98)),
)


class VirtualCamera:
    """640x360 at 30 fps. `paced`: in real time, dropping frames when the reader is slow; else as fast as the reader."""

    fps, monotonic = FPS, False

    def __init__(self, paced: bool = True):
        self.live = paced
        self.yuv_size: Optional[Size] = None
        folder = Path(__file__).with_name("photos")
        self._photos = [Image.fromarray(read_picture(folder / name)) for name, _, _ in _SHOTS]

    def frames(self, stop: threading.Event) -> Generator[Frame, None, None]:
        start, index = time.monotonic(), 0
        while not stop.is_set():
            if self.live:
                # The next frame whose time has not passed.
                index = max(index, int((time.monotonic() - start) * FPS))
                if stop.wait(max(0.0, start + index / FPS - time.monotonic())):
                    return
            yield Frame(self.picture(index), index / FPS, index)
            index += 1

    def picture(self, index: int) -> np.ndarray:
        """Frame `index`, uint8 RGB (360, 640, 3)."""
        shot, at = divmod(index, _SHOT)
        picture = self._view(shot, at)
        if at < _FADE and shot:
            weight = (at + 1) / (_FADE + 1)
            picture = Image.blend(self._view(shot - 1, _SHOT + at), picture, weight)
        return np.asarray(picture)

    def _view(self, shot: int, at: int) -> Image.Image:
        """Shot number `shot` at its frame `at`, which may lie in the fade after it."""
        number = shot % len(_SHOTS)
        photo, (_, begin, end) = self._photos[number], _SHOTS[number]
        progress = at / (_SHOT + _FADE)
        x, y, width = (a + (b - a) * progress for a, b in zip(begin, end))
        # Pillow resamples from a box with fractional edges, so the motion is smooth below one pixel.
        return photo.resize(SIZE, Image.Resampling.BICUBIC, box=_box(photo.size, x, y, width))


class VirtualDevice(VirtualCamera):
    """The virtual camera as a device for the daemon: it has a device's state, and never a fault."""

    def __init__(self, wanted: Wanted) -> None:
        super().__init__()
        self.state = State(None, "virtual", "{}x{} at {:g} fps".format(*SIZE, FPS))

    fault: Optional[str] = None

    def configure(self, wanted: Wanted) -> None:
        """Does nothing: the virtual camera has no options."""


def _box(size: Tuple[int, int], x: float, y: float, width: float) -> Tuple[float, float, float, float]:
    """A 16:9 box around the given centre, moved inside the photograph where it extends beyond it."""
    box_width = min(width * size[0], size[1] * SIZE[0] / SIZE[1])
    box_height = box_width * SIZE[1] / SIZE[0]
    left = min(max(x * size[0] - box_width / 2, 0.0), size[0] - box_width)
    top = min(max(y * size[1] - box_height / 2, 0.0), size[1] - box_height)
    return left, top, left + box_width, top + box_height
