"""A camera on a Raspberry Pi's ribbon cable, through libcamera and Picamera2 (apt: python3-picamera2).

The Pi's image processor scales each picture to the network's size, in planes of Y, U and V (the stream that Picamera2
calls lores). The CPU only copies it.
"""

import contextlib
import importlib.util
import threading
import time
from concurrent.futures import TimeoutError as NotYet
from typing import Any, Generator, List, Optional, Tuple

import numpy as np

from ..errors import Problem
from ..frames import Frame, Size
from .planar import Planar, PlanarReducer, as_yuyv, yu12
from .sizes import LADDER, described
from .v4l2 import BACKOFF, STALLED, LiveCamera, State, Wanted
from .yuyv import BT601, yuyv_to_rgb

_WHOLE = (1280, 720)  # for pictures in RGB, and while there is no network
_LOOK_S = 0.1  # between checks of the stop event
_CHECK = "rpicam-hello --list-cameras lists what libcamera finds"


def is_csi(device: str) -> bool:
    """Whether the configured `device` is a CSI camera: "csi", or "auto" if Picamera2 is installed and finds one."""
    if device != "auto" or not importlib.util.find_spec("picamera2"):
        return device == "csi"
    try:
        return bool(_cameras())
    except Exception:  # libcamera raises many kinds
        return False


def look() -> str:
    """The name of the camera, without opening it. Raises Problem when there is none."""
    return _first()[0]


class Picamera(LiveCamera):
    """The first CSI camera that libcamera finds; otherwise like V4l2Camera.

    Ignores `wanted.device` and `wanted.pixels`. Raises Problem when Picamera2 is not installed.
    """

    def __init__(self, wanted: Optional[Wanted] = None, yuv_size: Optional[Size] = None):
        _installed()
        super().__init__(wanted, yuv_size)

    def frames(self, stop: threading.Event) -> Generator[Frame, None, None]:
        index, last, wait = 0, 0.0, BACKOFF[0]
        while not stop.is_set():
            wanted, size = self._wanted, self._size()
            try:
                with contextlib.closing(_Stream(size, wanted.fps)) as stream:
                    reducer = PlanarReducer(stream.size, size, wanted.mirror)
                    while wanted == self._wanted and size == self._size():
                        taken = stream.take(stop)
                        if taken is None:
                            return
                        picture, timestamp = taken
                        last = max(timestamp, last + 1e-6)
                        frame = self._frame(picture, reducer, last, index)
                        given = "{}x{} at {:g} fps".format(*stream.size, wanted.fps)
                        view = (
                            f", {described(stream.size, frame.made_for)}"
                            if frame.made_for and frame.made_for[0]
                            else ""
                        )
                        self.state, wait = State(None, stream.name, given + view, LADDER), BACKOFF[0]
                        yield frame
                        index += 1
            except Problem as problem:
                self.state = State(str(problem), fits=LADDER)
                stop.wait(wait)
                wait = min(2 * wait, BACKOFF[1])

    def _size(self) -> Size:
        asked = self.yuv_size
        return asked if asked and all(asked) else self._wanted.size or _WHOLE

    def _frame(self, picture: Planar, reducer: PlanarReducer, timestamp: float, index: int) -> Frame:
        size = self.yuv_size
        height, width = picture.luma.shape
        if size is None:
            pixels = self._memory.array((height, width, 3))
            yuyv_to_rgb(as_yuyv(picture), pixels, BT601)
            return Frame(pixels[:, ::-1].copy() if self._wanted.mirror else pixels, timestamp, index)
        if size != reducer.network:  # no viewer, or the size has just changed
            return Frame(self._memory.array((0, 0, 3)), timestamp, index, "yuv", made_for=(0, 0))
        pixels = self._memory.array((size[1], size[0], 3))
        reducer(picture, pixels)
        return Frame(pixels, timestamp, index, "yuv", made_for=size)


class _Stream:
    """The open camera. Pictures have the size `size`, or the one to which libcamera adjusts it. Raises Problem."""

    def __init__(self, size: Size, fps: int):
        self.name, number = _first()
        with _explained():
            from libcamera import ColorSpace
            from picamera2 import Picamera2

            self._camera = Picamera2(number)
            try:
                stream, duration = {"size": size, "format": "YUV420"}, round(1e6 / fps)
                self._camera.configure(
                    self._camera.create_video_configuration(
                        main=stream,
                        lores=stream,
                        raw=None,
                        colour_space=ColorSpace.Smpte170m(),  # BT.601 in limited range, as in training
                        controls={"FrameDurationLimits": (duration, duration)},
                        display=None,
                        encode=None,
                        queue=False,  # capture the next picture, not the last one
                    )
                )
                found = self._camera.stream_configuration("lores")
                self.size, self._row = (int(found["size"][0]), int(found["size"][1])), int(found["stride"])
                self._camera.start()
            except BaseException:
                self._camera.close()
                raise

    def take(self, stop: threading.Event) -> Optional[Tuple[Planar, float]]:
        """The next picture, and when it was taken, on the clock of time.monotonic; None when `stop` is set."""
        deadline = time.monotonic() + STALLED
        with _explained():
            job = self._camera.capture_request(wait=False)
            while not stop.is_set():
                try:
                    request = job.get_result(timeout=_LOOK_S)
                except NotYet:
                    if time.monotonic() > deadline:
                        raise Problem(
                            f"the CSI camera {self.name} gave no picture for {STALLED:g} s: check its cable"
                        ) from None
                    continue
                try:
                    data, about = request.make_array("lores"), request.get_metadata()
                finally:
                    request.release()
                return yu12(np.ravel(data), self.size, self._row), _when(about)
        return None

    def close(self) -> None:
        with contextlib.suppress(Exception):  # it may hang or be unplugged
            self._camera.stop()
        with contextlib.suppress(Exception):
            self._camera.close()


def _installed() -> None:
    if not importlib.util.find_spec("picamera2"):
        raise Problem("a CSI camera needs Picamera2: apt install python3-picamera2")


def _first() -> Tuple[str, int]:
    """The name and number of the first CSI camera. Raises Problem."""
    _installed()
    with _explained():
        cameras = _cameras()
    if not cameras:
        raise Problem(f"no CSI camera found: check its ribbon cable: {_CHECK}")
    return str(cameras[0].get("Model", "camera")), int(cameras[0].get("Num", 0))


def _cameras() -> List[Any]:
    from picamera2 import Picamera2

    # libcamera lists USB webcams too, which are V4l2Camera's.
    return [one for one in Picamera2.global_camera_info() if "/usb" not in str(one.get("Id", ""))]


def _when(about: Any) -> float:
    """The timestamp in the metadata if it is plausible, else the time now."""
    now, taken = time.monotonic(), about.get("SensorTimestamp", 0) / 1e9
    return taken if 0 <= now - taken < 1 else now


@contextlib.contextmanager
def _explained() -> Any:
    """Turn whatever libcamera raises into a Problem."""
    try:
        yield
    except Problem:
        raise
    except Exception as error:
        raise Problem(f"cannot use the CSI camera: {str(error) or repr(error)}: {_CHECK}") from error
