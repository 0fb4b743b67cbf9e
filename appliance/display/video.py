"""An .mp4 file as a display: H.264 that any browser plays. Needs PyAV."""

import contextlib
from fractions import Fraction
from typing import Any, Iterator

import numpy as np

from ..errors import Problem
from ..files import FilePath, Pending, cannot_write
from ..frames import Frame

_TIME_BASE = Fraction(1, 90000)


class VideoDisplay:
    """Writes the film to `path`, which has it all when finished. Frames keep their times; the first is at 0."""

    formats = ("rgb",)

    def __init__(self, path: FilePath):
        try:
            import av
        except ImportError as error:
            raise Problem("video files need PyAV: pip install av, or name a folder for pictures") from error
        av.logging.set_level(av.logging.PANIC)
        self._av: Any = av
        self._path = path
        self._file = Pending(path)
        self._container: Any = None  # from the first frame on
        self._stream: Any = None
        self._start = 0.0

    def show(self, frame: Frame) -> bool:
        with self._problems():
            if self._container is None:
                self._begin(frame)
            picture = self._av.VideoFrame.from_ndarray(_even(frame.pixels), format="rgb24")
            picture.time_base = _TIME_BASE
            picture.pts = round((frame.timestamp - self._start) / _TIME_BASE)
            self._container.mux(self._stream.encode(picture))
        return True

    def finish(self) -> None:
        if self._container is None:
            self.discard()
            raise Problem(f"cannot write {self._path}: there was no frame to show")
        with self._problems():
            self._container.mux(self._stream.encode(None))
            self._container.close()
            self._container = None
        self._file.commit()

    def discard(self) -> None:
        if self._container is not None:
            with contextlib.suppress(Exception):  # it cannot be closed well, and need not be
                self._container.close()
            self._container = None
        self._file.discard()

    def _begin(self, frame: Frame) -> None:
        height, width = _even(frame.pixels).shape[:2]
        self._container = self._av.open(str(self._file.path), "w", format="mp4", options={"movflags": "+faststart"})
        self._stream = self._container.add_stream("libx264", rate=30, options={"preset": "veryfast", "crf": "20"})
        self._stream.width, self._stream.height, self._stream.pix_fmt = width, height, "yuv420p"
        self._stream.codec_context.time_base = _TIME_BASE
        self._start = frame.timestamp

    @contextlib.contextmanager
    def _problems(self) -> Iterator[None]:
        try:
            yield
        except OSError as error:
            raise cannot_write(self._path, error) from error
        except ValueError as error:  # PyAV: no such encoder, or a frame that it refuses
            raise Problem(f"cannot write {self._path}: {error}: reinstall av, or name a folder for pictures") from error


def _even(pixels: np.ndarray) -> np.ndarray:
    """`pixels` (H, W, 3) with the last row and column repeated where H or W is odd: yuv420p needs even sizes."""
    height, width = pixels.shape[:2]
    if height % 2 or width % 2:
        return np.pad(pixels, ((0, height % 2), (0, width % 2), (0, 0)), mode="edge")
    return pixels
