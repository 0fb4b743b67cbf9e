import ctypes
import errno
import os
import select
import sys
import threading
import tracemalloc
from types import SimpleNamespace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from appliance.camera import stream, v4l2
from appliance.camera.v4l2 import ALIAS, V4l2Camera
from appliance.camera.yuyv import BT601, BT709, yuyv_to_rgb, yuyv_to_yuv
from appliance.errors import Problem
from appliance.memory import Memory


def random_yuyv(height, width, seed=0):
    return np.random.RandomState(seed).randint(0, 256, (height, width, 2), np.uint8)


# Pixels

def reference(yuyv, colour):
    """RGB before rounding, from the definition: R'G'B' to Y'CbCr as a matrix, inverted."""
    red, blue = colour.red, colour.blue
    y = np.array([red, 1 - red - blue, blue])
    definition = np.stack([y, ([0, 0, 1] - y) / (2 * (1 - blue)), ([1, 0, 0] - y) / (2 * (1 - red))])
    black, luma_range, chroma_range = (0, 255, 255) if colour.full_range else (16, 219, 224)
    ycc = np.stack([(yuyv[..., 0] - float(black)) / luma_range,
                    (np.repeat(yuyv[:, 0::2, 1], 2, axis=1) - 128.0) / chroma_range,
                    (np.repeat(yuyv[:, 1::2, 1], 2, axis=1) - 128.0) / chroma_range], axis=-1)
    return np.clip(255 * ycc @ np.linalg.inv(definition).T, 0, 255)


@settings(max_examples=30, deadline=None)
@given(st.integers(1, 40), st.integers(1, 20), st.integers(0, 10 ** 6), st.booleans(), st.sampled_from([BT601, BT709]))
def test_rgb_is_within_a_step(height, pairs, seed, full_range, colour):
    colour = colour._replace(full_range=full_range)
    yuyv = random_yuyv(height, 2 * pairs, seed)
    out = np.empty((height, 2 * pairs, 3), np.uint8)
    yuyv_to_rgb(yuyv, out, colour)
    assert np.abs(out - reference(yuyv, colour)).max() < 1


@pytest.mark.parametrize("colour, y, u, v, rgb", [
    (BT601, 16, 128, 128, (0, 0, 0)), (BT601, 235, 128, 128, (255, 255, 255)), (BT601, 81, 90, 240, (254, 0, 0)),
    (BT601, 255, 128, 128, (255, 255, 255)), (BT709, 63, 102, 240, (255, 1, 0)),
    (BT601._replace(full_range=True), 0, 128, 128, (0, 0, 0)),
    (BT601._replace(full_range=True), 76, 85, 255, (254, 0, 0))])
def test_known_colours(colour, y, u, v, rgb):
    out = np.empty((1, 2, 3), np.uint8)
    yuyv_to_rgb(np.array([[[y, u], [y, v]]], np.uint8), out, colour)
    assert np.abs(out.astype(int) - rgb).max() <= 1


def test_yuv_is_the_centre_at_half_the_size():
    yuyv = random_yuyv(720, 1280)
    out = np.empty((216, 512, 3), np.uint8)
    yuyv_to_yuv(yuyv, out)
    whole = np.stack([yuyv[::2, ::2, 0], yuyv[::2, ::2, 1], yuyv[::2, 1::2, 1]], axis=-1)
    assert whole.shape == (360, 640, 3)
    assert np.array_equal(out, whole[72:288, 64:576])


@pytest.mark.parametrize("size, step", [((320, 180), 4), ((64, 32), 20), ((200, 100), 6), ((640, 20), 2)])
def test_yuv_of_a_small_network_sees_all_that_a_step_leaves(size, step):
    yuyv, out = random_yuyv(720, 1280), np.empty((size[1], size[0], 3), np.uint8)
    yuyv_to_yuv(yuyv, out)
    rows, pairs = yuyv[::step], yuyv[::step].reshape(-1, 640, 4)[:, ::step // 2]
    top, left = (720 // step - size[1]) // 2, (1280 // step - size[0]) // 2
    expected = pairs[top:top + size[1], left:left + size[0]][..., [0, 1, 3]]
    assert len(rows) == 720 // step and np.array_equal(out, expected)


def test_yuv_of_a_full_range_camera_is_brought_to_limited_range():
    yuyv, out = random_yuyv(8, 16), np.empty((4, 8, 3), np.uint8)
    yuyv_to_yuv(yuyv, out, full_range=True)
    plain = np.empty_like(out)
    yuyv_to_yuv(yuyv, plain)
    expected = [16, 128, 128] + (plain - np.array([0., 128, 128])) * [219 / 255, 224 / 255, 224 / 255]
    assert np.abs(out - expected).max() <= 0.5


def test_yuv_allocates_nothing_and_reads_rows_with_padding():
    padded = random_yuyv(720, 1300)
    yuyv, out = padded[:, :1280], np.empty((360, 640, 3), np.uint8)
    assert np.shares_memory(yuyv.reshape(720, 640, 4), padded)
    tracemalloc.start()
    try:
        yuyv_to_yuv(yuyv, out)
        tracemalloc.reset_peak() if hasattr(tracemalloc, "reset_peak") else tracemalloc.clear_traces()
        before = tracemalloc.get_traced_memory()[0]
        yuyv_to_yuv(yuyv, out)
        assert tracemalloc.get_traced_memory()[1] - before < 4096
    finally:
        tracemalloc.stop()
    assert np.array_equal(out[..., 2], yuyv[::2, 1::2, 1])


def test_memory_is_used_again_only_when_nothing_holds_it():
    memory = Memory()
    first = memory.array((4, 5, 3))
    view, kept = first[1:, 2:, 0], first.__array_interface__["data"][0]
    del first
    second = memory.array((4, 5, 3))
    assert not np.shares_memory(view, second)
    del view
    assert memory.array((4, 5, 3)).__array_interface__["data"][0] == kept
    assert memory.array((2, 2, 3)).shape == (2, 2, 3)


# The kernel

class Device:
    """What is plugged in. `faults` maps an ioctl's name (or "open", "poll", "mmap") to the errors of its next calls;
    `script` holds, for each time that the camera is waited for, the buffers that are filled by then."""

    def __init__(self, formats=("YUYV",), size=(8, 4), padding=0, card=b"A camera"):
        self.formats, self.size, self.row, self.card = formats, size, 2 * size[0] + padding, card
        self.capture = self.device_caps = 0x04000001
        self.fields = {}
        self.gives = "YUYV"
        self.faults = {}
        self.script = [[{}]] * 100
        self.rate = 30
        self.streaming = False
        self.events = 0
        self.queue, self.ready, self.filled = [], [], 0

    def pixels(self, number):
        return random_yuyv(self.size[1], self.size[0], number)


class Kernel:
    """The system calls of the camera's module, on devices that are not there. Time passes in polls and waits only."""

    O_RDWR, O_NONBLOCK = os.O_RDWR, os.O_NONBLOCK
    POLLIN, POLLERR, POLLHUP, POLLNVAL = select.POLLIN, select.POLLERR, select.POLLHUP, select.POLLNVAL
    strerror = staticmethod(os.strerror)

    def __init__(self, api):
        self.api, self.devices, self.links, self.opened, self.maps, self.calls, self.tried = api, {}, {}, {}, [], [], []
        self.now = 100.0
        self.path = SimpleNamespace(realpath=lambda path: self.links.get(path, path))
        self.names = {getattr(api, name) & 0xffffffff: name[7:] for name in (
            "VIDIOC_QUERYCAP VIDIOC_ENUM_FMT VIDIOC_S_FMT VIDIOC_G_FMT VIDIOC_S_PARM VIDIOC_REQBUFS VIDIOC_QUERYBUF "
            "VIDIOC_QBUF VIDIOC_DQBUF VIDIOC_STREAMON VIDIOC_STREAMOFF").split()}

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
        return [path for path in list(self.links) + list(self.devices)
                if path == pattern or pattern == "/dev/video*" and path.startswith("/dev/video")]

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
            view = np.ndarray((device.size[1], 2 * device.size[0]), np.uint8, device.memory[index],
                              strides=(device.row, 1))
            view[:] = device.pixels(device.filled).reshape(view.shape)
            device.ready.append((index, device.filled, buffer))
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
        about.card, about.capabilities = device.card, device.capture | 0x80000000
        about.reserved[0] = device.device_caps

    def enum_fmt(self, device, entry):
        if entry.index >= len(device.formats):
            raise OSError(errno.EINVAL, "no more")
        entry.pixelformat = int.from_bytes(device.formats[entry.index].encode(), "little")

    def s_fmt(self, device, given):
        device.asked = given.fmt.pix.width, given.fmt.pix.height

    def g_fmt(self, device, given):
        pix = given.fmt.pix
        (pix.width, pix.height), pix.bytesperline = device.size, device.row
        pix.pixelformat = int.from_bytes(device.gives.encode(), "little")
        words = (ctypes.c_uint32 * 12).from_buffer(given.fmt)
        for word, value in device.fields.items():
            words[word] = value

    def s_parm(self, device, rate):
        device.asked += rate.parm.capture.timeperframe.denominator,
        rate.parm.capture.timeperframe.denominator = device.rate

    def reqbufs(self, device, wanted):
        assert (wanted.count, wanted.memory) == (4, self.api.V4L2_MEMORY_MMAP)
        device.memory = {}

    def querybuf(self, device, buffer):
        buffer.length, buffer.m.offset = device.row * device.size[1], 4096 * buffer.index

    def qbuf(self, device, buffer):
        assert buffer.index not in device.queue
        device.queue.append(buffer.index)

    def dqbuf(self, device, buffer):
        if not device.ready:
            raise BlockingIOError(errno.EAGAIN, "nothing yet")
        buffer.index, number, fields = device.ready.pop(0)
        buffer.bytesused = fields.get("bytesused", device.row * device.size[1])
        buffer.flags = fields.get("flags", 0x2000)
        buffer.timestamp.secs, buffer.timestamp.usecs = fields.get("time", (50, 1000 * number))

    def streamon(self, device, kind):
        device.streaming = True

    def streamoff(self, device, kind):
        device.streaming = False


class Stop(threading.Event):
    """A stop event whose waits take no time: set after `tries` of them."""

    def __init__(self, kernel, tries=1):
        super().__init__()
        self.kernel, self.tries, self.waits = kernel, tries, []

    def wait(self, timeout=None):
        self.waits.append(timeout)
        self.kernel.now += timeout
        if len(self.waits) >= self.tries:
            self.set()
        return self.is_set()


@pytest.fixture
def kernel(monkeypatch):
    kernel = Kernel(pytest.importorskip("v4l2", reason="v4l2-python3 is not installed"))
    for name in ("os", "time", "select", "mmap", "fcntl"):
        monkeypatch.setattr(stream, name, kernel)
    for name in ("os", "glob"):
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
    """What the camera says after one try, which gives no frame."""
    camera = V4l2Camera(device, **options)
    assert take(camera, Stop(kernel), 1) == []
    assert "\n" not in camera.fault and camera.path is None
    return camera.fault


# Pictures

def test_rgb_frames(kernel):
    device = kernel.devices["/dev/video0"] = Device(padding=6)
    camera = V4l2Camera()
    frames = take(camera, Stop(kernel), 3)
    expected = np.empty((4, 8, 3), np.uint8)
    for number, frame in enumerate(frames):
        yuyv_to_rgb(device.pixels(number), expected)
        assert np.array_equal(frame.pixels, expected) and frame.index == number
    assert [frame.timestamp for frame in frames] == pytest.approx([50, 50.001, 50.002])
    assert camera.live and camera.fps == 30 and camera.fault is None and camera.path == "/dev/video0"


def test_yuv_frames_and_a_change_of_kind(kernel):
    device = kernel.devices["/dev/video0"] = Device(size=(16, 8))
    camera = V4l2Camera(yuv_size=(6, 2))
    frames = camera.frames(Stop(kernel))
    expected = np.empty((2, 6, 3), np.uint8)
    yuyv_to_yuv(device.pixels(0), expected)
    frame = next(frames)
    assert np.array_equal(frame.pixels, expected) and frame.format == "yuv"
    camera.yuv_size = None
    frame = next(frames)
    assert frame.pixels.shape == (8, 16, 3) and frame.format == "rgb"
    frames.close()


def test_a_frame_that_is_held_is_not_overwritten(kernel):
    kernel.devices["/dev/video0"] = Device()
    frames = take(V4l2Camera(yuv_size=(4, 2)), Stop(kernel), 12)
    assert not any(np.shares_memory(a.pixels, b.pixels) for i, a in enumerate(frames) for b in frames[:i])


def test_the_newest_picture_wins(kernel):
    device = kernel.devices["/dev/video0"] = Device()
    device.script = [[{}, {}, {}], [{}], [{}, {}, {}, {}], [{}, {}]]
    frames = take(V4l2Camera(), Stop(kernel), 4)
    assert [frame.timestamp for frame in frames] == pytest.approx([50.002, 50.003, 50.007, 50.009])
    assert [frame.index for frame in frames] == [0, 1, 2, 3]


@pytest.mark.parametrize("damage", [{"flags": 0x2040}, {"bytesused": 10}, {"bytesused": 0}])
def test_damaged_pictures_are_left_out(kernel, damage):
    device = kernel.devices["/dev/video0"] = Device()
    device.script = [[damage], [{}, damage], [damage] * 4, [{}]]
    frames = take(V4l2Camera(), Stop(kernel), 2)
    assert [frame.timestamp for frame in frames] == pytest.approx([50.001, 50.007])


def test_timestamps_always_rise(kernel):
    device = kernel.devices["/dev/video0"] = Device()
    device.script = [[{"time": (60, 0)}], [{"time": (60, 0)}], [{"time": (10, 0)}], [{"flags": 0}]]
    times = [frame.timestamp for frame in take(V4l2Camera(), Stop(kernel), 4)]
    assert times[:3] == pytest.approx([60, 60, 60], abs=1e-4) and times[3] == pytest.approx(kernel.now)
    assert all(a < b for a, b in zip(times, times[1:]))


@pytest.mark.parametrize("fields, colour", [
    ({}, BT601), ({6: 3}, BT709), ({6: 7}, BT601._replace(full_range=True)),
    ({6: 8, 7: 0xfeedcafe, 10: 1}, BT601._replace(full_range=True)), ({6: 3, 7: 0xfeedcafe, 9: 1}, BT601),
    ({6: 7, 7: 0xfeedcafe, 10: 2}, BT601), ({6: 8, 7: 0, 9: 2, 10: 1}, BT601)])
def test_the_colours_are_those_that_the_driver_tells(kernel, fields, colour):
    device = kernel.devices["/dev/video0"] = Device()
    device.fields = fields
    expected = np.empty((4, 8, 3), np.uint8)
    yuyv_to_rgb(device.pixels(0), expected, colour)
    assert np.array_equal(take(V4l2Camera(), Stop(kernel), 1)[0].pixels, expected)


@pytest.mark.parametrize("number", [errno.ENOTTY, errno.EINVAL])
def test_a_camera_without_a_choice_of_rates(kernel, number):
    device = kernel.devices["/dev/video0"] = Device()
    device.faults["S_PARM"] = [number]
    assert len(take(V4l2Camera(), Stop(kernel), 2)) == 2


def test_the_rate_that_the_driver_gives(kernel):
    kernel.devices["/dev/video0"] = Device()
    kernel.devices["/dev/video0"].rate = 15
    camera = V4l2Camera()
    take(camera, Stop(kernel), 1)
    assert camera.fps == 15


# Which camera

def test_nodes_that_are_no_cameras_are_passed_over(kernel):
    for number in (0, 2, 10):
        kernel.devices[f"/dev/video{number}"] = Device()
    kernel.devices["/dev/video0"].device_caps = 0x04800000  # metadata, of a device that captures too
    camera = V4l2Camera()
    take(camera, Stop(kernel), 1)
    assert camera.path == "/dev/video2"


def test_the_configured_one_comes_first_and_then_the_alias(kernel):
    for number in range(3):
        kernel.devices[f"/dev/video{number}"] = Device()
    camera = V4l2Camera("/dev/video2")
    take(camera, Stop(kernel), 1)
    assert camera.path == "/dev/video2"
    kernel.links[ALIAS] = "/dev/video1"
    camera = V4l2Camera()
    take(camera, Stop(kernel), 1)
    assert camera.path == ALIAS


def test_another_one_when_the_configured_one_does_not_do(kernel):
    kernel.devices["/dev/video0"], kernel.devices["/dev/video1"] = Device(), Device(formats=("MJPG",))
    for configured in ("/dev/video1", "/dev/video7"):
        camera = V4l2Camera(configured)
        take(camera, Stop(kernel), 1)
        assert camera.path == "/dev/video0" and camera.fault is None


def test_a_device_is_tried_once_under_all_its_names(kernel):
    kernel.devices["/dev/video0"], kernel.links[ALIAS] = Device(formats=("NV12",)), "/dev/video0"
    assert fault_of(kernel, "/dev/video0").startswith("/dev/video0 ")
    assert [path for name, path in kernel.calls if name == "open"] == ["/dev/video0"]


# What is refused

@pytest.mark.parametrize("formats, words", [
    (("MJPG",), "offers MJPG, not YUYV"), (("NV12", "MJPG"), "offers NV12, MJPG, not YUYV"), ((), "offers no format")])
def test_other_formats_are_refused_with_what_there_is(kernel, formats, words):
    kernel.devices["/dev/video0"] = Device(formats=formats, card=b"Cam\x1b\n 2")
    fault = fault_of(kernel)
    assert words in fault and "/dev/video0 (Cam   2)" in fault and "use a camera" in fault


def test_no_camera_at_all(kernel):
    assert fault_of(kernel) == "no camera found: plug one in"


def test_a_configured_device_that_is_no_camera(kernel):
    kernel.devices["/dev/video0"] = Device()
    kernel.devices["/dev/video0"].device_caps = 0x04000002
    assert fault_of(kernel, "/dev/video0") == "/dev/video0 is no camera: name another device"
    assert fault_of(kernel) == "no camera found: plug one in"


def test_a_driver_that_gives_another_format(kernel):
    kernel.devices["/dev/video0"] = Device()
    kernel.devices["/dev/video0"].gives = "UYVY"
    assert "gives UYVY when asked for YUYV" in fault_of(kernel)


def test_a_camera_too_small_for_copies_gives_rgb(kernel):
    kernel.devices["/dev/video0"] = Device()
    frame, = take(V4l2Camera(yuv_size=(4, 3)), Stop(kernel), 1)
    assert frame.format == "rgb" and frame.pixels.shape == (4, 8, 3)


def test_what_is_asked_for_may_change_at_any_time(kernel):
    first, second = kernel.devices["/dev/video0"], kernel.devices["/dev/video1"] = Device(), Device(size=(16, 8))
    camera = V4l2Camera()
    frames = camera.frames(Stop(kernel))
    assert next(frames).pixels.shape == (4, 8, 3) and first.asked == (1280, 720, 30)
    camera.configure("/dev/video1", (640, 480), 15)
    assert next(frames).pixels.shape == (8, 16, 3) and second.asked == (640, 480, 15)
    assert camera.path == "/dev/video1" and camera.given == "16x8 at 30 fps" and not first.streaming
    frames.close()


def test_buffers_that_are_too_small(kernel, monkeypatch):
    kernel.devices["/dev/video0"] = Device()
    monkeypatch.setattr(kernel, "querybuf", lambda device, buffer: setattr(buffer, "length", 10))
    assert "buffers smaller than its pictures" in fault_of(kernel)


def test_without_the_package(monkeypatch):
    monkeypatch.setitem(sys.modules, "v4l2", None)
    with pytest.raises(Problem, match="pip install v4l2-python3"):
        V4l2Camera()


# Failures

@pytest.mark.parametrize("number, words", [
    (errno.EACCES, "add the user to the group video"), (errno.EBUSY, "another program uses it"),
    (errno.ENODEV, "plug it in"), (errno.ENOSPC, "bandwidth"), (errno.ENOMEM, "cannot allocate memory")])
@pytest.mark.parametrize("call", [
    "open", "QUERYCAP", "ENUM_FMT", "S_FMT", "G_FMT", "REQBUFS", "QUERYBUF", "mmap", "QBUF", "STREAMON"])
def test_a_failure_at_the_start_is_told_and_released(kernel, call, number, words):
    kernel.devices["/dev/video0"] = Device()
    kernel.devices["/dev/video0"].faults[call] = [number]
    fault = fault_of(kernel)
    assert words in fault and "/dev/video0" in fault


@pytest.mark.parametrize("call, number", [
    ("DQBUF", errno.ENODEV), ("DQBUF", errno.EIO), ("QBUF", errno.ENODEV), ("poll", errno.ENODEV)])
def test_a_failure_on_the_way_is_told_and_then_mended(kernel, call, number):
    device = kernel.devices["/dev/video0"] = Device()
    camera, stop = V4l2Camera(), Stop(kernel, tries=9)
    frames = camera.frames(stop)
    next(frames)
    device.faults[call], faults = [number], []
    stop.wait = lambda timeout: faults.append((timeout, camera.fault))
    assert next(frames).index == 1
    assert faults[0][0] == 0.5 and "/dev/video0" in faults[0][1] and len(faults) == 1
    assert camera.fault is None
    frames.close()


@pytest.mark.parametrize("events", [select.POLLERR, select.POLLHUP | select.POLLIN, select.POLLNVAL])
def test_an_error_from_poll(kernel, events):
    kernel.devices["/dev/video0"] = Device()
    kernel.devices["/dev/video0"].events = events
    assert "unplugged" in fault_of(kernel)


def test_a_stalled_camera(kernel):
    device = kernel.devices["/dev/video0"] = Device()
    device.script = []
    assert "/dev/video0 gave no picture for 2 seconds" in fault_of(kernel)
    assert 102 <= kernel.now - 0.5 < 102.2


def test_a_stream_of_damage_is_a_stall(kernel):
    device = kernel.devices["/dev/video0"] = Device()
    device.script = [[{"flags": 0x40}]] * 1000
    assert "gave no picture" in fault_of(kernel)


def test_a_slow_taker_is_no_stall(kernel):
    kernel.devices["/dev/video0"] = Device()
    camera = V4l2Camera()
    frames = camera.frames(Stop(kernel))
    for number in range(3):
        assert next(frames).index == number
        kernel.now += 60
    assert camera.fault is None
    frames.close()


def test_it_tries_for_ever_and_waits_longer_up_to_ten_seconds(kernel):
    kernel.devices["/dev/video0"] = Device()
    kernel.devices["/dev/video0"].faults["open"] = [errno.EBUSY] * 8
    start = kernel.now
    assert take(V4l2Camera(), Stop(kernel, tries=91), 1) == []
    tried = [start] + kernel.tried
    assert np.diff(tried[1:]).tolist() == [0.5, 1, 2, 4, 8, 10, 10]


def test_a_camera_that_is_plugged_in_is_tried_soon(kernel):
    stop = Stop(kernel, tries=100)
    frames, wait = V4l2Camera().frames(stop), stop.wait

    def plug(timeout):
        if len(stop.waits) == 60:
            kernel.devices["/dev/video0"] = Device()
        return wait(timeout)

    stop.wait = plug
    plugged = kernel.now + 30
    next(frames)
    assert kernel.tried == [plugged + 0.5]
    frames.close()


def test_after_a_picture_it_waits_little_again(kernel):
    device = kernel.devices["/dev/video0"] = Device()
    device.faults["open"] = [errno.EBUSY] * 3 + [0] + [errno.EBUSY] * 2
    frames = V4l2Camera().frames(Stop(kernel, tries=100))
    next(frames)
    assert np.diff(kernel.tried).tolist() == [0.5, 1, 2]
    device.faults["DQBUF"] = [errno.ENODEV]
    next(frames)
    assert np.diff(kernel.tried)[3:] == pytest.approx([0.5, 1, 2], abs=0.1)
    frames.close()


def test_signals_do_not_end_a_call(kernel):
    device = kernel.devices["/dev/video0"] = Device()
    device.faults["DQBUF"] = [errno.EINTR, errno.EINTR]
    camera = V4l2Camera()
    assert len(take(camera, Stop(kernel), 2)) == 2 and camera.fault is None


# Ways out

def test_stopped_before_during_and_after(kernel):
    device = kernel.devices["/dev/video0"] = Device()
    stop = threading.Event()
    stop.set()
    assert list(V4l2Camera().frames(stop)) == [] and not kernel.calls
    stop.clear()
    frames = V4l2Camera().frames(stop)
    next(frames)
    assert device.streaming
    stop.set()
    assert list(frames) == [] and not device.streaming


@pytest.mark.parametrize("error", [KeyboardInterrupt, SystemExit, RuntimeError])
def test_an_exception_stops_the_camera(kernel, error):
    device = kernel.devices["/dev/video0"] = Device()
    frames = V4l2Camera().frames(Stop(kernel))
    next(frames)
    with pytest.raises(error):
        frames.throw(error())
    assert not device.streaming and ("STREAMOFF", None) in kernel.calls


def test_an_exception_in_a_call_stops_the_camera(kernel, monkeypatch):
    device = kernel.devices["/dev/video0"] = Device()

    def broken(*_):
        raise MemoryError

    monkeypatch.setattr(v4l2, "yuyv_to_rgb", broken)
    with pytest.raises(MemoryError):
        take(V4l2Camera(), Stop(kernel), 1)
    assert not device.streaming


def test_a_stream_that_cannot_be_stopped_is_released(kernel):
    device = kernel.devices["/dev/video0"] = Device()
    frames = V4l2Camera().frames(Stop(kernel))
    next(frames)
    device.faults["STREAMOFF"], device.streaming = [errno.ENODEV], False
    frames.close()
    assert not kernel.opened and not kernel.maps


def test_a_stream_that_is_not_ours_is_not_stopped(kernel):
    kernel.devices["/dev/video0"] = Device()
    kernel.devices["/dev/video0"].faults["S_FMT"] = [errno.EBUSY]
    fault_of(kernel)
    assert ("STREAMOFF", None) not in kernel.calls
