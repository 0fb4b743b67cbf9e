"""A Video4Linux2 camera that gives YUYV. Absent, unplugged or stalled, it is tried again for ever."""

import contextlib
import glob
import os
import threading
import time
from typing import Iterator, Optional, Tuple

from ..errors import Problem
from ..frames import Frame
from ..memory import Memory
from .pictures import natural_key
from .stream import FPS, SIZE, NotACamera, Stream, explained, import_v4l2
from .yuyv import yuyv_to_rgb, yuyv_to_yuv

ALIAS = "/dev/reconet-camera"
STALLED = 2.0  # seconds without a picture
BACKOFF = (0.5, 10.0)  # seconds between tries: the first, doubling to the last


class V4l2Camera:
    """The first that works of `device`, /dev/reconet-camera and /dev/video*, asked for `size` (width, height) and fps.

    Frames are RGB of the camera's size, or, while `yuv_size` (width, height) is set and the camera gives at least twice
    that, YUV of that size (yuyv_to_yuv). It may be set at any time. `fault` says in one line why there is no picture,
    and is None while there is one. `path` is the device in use, `given` the size and rate that it gives. A frame's
    memory serves another frame once nobody holds its pixels.
    """

    live = True
    clock = time.monotonic  # of the frames' timestamps: when the light fell

    def __init__(
        self,
        device: Optional[str] = None,
        size: Tuple[int, int] = SIZE,
        fps: int = FPS,
        yuv_size: Optional[Tuple[int, int]] = None,
    ):
        import_v4l2()
        self.yuv_size = yuv_size
        self.fault: Optional[str] = None
        self.path: Optional[str] = None
        self.given = ""
        self._memory = Memory()
        self.configure(device, size, fps)

    def configure(self, device: Optional[str], size: Tuple[int, int] = SIZE, fps: int = FPS) -> None:
        """Ask for something else. Safe at any time: the camera is opened again where that makes a difference."""
        self.fps = float(fps)
        self._wanted = (device, tuple(size), fps)

    def frames(self, stop: threading.Event) -> Iterator[Frame]:
        index, last, wait = 0, 0.0, BACKOFF[0]
        while not stop.is_set():
            wanted = self._wanted
            try:
                with contextlib.closing(open_first(*wanted)) as stream, explained(stream.path):
                    self.path, self.fps = stream.path, stream.fps
                    self.given = "{}x{} at {:g} fps".format(*stream.size, stream.fps)
                    while wanted == self._wanted:
                        buffer = self._newest(stream, stop, wait)
                        if buffer is None:
                            wait = min(2 * wait, BACKOFF[1])
                            break
                        pixels, layout = self._copy(stream, buffer.index)
                        last = max(stream.timestamp(buffer), last + 1e-6)
                        stream.queue(buffer)
                        self.fault, self.path, wait = None, stream.path, BACKOFF[0]
                        yield Frame(pixels, last, index, layout)
                        index += 1
            except Problem as problem:
                self.fault, self.path = str(problem), None
                wait = BACKOFF[0] if _rest(stop, wait) else min(2 * wait, BACKOFF[1])

    def _newest(self, stream: Stream, stop: threading.Event, wait: float):
        """The newest buffer. None when `stop` is set, or to open a stalled camera again: it may go on by itself, so
        until its next try, or until a device comes or goes, it is listened to."""
        buffer, before = stream.newest(stop, STALLED), glob.glob("/dev/video*")
        if buffer is None and not stop.is_set():
            self.fault = f"{stream.path} gave no picture for {STALLED:.0f} seconds: check its cable"
            self.path, end = None, time.monotonic() + wait
            while (
                buffer is None and time.monotonic() < end and not stop.is_set() and glob.glob("/dev/video*") == before
            ):
                buffer = stream.newest(stop, min(BACKOFF[0], end - time.monotonic()))
        return buffer

    def _copy(self, stream: Stream, index: int):
        size = self.yuv_size
        if size and 2 * size[0] <= stream.size[0] and 2 * size[1] <= stream.size[1]:
            pixels = self._memory.array((size[1], size[0], 3))
            yuyv_to_yuv(stream.pictures[index], pixels, stream.colour.full_range)
            return pixels, "yuv"
        pixels = self._memory.array((stream.size[1], stream.size[0], 3))
        yuyv_to_rgb(stream.pictures[index], pixels, stream.colour)
        return pixels, "rgb"


def _rest(stop: threading.Event, seconds: float) -> bool:
    """Wait; gives at once whether a device was plugged in or out meanwhile."""
    before = glob.glob("/dev/video*")
    while seconds > 0 and not stop.wait(min(seconds, BACKOFF[0])):
        if glob.glob("/dev/video*") != before:
            return True
        seconds -= BACKOFF[0]
    return False


def open_first(device: Optional[str], size: Tuple[int, int] = SIZE, fps: int = FPS) -> Stream:
    """The first that works of `device`, the alias and all video devices. Raises Problem: why the first one does not."""
    paths = ([device] if device else []) + glob.glob(ALIAS) + sorted(glob.glob("/dev/video*"), key=natural_key)
    once, problems = {}, []
    for path in paths:
        once.setdefault(os.path.realpath(path), path)
    for path in once.values():
        try:
            with explained(path):
                return Stream(path, size, fps)
        except NotACamera as problem:
            problems += [problem] if path == device else []
        except Problem as problem:
            problems.append(problem)
    raise problems[0] if problems else Problem("no camera found: plug one in")
