"""One V4L2 capture device that streams pictures in one of FORMATS.

Needs the package v4l2-python3, which has the kernel's structures and constants.
"""

import contextlib
import ctypes
import errno
import fcntl
import mmap
import os
import select
import threading
import time
from typing import Any, Iterator, List, Optional, Tuple

import numpy as np

from ..errors import Problem
from ..frames import Size
from .mjpg import decoder
from .offers import formats, fourcc, number, offers
from .planar import bytes_of, nv12, yu12
from .sizes import FORMATS, LADDER, Offer, choose, way
from .yuyv import BT601, BT709, Colour

NETWORK = (640, 360)  # the input size that a camera's size is chosen for while there is no network
FPS = 30
_LOOK_MS = 100  # between checks of the stop event
_BUFFERS = 4
# From videodev2.h; the package's copy is older. The first three index the 32-bit words of struct v4l2_pix_format.
_PRIV, _YCBCR_ENC, _QUANTIZATION = 7, 9, 10
_PRIV_MAGIC, _YCBCR_ENC_709, _FULL_RANGE = 0xFEEDCAFE, 2, 1
_BUF_FLAG_ERROR, _TIMESTAMP_MASK, _TIMESTAMP_MONOTONIC = 0x40, 0xE000, 0x2000
# Raspberry Pi drivers whose nodes claim to capture, but deliver no pictures without libcamera.
_RASPBERRY = (b"unicam", b"rp1-cfe", b"pispbe", b"bcm2835-isp", b"bcm2835-codec")
_WHY = {
    errno.EACCES: "not allowed: add the user to the group video",
    errno.EBUSY: "another program uses it: end that program",
    errno.EIO: "it stopped with an input/output error: check its cable",
    errno.ENODEV: "it was unplugged: plug it in again",
    errno.ENOENT: "it is not there: plug it in, or name another device",
    errno.ENOSPC: "its USB bus has no bandwidth left: use another port",
    errno.ENOTTY: "it is not a camera: name another device",
    errno.ENXIO: "it was unplugged: plug it in again",
}


class Stream:
    """The camera at `path`, streaming.

    `size` (width, height), `fps` and `pixels`, one of FORMATS, are what to ask for; the attributes have what the camera
    delivers. Without `size` or `pixels` it is asked for what suits `network`, the size of a network's input, best.
    `colour` says how its YUV is encoded. `pictures` are its buffers: YUYV or UYVY, uint8 (H, W, 2) each; Planar; or
    bytes that begin with a JPEG picture.

    Raises Problem for a camera that cannot be used, and OSError.
    """

    def __init__(
        self,
        path: str,
        size: Optional[Size] = None,
        fps: int = FPS,
        network: Size = NETWORK,
        pixels: Optional[str] = None,
    ):
        self._api = import_v4l2()
        self.path, self.fps, self.colour = path, float(fps), BT601
        self._given, self._wanted_fps = size, fps
        self.pictures: List[Any] = []
        self._maps: List[mmap.mmap] = []
        self._running = False
        self._fd = os.open(path, os.O_RDWR | os.O_NONBLOCK)
        try:
            self._usable = self._check(pixels)
            self.asked = self.choice(network)
            self.size, self.pixels = self.asked.size, self.asked.format
            self._map(self._configure())
            self._start()
        except BaseException:
            self.close()
            raise

    def choice(self, network: Size) -> Offer:
        """What to ask this camera for, given a network's input of size `network`. `asked` is the choice in use."""
        offered = offers(self._ioctl, self._api, self._usable, network)
        if self._given:
            offered = [offer for offer in offered if offer.size == self._given]
        if offered:
            return choose(offered, network, self._wanted_fps)
        return Offer(self._given or (2 * NETWORK[0], 2 * NETWORK[1]), None, self._usable[0])

    def fits(self) -> Tuple[Size, ...]:
        """The sizes of LADDER that an integer factor gives, without a crop, from a size that this camera offers."""
        asked = {size: self.choice(size).size for size in LADDER}
        given = {size: self.size if camera == self.asked.size else camera for size, camera in asked.items()}
        return tuple(size for size, camera in given.items() if not way(camera, size).resampled)

    def newest(self, stop: threading.Event, seconds: float) -> Any:
        """Wait for a picture. Returns the newest filled v4l2_buffer, which is ours until `queue`; None after `seconds`,
        or once `stop` is set. Raises OSError."""
        deadline = time.monotonic() + seconds
        while not stop.is_set():
            buffer = self._drain()
            if buffer is not None or time.monotonic() >= deadline:
                return buffer
            for _, events in self._poll.poll(_LOOK_MS):
                if events & (select.POLLERR | select.POLLHUP | select.POLLNVAL):
                    raise OSError(errno.ENODEV, os.strerror(errno.ENODEV))
        return None

    def timestamp(self, buffer: Any) -> float:
        """When `buffer` was taken, on the clock of time.monotonic."""
        if buffer.flags & _TIMESTAMP_MASK != _TIMESTAMP_MONOTONIC:
            return time.monotonic()
        return float(buffer.timestamp.secs + 1e-6 * buffer.timestamp.usecs)

    def queue(self, buffer: Any) -> None:
        """Return `buffer` to the driver."""
        self._ioctl("QBUF", buffer)

    def close(self) -> None:
        """Stop the stream and release the camera. A camera left streaming may hang until power-off."""
        try:
            if self._running:
                with contextlib.suppress(OSError):  # unplugged
                    self._ioctl("STREAMOFF", ctypes.c_int(self._api.V4L2_BUF_TYPE_VIDEO_CAPTURE))
            self.pictures.clear()
            while self._maps:
                with contextlib.suppress(
                    BufferError
                ):  # a view is still alive; the memory is unmapped with the last view
                    self._maps.pop().close()
        finally:
            os.close(self._fd)

    def _check(self, wanted: Optional[str]) -> List[str]:
        """The offered formats that can be read here: of FORMATS, or only `wanted`. Raises Problem if there is none."""
        api, about = self._api, self._ioctl("QUERYCAP", self._api.v4l2_capability())
        # device_caps, which is about this node alone, is the first of the package's reserved words.
        can = about.reserved[0] if about.capabilities & api.V4L2_CAP_DEVICE_CAPS else about.capabilities
        if not (can & api.V4L2_CAP_VIDEO_CAPTURE and can & api.V4L2_CAP_STREAMING):
            raise NotACamera(f"{self.path} is not a camera: name another device")
        if about.driver.startswith(_RASPBERRY):
            raise NotACamera(f"{self.path} is part of the Raspberry Pi's camera: set camera.device to csi")
        offered, name = formats(self._ioctl, api), about.card.decode(errors="replace")
        usable = [one for one in FORMATS if one in offered and wanted in (None, one)]
        if not usable:
            listed = ", ".join(offered) or "no format"
            why = "set camera.format to auto" if wanted in FORMATS else "use another camera"
            raise Problem(f"{self.path} ({name}) offers {listed}, not {wanted or ', '.join(FORMATS)}: {why}")
        if "MJPG" in usable:
            try:
                decoder()
            except Problem as problem:
                if usable == ["MJPG"]:
                    raise Problem(f"{self.path} ({name}): {problem}") from None
                usable.remove("MJPG")
        return usable

    def _configure(self) -> int:
        """Ask for the format, the size and the rate, and accept what the driver sets. Returns the bytes per row."""
        api, capture = self._api, self._api.V4L2_BUF_TYPE_VIDEO_CAPTURE
        wanted = api.v4l2_format(type=capture)
        pix = wanted.fmt.pix
        (pix.width, pix.height), pix.pixelformat, pix.field = self.size, number(self.pixels), api.V4L2_FIELD_NONE
        self._ioctl("S_FMT", wanted)
        rate = api.v4l2_streamparm(type=capture)
        interval = rate.parm.capture.timeperframe
        interval.numerator, interval.denominator = 1, round(self.fps)
        with contextlib.suppress(OSError):  # not every camera has a choice of rates
            self._ioctl("S_PARM", rate)
        if interval.numerator and interval.denominator:
            self.fps = interval.denominator / interval.numerator
        given = self._ioctl("G_FMT", api.v4l2_format(type=capture))
        pix = given.fmt.pix
        if pix.pixelformat != number(self.pixels):
            raise Problem(
                f"{self.path} gives {fourcc(pix.pixelformat)} when asked for {self.pixels}: use another camera"
            )
        self.colour = BT601._replace(full_range=True) if self.pixels == "MJPG" else colour_of(given, api)  # as in JFIF
        planar = self.pixels in ("NV12", "YU12")
        self.size = pix.width // 2 * 2, pix.height // 2 * 2 if planar else pix.height
        return int(pix.bytesperline or pix.width * (1 if planar else 2))

    def _map(self, row: int) -> None:
        api = self._api
        self._needed = self._least(row)
        kind = {"type": api.V4L2_BUF_TYPE_VIDEO_CAPTURE, "memory": api.V4L2_MEMORY_MMAP}
        for index in range(self._ioctl("REQBUFS", api.v4l2_requestbuffers(count=_BUFFERS, **kind)).count):
            buffer = self._ioctl("QUERYBUF", api.v4l2_buffer(index=index, **kind))
            if buffer.length < self._needed:
                raise Problem(f"{self.path} has buffers smaller than its pictures: use another camera")
            self._maps.append(mmap.mmap(self._fd, buffer.length, offset=buffer.m.offset))
            self.pictures.append(self._picture(self._maps[-1], row))
            self.queue(buffer)

    def _least(self, row: int) -> int:
        """The minimum number of bytes in a picture."""
        width, height = self.size
        if self.pixels == "MJPG":
            return 1
        return bytes_of(self.size, row) if self.pixels in ("NV12", "YU12") else row * (height - 1) + 2 * width

    def _picture(self, memory: Any, row: int) -> Any:
        width, height = self.size
        if self.pixels in ("YUYV", "UYVY"):
            return np.ndarray((height, width, 2), np.uint8, memory, strides=(row, 2, 1))
        data = np.frombuffer(memory, np.uint8)
        return {"NV12": nv12, "YU12": yu12}[self.pixels](data, self.size, row) if self.pixels != "MJPG" else data

    def _start(self) -> None:
        self._poll = select.poll()
        self._poll.register(self._fd, select.POLLIN)
        self._running = True
        self._ioctl("STREAMON", ctypes.c_int(self._api.V4L2_BUF_TYPE_VIDEO_CAPTURE))

    def _drain(self) -> Any:
        """The newest complete buffer, or None. Older and damaged ones are returned to the driver."""
        newest = None
        while True:
            buffer = self._api.v4l2_buffer(
                type=self._api.V4L2_BUF_TYPE_VIDEO_CAPTURE, memory=self._api.V4L2_MEMORY_MMAP
            )
            try:
                self._ioctl("DQBUF", buffer)
            except BlockingIOError:
                return newest
            if buffer.flags & _BUF_FLAG_ERROR or buffer.bytesused < self._needed:
                self.queue(buffer)
                continue
            if newest is not None:
                self.queue(newest)
            newest = buffer

    def _ioctl(self, name: str, argument: Any) -> Any:
        request = getattr(self._api, "VIDIOC_" + name) & 0xFFFFFFFF  # some of the package's are negative
        while True:
            with contextlib.suppress(InterruptedError):
                fcntl.ioctl(self._fd, request, argument)
                return argument


class NotACamera(Problem):
    """A video device that does not capture."""


@contextlib.contextmanager
def explained(path: str) -> Iterator[None]:
    """Turn an OSError about the camera at `path` into a Problem."""
    try:
        yield
    except OSError as error:
        why = _WHY.get(error.errno or 0) or f"{(error.strerror or str(error)).lower()}: use another camera"
        raise Problem(f"cannot use the camera {path}: {why}") from error


def colour_of(given: Any, api: Any) -> Colour:
    """How Y, U and V are encoded in the v4l2_format `given`; where unspecified, the defaults of videodev2.h."""
    words = (ctypes.c_uint32 * 12).from_buffer(given.fmt)
    known = words[_PRIV] == _PRIV_MAGIC
    encoding, quantization = (words[_YCBCR_ENC], words[_QUANTIZATION]) if known else (0, 0)
    colorspace = given.fmt.pix.colorspace
    hd = encoding == _YCBCR_ENC_709 or not encoding and colorspace == api.V4L2_COLORSPACE_REC709
    full = quantization == _FULL_RANGE or not quantization and colorspace == api.V4L2_COLORSPACE_JPEG
    return (BT709 if hd else BT601)._replace(full_range=full)


def import_v4l2() -> Any:
    """The package v4l2: the kernel's structures and constants. Raises Problem when it is not installed."""
    try:
        import v4l2
    except ImportError as error:
        raise Problem("cameras need v4l2-python3: pip install v4l2-python3, or use --camera virtual") from error
    return v4l2
