"""Cameras that fail, and the state in which they are left."""

import errno
import select
import threading

import numpy as np
import pytest

from appliance.camera import reading
from appliance.camera.stream import Stream
from appliance.camera.v4l2 import V4l2Camera, Wanted

from .fake_v4l2 import Device, Stop, fault_of, take


@pytest.mark.parametrize(
    "number, words",
    [
        (errno.EACCES, "add the user to the group video"),
        (errno.EBUSY, "another program uses it"),
        (errno.ENODEV, "plug it in"),
        (errno.ENOSPC, "bandwidth"),
        (errno.ENOMEM, "cannot allocate memory"),
    ],
)
@pytest.mark.parametrize(
    "call", ["open", "QUERYCAP", "ENUM_FMT", "S_FMT", "G_FMT", "REQBUFS", "QUERYBUF", "mmap", "QBUF", "STREAMON"]
)
def test_a_failure_at_the_start_is_reported_and_the_camera_released(kernel, call, number, words):
    kernel.devices["/dev/video0"] = Device()
    kernel.devices["/dev/video0"].faults[call] = [number]
    fault = fault_of(kernel)
    assert words in fault and "/dev/video0" in fault


@pytest.mark.parametrize(
    "call, number", [("DQBUF", errno.ENODEV), ("DQBUF", errno.EIO), ("QBUF", errno.ENODEV), ("poll", errno.ENODEV)]
)
def test_a_failure_while_streaming_is_reported_until_it_ends(kernel, call, number):
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


@pytest.mark.parametrize("given", [[], [[{"flags": 0x40}]] * 1000], ids=["nothing", "damage"])
def test_a_stall_is_reported_after_two_seconds(kernel, given):
    kernel.devices["/dev/video0"] = Device()
    kernel.devices["/dev/video0"].script = given
    camera = V4l2Camera()
    assert take(camera, Stop(kernel, seconds=1.9), 1) == [] and camera.fault is None
    assert take(camera, Stop(kernel, seconds=2.2), 1) == []
    assert camera.fault == "/dev/video0 gave no picture for 2 seconds: check its cable" and camera.path is None


@pytest.mark.parametrize("looks", [25, 45, 299])
def test_a_stalled_camera_that_resumes_is_noticed_at_once(kernel, looks):
    """However long it was silent: it is listened to until it is reopened."""
    device = kernel.devices["/dev/video0"] = Device()
    device.script = [[{}]] + [[]] * looks + [[{}]]
    camera = V4l2Camera()
    frames = camera.frames(Stop(kernel))
    next(frames)
    silent = kernel.now
    assert next(frames).index == 1
    assert kernel.now - silent == pytest.approx(0.1 * looks, abs=0.2)
    assert camera.fault is None and camera.path == "/dev/video0"
    frames.close()


def test_while_one_is_silent_another_that_is_plugged_in_is_tried_soon(kernel):
    silent = kernel.devices["/dev/video0"] = Device()
    silent.script = []
    poll = kernel.wait

    def plug(fd, milliseconds):
        if kernel.now - start > 20:
            kernel.devices.setdefault("/dev/video1", Device())
        return poll(fd, milliseconds)

    kernel.wait, start = plug, kernel.now
    frames = V4l2Camera(Wanted("/dev/video1")).frames(Stop(kernel))
    next(frames)
    assert kernel.now - start < 21
    frames.close()


def test_a_stalled_camera_is_opened_again_less_and_less_often(kernel):
    kernel.devices["/dev/video0"] = Device()
    kernel.devices["/dev/video0"].script = []
    assert take(V4l2Camera(), Stop(kernel, seconds=49), 1) == []
    assert np.diff(kernel.tried) == pytest.approx([2.5, 3, 4, 6, 10, 12], abs=0.3)


def test_a_slow_reader_is_not_a_stall(kernel):
    kernel.devices["/dev/video0"] = Device()
    camera = V4l2Camera()
    frames = camera.frames(Stop(kernel))
    for number in range(3):
        assert next(frames).index == number
        kernel.now += 60
    assert camera.fault is None
    frames.close()


def test_it_retries_indefinitely_with_pauses_up_to_ten_seconds(kernel):
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

    monkeypatch.setattr(reading, "yuyv_to_rgb", broken)
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


def test_a_camera_is_released_while_somebody_looks_at_its_memory(kernel):
    kernel.devices["/dev/video0"] = Device()
    stream = Stream("/dev/video0")
    with memoryview(kernel.maps[1]):
        stream.close()
    assert not kernel.opened and not kernel.maps


def test_a_stream_that_is_not_ours_is_not_stopped(kernel):
    kernel.devices["/dev/video0"] = Device()
    kernel.devices["/dev/video0"].faults["S_FMT"] = [errno.EBUSY]
    fault_of(kernel)
    assert ("STREAMOFF", None) not in kernel.calls
