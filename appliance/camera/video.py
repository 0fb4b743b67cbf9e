"""A video file as a camera: every frame, at its own time. Needs PyAV."""

import os
import threading
from typing import Any, Generator, Optional

import numpy as np

from ..errors import Problem
from ..files import FilePath
from ..frames import Frame, Size


class VideoCamera:
    """The first video stream of the file at `path`, upright and with square pixels."""

    live = monotonic = False

    def __init__(self, path: FilePath):
        self.yuv_size: Optional[Size] = None
        self._av = import_av()
        self._path = path
        if not os.path.isfile(str(path)):
            raise Problem(f"{path} is no video file: name a file, a folder of pictures, or virtual")
        if not os.path.getsize(str(path)):
            raise Problem(f"{path} is empty: choose another video")
        try:
            # file: and the whitelist keep a playlist in disguise from opening anything else.
            self._container = self._av.open(
                "file:" + os.path.abspath(str(path)), options={"protocol_whitelist": "file"}
            )
        except (OSError, ValueError) as error:  # PyAV's errors are OSErrors and ValueErrors too
            raise self._problem(error) from error
        if not self._container.streams.video:
            self._container.close()
            raise Problem(f"{path} has no video stream: choose another file")
        self._stream = self._container.streams.video[0]
        self._stream.thread_type = "AUTO"
        self.fps = float(self._stream.average_rate or self._stream.guessed_rate or 30)

    def frames(self, stop: threading.Event) -> Generator[Frame, None, None]:
        index = -1
        last: Optional[float] = None
        try:
            for index, picture in enumerate(self._container.decode(self._stream)):
                if stop.is_set():
                    return
                timestamp = picture.time
                if timestamp is None or last is not None and timestamp <= last:
                    timestamp = 0.0 if last is None else last + 1 / self.fps
                last = timestamp
                yield Frame(_upright(picture, self._stream.sample_aspect_ratio), timestamp, index)
        except (OSError, ValueError) as error:
            raise self._problem(error, f" after frame {index + 1}") from error
        finally:
            self._container.close()
        if index < 0:
            raise Problem(f"{self._path} has no frames: choose another video")

    def _problem(self, error: Exception, where: str = "") -> Problem:
        why = (getattr(error, "strerror", None) or str(error)).lower()
        if isinstance(error, self._av.error.InvalidDataError):
            why = "not a video, or damaged"
        return Problem(f"cannot read {self._path}{where}: {why}: choose another video")


def _upright(picture: Any, pixel_aspect: Any) -> np.ndarray:
    """The decoded frame as uint8 RGB (H, W, 3), with square pixels, turned as its display matrix says."""
    width = max(1, round(picture.width * (pixel_aspect or 1)))
    pixels = picture.reformat(width=width, height=picture.height, format="rgb24").to_ndarray()
    quarters = round(getattr(picture, "rotation", 0) / 90) % 4
    return np.ascontiguousarray(np.rot90(pixels, quarters)) if quarters else pixels


def import_av() -> Any:
    """PyAV. Raises Problem when it is not installed."""
    try:
        import av
    except ImportError as error:
        raise Problem("video files need PyAV: pip install av, or use a folder of pictures") from error
    av.logging.set_level(av.logging.PANIC)
    return av
