"""Power on, power off, and what may be missing then."""

import json
import random
import time

from appliance.display.slate import BACKGROUND

from .board import FOLDER, SQUARES
from .guest import BOOT, wait_for


def test_power_on_gives_a_stylised_picture(machine, number):
    """Nobody logs in; the picture is checked from outside."""
    machine.boot()
    wait_for(lambda: (machine.screen()[0, 0] == BACKGROUND).all(), "a slate", BOOT, 0.1)
    number("power-on to the first words on the monitor", f"{time.monotonic() - machine.powered_on:.1f} s")
    machine.wait_until_running()
    number("power-on to the picture", f"{time.monotonic() - machine.powered_on:.1f} s")
    screen, status = machine.screen(), machine.status()
    number("start of the unit to the picture", f"{status['uptime']:.1f} s")
    machine.logged(f"style {status['style']}")
    assert not machine.run("loginctl list-sessions --no-legend").out
    # The expected picture is taken from the camera, which has to be free for that.
    machine.run("systemctl stop reconet")
    machine.learn()
    machine.run("systemctl start reconet")
    # Its lower part was behind the title.
    assert machine.likeness(status["style"], SQUARES, screen, 0.5) > 20
    machine.shows(status["style"])


def test_reconet_status_says_what_the_file_says(board):
    told = board.run("runuser -u mendel -- reconet status --json").out
    style = json.loads(told)["style"]
    assert style in board.files
    assert style in board.run("runuser -u mendel -- reconet status").out


def test_without_a_camera_at_boot(board):
    board.power_cut()
    board.boot("modprobe.blacklist=vivid")
    board.says("No camera", BOOT)
    board.logged("no camera")
    board.run("modprobe vivid")
    board.shows(board.wait_until_running()["style"])


def test_without_a_monitor_at_boot(board):
    """Without a monitor the service does not fail, and the monitor is found when it is plugged in.

    The kernel is made to treat the connector as empty. Really pulling a cable has to be tested on a board.
    """
    board.power_cut()
    board.boot("video=Virtual-1:d")
    wait_for(lambda: "no monitor" in ((board.status() or {}).get("display") or ""), lambda: board.status(), BOOT)
    pid = board.pid()
    board.logged("no monitor")
    board.run("echo on > /sys/class/drm/card0-Virtual-1/status")
    board.shows(board.wait_until_running()["style"])
    assert board.pid() == pid


def test_power_cut_while_styles_are_dropped_and_switched(board, number):
    """Twice, at any moment: a complete style comes up."""
    for name, data in board.files.items():
        board.put(data, f"/root/{name}.reconet")
    for what in (
        "cat /root/plain.reconet > plain.reconet; reconet use plain; cat /root/bright.reconet > bright.reconet",
        "cp /root/plain.reconet .x; mv .x bright.reconet; reconet use bright; cp /root/bright.reconet .x; "
        "mv .x plain.reconet",
    ):
        board.run(f"cd {FOLDER} && systemd-run --quiet --same-dir bash -c 'while true; do {what}; sleep 0.1; done'")
        time.sleep(random.uniform(2, 6))  # not to wait for anything: to hit anything
        board.power_cut()
        board.boot()
        status = board.wait_until_running()
        number(
            f"after a power cut: power-on to the picture of {status['style']}",
            f"{time.monotonic() - board.powered_on:.1f} s",
        )
        assert status["style"] in board.files
        board.shows(status["style"])
        board.restore()
        board.run("reconet use --newest")
    assert int(board.run("journalctl --list-boots | wc -l").out) > 3, "the journal of the boots before is lost"
