"""The daemon and an Edge TPU on USB that comes late, does not open, aborts and is pulled. libedgetpu is a stand-in."""

import signal
import subprocess
import sys
import threading
from pathlib import Path

import pytest

from appliance import switcher, trial
from appliance.errors import Problem
from appliance.host import status
from appliance.loader import tpus
from appliance.style import state
from appliance.style.watch import signature

pytest.importorskip("inotify_simple", reason="inotify_simple is not installed")

ROOT = Path(__file__).parents[2]
DAEMON = """
import sys
from pathlib import Path
from appliance import daemon
from appliance.engine import delegate, devices
from tests.appliance.running import Camera, Monitor

daemon.KmsDisplay, daemon.V4l2Camera = Monitor, Camera
delegate.LIBRARY, settings = sys.argv[1:3]
devices.APEX, devices.USB, devices.NODES = map(Path, sys.argv[3:])
sys.exit(daemon.serve(settings))
"""


@pytest.fixture
def quick(monkeypatch):
    """No processes for what runs on the CPU: test_trial.py is about them."""
    monkeypatch.setattr(trial, "passes", lambda path, *_: None)
    monkeypatch.setattr(trial, "measure", lambda path, *_: 1.0)
    monkeypatch.setattr(switcher, "_BETTER_S", 0.0)
    monkeypatch.setattr(switcher, "_RARELY_S", 0.0)
    monkeypatch.setattr(switcher, "_LOOK_S", 0.01)


def test_a_stick_that_comes_late_and_opens_later_is_used(folder, compiled, library, bus, start, quick):
    compiled(folder / "a.reconet")
    library("fail")
    waiting = start(folder, tpu_missing="slate")
    assert waiting.runs() is None and waiting.now.slate.text == "A coffee cup waits for it."
    waiting.close()
    bus.plug("2-1", "1a6e", "089a")
    waiting = start(folder, tpu_missing="slate")
    assert waiting.runs() is None and "A coffee cup waits for it: " in waiting.now.slate.text
    assert "was found but could not be opened" in waiting.now.slate.text
    library("run")
    assert waiting.runs() == "a" and waiting.now.style.device == "TPU" and waiting.now.slate is None


def test_a_stick_that_is_plugged_in_again_is_tried_soon(folder, compiled, library, bus, start, quick, monkeypatch):
    monkeypatch.setattr(switcher, "_BETTER_S", 1e9)  # as after many attempts
    compiled(folder / "a.reconet")
    library("fail")
    bus.plug()
    one = start(folder)
    assert one.runs() == "a" and one.now.style.device == "CPU"
    one.passes(1)
    monkeypatch.setattr(switcher, "_BETTER_S", 0.0)
    library("run")
    one.passes()
    assert one.swapped.empty()
    bus.unplug()
    one.passes()
    bus.plug()
    assert one.runs() == "a" and one.now.style.device == "TPU"


def test_a_stick_that_is_pulled_during_a_load_is_not_blamed_on_the_style(
    folder,
    compiled,
    library,
    bus,
    start,
    quick,
):
    bundle = compiled(folder / "a.reconet")
    bus.plug()
    attempt = state.Attempt(bundle=bundle.digest, signature=signature(bundle.path), boot=state.boot_id(), tpu=tpus())
    state.change(folder, lambda before: before.changed(attempt=attempt))
    one = start(folder)
    assert "crashed the daemon" in one.reports("a.reconet")
    one.close()
    state.change(folder, lambda before: before.changed(attempt=attempt, fatal=()))
    bus.unplug()
    bus.plug()
    assert start(folder).runs() == "a"


def test_libedgetpu_that_aborts_ends_in_a_new_start_without_the_stick(compiled, library, built, bus, tmp_path):
    (tmp_path / "styles").mkdir()
    compiled(tmp_path / "styles" / "a.reconet")
    settings, report = tmp_path / "config.toml", tmp_path / "status.json"
    settings.write_text(
        f'[engine]\ndevice = "usb:0"\n[style]\nfolder = "{tmp_path}/styles"\n[host]\nstatus = "{report}"\n'
    )

    def started():
        places = [tmp_path / "apex_0", bus.sysfs, bus.nodes]
        return subprocess.Popen(
            [sys.executable, "-c", DAEMON, str(built), str(settings)] + list(map(str, places)),
            cwd=str(ROOT),
            stderr=subprocess.PIPE,
            universal_newlines=True,
        )

    library("abort:60")  # the picture has been there for a while
    bus.plug()
    one = started()
    words = one.communicate(timeout=60)[1]
    assert one.returncode == -signal.SIGABRT and "(TPU)" in words
    assert {device for _, device in library.opened()} == {"usb:0"}
    bus.unplug()
    two = started()
    try:
        now = reported(report, two, lambda now: now.pid == two.pid and now.style == "a")
        assert "(CPU)" in now.runtime and not now.refused
    finally:
        two.terminate()
        two.communicate(timeout=30)
    assert two.returncode == 0


def reported(path, process, test):
    """The first status document that passes the test."""
    for _ in range(600):
        try:
            now = status.read(path)
            if test(now):
                return now
        except Problem:
            pass
        assert process.poll() is None
        threading.Event().wait(0.05)
    raise AssertionError("the status never passed the test")
