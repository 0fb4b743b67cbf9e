"""The daemon in a thread, on a simulated camera and monitor. The styles and the engine are real."""

import json
import threading

import numpy as np
import pytest

from appliance import daemon as daemon_module
from appliance.camera.v4l2 import State
from appliance.daemon import Daemon
from appliance.errors import Problem
from appliance.frames import Frame
from appliance.host import status, systemd, tpu


class Monitor:
    """`seen` are the frames that were shown on it; `changed` is notified of each."""

    mode, size, draws = "FAKE-1, 640x360", (640, 360), False

    def __init__(self, *_, showing):
        self.showing = showing
        self.fault, self.seen, self.finished = None, [], False
        self.changed = threading.Condition()

    def connect(self):
        return not self.fault

    def show(self, frame):
        with self.changed:
            if self.fault:
                return False
            self.seen.append(frame)
            self.changed.notify_all()
            return True

    def finish(self):
        self.finished = True

    def until(self, test):
        with self.changed:
            assert self.changed.wait_for(lambda: any(test(frame) for frame in self.seen), 30)
            self.seen.clear()


class Camera:
    live, fps, monotonic = True, 30.0, False

    def __init__(self, wanted):
        self.fault, self.yuv_size, self.wanted, self.error, self.released = None, None, wanted, None, False
        self.reopening = False

    @property
    def state(self):
        return State(self.fault) if self.fault else State(None, "/dev/video9", "64x32 at 30 fps")

    def configure(self, wanted):
        self.wanted = wanted

    def frames(self, stop):
        index = 0
        try:
            while not stop.wait(0.01):
                if self.error:
                    raise self.error
                if not self.fault and not self.reopening:
                    yield Frame(np.full((32, 64, 3), index % 256, np.uint8), index / 30, index)
                    index += 1
        finally:
            self.released = True


def picture(frame):
    return frame.pixels.shape[:2] == (32, 64)


def words(frame):
    return not picture(frame)


@pytest.fixture
def appliance(styles, tmp_path, monkeypatch):
    """Starts the daemon in a thread. `notes` are its messages to systemd, `slates` the titles of the slates shown."""
    monkeypatch.setattr(daemon_module, "KmsDisplay", Monitor)
    monkeypatch.setattr(daemon_module, "V4l2Camera", Camera)
    monkeypatch.setattr(tpu, "read", lambda: None)
    monkeypatch.setenv("WATCHDOG_USEC", "1000000")
    monkeypatch.delenv("WATCHDOG_PID", raising=False)
    notes, slates, started = [], [], []
    monkeypatch.setattr(systemd, "_notify", lambda *assignments: notes.extend(assignments))
    show = daemon_module.Announcer._show_slate
    monkeypatch.setattr(
        daemon_module.Announcer,
        "_show_slate",
        lambda self, title, *rest: slates.append(title) or show(self, title, *rest),
    )
    settings = tmp_path / "config.toml"

    def start(before=lambda one: None):
        one = Daemon(settings)
        one.notes, one.slates, one.monitor, one.settings = notes, slates, one.screen._monitor, settings
        one.failure = None
        before(one)

        def run():
            try:
                one.run()
            except BaseException as error:
                one.failure = error

        one.thread = threading.Thread(target=run, daemon=True)
        one.thread.start()
        started.append(one)
        return one

    def configure(**sections):
        sections.setdefault("host", {}).setdefault("status", str(tmp_path / "status.json"))
        sections.setdefault("style", {})["folder"] = str(styles)
        settings.write_text(
            "".join(
                f"[{name}]\n" + "".join(f"{key} = {json.dumps(value)}\n" for key, value in keys.items())
                for name, keys in sections.items()
            )
        )

    configure()
    start.configure, start.status, start.started = configure, tmp_path / "status.json", started
    yield start
    for one in started:
        one.stop()
        one.thread.join(10)
        assert not one.thread.is_alive() and one.monitor.finished


def state_of(appliance, test):
    """The status document, once it passes the test."""
    waited = threading.Event()
    for _ in range(300):
        try:
            now = status.read(appliance.status)
            if test(now):
                return now
        except Problem:
            pass
        waited.wait(0.1)
    raise AssertionError("the status never passed the test")
