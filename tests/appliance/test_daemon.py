"""The appliance as a whole, on a camera and a monitor that are not there. The styles and the engine are real."""

import json
import signal
import subprocess
import sys
import threading
from pathlib import Path

import numpy as np
import pytest

from appliance import daemon as daemon_module
from appliance import switcher
from appliance.camera.v4l2 import State
from appliance.daemon import Daemon
from appliance.errors import Problem
from appliance.frames import Frame
from appliance.host import status, systemd, tpu
from appliance.style import store

pytest.importorskip("inotify_simple", reason="inotify_simple is not installed")
ROOT = Path(__file__).parents[2]


class Monitor:
    """`seen` are the frames that were put on it; `changed` is told of each."""

    mode, size = "FAKE-1, 640x360", (640, 360)

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
                if not self.fault:
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
    """Starts the appliance in a thread. Its `notes` are what it tells systemd, `slates` what it says on the screen."""
    monkeypatch.setattr(daemon_module, "KmsDisplay", Monitor)
    monkeypatch.setattr(daemon_module, "V4l2Camera", Camera)
    monkeypatch.setattr(tpu, "read", lambda: None)
    monkeypatch.setenv("WATCHDOG_USEC", "1000000")
    monkeypatch.delenv("WATCHDOG_PID", raising=False)
    notes, slates, started = [], [], []
    monkeypatch.setattr(systemd, "_notify", lambda *assignments: notes.extend(assignments))
    draw = daemon_module.Announcer._say
    monkeypatch.setattr(
        daemon_module.Announcer, "_say", lambda self, title, text: slates.append(title) or draw(self, title, text)
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
    """The status document, as soon as it passes the test."""
    waited = threading.Event()
    for _ in range(300):
        try:
            now = status.read(appliance.status)
            if test(now):
                return now
        except Problem:
            pass
        waited.wait(0.1)
    raise AssertionError("the status never came to pass the test")


def test_words_then_the_picture(appliance):
    one = appliance()
    one.monitor.until(picture)
    assert one.slates[0] == "Starting" and one.notes.count("READY=1") == 1
    now = state_of(appliance, lambda now: now.style == "tiny" and now.fps > 0 and now.slate is None)
    assert now.plan == "split" and "CPU" in now.runtime and now.camera == "/dev/video9, 64x32 at 30 fps"
    assert {"input", "show"} <= set(now.ms) and now.longest_gap_ms > 0 and now.refused == []
    one.stop()
    one.thread.join(10)
    assert one.failure is None and one.slates[-1] == "Shutting down" and one.camera.released
    assert "STOPPING=1" in one.notes and not appliance.status.exists()


def test_without_a_camera_it_says_so_and_goes_on_when_there_is_one(appliance):
    one = appliance()
    one.monitor.until(picture)
    one.camera.fault = "no camera found: plug one in"
    one.monitor.until(words)
    now = state_of(appliance, lambda now: now.slate is not None)
    assert now.slate == "No camera: no camera found: plug one in" and now.camera == one.camera.fault
    one.camera.fault = None
    one.monitor.until(picture)


def test_without_a_style_it_says_so_until_there_is_one(appliance, styles):
    good = (styles / "tiny.reconet").read_bytes()
    (styles / "tiny.reconet").unlink()
    one = appliance()
    state_of(appliance, lambda now: now.slate and now.slate.startswith("No style"))
    (styles / "bad.reconet").write_bytes(b"")
    now = state_of(appliance, lambda now: now.slate and now.slate.startswith("Style refused"))
    assert "bad.reconet" in now.slate and len(now.refused) == 1
    (styles / "tiny.reconet").write_bytes(good)
    one.monitor.until(picture)


def test_without_a_monitor_it_is_not_ready_until_there_is_one(appliance):
    one = appliance(lambda one: setattr(one.monitor, "fault", "no monitor is connected"))
    now = state_of(appliance, lambda now: now.style == "tiny")
    assert now.display == "no monitor is connected" and now.fps == 0
    # A reload does not change that: RELOADING=1 and READY=1 would end systemd's wait for the first picture.
    appliance.configure(engine={"plan": "lowres"})
    one.reload()
    state_of(appliance, lambda now: now.plan == "lowres")
    assert "READY=1" not in one.notes and "RELOADING=1" not in one.notes
    one.monitor.fault = None
    one.monitor.until(picture)
    state_of(appliance, lambda now: now.display == "FAKE-1, 640x360")
    assert "READY=1" in one.notes and "WATCHDOG=1" in one.notes


def test_a_monitor_that_is_switched_off_is_no_reason_to_start_again(appliance):
    one = appliance()
    one.monitor.until(picture)
    one.monitor.fault = "no monitor on HDMI-A-1: plug one in and turn it on"
    state_of(appliance, lambda now: now.display == one.monitor.fault)
    for camera_fault in (None, "no camera found: plug one in"):
        one.camera.fault = camera_fault
        silence = one.screen.silence
        state_of(appliance, lambda now, silence=silence: one.screen.silence > silence + 2)
        del one.notes[:]
        state_of(appliance, lambda now: "WATCHDOG=1" in one.notes)


def test_without_a_monitor_a_frozen_network_does_not_feed_the_watchdog_either(appliance, monkeypatch):
    monkeypatch.setattr(daemon_module, "_PATIENT_S", 0.0)
    frozen = threading.Event()
    one = appliance()
    one.monitor.until(picture)
    one.monitor.fault = "no monitor on HDMI-A-1: plug one in and turn it on"
    one.pipeline.stylizer.run = lambda *_: frozen.wait(30)
    silence = one.screen.silence
    state_of(appliance, lambda now: one.screen.silence > silence + 2)
    del one.notes[:]
    silence = one.screen.silence
    state_of(appliance, lambda now: one.screen.silence > silence + 2)
    frozen.set()
    assert "WATCHDOG=1" not in one.notes


def test_pictures_feed_the_watchdog_again_and_again(appliance):
    one = appliance()
    one.monitor.until(picture)
    for _ in range(2):
        del one.notes[:]
        state_of(appliance, lambda now: "WATCHDOG=1" in one.notes)
    assert one.notes.count("WATCHDOG=1") < one.pipeline.counters.shown / 2


def test_a_frozen_network_does_not_feed_the_watchdog(appliance):
    frozen = threading.Event()
    one = appliance()
    one.monitor.until(picture)
    one.pipeline.stylizer.run = lambda *_: frozen.wait(30)
    state_of(appliance, lambda now: one.screen.silence > 2)
    del one.notes[:]
    silence = one.screen.silence
    state_of(appliance, lambda now: one.screen.silence > silence + 2)
    frozen.set()
    assert "WATCHDOG=1" not in one.notes


def test_a_load_that_hangs_does_not_feed_the_watchdog(appliance, monkeypatch):
    hangs, load = threading.Event(), store.load
    monkeypatch.setattr(switcher, "_CHECK_S", 0.5)
    monkeypatch.setattr(daemon_module, "_PATIENT_S", 0.0)
    monkeypatch.setattr(store, "load", lambda path: (hangs.wait(60), load(path))[1])
    one = appliance()
    one.monitor.until(words)
    uptime = state_of(appliance, lambda now: not one.switcher.snapshot.slate.holds).uptime
    uptime = state_of(appliance, lambda now: now.uptime > uptime + 1).uptime
    del one.notes[:]
    state_of(appliance, lambda now: now.uptime > uptime + 2)
    assert "WATCHDOG=1" not in one.notes
    hangs.set()
    one.monitor.until(picture)


def test_what_breaks_is_raised(appliance):
    one = appliance()
    one.monitor.until(picture)
    one.camera.error = RuntimeError("a bug")
    one.thread.join(10)
    assert isinstance(one.failure, RuntimeError) and one.monitor.finished and one.slates[-1] == "Starting again"


def test_what_breaks_at_the_end_keeps_nothing_from_being_released(appliance):
    one = appliance()
    one.monitor.until(picture)
    state_of(appliance, lambda now: now.fps > 0)
    one.screen.close = lambda title: 1 / 0
    one.camera.error = RuntimeError("a bug")
    one.thread.join(10)
    assert isinstance(one.failure, RuntimeError) and one.monitor.finished and one.camera.released
    assert not appliance.status.exists()


def test_a_hot_edge_tpu_is_said(appliance, monkeypatch):
    monkeypatch.setattr(tpu, "read", lambda: tpu.Tpu(91.0, (85.0, 90.0, 95.0)))
    appliance()
    now = state_of(appliance, lambda now: now.hot and now.fps > 0)
    assert "too hot" in now.slate and now.temperature == 91 and now.clock_mhz == 125


def test_the_configuration_is_read_again(appliance):
    one = appliance()
    one.monitor.until(picture)
    before = one.monitor
    appliance.configure(
        camera={"device": "/dev/video3", "fps": 15},
        display={"mode": "1920x1080", "rotate": 90},
        engine={"plan": "lowres"},
    )
    one.reload()
    now = state_of(appliance, lambda now: now.plan == "lowres")
    assert one.camera.wanted == ("/dev/video3", None, 15, False) and before.finished and now.config is None
    one.monitor = one.screen._monitor
    assert one.monitor.showing == (90, False)
    one.settings.write_text("[camera]\nfps = 0\n")
    one.reload()
    now = state_of(appliance, lambda now: now.config is not None)
    assert "camera.fps = 0" in now.config and now.style == "tiny"  # goes on as before
    assert [note for note in one.notes if note in ("RELOADING=1", "READY=1")] == ["READY=1"] + 2 * [
        "RELOADING=1",
        "READY=1",
    ]


def test_a_status_elsewhere_leaves_none_behind(appliance, tmp_path):
    appliance()
    state_of(appliance, lambda now: now.style == "tiny")
    before, appliance.status = appliance.status, tmp_path / "elsewhere.json"
    appliance.configure(host={"status": str(appliance.status)})
    appliance.started[0].reload()
    state_of(appliance, lambda now: now.style == "tiny")
    assert not before.exists()


def test_a_status_that_cannot_be_written_is_no_hindrance(appliance, tmp_path):
    appliance.configure(host={"status": str(tmp_path / "none" / "status.json")})
    one = appliance()
    one.monitor.until(picture)


def test_by_hand_a_bad_configuration_is_an_error(tmp_path):
    (tmp_path / "bad.toml").write_text("[camera]\nwidht = 640\n")
    done = subprocess.run(
        [sys.executable, "-m", "appliance", "run", "--config", str(tmp_path / "bad.toml")],
        cwd=str(ROOT),
        stderr=subprocess.PIPE,
        universal_newlines=True,
    )
    assert done.returncode == 1 and "widht" in done.stderr and len(done.stderr.splitlines()) == 1


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_ends_it(number, styles, tmp_path):
    """The process itself, on a machine without camera and monitor."""
    (tmp_path / "config.toml").write_text(f'[host]\nstatus = "{tmp_path}/status.json"\n[style]\nfolder = "{styles}"\n')
    process = subprocess.Popen(
        [sys.executable, "-m", "appliance", "run", "--config", str(tmp_path / "config.toml")],
        cwd=str(ROOT),
        stderr=subprocess.PIPE,
        universal_newlines=True,
    )
    while not (tmp_path / "status.json").exists():
        assert process.poll() is None, process.stderr.read()
    for _ in range(200):
        process.send_signal(signal.SIGHUP)
    process.send_signal(number)
    _, err = process.communicate()
    assert process.returncode == 0 and "Traceback" not in err
