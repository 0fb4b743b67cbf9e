"""An .mp4 file as a display: H.264 that any browser plays, with the source's sound. Needs PyAV."""

import contextlib
import io
from fractions import Fraction
from typing import Any, Callable, Dict, Iterator, List, Optional

import numpy as np

from .. import pyav
from ..errors import Problem
from ..files import FilePath, Pending, cannot_write
from ..frames import Frame, Size, converted, cover
from ..scaler import BT709, Scaler

_FORMATS = {"rgb": "rgb24", "bgrx": "bgra"}  # FFmpeg's names
_TIME_BASE = Fraction(1, 90000)
_LAST = 1 / 30  # seconds: duration of the last frame when the source has none
_BT709, _LIMITED = 1, 1  # ITU-T H.273: the colours of HD, Y from 16 to 235


class VideoDisplay:
    """Writes the film to `path`, which appears when it is complete.

    Frames keep their times; the first is at 0. All have the size of the first: others are scaled and cropped to it.
    `sound` is a camera.sound.Sound. A stream that an .mp4 cannot hold is left out, and `warn` gets one line.
    """

    formats = tuple(_FORMATS)
    draws = False
    one_size = True

    def __init__(self, path: FilePath, sound: Any = None, warn: Callable[[str], None] = lambda text: None):
        self._av = pyav.imported("name a folder for pictures")
        self._path, self._sound = path, sound
        self._scale = Scaler()
        self._tracks = self._taken(warn)
        self._file = Pending(path)
        self._file.check_room()
        self._container: Any = None  # from the first frame on
        self._stream: Any = None
        self._copies: Dict[int, Any] = {}  # by the source's stream
        self._copied: Dict[int, int] = {}  # the last packet's time, in the source stream's time base
        self._durations: Dict[int, int] = {}  # of the frames in the encoder, by time
        self._size: Size = (0, 0)
        self._start = self._end = 0.0

    def show(self, frame: Frame) -> bool:
        with self._problems():
            if self._container is None:
                self._begin(frame)
            # After the picture: some players drop sound that comes before the first picture.
            self._encode(frame)
            self._copy(frame.timestamp)
        return True

    def finish(self) -> None:
        if self._container is None:
            self.discard()
            raise Problem(f"cannot write {self._path}: there was no frame to show")
        with self._problems():
            self._mux(self._stream.encode(None))
            self._copy(self._end if self._sound and self._sound.shortened else None)
            self._container.close()
            self._container = None
        self._file.commit()
        self._silence()

    def discard(self) -> None:
        if self._container is not None:
            with contextlib.suppress(Exception):  # an unfinished file cannot always be closed, and is removed anyway
                self._container.close()
            self._container = None
        self._file.discard()
        self._silence()

    def _begin(self, frame: Frame) -> None:
        height, width = frame.pixels.shape[:2]
        self._size = width, height
        self._container = self._av.open(str(self._file.path), "w", format="mp4", options={"movflags": "+faststart"})
        self._stream = self._container.add_stream("libx264", rate=30, options={"preset": "superfast", "crf": "20"})
        # yuv420p needs even sizes.
        self._stream.width, self._stream.height, self._stream.pix_fmt = (
            width + width % 2,
            height + height % 2,
            "yuv420p",
        )
        context = self._stream.codec_context
        context.thread_count = 1  # fast enough beside any network, and the least memory
        context.time_base = _TIME_BASE
        context.colorspace = context.color_primaries = context.color_trc = _BT709
        context.color_range = _LIMITED
        for track in self._tracks:
            self._copies[track.index] = self._container.add_stream_from_template(track)
        self._start = frame.timestamp

    def _encode(self, frame: Frame) -> None:
        pixels, kind = frame.pixels, frame.format
        if pixels.shape[1::-1] != self._size:
            pixels, kind = cover(converted(pixels, kind, "rgb"), self._size), "rgb"
        pixels = np.ascontiguousarray(_even(pixels))
        whole = self._av.VideoFrame.from_numpy_buffer(pixels, format=_FORMATS[kind])
        picture = self._scale(whole, "yuv420p", (whole.width, whole.height), target=BT709)
        picture.time_base = _TIME_BASE
        picture.pts = round((frame.timestamp - self._start) / _TIME_BASE)
        self._end = frame.timestamp + (frame.duration or _LAST)
        self._durations[picture.pts] = round((self._end - frame.timestamp) / _TIME_BASE)
        self._mux(self._stream.encode(picture))

    def _mux(self, packets: Any) -> None:
        for packet in packets:
            # The muxer takes a duration from the next frame's time, but the last frame's from here.
            packet.duration = self._durations.pop(packet.pts, 0)
            self._container.mux(packet)

    # Sound

    def _taken(self, warn: Callable[[str], None]) -> List[Any]:
        """The sound streams that an .mp4 can hold."""
        taken, streams = [], self._sound.streams if self._sound else []
        for number, stream in enumerate(streams, 1):
            try:
                with self._av.open(io.BytesIO(), "w", format="mp4") as trial:
                    trial.add_stream_from_template(stream)
                    trial.start_encoding()
                taken.append(stream)
            except (OSError, ValueError, AttributeError, TypeError):  # the last two from a codec unknown to PyAV
                what = "the sound" if len(streams) == 1 else f"sound track {number}"
                codec = getattr(stream.codec_context, "name", None) or "its codec"
                warn(f"{what} is left out: an .mp4 does not hold {codec}")
        return taken

    def _copy(self, end: Optional[float]) -> None:
        """Copy the sound up to `end`, in seconds of the source; None copies the rest."""
        if not self._copies:
            return
        for packet in self._sound.packets(self._start, end):
            index = packet.stream.index
            if index not in self._copies or packet.dts <= self._copied.get(index, packet.dts - 1):
                continue  # muxers refuse packets that go back in time, as in some cut films
            self._copied[index] = packet.dts
            packet.stream = self._copies[index]
            self._container.mux(packet)

    def _silence(self) -> None:
        if self._sound:
            self._sound.close()
            self._copies = {}

    @contextlib.contextmanager
    def _problems(self) -> Iterator[None]:
        try:
            yield
        except OSError as error:
            raise cannot_write(self._path, error) from error
        except ValueError as error:  # PyAV: a missing encoder, or a frame that it refuses
            raise Problem(f"cannot write {self._path}: {error}: reinstall av, or name a folder for pictures") from error


def _even(pixels: np.ndarray) -> np.ndarray:
    """`pixels` (H, W, C) with the last row and column repeated where H or W is odd: yuv420p needs even sizes."""
    height, width = pixels.shape[:2]
    if height % 2 or width % 2:
        return np.pad(pixels, ((0, height % 2), (0, width % 2), (0, 0)), mode="edge")
    return pixels
