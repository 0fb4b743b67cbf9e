"""V4L2 cameras: their pictures, which one is taken, and which are refused."""

import errno
import sys

import numpy as np
import pytest

from appliance.camera.thin import Thinner
from appliance.camera.v4l2 import ALIAS, V4l2Camera, Wanted
from appliance.camera.yuyv import BT601, BT709, yuyv_to_rgb
from appliance.errors import Problem

from .fake_v4l2 import Device, Stop, fault_of, take


def thinned(yuyv, network, **options):
    out = np.empty(network[::-1] + (3,), np.uint8)
    Thinner(yuyv.shape[1::-1], network, **options)(yuyv, out)
    return out


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
    camera = V4l2Camera(yuv_size=(8, 4))
    frames = camera.frames(Stop(kernel))
    frame = next(frames)
    assert np.array_equal(frame.pixels, thinned(device.pixels(0), (8, 4))) and frame.format == "yuv"
    assert camera.state.given == "16x8 at 30 fps, 100 % of the camera's view" and frame.made_for == (8, 4)
    camera.yuv_size = (8, 2)
    assert np.array_equal(next(frames).pixels, thinned(device.pixels(1), (8, 2)))
    assert camera.state.given.endswith("50 % of the camera's view (cuts 50 % top and bottom)")
    camera.yuv_size = (0, 0)  # nobody looks
    assert next(frames).pixels.size == 0
    camera.yuv_size = None
    frame = next(frames)
    assert frame.pixels.shape == (8, 16, 3) and frame.format == "rgb" and frame.made_for is None
    frames.close()


def test_a_camera_opens_before_anyone_looks(kernel):
    kernel.devices["/dev/video0"] = Device(size=(16, 8))
    camera = V4l2Camera(yuv_size=(0, 0))
    frames = camera.frames(Stop(kernel))
    assert next(frames).pixels.size == 0
    camera.yuv_size = (8, 4)
    while next(frames).made_for != (8, 4):
        pass


def test_devices_are_not_listed_for_every_frame(kernel):
    kernel.devices["/dev/video0"] = Device()
    frames = V4l2Camera().frames(Stop(kernel))
    next(frames)
    listed = kernel.listed
    for _ in range(50):
        next(frames)
    assert kernel.listed == listed
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


@pytest.mark.parametrize(
    "fields, colour",
    [
        ({}, BT601),
        ({6: 3}, BT709),
        ({6: 7}, BT601._replace(full_range=True)),
        ({6: 8, 7: 0xFEEDCAFE, 10: 1}, BT601._replace(full_range=True)),
        ({6: 3, 7: 0xFEEDCAFE, 9: 1}, BT601),
        ({6: 7, 7: 0xFEEDCAFE, 10: 2}, BT601),
        ({6: 8, 7: 0, 9: 2, 10: 1}, BT601),
    ],
)
def test_the_colours_are_those_that_the_driver_reports(kernel, fields, colour):
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


@pytest.mark.parametrize("size", [None, (4, 2), (8, 4), (3, 3)])
def test_a_mirror(kernel, size):
    kernel.devices["/dev/video0"] = Device()
    ((plain,), (mirrored,)) = (
        take(V4l2Camera(Wanted(mirror=mirror), yuv_size=size), Stop(kernel), 1) for mirror in (False, True)
    )
    assert plain.format == mirrored.format
    again = kernel.devices["/dev/video0"].pixels(1) if size is None else None
    if again is not None:
        expected = np.empty((4, 8, 3), np.uint8)
        yuyv_to_rgb(again, expected)
        assert np.array_equal(mirrored.pixels[:, ::-1], expected)
    else:
        assert np.array_equal(mirrored.pixels, thinned(kernel.devices["/dev/video0"].pixels(1), size, mirror=True))


# Which size


def test_the_size_is_chosen_for_the_network_and_again_for_another_one(kernel):
    device = kernel.devices["/dev/video0"] = Device()
    device.sizes = {(1280, 720): 30, (1024, 576): 30, (640, 480): 30}
    camera = V4l2Camera(yuv_size=(640, 360))
    frames = camera.frames(Stop(kernel))
    assert next(frames).pixels.shape == (360, 640, 3) and device.size == (1280, 720)
    camera.yuv_size = (320, 180)
    assert next(frames).pixels.shape == (180, 320, 3) and device.size == (1280, 720)
    assert [name for name, _ in kernel.calls].count("STREAMON") == 1  # it suits that too
    camera.yuv_size = (512, 288)
    assert next(frames).pixels.shape == (288, 512, 3) and device.size == (1024, 576)
    assert camera.state.given == "1024x576 at 30 fps, 100 % of the camera's view"
    frames.close()


def test_a_rate_that_is_too_low_is_avoided(kernel):
    device = kernel.devices["/dev/video0"] = Device()
    device.sizes = {(1280, 720): 10, (640, 360): 30}
    take(V4l2Camera(yuv_size=(640, 360)), Stop(kernel), 1)
    assert device.size == (640, 360)
    take(V4l2Camera(Wanted(fps=10), yuv_size=(640, 360)), Stop(kernel), 1)
    assert device.size == (1280, 720)


def test_a_camera_of_any_size(kernel):
    device = kernel.devices["/dev/video0"] = Device()
    device.stepwise = (16, 16), (1920, 1080), (2, 2)
    take(V4l2Camera(yuv_size=(512, 288)), Stop(kernel), 1)
    assert device.size == (1024, 576)


def test_a_configured_size_is_asked_for(kernel):
    device = kernel.devices["/dev/video0"] = Device()
    device.sizes = {(1280, 720): 30, (640, 480): 30}
    camera = V4l2Camera(Wanted(size=(640, 480)), yuv_size=(640, 360))
    take(camera, Stop(kernel), 1)
    assert device.size == (640, 480)
    assert camera.state.given == "640x480 at 30 fps, 75 % of the camera's view (cuts 25 % top and bottom)"


def test_a_driver_that_never_ends_its_list(kernel, monkeypatch):
    device = kernel.devices["/dev/video0"] = Device()
    device.sizes = {(1280, 720): 30}
    endless = type(kernel).enum_framesizes
    monkeypatch.setattr(
        type(kernel), "enum_framesizes", lambda kernel, device, entry: endless(kernel, device, zero(entry))
    )
    take(V4l2Camera(yuv_size=(640, 360)), Stop(kernel), 1)
    assert device.size == (1280, 720)


def zero(entry):
    entry.index = 0
    return entry


# Which camera


def test_nodes_that_are_not_cameras_are_skipped(kernel):
    for number in (0, 2, 10):
        kernel.devices[f"/dev/video{number}"] = Device()
    kernel.devices["/dev/video0"].device_caps = 0x04800000  # metadata, of a device that captures too
    camera = V4l2Camera()
    take(camera, Stop(kernel), 1)
    assert camera.path == "/dev/video2"


def test_the_configured_one_comes_first_and_then_the_alias(kernel):
    for number in range(3):
        kernel.devices[f"/dev/video{number}"] = Device()
    camera = V4l2Camera(Wanted("/dev/video2"))
    take(camera, Stop(kernel), 1)
    assert camera.path == "/dev/video2"
    kernel.links[ALIAS] = "/dev/video1"
    camera = V4l2Camera()
    take(camera, Stop(kernel), 1)
    assert camera.path == ALIAS


def test_another_one_when_the_configured_one_does_not_work(kernel):
    kernel.devices["/dev/video0"], kernel.devices["/dev/video1"] = Device(), Device(formats=("H264",))
    for configured in ("/dev/video1", "/dev/video7"):
        camera = V4l2Camera(Wanted(configured))
        take(camera, Stop(kernel), 1)
        assert camera.path == "/dev/video0" and camera.fault is None


def test_a_device_is_tried_once_under_all_its_names(kernel):
    kernel.devices["/dev/video0"], kernel.links[ALIAS] = Device(formats=("H264",)), "/dev/video0"
    assert fault_of(kernel, "/dev/video0").startswith("/dev/video0 ")
    assert [path for name, path in kernel.calls if name == "open"] == ["/dev/video0"]


# What is refused


@pytest.mark.parametrize(
    "formats, words",
    [(("H264",), "offers H264, not YUYV, UYVY, NV12, YU12, MJPG"), ((), "offers no format")],
)
def test_other_formats_are_refused_with_what_there_is(kernel, formats, words):
    kernel.devices["/dev/video0"] = Device(formats=formats, card=b"Cam\x1b\n 2")
    fault = fault_of(kernel)
    assert words in fault and "/dev/video0 (Cam   2)" in fault and "use another camera" in fault


def test_no_camera_at_all(kernel):
    assert fault_of(kernel) == "no camera found: plug one in"


def test_a_configured_device_that_is_no_camera(kernel):
    kernel.devices["/dev/video0"] = Device()
    kernel.devices["/dev/video0"].device_caps = 0x04000002
    assert fault_of(kernel, "/dev/video0") == "/dev/video0 is not a camera: name another device"
    assert fault_of(kernel) == "no camera found: plug one in"


def test_a_driver_that_gives_another_format(kernel):
    kernel.devices["/dev/video0"] = Device()
    kernel.devices["/dev/video0"].gives = "UYVY"
    assert "gives UYVY when asked for YUYV" in fault_of(kernel)


def test_which_sizes_it_fits_without_scaling(kernel):
    device = kernel.devices["/dev/video0"] = Device(size=(1280, 720))
    device.sizes = {(1280, 720): 30, (640, 480): 30, (1920, 1080): 5}  # the last is too slow
    camera = V4l2Camera(yuv_size=(640, 360))
    assert camera.state.fits is None
    take(camera, Stop(kernel), 1)
    assert camera.state.fits == ((320, 180), (424, 240), (640, 360), (1280, 720))


def test_a_camera_smaller_than_the_network_is_enlarged(kernel):
    device = kernel.devices["/dev/video0"] = Device()
    (frame,) = take(V4l2Camera(yuv_size=(16, 8)), Stop(kernel), 1)
    assert frame.format == "yuv" and np.array_equal(frame.pixels, thinned(device.pixels(0), (16, 8)))


def test_what_is_asked_for_may_change_at_any_time(kernel):
    first, second = kernel.devices["/dev/video0"], kernel.devices["/dev/video1"] = Device(), Device(size=(16, 8))
    camera = V4l2Camera()
    frames = camera.frames(Stop(kernel))
    assert next(frames).pixels.shape == (4, 8, 3) and first.asked == (1280, 720, 30)
    camera.configure(Wanted("/dev/video1", (640, 480), 15))
    assert next(frames).pixels.shape == (8, 16, 3) and second.asked == (640, 480, 15)
    assert camera.state[:3] == (None, "/dev/video1", "16x8 at 30 fps") and not first.streaming
    frames.close()


def test_buffers_that_are_too_small(kernel, monkeypatch):
    kernel.devices["/dev/video0"] = Device()
    monkeypatch.setattr(kernel, "querybuf", lambda device, buffer: setattr(buffer, "length", 10))
    assert "buffers smaller than its pictures" in fault_of(kernel)


def test_without_the_package(monkeypatch):
    monkeypatch.setitem(sys.modules, "v4l2", None)
    with pytest.raises(Problem, match="pip install v4l2-python3"):
        V4l2Camera()


@pytest.mark.parametrize("driver", [b"unicam", b"rp1-cfe", b"bcm2835-isp"])
def test_nodes_of_a_raspberry_pis_camera_are_left_to_libcamera(kernel, driver):
    kernel.devices["/dev/video0"], kernel.devices["/dev/video1"] = Device(), Device()
    kernel.devices["/dev/video0"].driver = driver
    camera = V4l2Camera()
    take(camera, Stop(kernel), 1)
    assert camera.path == "/dev/video1"
    assert "set camera.device to csi" in fault_of_only(kernel, "/dev/video0")


def fault_of_only(kernel, path):
    kernel.devices = {path: kernel.devices[path]}
    return fault_of(kernel, path)
