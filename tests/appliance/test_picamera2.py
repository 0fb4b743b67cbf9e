"""A Raspberry Pi's own camera, with Picamera2 and libcamera replaced at the edge to this project."""

import importlib.machinery
import sys
import threading
import time
from concurrent.futures import Future
from types import ModuleType, SimpleNamespace

import numpy as np
import pytest

from appliance.camera import open_camera, picamera2
from appliance.camera.picamera2 import Picamera, is_csi
from appliance.camera.planar import Planar, PlanarReducer, as_yuyv
from appliance.camera.v4l2 import Wanted
from appliance.camera.yuyv import yuyv_to_rgb
from appliance.errors import Problem

from .fake_v4l2 import random_planes

PADDING = 64  # bytes at the end of each row


WEBCAM = {"Model": "C270 HD WEBCAM", "Id": "/base/scb/pcie@7d500000/pci@0,0/usb@0,0-1.2:1.0-046d:0825", "Num": 0}


class Libcamera:
    """What is connected, and what was done with it. `pending` pictures never come; `error` is raised at the next."""

    def __init__(self):
        self.cameras = [{"Model": "imx708", "Id": "/base/soc/i2c0mux/imx708@1a", "Num": 0}]
        self.opened, self.configured, self.held, self.taken = 0, [], 0, 0
        self.error, self.pending = None, False

    def Picamera2(self, number):
        assert not self.opened, "the last one was not closed"
        assert "/usb" not in self.cameras[number].get("Id", "")
        self.opened += 1
        return Fake(self)


class Fake:
    def __init__(self, state):
        self.state, self.running = state, False

    def create_video_configuration(self, main, lores, raw, colour_space, controls, display, encode, queue):
        assert (raw, display, encode, queue, colour_space) == (None, None, None, False, "Smpte170m")
        assert main["format"] == lores["format"] == "YUV420"
        return {"lores": lores, "controls": controls}

    def configure(self, wanted):
        assert not self.running
        self.state.configured.append((wanted["lores"]["size"], wanted["controls"]["FrameDurationLimits"]))
        self.size = wanted["lores"]["size"]

    def stream_configuration(self, name):
        assert name == "lores"
        return {"size": self.size, "stride": self.size[0] + PADDING}

    def start(self):
        self.running = True

    def capture_request(self, wait):
        assert self.running and wait is False
        future = Future()
        if self.state.error:
            error, self.state.error = self.state.error, None
            future.set_exception(error)
        elif not self.state.pending:
            self.state.held += 1
            future.set_result(Request(self.state, self.size))
        return SimpleNamespace(get_result=lambda timeout: future.result(0 if self.state.pending else timeout))

    def stop(self):
        self.running = False

    def close(self):
        assert not self.running and not self.state.held
        self.state.opened -= 1


class Request:
    def __init__(self, state, size):
        self.state, self.number, (self.width, self.height) = state, state.taken, size
        state.taken += 1

    def make_array(self, name):
        assert name == "lores"
        row = self.width + PADDING
        array = np.zeros((self.height * 3 // 2, row), np.uint8)
        y, u, v = random_planes(self.height, self.width, self.number)
        array[: self.height, : self.width] = y
        below = array[self.height :].reshape(2, self.height // 2, row // 2)
        below[:, :, : self.width // 2] = u, v
        return array

    def get_metadata(self):
        return {"SensorTimestamp": int((time.monotonic() - 0.01) * 1e9)}

    def release(self):
        self.state.held -= 1


@pytest.fixture
def libcamera(monkeypatch):
    state = Libcamera()
    modules = {name: ModuleType(name) for name in ("picamera2", "libcamera")}
    for name, module in modules.items():
        module.__spec__ = importlib.machinery.ModuleSpec(name, None)
        monkeypatch.setitem(sys.modules, name, module)
    opener = state.Picamera2
    modules["picamera2"].Picamera2 = type(
        "Picamera2",
        (),
        {"__new__": lambda cls, number: opener(number), "global_camera_info": staticmethod(lambda: state.cameras)},
    )
    modules["libcamera"].ColorSpace = SimpleNamespace(Smpte170m=lambda: "Smpte170m")
    monkeypatch.setattr(picamera2, "BACKOFF", (0.0, 0.0))
    yield state
    assert not state.opened and not state.held


def planes(size, number):
    y, u, v = random_planes(size[1], size[0], number)
    return Planar(y, (u[..., np.newaxis], v[..., np.newaxis]))


def reduced(size, number, **options):
    out = np.empty((size[1], size[0], 3), np.uint8)
    PlanarReducer(size, size, **options)(planes(size, number), out)
    return out


def test_the_image_processor_scales_to_the_network(libcamera):
    camera = Picamera(Wanted(fps=25), yuv_size=(64, 36))
    frames = camera.frames(threading.Event())
    one, two = next(frames), next(frames)
    assert libcamera.configured == [((64, 36), (40000, 40000))]
    assert np.array_equal(one.pixels, reduced((64, 36), 0)) and np.array_equal(two.pixels, reduced((64, 36), 1))
    assert (one.format, one.made_for, two.index) == ("yuv", (64, 36), 1)
    assert 0 <= time.monotonic() - one.timestamp < 1 and one.timestamp < two.timestamp
    assert camera.state[:3] == (None, "imx708", "64x36 at 25 fps, 100 % of the camera's view")
    camera.yuv_size = (32, 18)  # another style
    assert next(frames).made_for == (32, 18) and libcamera.configured[-1][0] == (32, 18)
    camera.yuv_size = (0, 0)  # nobody looks
    assert next(frames).pixels.size == 0
    frames.close()


def test_rgb_and_a_mirror(libcamera):
    camera = Picamera(Wanted(size=(64, 36), mirror=True))
    frames = camera.frames(threading.Event())
    expected = np.empty((36, 64, 3), np.uint8)
    yuyv_to_rgb(as_yuyv(planes((64, 36), 0)), expected)
    frame = next(frames)
    assert np.array_equal(frame.pixels, expected[:, ::-1]) and frame.format == "rgb"
    camera.yuv_size = (64, 36)
    assert np.array_equal(next(frames).pixels, reduced((64, 36), 1, mirror=True))
    frames.close()


def test_trouble_is_one_line_and_the_camera_is_opened_again(libcamera, monkeypatch):
    monkeypatch.setattr(picamera2, "STALLED", 0.0)
    camera, faults, stop = Picamera(yuv_size=(64, 36)), [], threading.Event()
    frames = camera.frames(stop)
    next(frames)

    def recover(timeout):
        faults.append(camera.fault)
        libcamera.cameras, libcamera.pending = [{"Model": "imx219"}], False

    monkeypatch.setattr(stop, "wait", recover)
    libcamera.error = RuntimeError("Camera frontend\nhas timed out!")
    next(frames)
    libcamera.pending = True
    next(frames)
    libcamera.cameras = []
    camera.configure(Wanted(fps=15))
    assert next(frames).index == 3 and camera.fault is None and camera.path == "imx219"
    assert [fault.split(": ")[0] for fault in faults] == [
        "cannot use the CSI camera",
        "the CSI camera imx219 gave no picture for 0 s",
        "no CSI camera found",
    ]
    assert all("\n" not in fault for fault in faults)
    frames.close()


def test_it_stops_while_it_waits(libcamera):
    libcamera.pending = True
    stop = threading.Event()
    stop.set()
    assert list(Picamera().frames(stop)) == []


def test_which_kind_of_camera(libcamera, monkeypatch):
    assert is_csi("auto") and is_csi("csi") and not is_csi("/dev/video0")
    assert isinstance(open_camera("csi"), Picamera) and picamera2.look() == "imx708"
    libcamera.cameras = []
    assert is_csi("csi") and not is_csi("auto")
    monkeypatch.delitem(sys.modules, "picamera2")
    assert is_csi("csi") and not is_csi("auto")
    with pytest.raises(Problem, match="apt install python3-picamera2"):
        open_camera("csi")


def test_a_usb_webcam_is_not_a_csi_camera(libcamera):
    csi = {**libcamera.cameras[0], "Num": 1}
    libcamera.cameras = [WEBCAM]
    assert not is_csi("auto")
    with pytest.raises(Problem, match="no CSI camera found"):
        picamera2.look()
    libcamera.cameras = [WEBCAM, csi]
    assert is_csi("auto") and picamera2.look() == "imx708"
    frames = Picamera(yuv_size=(64, 36)).frames(threading.Event())
    assert next(frames).made_for == (64, 36)
    frames.close()
