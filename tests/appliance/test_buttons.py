"""Buttons on GPIO lines. A fake of the kernel's ioctl gives a pipe in place of a line, and the same bytes."""

import errno
import os
import queue
import struct
import threading
from types import SimpleNamespace

import pytest

from appliance import config, switcher, trial
from appliance import daemon as daemon_module
from appliance.errors import Problem
from appliance.host import buttons, inputs

from .running import picture, state_of

RISING, FALLING = 1, 2
MS = 1_000_000


class Chip:
    """/dev/gpiochip0 with lines 0 to 27; `version` of the interface that its kernel speaks. `requests` are what it was
    asked for, by line; those in `busy` are in use."""

    def __init__(self, folder, version=2):
        self.path, self.version, self.busy = folder / "gpiochip0", version, set()
        self.requests, self._ends, self._time = {}, {}, 10**18
        self.asked = threading.Condition()

    def plug(self):
        self.path.write_bytes(b"")

    def ioctl(self, descriptor, number, data):
        """The offsets are those of linux/gpio.h."""
        assert os.fstat(descriptor).st_ino == self.path.stat().st_ino
        if number != {2: 0xC250B407, 1: 0xC030B404}[self.version]:
            raise OSError(errno.EINVAL, "Invalid argument")
        line = struct.unpack_from("I", data)[0]
        with self.asked:
            if line in self.busy or line > 27:
                code = errno.EBUSY if line in self.busy else errno.EINVAL
                raise OSError(code, os.strerror(code))
            reader, self._ends[line] = os.pipe()
            self.requests[line] = data
            self.asked.notify_all()
        return data[:-4] + struct.pack("i", reader)

    def wait_for(self, line):
        with self.asked:
            assert self.asked.wait_for(lambda: line in self.requests, 10)

    def send(self, line, *edges):
        """Edges, each with the milliseconds since the one before."""
        self.wait_for(line)
        for kind, milliseconds in edges:
            self._time += milliseconds * MS
            event = struct.pack("QI", self._time, kind) + bytes(36 if self.version == 2 else 4)
            os.write(self._ends[line], event)

    def press(self, line):
        self.send(line, (RISING, 1000), (FALLING, 100))

    def unplug(self, line):
        with self.asked:
            del self.requests[line]
            os.close(self._ends.pop(line))


@pytest.fixture(params=[2, 1], ids=["version 2", "version 1"])
def chip(request, tmp_path, monkeypatch):
    one = Chip(tmp_path, request.param)
    one.plug()
    monkeypatch.setattr(buttons, "FOLDER", str(tmp_path))
    monkeypatch.setattr(inputs, "_LOOK_S", 0.02)
    monkeypatch.setattr(buttons, "fcntl", SimpleNamespace(ioctl=one.ioctl))
    return one


@pytest.fixture
def running():
    """Buttons in a thread. What they ask for arrives in `pressed`."""
    stop, threads = threading.Event(), []

    def start(wanted, press=None):
        start.pressed = queue.Queue()
        one = buttons.buttons(lambda: wanted, press or start.pressed.put)
        threads.append(threading.Thread(target=one.run, args=(stop,)))
        threads[-1].start()

    yield start
    stop.set()
    for thread in threads:
        thread.join(10)
        assert not thread.is_alive()


WANTED = {"gpiochip0:17": "next", "gpiochip0:27": "power"}


def asked_for(running, count):
    return [running.pressed.get(timeout=10) for _ in range(count)]


def test_a_press_counts_once(chip, running):
    running(WANTED)
    chip.press(17)
    assert asked_for(running, 1) == ["next"]
    chip.press(27)
    chip.press(27)
    assert asked_for(running, 2) == ["power", "power"]
    assert running.pressed.empty()


@pytest.mark.parametrize(
    "edges",
    [
        [(RISING, 1000), (FALLING, 1), (RISING, 1), (FALLING, 500), (RISING, 2), (FALLING, 1)],
        [(RISING, 1000), (RISING, 1), (RISING, 3), (FALLING, 500), (FALLING, 1)],
        [(FALLING, 1000), (RISING, 1), (FALLING, 1), (RISING, 1), (FALLING, 500)],
    ],
)
def test_a_contact_that_bounces_is_pressed_once(chip, running, edges):
    running(WANTED)
    chip.send(17, *edges)
    chip.press(17)
    assert asked_for(running, 2) == ["next", "next"]
    assert running.pressed.empty()


def test_the_kernel_is_asked_for_both_edges_of_an_input_that_ground_activates(chip, running):
    running(WANTED)
    chip.wait_for(17)
    data = chip.requests[17]
    if chip.version == 1:
        assert len(data) == 48
        assert struct.unpack_from("=3I32s", data) == (17, 0b101, 0b11, b"reconet".ljust(32, b"\0"))
        return
    assert len(data) == 592
    flags, attributes = struct.unpack_from("=QI", data, 288)
    assert flags == 0b1_0011_0110 and attributes == 1  # pulled up, both edges, input, active low
    kind, microseconds, lines = struct.unpack_from("=I4xQQ", data, 320)
    assert (kind, microseconds, lines) == (3, 20_000, 1)
    assert struct.unpack_from("=I", data, 560) == (1,)
    assert data[256:288] == b"reconet".ljust(32, b"\0")


def test_the_events_are_as_long_as_the_kernels():
    assert (buttons.EVENT.size, buttons.OLD_EVENT.size) == (48, 16)


def test_a_line_that_is_busy_or_missing_is_said_once_and_the_others_work(chip, running, capfd):
    chip.busy.add(27)
    running({**WANTED, "gpiochip0:99": "pin", "gpiochip1:2": "previous"})
    for _ in range(3):
        chip.press(17)
        assert asked_for(running, 1) == ["next"]
    chip.busy.clear()
    chip.press(27)
    assert asked_for(running, 1) == ["power"]
    said = capfd.readouterr().err
    assert said.count("buttons: cannot open gpiochip0:27: device or resource busy") == 1
    assert said.count("buttons: cannot open gpiochip0:99: it has no such line") == 1
    assert said.count("buttons: cannot open gpiochip1:2: no such file or directory") == 1


def test_a_chip_that_comes_later_or_goes_and_comes_back_is_heard(chip, running):
    chip.path.unlink()
    running(WANTED)
    chip.plug()
    for _ in range(2):
        chip.press(17)
        assert asked_for(running, 1) == ["next"]
        chip.unplug(17)


def test_a_press_that_can_do_nothing_ends_nothing(chip, running):
    calls = queue.Queue()

    def press(action):
        calls.put(action)
        raise Problem("there is no other style")

    running(WANTED, press)
    chip.press(17)
    chip.press(17)
    assert [calls.get(timeout=10), calls.get(timeout=10)] == ["next", "next"]


def test_without_buttons_nothing_is_opened():
    assert set(config.Buttons().model_dump().values()) == {"off"}


def test_what_a_button_does_to_the_daemon(chip, appliance, styles, style, monkeypatch):
    pytest.importorskip("inotify_simple", reason="inotify_simple is not installed")
    monkeypatch.setattr(trial, "measure", lambda *_: 1.0)
    monkeypatch.setattr(daemon_module, "_SECOND", 0.05)
    monkeypatch.setattr(switcher, "_LOOK_S", 0.05)
    style(styles / "other.reconet")
    appliance.configure(buttons={"next": "gpiochip0:17"}, style={"every": "1 h"})
    appliance().monitor.until(picture)
    before = state_of(appliance, lambda now: now.style).style
    chip.press(17)
    state_of(appliance, lambda now: now.style != before)
