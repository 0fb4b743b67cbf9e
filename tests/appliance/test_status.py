"""The status file: written by the daemon, read by anyone."""

import json
import os
import subprocess
import sys

import pytest

from appliance import __version__
from appliance.errors import Problem
from appliance.host import status

FULL = dict(
    format=1,
    style="starry_night",
    digest="ab" * 32,
    plan="lowres",
    size="512x288",
    measured_fps=15.04,
    target_fps=30.0,
    why="stepped down from 640x360: too hot",
    runtime="pycoral 2.0.0 (TPU)",
    pinned="starry_night",
    fps=14.84,
    ms={"input": 0.4, "lowres": 61.5},
    shown=42,
    dropped=3,
    brightness=0.5,
    off=False,
    longest_gap_ms=95.2,
    camera="/dev/video0, 1280x720 at 30 fps",
    display="HDMI-A-1 1920x1080",
    config=None,
    temperature=90.1,
    clock_mhz=125,
    hot=True,
    refused=["bad.reconet: no manifest.json"],
    uptime=3723.9,
    slate="no camera",
    pid=os.getpid(),
    version="1.2",
    time=1000.0,
)


def test_what_is_written_is_read(tmp_path):
    path = tmp_path / "status.json"
    written = status.Status(**FULL)
    status.write(path, status.Status())
    status.write(path, written)
    assert status.read(path, now=1000.5) == written
    assert json.loads(path.read_text()) == FULL
    assert os.listdir(str(tmp_path)) == ["status.json"]


def test_a_status_is_of_this_process_now(tmp_path):
    status.write(tmp_path / "status.json", status.Status())
    assert status.read(tmp_path / "status.json").pid == os.getpid()
    assert status.Status().version == __version__


def test_a_reader_with_the_file_open_keeps_what_it_has(tmp_path):
    path = tmp_path / "status.json"
    status.write(path, status.Status(style="first"))
    with path.open() as file:
        status.write(path, status.Status(style="second"))
        assert json.load(file)["style"] == "first"
    assert status.read(path).style == "second"


@pytest.mark.parametrize("fields", [{"fps": float("nan")}, {"fps": -1.0}, {"dropped": -1}, {"uptime": float("inf")}])
def test_figures_that_cannot_be_are_refused(fields):
    with pytest.raises(ValueError):
        status.Status(**fields)


def test_where_it_cannot_be_written(tmp_path):
    with pytest.raises(Problem, match="cannot write .*/absent/status.json: .*: create the folder first"):
        status.write(tmp_path / "absent" / "status.json", status.Status())
    (tmp_path / "status.json").mkdir()
    with pytest.raises(Problem, match="cannot write .*/status.json: it is a folder"):
        status.write(tmp_path / "status.json", status.Status())
    assert os.listdir(str(tmp_path)) == ["status.json"]


def refusal(path, now=None):
    with pytest.raises(Problem) as caught:
        status.read(path, now)
    line = str(caught.value)
    assert str(path) in line and line.isprintable()
    return line


def test_no_daemon(tmp_path):
    line = refusal(tmp_path / "status.json")
    assert line.startswith("the daemon is not running (there is no ") and "systemctl start reconet" in line


def test_a_file_that_may_not_be_read(tmp_path):
    assert refusal(tmp_path).endswith("is a directory: use sudo, or see host.status in the configuration")


@pytest.mark.parametrize("now", [1005.1, 1012.0, 994.9])
def test_a_daemon_that_hangs(tmp_path, now):
    path = tmp_path / "status.json"
    status.write(path, status.Status(**FULL))
    line = refusal(path, now)
    assert line.startswith(f"the daemon (process {os.getpid()}) has not written ")
    assert f"for {abs(now - 1000):.0f} s" in line and "systemctl restart reconet" in line


@pytest.mark.parametrize("now", [995.0, 1000.0, 1005.0])
def test_a_daemon_is_given_five_seconds(tmp_path, now):
    status.write(tmp_path / "status.json", status.Status(**FULL))
    assert status.read(tmp_path / "status.json", now).style == "starry_night"


def test_a_file_that_a_daemon_left_behind(tmp_path):
    gone = subprocess.Popen([sys.executable, "-c", ""])
    gone.wait()
    path = tmp_path / "status.json"
    status.write(path, status.Status(**dict(FULL, pid=gone.pid)))
    line = refusal(path, 1012.0)
    assert line.startswith("the daemon is not running (") and f"process {gone.pid}" in line
    assert "systemctl start reconet" in line


@pytest.mark.parametrize(
    "content, why",
    [
        (b"", "JSON"),
        (b'{"style": ', "JSON"),
        (b"\xff\xfe\x00", "JSON"),
        (b"[]", "object"),
        (b"[" * 5000, "JSON"),
        (b'{"fps": "fast"}', "fps: "),
        (b'{"pid": 0}', "pid: "),
        (b'{"pid": 99999999999999999999}', "pid: "),
        (b'{"time": null}', "time: "),
        (b'{"ms": {"x": -1}}', "ms.x: "),
        (b'{"refused": "all"}', "refused: "),
    ],
)
def test_a_damaged_file(tmp_path, content, why):
    path = tmp_path / "status.json"
    path.write_bytes(content)
    line = refusal(path)
    assert f"{path} is damaged: " in line and why in line
    assert line.endswith("systemctl restart reconet writes a new one")


def test_a_newer_daemon_may_say_more(tmp_path):
    path = tmp_path / "status.json"
    path.write_text(json.dumps(dict(FULL, humidity=0.4)))
    assert status.read(path, 1000.0) == status.Status(**FULL)


def test_lines_for_a_terminal():
    assert status.lines(status.Status(**FULL)) == [
        "style    starry_night (pinned), pycoral 2.0.0 (TPU)",
        "size     512x288 by plan lowres, measured at 15.0 fps of 30 wanted: stepped down from 640x360: too hot",
        "picture  14.8 fps, longest gap 95 ms, 3 frames dropped",
        "camera   /dev/video0, 1280x720 at 30 fps",
        "display  HDMI-A-1 1920x1080",
        "ms       input 0.40, lowres 61.50",
        "TPU      90.1 degC, 125 MHz, too hot: cool the board",
        "screen   no camera",
        "refused  bad.reconet: no manifest.json",
        "daemon   1.2, process " + str(os.getpid()) + ", up 1:02:03",
    ]


def test_lines_when_there_is_nothing_to_say():
    nothing = status.Status(pid=7, version="1.2", uptime=2 * 86400 + 61)
    assert status.lines(nothing) == [
        "style    none",
        "picture  0.0 fps, longest gap 0 ms, 0 frames dropped",
        "TPU      temperature unknown",
        "daemon   1.2, process 7, up 2 d 0:01:01",
    ]


def test_nothing_reaches_the_terminal_but_text():
    hostile = status.Status(style="a\nb", slate="\x1b[2J", refused=["x\r\ny"], ms={"\x07": 1.0})
    assert all(line.isprintable() for line in status.lines(hostile) + [status.summary(hostile)])


@pytest.mark.parametrize(
    "fields, words",
    [
        ({}, "no style"),
        ({"style": "udnie", "fps": 14.84}, "udnie 14.8 fps"),
        ({"style": "udnie", "fps": 14.84, "temperature": 61.2}, "udnie 14.8 fps, TPU 61 degC"),
        ({"style": "udnie", "fps": 14.84, "temperature": 90.1, "hot": True}, "udnie 14.8 fps, TPU 90 degC (too hot)"),
        ({"style": "udnie", "slate": "no camera"}, "no camera"),
    ],
)
def test_a_summary(fields, words):
    assert status.summary(status.Status(**fields)) == words
