"""The appliance as a whole: what it shows and what it reports."""

import pytest

from appliance.host import tpu

from .running import picture, state_of, words

pytest.importorskip("inotify_simple", reason="inotify_simple is not installed")


def test_a_slate_then_the_picture(appliance):
    one = appliance()
    one.monitor.until(picture)
    assert one.slates[0] == "Starting" and one.notes.count("READY=1") == 1
    now = state_of(appliance, lambda now: now.style == "tiny" and now.fps > 0 and now.slate is None)
    assert now.plan in ("split", "fused", "lowres") and "CPU" in now.runtime
    assert now.camera == "/dev/video9, 64x32 at 30 fps"
    assert {"input", "show"} <= set(now.ms) and now.longest_gap_ms > 0 and now.refused == []
    one.stop()
    one.thread.join(10)
    assert one.failure is None and one.slates[-1] == "Shutting down" and one.camera.released
    assert "STOPPING=1" in one.notes and not appliance.status.exists()


def test_without_a_camera_it_shows_why_and_continues_when_there_is_one(appliance):
    one = appliance()
    one.monitor.until(picture)
    one.camera.fault = "no camera found: plug one in"
    one.monitor.until(words)
    now = state_of(appliance, lambda now: now.slate is not None)
    assert now.slate == "No camera: no camera found: plug one in" and now.camera == one.camera.fault
    one.camera.fault = None
    one.monitor.until(picture)


def test_without_a_style_it_shows_why_until_there_is_one(appliance, styles):
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


def test_a_hot_edge_tpu_is_reported(appliance, monkeypatch):
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
    assert one.camera.wanted == ("/dev/video3", None, 15, False, None) and before.finished and now.config is None
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


def test_a_status_that_cannot_be_written_does_not_stop_the_picture(appliance, tmp_path):
    appliance.configure(host={"status": str(tmp_path / "none" / "status.json")})
    one = appliance()
    one.monitor.until(picture)
