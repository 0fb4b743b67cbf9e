"""A film as a camera: every frame, at its own time. Needs PyAV."""

import contextlib
import os
import threading
from typing import Any, Callable, Generator, Iterator, List, Optional, Tuple

import numpy as np

from .. import pyav
from ..errors import Problem
from ..files import FilePath
from ..frames import Frame, Size
from ..memory import Memory
from ..scaler import BT601, BT709, Scaler
from . import hdr, orientation

_HD = 720  # rows: from this height, a film without a stated colour space is BT.709
_UNSPECIFIED = 2  # matrix coefficients of ITU-T H.273
_COVER, _TILE = 0x400, 0x80000  # AV_DISPOSITION_ATTACHED_PIC and _DEPENDENT of avformat.h
_THREADS = 4  # of the decoder: each holds a frame or two


class VideoCamera:
    """The first video stream of the file at `path`, upright, with square pixels and the colours of BT.709.

    `seconds` is the film's duration, None when it is not stated. `reduced`, when set, maps a frame's size (width,
    height) to the size needed: the frame is then scaled until it covers that, cropped to its centre, and
    `Frame.made_for` is set. `format`, "rgb" or "yuv", is the one wanted; frames that are HDR are "rgb" all the same.
    """

    live = monotonic = False

    def __init__(self, path: FilePath):
        self.yuv_size: Optional[Size] = None
        self.reduced: Optional[Callable[[Size], Size]] = None
        self.format = "rgb"
        self._path = path
        self._container = opened(path)
        self._scale, self._memory = Scaler(), Memory()
        streams = pictures_of(self._container)
        if not streams:
            self._container.close()
            raise Problem(f"{path} has no video stream: choose another file")
        if any(_is(stream, _TILE) for stream in streams):
            self._container.close()
            raise Problem(
                f"cannot read {path}: the picture is stored in tiles: pip install pillow-heif, or save it as JPEG"
            )
        self._stream = streams[0]
        self._stream.thread_type = "AUTO"
        self._stream.codec_context.thread_count = min(_THREADS, os.cpu_count() or 1)
        self.fps = float(self._stream.average_rate or self._stream.guessed_rate or 30)
        self._signs: Any = None
        self._look: Tuple[orientation.Orientation, Optional[hdr.ToneMap]] = (orientation.UPRIGHT, None)
        self.seconds = _seconds(self._container, self._stream)

    def frames(self, stop: threading.Event) -> Generator[Frame, None, None]:
        index = -1
        last: Optional[float] = None
        try:
            with reading(self._path, lambda: f" after frame {index + 1}" if index >= 0 else ""):
                for index, picture in enumerate(self._container.decode(self._stream)):
                    if stop.is_set():
                        return
                    timestamp = picture.time
                    if timestamp is None or last is not None and timestamp <= last:
                        timestamp = 0.0 if last is None else last + 1 / self.fps
                    last = timestamp
                    yield self._frame(picture, timestamp, index)
        finally:
            self._container.close()
        if index < 0:
            raise Problem(f"{self._path} has no frames: choose another video")

    def _frame(self, picture: Any, timestamp: float, index: int) -> Frame:
        turn, mapped = self._looks(picture)
        size = max(1, round(picture.width * (self._stream.sample_aspect_ratio or 1))), picture.height
        seen = size[::-1] if turn.transpose else size
        wanted = self.reduced(seen) if self.reduced else None
        if wanted:
            scale = max(wanted[0] / seen[0], wanted[1] / seen[1])
            size = max(1, round(size[0] * scale)), max(1, round(size[1] * scale))
        duration = getattr(picture, "duration", None)  # PyAV returns 0 when the file does not state it
        seconds = float(duration * picture.time_base) if duration and picture.time_base else None
        kind = "rgb" if mapped else self.format
        pixels = turn(self._pixels(picture, size, mapped))
        return Frame(_centre(pixels, wanted) if wanted else pixels, timestamp, index, kind, wanted, seconds)

    def _pixels(self, picture: Any, size: Size, mapped: Optional[hdr.ToneMap]) -> np.ndarray:
        """The decoded frame as uint8 (H, W, 3) of `size`, before any rotation."""
        matrix = BT709 if picture.colorspace == _UNSPECIFIED and picture.height >= _HD else None
        if mapped or self.format == "rgb":
            rgb: np.ndarray = self._scale(picture, "rgb48le" if mapped else "rgb24", size, matrix).to_ndarray()
            return mapped(rgb) if mapped else rgb
        planes = self._memory.array((3, size[1], size[0]))
        for plane, out in zip(self._scale(picture, "yuv444p", size, matrix, BT601).planes, planes):
            out[:] = np.frombuffer(plane, np.uint8).reshape(-1, plane.line_size)[:, : size[0]]
        pixels: np.ndarray = planes.transpose(1, 2, 0)
        return pixels

    def _looks(self, picture: Any) -> Tuple[orientation.Orientation, Optional[hdr.ToneMap]]:
        """The frame's orientation, and its tone map if it is HDR. Both come from side data. In PyAV, side data and
        frame refer to each other, so a frame whose side data was read lives until the garbage collector runs. To avoid
        that, side data is read only when the rotation or transfer function changes."""
        signs = getattr(picture, "rotation", 0), getattr(picture, "color_trc", None)
        if signs != self._signs:
            self._signs, self._look = signs, (orientation.of_picture(picture), hdr.tone_map(picture))
        return self._look


def _centre(pixels: np.ndarray, size: Size) -> np.ndarray:
    """The middle of `pixels` (H, W, 3), of `size`."""
    left, top = (pixels.shape[1] - size[0]) // 2, (pixels.shape[0] - size[1]) // 2
    return pixels[top : top + size[1], left : left + size[0]]


def pictures_of(container: Any) -> List[Any]:
    """The video streams, without cover art."""
    return [stream for stream in container.streams.video if not _is(stream, _COVER)]


def _is(stream: Any, disposition: int) -> bool:
    flags = getattr(stream, "disposition", 0)
    return bool(getattr(flags, "value", flags) & disposition)  # PyAV has had ints and two kinds of enum


def _seconds(container: Any, stream: Any) -> Optional[float]:
    if stream.duration and stream.time_base:
        return float(stream.duration * stream.time_base)
    return container.duration / 1e6 if container.duration else None


def opened(path: FilePath) -> Any:
    """The PyAV container of the file at `path`. Raises Problem."""
    av = _pyav()
    if not os.path.isfile(str(path)):
        raise Problem(f"{path} is not a video file: name a file, a folder of pictures, or virtual")
    if not os.path.getsize(str(path)):
        raise Problem(f"{path} is empty: choose another video")
    with reading(path):
        # file: and the whitelist keep a disguised playlist from opening anything else.
        return av.open("file:" + os.path.abspath(str(path)), options={"protocol_whitelist": "file"})


@contextlib.contextmanager
def reading(path: FilePath, where: Callable[[], str] = lambda: "") -> Iterator[None]:
    """Turn PyAV's errors, which are also OSErrors or ValueErrors, into a Problem that names `path`."""
    try:
        yield
    except (OSError, ValueError) as error:
        why = (getattr(error, "strerror", None) or str(error)).lower()
        if isinstance(error, _pyav().error.InvalidDataError):
            why = "not a video, or damaged"
        raise Problem(f"cannot read {path}{where()}: {why}: choose another video") from error


def _pyav() -> Any:
    return pyav.imported("use a folder of pictures")
