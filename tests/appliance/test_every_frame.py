"""Neither viewers nor a fade cost a frame. The camera is live, and gives a frame when the one before has been shown."""

import socket
import threading

import numpy as np
import pytest

from appliance import config, wire
from appliance.display.announcer import Announcer
from appliance.display.none import NoMonitor
from appliance.frames import Frame
from appliance.pipeline import Pipeline
from appliance.web import run
from appliance.window import Window

SIZE = (640, 360)
PATIENT_S = 30


class Camera:
    """Noise, in which JPEG finds nothing to leave out: a picture is more than a connection holds."""

    live, fps, monotonic, yuv_size = True, 30.0, False, None

    def __init__(self):
        self.shown, self.given, self.late = threading.Event(), [], False
        self._noise = np.random.default_rng(0).integers(0, 256, (SIZE[1], SIZE[0], 3), np.uint8)

    def frames(self, stop):
        index = 0
        while not stop.is_set() and not self.late:
            self.shown.clear()
            self.given.append(index)
            yield Frame(np.roll(self._noise, index, 0), index / 30, index)
            self.late = not self.shown.wait(PATIENT_S)
            index += 1


class Style:
    input_size = output_size = SIZE
    channels, input_format, output_format, stage_ms = 3, "rgb", "rgb", ()

    def prepare(self, pixels):
        return pixels

    def run(self, pixels):
        return pixels

    def settle(self, pixels):
        return pixels

    def finish(self, pixels, out):
        out[:] = pixels


class Monitor(NoMonitor):
    def __init__(self, camera):
        super().__init__(SIZE)
        self.camera, self.seen = camera, []

    def show(self, frame):
        self.seen.append(frame.index)
        self.camera.shown.set()
        return True


@pytest.fixture
def running():
    """The pipeline in a thread."""
    camera = Camera()
    pipeline = Pipeline(camera, Style(), Announcer(Monitor(camera)))
    thread = threading.Thread(target=pipeline.run, daemon=True)
    thread.start()
    yield pipeline
    pipeline.stop()
    thread.join(PATIENT_S)
    assert not thread.is_alive()


def assert_every_frame_was_shown(pipeline):
    pipeline.stop()
    camera, monitor = pipeline._camera, pipeline._display._monitor
    assert camera.shown.wait(PATIENT_S) and not camera.late
    assert monitor.seen == camera.given and pipeline.counters.dropped == 0


def until_shown(pipeline, count):
    """Wait until so many more frames have been shown."""
    waited, end = threading.Event(), len(pipeline._display._monitor.seen) + count
    for _ in range(3000):
        if len(pipeline._display._monitor.seen) >= end:
            return
        waited.wait(0.01)
    raise AssertionError("no frames are shown")


def test_ten_viewers_of_whom_two_never_read(running, tmp_path):
    status = tmp_path / "status.json"
    settings = config.Settings.model_validate(
        {"host": {"status": str(status)}, "style": {"folder": str(tmp_path)}, "web": {"fps": 30}}
    )
    window = Window(wire.path(status), running._display, {})
    window.open()
    with run.listening(settings, "127.0.0.1:0") as server:
        threading.Thread(target=server.serve_forever, args=(0.01,), daemon=True).start()
        viewers = [socket.create_connection(server.server_address, PATIENT_S) for _ in range(10)]
        for one in viewers:
            one.sendall(b"GET /stream HTTP/1.1\r\nHost: localhost\r\n\r\n")
            assert one.recv(15) == b"HTTP/1.1 200 OK"
        readers = [threading.Thread(target=watch, args=(one, 4)) for one in viewers[2:]]
        for reader in readers:
            reader.start()
        for reader in readers:
            reader.join()
        until_shown(running, 30)
        assert_every_frame_was_shown(running)
        for one in viewers:
            one.close()
        server.shutdown()
    window.close()


def watch(viewer, pictures):
    """Read so many pictures."""
    file = viewer.makefile("rb")
    while pictures:
        pictures -= file.readline().startswith(b"Content-Type: image/jpeg")


def test_a_fade_from_its_first_frame_to_its_last(running):
    screen = running._display
    screen.fades = 0.5
    until_shown(running, 2)
    screen.fade()
    while screen._fading:
        until_shown(running, 1)
    until_shown(running, 2)
    assert_every_frame_was_shown(running)
