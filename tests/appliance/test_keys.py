"""Keys of keyboards and remotes. A FIFO stands in for the kernel's device: it gives the same bytes."""

import os
import queue
import struct
import threading

import pytest

from appliance import config, switcher, trial
from appliance import daemon as daemon_module
from appliance.errors import Problem
from appliance.host import inputs, keys
from appliance.keycodes import code
from appliance.style import state

from .running import picture, state_of

NEXT, LEFT = 106, 105


class Device:
    """A keyboard at `path`."""

    def __init__(self, path):
        self.path = path
        os.mkfifo(str(path))
        self._end = os.open(str(path), os.O_RDWR)

    def send(self, *events):
        """(type, code, value) of each event, and the report that ends them."""
        os.write(self._end, b"".join(struct.pack("@llHHi", 1, 2, *event) for event in events + ((0, 0, 0),)))

    def press(self, key):
        self.send((4, 4, 458831), (1, key, 1))
        self.send((1, key, 2))  # it is held
        self.send((1, key, 0))

    def unplug(self):
        os.unlink(str(self.path))
        os.close(self._end)


@pytest.fixture
def running(tmp_path, monkeypatch):
    """Keys in a thread. What is pressed arrives in `pressed`."""
    monkeypatch.setattr(keys, "DEVICES", str(tmp_path / "event*"))
    monkeypatch.setattr(inputs, "_LOOK_S", 0.02)
    stop, threads = threading.Event(), []

    def start(device="auto", press=None):
        start.pressed = queue.Queue()
        one = keys.keys(lambda: device, lambda: {NEXT: "next", LEFT: "previous"}, press or start.pressed.put)
        threads.append(threading.Thread(target=one.run, args=(stop,)))
        threads[-1].start()
        return one

    yield start
    stop.set()
    for thread in threads:
        thread.join(10)
        assert not thread.is_alive()


def test_a_press_counts_once(running, tmp_path):
    device = Device(tmp_path / "event0")
    running()
    for key in (NEXT, LEFT, 30, NEXT):
        device.press(key)
    assert [running.pressed.get(timeout=10) for _ in range(3)] == ["next", "previous", "next"]
    assert running.pressed.empty()
    device.unplug()


def test_a_device_that_comes_later_or_goes_and_comes_back_is_heard(running, tmp_path):
    running()
    for number in (3, 3, 12):
        device = Device(tmp_path / f"event{number}")
        device.press(NEXT)
        assert running.pressed.get(timeout=10) == "next"
        device.unplug()


def test_one_device_may_be_named(running, tmp_path):
    other, device = Device(tmp_path / "event0"), Device(tmp_path / "event1")
    running(str(tmp_path / "event1"))
    other.press(LEFT)
    device.press(NEXT)
    assert running.pressed.get(timeout=10) == "next"
    assert running.pressed.empty()


def test_what_cannot_be_opened_is_said_once(running, tmp_path, capfd):
    one = running(str(tmp_path / "none"))
    while not one._said:
        threading.Event().wait(0.01)
    threading.Event().wait(0.1)
    assert capfd.readouterr().err.count("keys: cannot open") == 1


def test_a_press_that_can_do_nothing_ends_nothing(running, tmp_path):
    device, calls = Device(tmp_path / "event0"), queue.Queue()

    def press(action):
        calls.put(action)
        raise Problem("there is no other style")

    running(press=press)
    device.press(NEXT)
    device.press(LEFT)
    assert [calls.get(timeout=10), calls.get(timeout=10)] == ["next", "previous"]


@pytest.mark.parametrize(
    "name, expected",
    [("right", 106), ("a", 30), ("m", 50), ("1", 1), ("f10", 68), ("btn_0", 256), ("nextsong", 163), ("off", None)]
    + [("163", 163), ("999", None), ("nothing", None)],
)
def test_names_of_keys(name, expected):
    assert code(name) == expected


def test_every_default_is_a_key():
    assert all(code(name) for key, name in config.Keys().model_dump().items() if key != "device")


def test_what_keys_do_to_the_daemon(appliance, styles, style, tmp_path, monkeypatch):
    pytest.importorskip("inotify_simple", reason="inotify_simple is not installed")
    monkeypatch.setattr(keys, "DEVICES", str(tmp_path / "event*"))
    monkeypatch.setattr(inputs, "_LOOK_S", 0.05)
    monkeypatch.setattr(trial, "measure", lambda *_: 1.0)
    monkeypatch.setattr(daemon_module, "_SECOND", 0.05)
    monkeypatch.setattr(switcher, "_LOOK_S", 0.05)
    style(styles / "other.reconet")
    appliance.configure(keys={"device": "auto"}, style={"every": "1 h"})
    device = Device(tmp_path / "event0")
    one = appliance()
    one.monitor.until(picture)
    before = state_of(appliance, lambda now: now.style).style
    device.press(code("right"))
    after = state_of(appliance, lambda now: now.style != before).style
    device.press(code("enter"))
    state_of(appliance, lambda now: now.pinned == after)
    device.press(code("enter"))
    state_of(appliance, lambda now: now.pinned == state.NEWEST)
    device.press(code("space"))
    state_of(appliance, lambda now: now.off)
    device.press(code("space"))
    state_of(appliance, lambda now: not now.off)
