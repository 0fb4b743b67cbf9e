"""What feeds the watchdog, and what does not."""

import threading

import pytest

from appliance import daemon as daemon_module
from appliance import switcher
from appliance.style import store

from .running import picture, state_of, words

pytest.importorskip("inotify_simple", reason="inotify_simple is not installed")


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


def test_a_style_for_which_the_camera_opens_slowly_is_waited_for(appliance, monkeypatch):
    one = appliance()
    one.monitor.until(picture)
    monkeypatch.setattr(daemon_module, "_PATIENT_S", 300.0)
    one.camera.reopening = True
    state_of(appliance, lambda now: one.screen.silence > 1)
    one._rest.swap(one.pipeline.stylizer)
    one.monitor.until(words)
    del one.notes[:]
    state_of(appliance, lambda now: "WATCHDOG=1" in one.notes)
    one.camera.reopening = False
    one.monitor.until(picture)


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
