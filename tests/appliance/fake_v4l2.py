"""Simulated cameras behind the kernel's interface, and a stop event whose waits take no time."""

import contextlib
import ctypes
import errno
import os
import select
import threading
from types import SimpleNamespace

import numpy as np
import pytest

from appliance.camera import stream, v4l2
from appliance.camera.v4l2 import V4l2Camera, Wanted


def random_yuyv(height, width, seed=0):
    return np.random.RandomState(seed).randint(0, 256, (height, width, 2), np.uint8)


def random_planes(height, width, seed=0):
    """Y (H, W), U and V (H / 2, W / 2) each."""
    noise = np.random.RandomState(seed)
    shapes = (height, width), (height // 2, width // 2), (height // 2, width // 2)
    return [noise.randint(0, 256, shape, np.uint8) for shape in shapes]


class Device:
    """A camera that is plugged in. `faults` maps an ioctl's name (or "open", "poll", "mmap") to the errors of its next
    calls. `script` has, for each wait for the camera, the buffers that are filled by then."""

    def __init__(self, formats=("YUYV",), size=(8, 4), padding=0, card=b"A camera"):
        self.formats, self.size, self.padding, self.card = formats, size, padding, card
        self.sizes, self.stepwise = {}, None  # {(width, height): fps}, or one for each format; or least, most and step
        self.capture = self.device_caps = 0x04000001
        self.driver, self.fields = b"uvcvideo", {}
        self.format, self.gives = "YUYV", None  # what it was asked for, and what it gives instead
        self.jpegs = []  # the pictures of a camera that gives MJPG
        self.faults = {}
        self.script = [[{}]] * 100
        self.rate = 30
        self.streaming = False
        self.events = 0
        self.queue, self.ready, self.filled = [], [], 0

    @property
    def row(self):
        return self.size[0] * {"YUYV": 2, "UYVY": 2, "MJPG": 0}.get(self.format, 1) + self.padding

    @property
    def bytes(self):
        """The size of a picture, or of the buffer for one that is compressed."""
        halves = {"YUYV": 2, "UYVY": 2}.get(self.format, 3)
        return 1 << 19 if self.format == "MJPG" else halves * self.row * self.size[1] // 2

    def pixels(self, number):
        return random_yuyv(self.size[1], self.size[0], number)

    def planes(self, number):
        return random_planes(self.size[1], self.size[0], number)

    def write(self, memory, number):
        """Put a picture into a buffer. Returns how many bytes it takes."""
        (width, height), row = self.size, self.row
        if self.format == "MJPG":
            data = self.jpegs[min(number, len(self.jpegs) - 1)]
            memory[: len(data)] = data
            return len(data)
        if self.format in ("YUYV", "UYVY"):
            packed = self.pixels(number)[..., :: 1 if self.format == "YUYV" else -1]
            np.ndarray((height, 2 * width), np.uint8, memory, strides=(row, 1))[:] = packed.reshape(height, -1)
            return row * height
        y, u, v = self.planes(number)
        np.ndarray((height, width), np.uint8, memory, strides=(row, 1))[:] = y
        if self.format == "NV12":
            pairs = np.ndarray((height // 2, width), np.uint8, memory, row * height, (row, 1))
            pairs[:] = np.stack([u, v], -1).reshape(pairs.shape)
        else:
            for start, plane in enumerate((u, v)):
                offset = row * height + start * (row // 2) * (height // 2)
                np.ndarray((height // 2, width // 2), np.uint8, memory, offset, (row // 2, 1))[:] = plane
        return row * height * 3 // 2


class Kernel:
    """The system calls of the camera's module, on simulated devices. Time passes only in polls and waits."""

    O_RDWR, O_NONBLOCK = os.O_RDWR, os.O_NONBLOCK
    POLLIN, POLLERR, POLLHUP, POLLNVAL = select.POLLIN, select.POLLERR, select.POLLHUP, select.POLLNVAL
    strerror = staticmethod(os.strerror)

    def __init__(self, api):
        self.api, self.devices, self.links, self.opened, self.maps, self.calls, self.tried = api, {}, {}, {}, [], [], []
        self.now, self.listed = 100.0, 0
        self.path = SimpleNamespace(realpath=lambda path: self.links.get(path, path))
        self.names = {
            getattr(api, name) & 0xFFFFFFFF: name[7:]
            for name in (
                "VIDIOC_QUERYCAP VIDIOC_ENUM_FMT VIDIOC_ENUM_FRAMESIZES VIDIOC_ENUM_FRAMEINTERVALS "
                "VIDIOC_S_FMT VIDIOC_G_FMT VIDIOC_S_PARM VIDIOC_REQBUFS "
                "VIDIOC_QUERYBUF VIDIOC_QBUF VIDIOC_DQBUF VIDIOC_STREAMON VIDIOC_STREAMOFF"
            ).split()
        }

    # os, glob, time

    def open(self, path, flags):
        assert flags == os.O_RDWR | os.O_NONBLOCK
        device = self.devices.get(self.links.get(path, path))
        self.calls.append(("open", path))
        self.tried.append(self.now)
        if device is None:
            raise OSError(errno.ENOENT, os.strerror(errno.ENOENT), path)
        self._fault(device, "open")
        fd = 1000 + len(self.calls)
        self.opened[fd] = device
        return fd

    def close(self, fd):
        device = self.opened.pop(fd)
        device.queue, device.ready = [], []

    def glob(self, pattern):
        self.listed += 1
        return [
            path
            for path in list(self.links) + list(self.devices)
            if path == pattern or pattern == "/dev/video*" and path.startswith("/dev/video")
        ]

    def monotonic(self):
        return self.now

    # select, mmap

    def poll(self):
        kernel = self

        class Poll:
            def register(self, fd, events):
                assert events == select.POLLIN
                self.fd = fd

            def poll(self, milliseconds):
                return kernel.wait(self.fd, milliseconds)

        return Poll()

    def wait(self, fd, milliseconds):
        device = self.opened[fd]
        self._fault(device, "poll")
        if device.events:
            return [(fd, device.events)]
        for buffer in device.script.pop(0) if device.script else []:
            index = device.queue.pop(0)
            used = device.write(device.memory[index], device.filled)
            device.ready.append((index, device.filled, {"bytesused": used, **buffer}))
            device.filled += 1
        self.now += 0.033 if device.ready else milliseconds / 1000
        return [(fd, select.POLLIN)] if device.ready else []

    def mmap(self, fd, length, offset):
        device = self.opened[fd]
        self._fault(device, "mmap")
        kernel = self

        class Map(bytearray):
            def close(self):
                assert not device.streaming, "unmapped while the camera runs"
                kernel.maps.remove(self)
                self.append(0)  # BufferError while there are views of it, as of an mmap

            def __eq__(self, other):
                return self is other

        self.maps.append(Map(length))
        device.memory[offset // 4096] = self.maps[-1]
        return self.maps[-1]

    # fcntl

    def ioctl(self, fd, request, argument):
        device, name = self.opened[fd], self.names[request]
        self.calls.append((name, getattr(argument, "index", None)))
        self._fault(device, name)
        getattr(self, name.lower())(device, argument)
        return 0

    def _fault(self, device, name):
        number = device.faults.get(name) and device.faults[name].pop(0)
        if number:
            raise OSError(number, os.strerror(number))

    def querycap(self, device, about):
        about.card, about.driver, about.capabilities = device.card, device.driver, device.capture | 0x80000000
        about.reserved[0] = device.device_caps

    def enum_fmt(self, device, entry):
        if entry.index >= len(device.formats):
            raise OSError(errno.EINVAL, "no more")
        entry.pixelformat = int.from_bytes(device.formats[entry.index].encode(), "little")

    def enum_framesizes(self, device, entry):
        sizes = device.sizes.get(entry.pixel_format.to_bytes(4, "little").decode(), device.sizes)
        words = (ctypes.c_uint32 * 9).from_buffer(entry)
        if device.stepwise and entry.index == 0:
            words[2:] = [3] + [each[axis] for axis in (0, 1) for each in device.stepwise]
        elif entry.index < len(sizes):
            words[2:5] = [1, *list(sizes)[entry.index]]
        else:
            raise OSError(errno.EINVAL, "no more")

    def enum_frameintervals(self, device, entry):
        sizes = device.sizes.get(entry.pixel_format.to_bytes(4, "little").decode(), device.sizes)
        fps = sizes.get((entry.width, entry.height))
        if entry.index or not fps:
            raise OSError(errno.EINVAL, "no more")
        entry.type, entry.discrete.numerator, entry.discrete.denominator = 1, 1, fps

    def s_fmt(self, device, given):
        device.asked = given.fmt.pix.width, given.fmt.pix.height
        device.format = given.fmt.pix.pixelformat.to_bytes(4, "little").decode()
        if device.asked in device.sizes.get(device.format, device.sizes) or device.stepwise:
            device.size = device.asked

    def g_fmt(self, device, given):
        pix = given.fmt.pix
        (pix.width, pix.height), pix.bytesperline = device.size, device.row
        pix.pixelformat = int.from_bytes((device.gives or device.format).encode(), "little")
        words = (ctypes.c_uint32 * 12).from_buffer(given.fmt)
        for word, value in device.fields.items():
            words[word] = value

    def s_parm(self, device, rate):
        device.asked += (rate.parm.capture.timeperframe.denominator,)
        rate.parm.capture.timeperframe.denominator = device.rate

    def reqbufs(self, device, wanted):
        assert (wanted.count, wanted.memory) == (4, self.api.V4L2_MEMORY_MMAP)
        device.memory = {}

    def querybuf(self, device, buffer):
        buffer.length, buffer.m.offset = device.bytes, 4096 * buffer.index

    def qbuf(self, device, buffer):
        assert buffer.index not in device.queue
        device.queue.append(buffer.index)

    def dqbuf(self, device, buffer):
        if not device.ready:
            raise BlockingIOError(errno.EAGAIN, "nothing yet")
        buffer.index, number, fields = device.ready.pop(0)
        buffer.bytesused = fields["bytesused"]
        buffer.flags = fields.get("flags", 0x2000)
        buffer.timestamp.secs, buffer.timestamp.usecs = fields.get("time", (50, 1000 * number))

    def streamon(self, device, kind):
        device.streaming = True

    def streamoff(self, device, kind):
        device.streaming = False


class Stop(threading.Event):
    """A stop event whose waits take no time. It is set after `tries` waits, or `seconds` on the simulated clock."""

    def __init__(self, kernel, tries=1, seconds=1e9):
        super().__init__()
        self.kernel, self.tries, self.waits, self.end = kernel, tries, [], kernel.now + seconds

    def is_set(self):
        return super().is_set() or self.kernel.now >= self.end

    def wait(self, timeout=None):
        self.waits.append(timeout)
        self.kernel.now += timeout
        if len(self.waits) >= self.tries:
            self.set()
        return self.is_set()


@contextlib.contextmanager
def installed(monkeypatch):
    """A Kernel in place of the system's. Fails when any of its resources is left at the end."""
    kernel = Kernel(pytest.importorskip("v4l2", reason="v4l2-python3 is not installed"))
    for name in ("os", "time", "select", "mmap", "fcntl"):
        monkeypatch.setattr(stream, name, kernel)
    for name in ("os", "glob", "time"):
        monkeypatch.setattr(v4l2, name, kernel)
    yield kernel
    assert not kernel.opened and not kernel.maps, "not released"
    assert not any(device.streaming for device in kernel.devices.values()), "left running"


def take(camera, stop, count):
    frames = camera.frames(stop)
    try:
        return [frame for _, frame in zip(range(count), frames)]
    finally:
        frames.close()


def fault_of(kernel, device=None, **options):
    """The camera's fault after one attempt, which gives no frame."""
    camera = V4l2Camera(Wanted(device), **options)
    assert take(camera, Stop(kernel), 1) == []
    assert "\n" not in camera.fault and camera.path is None
    return camera.fault
