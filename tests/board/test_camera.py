"""What may happen to a camera while it is in use."""

import time

from .guest import wait_for

CONTROL = "v4l2-ctl -d /dev/video0 -c "
# Five seconds on the board; everything takes several times as long here.
SOON = 30.0


def _picture_again(board, number, what):
    since = time.monotonic()
    board.wait_until_running(SOON)
    number(f"from the camera being {what} to the picture", f"{time.monotonic() - since:.1f} s")


def _unload(board):
    wait_for(lambda: board.run("modprobe -r vivid", check=False).code == 0, "the camera to be let go")


def test_unplugged_and_plugged_in_again(board, number):
    style, pid, since = board.status()["style"], board.pid(), board.now()
    board.unplug()
    board.says("No camera")
    board.logged("camera", since)
    board.plug()
    _picture_again(board, number, "plugged in")
    board.logged("camera is fine again", since)
    board.shows(style)
    assert board.pid() == pid


def test_stalled(board, number):
    style, pid, since = board.status()["style"], board.pid(), board.now()
    board.run(CONTROL + "percentage_of_dropped_buffers=100")
    board.says("gave no picture")
    board.logged("gave no picture", since)
    board.run(CONTROL + "percentage_of_dropped_buffers=0")
    _picture_again(board, number, "at work again")
    board.shows(style)
    assert board.pid() == pid


def test_failing_once(board, number):
    """An error of the stream, as of a loose cable."""
    style, pid = board.status()["style"], board.pid()
    board.run(CONTROL + "inject_fatal_streaming_error=1")
    _picture_again(board, number, "broken")
    board.shows(style)
    assert board.pid() == pid


def test_of_the_wrong_kind(board, number):
    """In place of the camera one that gives nothing that the appliance takes: here, planes in several buffers."""
    style, pid = board.status()["style"], board.pid()
    board.unplug()
    _unload(board)
    try:
        board.run("modprobe vivid multiplanar=2")
        board.says("No camera")
    finally:
        _unload(board)
        board.run("modprobe vivid")
    _picture_again(board, number, "replaced")
    board.shows(style)
    assert board.pid() == pid
