"""A Video4Linux2 camera that gives YUYV. Absent, unplugged or stalled, it is retried indefinitely."""

import contextlib
import glob
import os
import threading
import time
from typing import Any, Dict, Generator, List, NamedTuple, Optional

from ..errors import Problem
from ..frames import Frame, Size
from ..memory import Memory
from .pictures import natural_key
from .stream import FPS, SIZE, NotACamera, Stream, explained, import_v4l2
from .yuyv import yuyv_to_rgb, yuyv_to_yuv

ALIAS = "/dev/reconet-camera"
STALLED = 2.0  # seconds without a picture
BACKOFF = (0.5, 10.0)  # seconds between tries: the first, doubling to the last


class State(NamedTuple):
    """What a camera is doing. `fault`: in one line why there is no picture, None while there is one. `path`: the device
    in use, None without one; `given`: the size and rate that it gives, in words."""

    fault: Optional[str] = None
    path: Optional[str] = None
    given: str = ""


class V4l2Camera:
    """The first that works of `device`, /dev/reconet-camera and /dev/video*, asked for `size` (width, height) and fps.

    Frames are RGB of the camera's size, or, while `yuv_size` (width, height) is set and the camera gives at least twice
    that, YUV of that size (yuyv_to_yuv), with `made_for` set to it. It may be set at any time. `state` may be read from
    any thread; `fault` and `path` are those of `state`. A frame's memory is used again once nobody holds its pixels.
    """

    live = True
    monotonic = True  # timestamps: when the light fell

    def __init__(
        self,
        device: Optional[str] = None,
        size: Size = SIZE,
        fps: int = FPS,
        yuv_size: Optional[Size] = None,
    ):
        import_v4l2()
        self.yuv_size = yuv_size
        self.state = State()
        self._memory = Memory()
        self.configure(device, size, fps)

    def configure(self, device: Optional[str], size: Size = SIZE, fps: int = FPS) -> None:
        """Ask for another device, size or rate. Safe from any thread: the camera is opened again if they differ."""
        self.fps = float(fps)
        self._wanted = (device, size, fps)

    @property
    def fault(self) -> Optional[str]:
        return self.state.fault

    @property
    def path(self) -> Optional[str]:
        return self.state.path

    def frames(self, stop: threading.Event) -> Generator[Frame, None, None]:
        index, last, wait = 0, 0.0, BACKOFF[0]
        while not stop.is_set():
            wanted, devices = self._wanted, _devices()
            try:
                with contextlib.closing(open_first(*wanted)) as stream, explained(stream.path):
                    self.fps = stream.fps
                    running = State(None, stream.path, "{}x{} at {:g} fps".format(*stream.size, stream.fps))
                    self.state = running._replace(fault=self.state.fault)  # until there is a picture
                    while wanted == self._wanted:
                        buffer = self._newest(stream, stop, wait, devices)
                        if buffer is None:
                            wait = min(2 * wait, BACKOFF[1])
                            break
                        last = max(stream.timestamp(buffer), last + 1e-6)
                        frame = self._frame(stream, buffer.index, last, index)
                        stream.queue(buffer)
                        self.state, wait = running, BACKOFF[0]
                        yield frame
                        index += 1
            except Problem as problem:
                self.state = State(str(problem))
                wait = BACKOFF[0] if _rest(stop, wait, devices) else min(2 * wait, BACKOFF[1])

    def _newest(self, stream: Stream, stop: threading.Event, wait: float, devices: List[str]) -> Any:
        """The newest buffer, a v4l2_buffer. None when `stop` is set, or when a stalled camera is to be opened again.

        A stalled camera may resume by itself: so it is listened to for `wait` seconds, or until other devices than
        `devices` are there.
        """
        buffer = stream.newest(stop, STALLED)
        if buffer is None and not stop.is_set():
            self.state = State(f"{stream.path} gave no picture for {STALLED:.0f} seconds: check its cable")
            end = time.monotonic() + wait
            while buffer is None and time.monotonic() < end and not stop.is_set() and _devices() == devices:
                buffer = stream.newest(stop, min(BACKOFF[0], end - time.monotonic()))
        return buffer

    def _frame(self, stream: Stream, buffer: int, timestamp: float, index: int) -> Frame:
        size = self.yuv_size
        if size and 2 * size[0] <= stream.size[0] and 2 * size[1] <= stream.size[1]:
            pixels = self._memory.array((size[1], size[0], 3))
            yuyv_to_yuv(stream.pictures[buffer], pixels, stream.colour.full_range)
            return Frame(pixels, timestamp, index, "yuv", made_for=size)
        pixels = self._memory.array((stream.size[1], stream.size[0], 3))
        yuyv_to_rgb(stream.pictures[buffer], pixels, stream.colour)
        return Frame(pixels, timestamp, index)


def _devices() -> List[str]:
    return glob.glob("/dev/video*")


def _rest(stop: threading.Event, seconds: float, devices: List[str]) -> bool:
    """Wait for `seconds`, or until other devices than `devices` are there. Returns whether there are."""
    while seconds > 0 and not stop.wait(min(seconds, BACKOFF[0])):
        if _devices() != devices:
            return True
        seconds -= BACKOFF[0]
    return False


def open_first(device: Optional[str], size: Size = SIZE, fps: int = FPS) -> Stream:
    """The first that works of `device`, the alias and all video devices. Raises Problem: why the first one does not."""
    paths = ([device] if device else []) + glob.glob(ALIAS) + sorted(_devices(), key=natural_key)
    once: Dict[str, str] = {}
    problems: List[Problem] = []
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
