"""A Video4Linux2 camera. Absent, unplugged or stalled, it is retried indefinitely."""

import contextlib
import glob
import os
import threading
import time
from typing import Any, Dict, Generator, List, NamedTuple, Optional, Tuple

from .. import config
from ..errors import Problem
from ..frames import Frame, Size
from ..memory import Memory
from .pictures import natural_key
from .reading import Reader
from .sizes import described
from .stream import FPS, NETWORK, NotACamera, Stream, explained, import_v4l2

ALIAS = "/dev/reconet-camera"
STALLED = 2.0  # seconds without a picture until a camera counts as stalled
BACKOFF = (0.5, 10.0)  # seconds between attempts: the first, doubling up to the last


class State(NamedTuple):
    """The state of a camera. `fault`: one line that says why there is no picture; None while there is one. `path`: the
    device in use, or None. `given`: the size and rate that it delivers, in words. `fits`: the sizes of LADDER that an
    integer factor gives from a size that it offers; None when unknown."""

    fault: Optional[str] = None
    path: Optional[str] = None
    given: str = ""
    fits: Optional[Tuple[Size, ...]] = None


class Wanted(NamedTuple):
    """What to ask for: a device, None for the first; a size (width, height), None for the one that suits the network;
    frames per second; whether to swap left and right; a format of sizes.FORMATS, None for the one that suits best."""

    device: Optional[str] = None
    size: Optional[Size] = None
    fps: int = FPS
    mirror: bool = False
    pixels: Optional[str] = None


class LiveCamera:
    """The common part of cameras that are reopened when they fail or when their configuration changes."""

    live = True
    monotonic = True  # timestamps are on the clock of time.monotonic

    def __init__(self, wanted: Optional[Wanted] = None, yuv_size: Optional[Size] = None):
        self.yuv_size = yuv_size
        self.state = State()
        self._memory = Memory()
        self.configure(wanted or Wanted())

    def configure(self, wanted: Wanted) -> None:
        """Change what to ask for; the camera is reopened if it differs. Safe from any thread."""
        self.fps = float(wanted.fps)
        self._wanted = wanted

    @property
    def fault(self) -> Optional[str]:
        return self.state.fault

    @property
    def path(self) -> Optional[str]:
        return self.state.path


class V4l2Camera(LiveCamera):
    """The first camera that works, of the wanted device, /dev/reconet-camera and /dev/video*.

    Frames are YUV of `yuv_size` (width, height), the size of a network's input, with `made_for` set to it; if that is
    None, RGB of the camera's size; if it is (0, 0), empty. It may be set at any time. `state` may be read from any
    thread; `fault` and `path` are parts of it. A frame's memory is reused once its pixels are no longer referenced.
    """

    def __init__(self, wanted: Optional[Wanted] = None, yuv_size: Optional[Size] = None):
        import_v4l2()
        super().__init__(wanted, yuv_size)

    def frames(self, stop: threading.Event) -> Generator[Frame, None, None]:
        index, last, wait = 0, 0.0, BACKOFF[0]
        while not stop.is_set():
            wanted, devices = self._wanted, _devices()
            asked = self.yuv_size
            network = asked if asked and all(asked) else NETWORK
            try:
                with contextlib.closing(open_first(wanted, network)) as stream, explained(stream.path):
                    self.fps, reader, fits = stream.fps, Reader(stream, wanted.mirror), stream.fits()
                    # The fault stays until a picture comes.
                    self.state = State(self.state.fault, stream.path, given(stream), fits)
                    good = time.monotonic()  # time of the last good picture
                    while wanted == self._wanted:
                        asked = self.yuv_size
                        if asked and all(asked) and asked != network:
                            network = asked
                            if stream.choice(network) != stream.asked:
                                break
                        buffer = self._newest(stream, stop, wait, devices)
                        if buffer is None:
                            wait = min(2 * wait, BACKOFF[1])
                            break
                        last = max(stream.timestamp(buffer), last + 1e-6)
                        frame = self._frame(stream.size, reader, buffer, last, index)
                        stream.queue(buffer)
                        if frame is None:
                            if time.monotonic() > good + STALLED:
                                raise Problem(f"{stream.path} gives damaged {stream.pixels} pictures: check its cable")
                            continue
                        good = time.monotonic()
                        self.state = State(None, stream.path, given(stream, frame.made_for), fits)
                        wait = BACKOFF[0]
                        yield frame
                        index += 1
            except Problem as problem:
                self.state = State(str(problem), fits=self.state.fits)
                wait = BACKOFF[0] if _rest(stop, wait, devices) else min(2 * wait, BACKOFF[1])

    def _newest(self, stream: Stream, stop: threading.Event, wait: float, devices: List[str]) -> Any:
        """The newest v4l2_buffer. None when `stop` is set, or when a stalled camera must be reopened.

        A stalled camera may recover by itself, so this waits for `wait` more seconds, or until the video devices are
        no longer `devices`.
        """
        buffer = stream.newest(stop, STALLED)
        if buffer is None and not stop.is_set():
            self.state = State(
                f"{stream.path} gave no picture for {STALLED:.0f} seconds: check its cable", fits=self.state.fits
            )
            end = time.monotonic() + wait
            while buffer is None and time.monotonic() < end and not stop.is_set() and _devices() == devices:
                buffer = stream.newest(stop, min(BACKOFF[0], end - time.monotonic()))
        return buffer

    def _frame(self, camera: Size, reader: Reader, buffer: Any, timestamp: float, index: int) -> Optional[Frame]:
        """The frame in `buffer`; None when it is damaged."""
        size = self.yuv_size
        width, height = camera if size is None else size
        pixels = self._memory.array((height, width, 3))
        if size is None:
            return Frame(pixels, timestamp, index) if reader.rgb(buffer, pixels) else None
        if pixels.size and not reader.yuv(buffer, pixels):
            return None
        return Frame(pixels, timestamp, index, "yuv", made_for=size)


def as_configured(settings: config.Camera) -> Wanted:
    """What the section [camera] of the configuration asks for."""
    return Wanted(
        None if settings.device in ("auto", "csi") else settings.device,
        (settings.width, settings.height) if settings.width and settings.height else None,
        settings.fps,
        settings.mirror,
        None if settings.format == "auto" else settings.format,
    )


def given(stream: Stream, network: Optional[Size] = None) -> str:
    """The camera's size and rate, in words, and how much of its view `network` sees."""
    text = "{}x{} {}at {:g} fps".format(
        *stream.size, "" if stream.pixels == "YUYV" else stream.pixels + " ", stream.fps
    )
    return f"{text}, {described(stream.size, network)}" if network and network[0] else text


def _devices() -> List[str]:
    return glob.glob("/dev/video*")


def _rest(stop: threading.Event, seconds: float, devices: List[str]) -> bool:
    """Wait for `seconds`, or until the video devices are no longer `devices`. Returns whether they changed."""
    while seconds > 0 and not stop.wait(min(seconds, BACKOFF[0])):
        if _devices() != devices:
            return True
        seconds -= BACKOFF[0]
    return False


def open_first(wanted: Wanted, network: Size = NETWORK) -> Stream:
    """The first stream that works, of the wanted device, the alias and all video devices. Raises the first Problem."""
    device = wanted.device
    paths = ([device] if device else []) + glob.glob(ALIAS) + sorted(_devices(), key=natural_key)
    once: Dict[str, str] = {}
    problems: List[Problem] = []
    for path in paths:
        once.setdefault(os.path.realpath(path), path)
    for path in once.values():
        try:
            with explained(path):
                return Stream(path, wanted.size, wanted.fps, network, wanted.pixels)
        except NotACamera as problem:
            problems += [problem] if path == device else []
        except Problem as problem:
            problems.append(problem)
    raise problems[0] if problems else Problem("no camera found: plug one in")
