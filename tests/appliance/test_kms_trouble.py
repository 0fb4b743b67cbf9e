"""The monitor when something goes wrong, and the state in which it is left."""

import errno
import os

import numpy as np
import pytest

from appliance.display import drm, kms, output

from .fake_drm import CONSOLE, enlarged, frame, framed, mode, opened
from .steps import interrupted_at_each_step


def test_no_monitor_and_then_one(card, display):
    card.connectors, monitor = {"HDMI-A-1": [], "DP-1": []}, card.connectors
    card._drive(0, None)
    assert not display.show(frame()) and not display.connect()
    assert display.fault == "no monitor on HDMI-A-1, DP-1 of /dev/dri/card0: plug one in and turn it on"
    card.connectors = monitor
    card.now += 0.4
    assert not display.show(frame())
    card.now += 0.2
    assert display.show(frame()) and display.fault is None


def test_a_monitor_that_is_plugged_in_is_used_at_once(card, display):
    card.connectors, monitor = {"HDMI-A-1": []}, card.connectors
    assert not display.show(frame())
    card.connectors, card.uevents = monitor, [True]
    assert display.show(frame())


def test_it_tries_less_and_less_often(card, display):
    card.cards = []
    for _ in range(200):
        assert not display.show(frame()) and display.fault
        card.now += 0.125
    assert [time - 1000 for time in card.tries] == [0, 0.5, 1.5, 3.5, 7.5, 12.5, 17.5, 22.5]


def holder(card, pid, name, cgroup):
    folder = card.proc / str(pid)
    (folder / "fd").mkdir(parents=True)
    os.symlink("/dev/dri/card0", str(folder / "fd" / "7"))
    (folder / "comm").write_text(name + "\n")
    (folder / "cgroup").write_text(cgroup)


@pytest.mark.parametrize(
    "cgroup, advice",
    [
        ("0::/system.slice/weston.service\n", "systemctl stop weston"),
        ("2:cpu:/\n1:name=systemd:/user.slice/user-1000.slice/session-c1.scope\n", "systemctl stop weston"),
    ],
)
def test_another_program_has_the_card_and_then_ends(card, display, cgroup, advice):
    card.others = 1
    holder(card, 210, "systemd-logind", "0::/system.slice/systemd-logind.service\n")
    holder(card, 312, "weston", cgroup)
    assert not display.show(frame())
    assert display.fault == "another program (weston, process 312) holds /dev/dri/card0: " + advice
    card.others = 0
    card.now += 0.6
    assert display.show(frame()) and display.fault is None


def test_another_program_that_cannot_be_seen(card, display):
    card.others = 1
    assert not display.show(frame())
    assert display.fault == "another program (only root can see which) holds /dev/dri/card0: end it"
    (card.proc / "312").mkdir()
    for name, text in [("comm", "weston"), ("cgroup", "0::/user.slice/user-1000.slice/session-c1.scope"), ("fd", "")]:
        (card.proc / "312" / name).write_text(text)
    card.now += 0.6
    assert not display.show(frame())
    assert display.fault == "another program (weston, process 312) holds /dev/dri/card0: systemctl stop weston"


def test_another_program_takes_the_card(card, display):
    assert display.show(frame())
    card.others = 1
    holder(card, 400, "game", "0::/user.slice/user-1000.slice/session-2.scope\n")
    assert not display.show(frame())
    assert display.fault == "another program (game, process 400) holds /dev/dri/card0: end it"


def test_old_kernels_let_only_root_ask_to_be_master(card, display):
    card.faults["drmSetMaster"] = [errno.EACCES]
    assert display.show(frame())


@pytest.mark.parametrize("atomic", [False, True])
def test_a_flip_that_never_comes(card, display, monkeypatch, atomic):
    card.atomic = card.scales = atomic
    assert display.show(frame())
    card.late = True
    monkeypatch.setattr(output, "PATIENCE", 0.0)
    assert not display.show(frame())
    assert "/dev/dri/card0 showed nothing for 1 s" in display.fault
    card.late = False
    card.now += 0.6
    monkeypatch.undo()


def test_a_dead_card_comes_back(card, display):
    assert display.show(frame())
    card.dead, card.cards = True, []
    card.buffers.clear()
    for number in [number for number in card.framebuffers if number != CONSOLE]:
        del card.framebuffers[number]
    assert not display.show(frame()) and "/dev/dri/card0: it is gone" in display.fault
    assert display.size is None and display.mode is None
    card.now += 0.6
    assert not display.show(frame()) and "no /dev/dri/card*" in display.fault
    card.dead, card.cards = False, ["/dev/dri/card0"]
    card.now += 1.1
    assert display.show(frame()) and display.fault is None and display.size == (64, 36)


def test_a_monitor_is_unplugged_and_another_one_plugged_in(card, display):
    assert display.show(frame())
    card.connectors["HDMI-A-1"] = []
    assert display.show(frame())  # seen within a second
    card.now += 1
    assert not display.show(frame()) and "no monitor on HDMI-A-1" in display.fault
    assert card.picture() is None
    card.connectors["HDMI-A-1"], card.uevents = [mode(32, 20, preferred=True)], [True]
    assert display.show(frame()) and display.size == (32, 20)
    assert np.array_equal(card.picture(), framed(enlarged(frame(), 2), 32, 20))


def test_a_quick_change_of_monitors(card, display):
    assert display.show(frame())
    card.connectors["HDMI-A-1"], card.uevents = [mode(32, 20, preferred=True), mode(64, 36)], [True]
    assert display.show(frame()) and display.size == (32, 20) and display.fault is None


# Its state, read from another thread


@pytest.mark.parametrize("name", ["mode", "size"])
def test_the_state_can_be_read_while_the_display_is_lost(card, name):
    """At each step of the reading thread in turn, the other thread closes the display."""
    fixed = {"mode": "HDMI-A-1 64x36 60 Hz, enlarged 4x", "size": (64, 36)}[name]

    def read():
        read.values.add(getattr(display, name))

    read.values = set()
    with opened() as display:

        def before():
            assert display.show(frame())

        assert interrupted_at_each_step(read, display.finish, before) > 3
    assert read.values == {None, fixed}


class Netlink:
    """A netlink socket whose `recv` fails with each of `errors`, in the end always with the last."""

    def __init__(self, *errors):
        self.errors, self.calls, self.closed = list(errors), 0, False

    def recv(self, size):
        self.calls += 1
        assert self.calls < 100, "it never ends"
        number = self.errors.pop(0) if len(self.errors) > 1 else self.errors[0]
        if number == errno.EAGAIN:
            raise BlockingIOError(number, "")
        raise OSError(number, os.strerror(number))

    def close(self):
        self.closed = True


@pytest.fixture
def hotplug():
    hotplug = kms.Hotplug()
    hotplug.close()
    return hotplug


def test_lost_events_count_as_a_change(hotplug):
    hotplug._socket = Netlink(errno.ENOBUFS, errno.EAGAIN)
    assert hotplug.happened() and not hotplug.happened() and not hotplug._socket.closed


@pytest.mark.parametrize("number", [errno.EBADF, errno.ENETDOWN, errno.EPERM])
def test_a_netlink_error_that_stays_ends_the_listening(hotplug, number):
    netlink = hotplug._socket = Netlink(number)
    assert hotplug.happened() and not hotplug.happened() and netlink.closed


# Ways out


def test_the_console_is_restored(card):
    before = card.picture()
    with opened() as display:
        display.show(frame())
        assert not np.array_equal(card.picture(), before)
        display.finish()
        assert np.array_equal(card.picture(), before) and card.lit.timings == mode(64, 36).timings
        display.discard()
    assert np.array_equal(card.picture(), before)


def test_a_screen_that_was_off_is_switched_off(card, display):
    card._drive(0, None)
    assert display.show(frame())
    display.finish()
    assert card.picture() is None


def test_a_picture_that_is_gone_cannot_be_restored(card, display):
    assert display.show(frame())
    console = card.framebuffers.pop(CONSOLE)
    display.finish()
    assert card.picture() is None
    card.framebuffers[CONSOLE] = console


def test_nothing_to_restore(card, display):
    display.finish()
    assert not card.calls


@pytest.mark.parametrize(
    "name",
    [
        "drmModeGetResources",
        "drmModeGetConnector",
        "drmModeGetEncoder",
        "drmModeGetCrtc",
        "drmIoctl",
        "drmModeAddFB",
        "drmModeSetCrtc",
        "drmModeGetPlane",
        "drmModePageFlip",
        "drmModeAtomicAddProperty",
        "drmModeAtomicCommit",
    ],
)
def test_a_failure_at_any_point_restores_everything(scaling, display, name):
    before = scaling.picture()
    scaling.atomic = "PageFlip" not in name
    scaling.faults[name] = [errno.EIO]
    assert not display.show(frame())
    assert "/dev/dri/card0: input/output error: see" in display.fault
    assert np.array_equal(scaling.picture(), before)
    scaling.now += 0.6
    assert display.show(frame())


def test_an_exception_while_showing_restores_everything(card, display, monkeypatch):
    before = card.picture()
    assert display.show(frame())

    def interrupted(*_):
        raise KeyboardInterrupt

    monkeypatch.setattr(drm.Card, "wait", interrupted)
    with pytest.raises(KeyboardInterrupt):
        display.show(frame())
    display.discard()
    assert np.array_equal(card.picture(), before)
