"""What may happen to a camera while it is in use."""

import pytest

from .guest import wait_for

CONTROL = "v4l2-ctl -d /dev/video0 -c "
# Five seconds on the board. Here everything takes several times as long, and on a busy machine more.
SOON = 30.0
LONG = 16.0  # seconds after which a camera is tried every ten only; with --long, for time is short


def _moment(board):
    return board.now(), board.clock()


def _picture_again(board, number, what, moment):
    since, began = moment
    board.wait_until_running(SOON)
    # The daemon checks once a second whether it needs a slate.
    took = board.logged_at("camera is fine again", since) - began
    number(f"from the camera being {what} to the picture, on the guest's clock", f"{took:.1f} s")


def _unload(board):
    wait_for(lambda: board.run("modprobe -r vivid", check=False).code == 0, "the camera to be let go")


def test_unplugged_and_plugged_in_again(board, number):
    style, pid, since = board.status()["style"], board.pid(), board.now()
    board.unplug()
    board.says("No camera")
    board.logged("camera", since)
    moment = _moment(board)
    board.plug()
    _picture_again(board, number, "plugged in", moment)
    board.shows(style)
    assert board.pid() == pid


def test_stalled(board, number, request):
    style, pid, since = board.status()["style"], board.pid(), board.now()
    board.run(CONTROL + "percentage_of_dropped_buffers=100")
    board.says("gave no picture")
    reported = board.logged_at("gave no picture", since)
    if request.config.getoption("--long"):
        wait_for(lambda: board.clock() > reported + LONG, "the time to pass")
    moment = _moment(board)
    board.run(CONTROL + "percentage_of_dropped_buffers=0")
    _picture_again(board, number, "at work again", moment)
    board.shows(style)
    assert board.pid() == pid


def test_failing_once(board):
    """An error of the stream, as of a loose cable."""
    style, pid = board.status()["style"], board.pid()
    board.run(CONTROL + "inject_fatal_streaming_error=1")
    board.wait_until_running(SOON)
    board.shows(style)
    assert board.pid() == pid


def test_of_the_wrong_kind(board, number):
    """A camera without any format that the daemon takes: here, planes in several buffers."""
    style, pid = board.status()["style"], board.pid()
    board.unplug()
    _unload(board)
    try:
        board.run("modprobe vivid multiplanar=2")
        board.says("No camera")
    finally:
        _unload(board)
        moment = _moment(board)
        board.run("modprobe vivid")
    _picture_again(board, number, "replaced", moment)
    board.shows(style)
    assert board.pid() == pid


@pytest.mark.parametrize("pixels", ["NV12", "UYVY", "YU12"])
def test_in_another_format(board, pixels):
    """The same pictures as in YUYV, which the expected ones are computed from."""
    style, pid, config = board.status()["style"], board.pid(), "/etc/reconet/config.toml"
    board.run(f"cp {config} /run/config.toml && sed -i 's/^format = .*/format = \"{pixels}\"/' {config}")
    try:
        board.run("systemctl reload reconet")
        wait_for(
            lambda: f" {pixels} at " in ((board.status() or {}).get("camera") or ""), f"a camera that gives {pixels}"
        )
        board.shows(style)
    finally:
        board.run(f"cp /run/config.toml {config} && systemctl reload reconet")
    wait_for(lambda: " at " in board.status()["camera"] and pixels not in board.status()["camera"], "YUYV again")
    assert board.pid() == pid
