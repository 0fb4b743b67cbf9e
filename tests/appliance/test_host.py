import importlib
import json
import os
import socket
import subprocess
import sys
import types

import pytest

from appliance import __version__
from appliance.errors import Problem
from appliance.host import status, systemd, tpu


@pytest.fixture(autouse=True)
def outside_systemd(monkeypatch):
    for name in ("NOTIFY_SOCKET", "WATCHDOG_USEC", "WATCHDOG_PID", "JOURNAL_STREAM"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setattr(systemd, "_daemon", None)
    monkeypatch.setattr(systemd, "_journal", None)


@pytest.fixture(params=["path", "abstract"])
def manager(request, tmp_path, monkeypatch):
    """The socket on which systemd listens."""
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as listener:
        if request.param == "path":
            address = str(tmp_path / "notify")
            listener.bind(address)
        else:
            listener.bind("")  # the kernel chooses an abstract address
            address = "@" + listener.getsockname()[1:].decode()
        listener.setblocking(False)
        monkeypatch.setenv("NOTIFY_SOCKET", address)
        yield listener


@pytest.fixture
def python_systemd(monkeypatch):
    """Stands in for python3-systemd: lists of what was sent. Set `fault` to make it fail."""
    sent = types.SimpleNamespace(states=[], entries=[], fault=None)

    def notify(state):
        if sent.fault:
            raise sent.fault
        sent.states.append(state)
        return True

    def send(message, **fields):
        if sent.fault:
            raise sent.fault
        sent.entries.append((message, fields))

    package = types.ModuleType("systemd")
    package.daemon, package.journal = types.SimpleNamespace(notify=notify), types.SimpleNamespace(send=send)
    with monkeypatch.context() as patch:
        patch.setitem(sys.modules, "systemd", package)
        importlib.reload(systemd)
        yield sent
    importlib.reload(systemd)


@pytest.mark.parametrize("tell, state", [
    (systemd.ready, "READY=1"),
    (lambda: systemd.ready("no camera"), "READY=1\nSTATUS=no camera"),
    (systemd.watchdog, "WATCHDOG=1"),
    (systemd.stopping, "STOPPING=1"),
    (lambda: systemd.status("udnie 14.8 fps, TPU 61 degC"), "STATUS=udnie 14.8 fps, TPU 61 degC"),
    (lambda: systemd.status("caf\u00e9\nWATCHDOG=1\x1b[2J"), "STATUS=caf\u00e9 WATCHDOG=1 [2J"),
], ids=["ready", "ready with a status", "watchdog", "stopping", "status", "status over two lines"])
def test_systemd_is_told(manager, tell, state):
    assert tell() is True
    assert manager.recv(4096).decode() == state


def test_a_reload_says_when_it_began(manager):
    assert systemd.reloading()
    first, second = manager.recv(4096).decode().split("\n")
    assert first == "RELOADING=1"
    name, value = second.split("=")
    assert name == "MONOTONIC_USEC" and value.isdigit()


@pytest.mark.parametrize("address", [None, "", "relative", "vsock:2:1", "/nowhere/notify", "@nobody", "/" + "x" * 200])
def test_without_a_listener_nothing_happens(monkeypatch, address):
    if address is not None:
        monkeypatch.setenv("NOTIFY_SOCKET", address)
    assert systemd.ready() is False
    assert systemd.status("text") is False


def test_python_systemd_is_preferred(manager, python_systemd):
    assert systemd.ready() is True
    assert python_systemd.states == ["READY=1"]
    with pytest.raises(BlockingIOError):
        manager.recv(4096)


def test_when_python_systemd_fails_nothing_happens(python_systemd):
    python_systemd.fault = ConnectionRefusedError()
    assert systemd.watchdog() is False


@pytest.mark.parametrize("microseconds, pid, interval", [
    ("10000000", None, 5.0), ("10000000", "", 5.0), ("3000000", "mine", 1.5), ("3000000", "1", None),
    (None, None, None), ("0", None, None), ("-1", None, None), ("soon", None, None), ("3000000", "me", None),
])
def test_the_watchdog_is_due_in_half_the_time_that_systemd_waits(monkeypatch, microseconds, pid, interval):
    for name, value in (("WATCHDOG_USEC", microseconds), ("WATCHDOG_PID", str(os.getpid()) if pid == "mine" else pid)):
        if value is not None:
            monkeypatch.setenv(name, value)
    assert systemd.watchdog_interval() == interval


def to_the_journal(monkeypatch):
    stream = os.fstat(2)
    monkeypatch.setenv("JOURNAL_STREAM", f"{stream.st_dev}:{stream.st_ino}")


def test_the_journal_has_fields(monkeypatch, python_systemd):
    to_the_journal(monkeypatch)
    systemd.log("a style\nis on", systemd.NOTICE, STYLE="udnie", FPS=14.8, TPU_TEMP=None)
    assert python_systemd.entries == [
        ("a style is on", {"PRIORITY": "5", "SYSLOG_IDENTIFIER": "reconet", "STYLE": "udnie", "FPS": "14.8"})]


def test_a_line_on_stderr_where_that_is_not_the_journal(monkeypatch, python_systemd, capsys):
    monkeypatch.setenv("JOURNAL_STREAM", "0:0")
    systemd.log("hello")
    assert python_systemd.entries == [] and capsys.readouterr().err == "<6>hello\n"


@pytest.mark.parametrize("arguments, fields, line", [
    (("hello",), {}, "<6>hello\n"),
    (("two\nlines", systemd.ERROR), {}, "<3>two lines\n"),
    (("on", systemd.WARNING), {"STYLE": "udnie", "FPS": 14.8, "TPU_TEMP": None}, "<4>on [STYLE=udnie FPS=14.8]\n"),
])
def test_a_line_on_stderr_without_python_systemd(monkeypatch, capsys, arguments, fields, line):
    to_the_journal(monkeypatch)
    systemd.log(*arguments, **fields)
    assert capsys.readouterr().err == line


def test_nobody_listening_to_the_log_is_no_error(monkeypatch, python_systemd):
    to_the_journal(monkeypatch)
    python_systemd.fault = BrokenPipeError()
    systemd.log("hello")


@pytest.fixture
def apex(tmp_path):
    """Makes the folders of an Edge TPU: `apex(temp=61000)` writes files and reads its state."""
    def make(processes=(), **files):
        for name, value in files.items():
            (tmp_path / "apex_0").mkdir(exist_ok=True)
            (tmp_path / "apex_0" / name).write_text(f"{value}\n")
        for pid, name in processes:
            (tmp_path / "proc" / str(pid)).mkdir(parents=True)
            (tmp_path / "proc" / str(pid) / "comm").write_text(f"{name}\n")
        return tpu.read(tmp_path / "apex_0", tmp_path / "proc")
    return make


TRIPS = {"trip_point0_temp": 84800, "trip_point1_temp": 89800, "trip_point2_temp": 94800, "temp_poll_interval": 5000}


def test_no_tpu(apex):
    assert apex() is None


@pytest.mark.parametrize("temp, crossed, clock", [
    (61050, 0, 500), (84799, 0, 500), (84800, 1, 250), (89799, 1, 250), (89800, 2, 125), (94800, 3, 63),
    (110000, 3, 63),
])
def test_each_trip_point_halves_the_clock(apex, temp, crossed, clock):
    state = apex(temp=temp, **TRIPS)
    assert state.temperature == temp / 1000 and state.trip_points == (84.8, 89.8, 94.8)
    assert (state.crossed, state.clock_mhz, state.hot) == (crossed, clock, crossed > 0)


def test_the_warning_says_how_hot_how_slow_and_what_to_do(apex):
    assert apex(temp=61000, **TRIPS).warning is None
    assert apex(temp=90100, **TRIPS).warning == ("Edge TPU too hot: 90 degC, limit 90 degC: it runs at 125 instead of "
                                                 "500 MHz: cool the board")


def test_a_driver_that_does_not_look_does_not_throttle(apex):
    state = apex(temp=90100, **dict(TRIPS, temp_poll_interval=0))
    assert state.hot and state.clock_mhz == 500
    assert "does not slow it down: cool the board" in state.warning


@pytest.mark.parametrize("temp", [-89700, 166050, "", "hot", "61.5"])
def test_a_temperature_that_cannot_be_is_unknown(apex, temp):
    state = apex(temp=temp, **TRIPS)
    assert (state.temperature, state.crossed, state.hot, state.clock_mhz, state.warning) == (None, 0, False, None, None)


def test_files_that_an_older_driver_lacks_are_unknown(apex):
    assert apex(driver_version="1.0") == tpu.Tpu()
    assert apex(temp=99000).hot is False
    assert apex(temp=91000, trip_point1_temp=90000).crossed == 2


def test_who_holds_the_tpu(apex):
    assert apex(device_owner=0).owner is None
    assert (apex(device_owner=77).owner, apex(device_owner=77).owner_name) == (77, None)
    assert apex([(77, "python3")], device_owner=77).owner_name == "python3"


def test_a_file_that_the_driver_fails_to_give_is_unknown(apex, tmp_path):
    apex(device_owner=0)
    (tmp_path / "apex_0" / "temp").mkdir()  # reading it is an OSError
    assert apex().temperature is None


FULL = dict(style="starry_night", digest="ab" * 32, plan="lowres", runtime="pycoral 2.0.0 (TPU)",
            fps=14.84,
            ms={"input": 0.4, "lowres": 61.5}, dropped=3, longest_gap_ms=95.2,
            camera="/dev/video0, 1280x720 at 30 fps", display="HDMI-A-1 1920x1080", config=None,
            temperature=90.1, clock_mhz=125, hot=True,
            refused=["bad.reconet: no manifest.json"],
            uptime=3723.9, slate="no camera", pid=os.getpid(), version="1.2", time=1000.0)


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


@pytest.mark.parametrize("content, why", [
    (b"", "JSON"), (b'{"style": ', "JSON"), (b"\xff\xfe\x00", "JSON"), (b"[]", "object"), (b"[" * 5000, "JSON"),
    (b'{"fps": "fast"}', "fps: "), (b'{"pid": 0}', "pid: "), (b'{"pid": 99999999999999999999}', "pid: "),
    (b'{"time": null}', "time: "), (b'{"ms": {"x": -1}}', "ms.x: "), (b'{"refused": "all"}', "refused: "),
])
def test_a_damaged_file(tmp_path, content, why):
    path = tmp_path / "status.json"
    path.write_bytes(content)
    line = refusal(path)
    assert f"{path} is damaged: " in line and why in line
    assert line.endswith("systemctl restart reconet writes it anew")


def test_a_newer_daemon_may_say_more(tmp_path):
    path = tmp_path / "status.json"
    path.write_text(json.dumps(dict(FULL, humidity=0.4)))
    assert status.read(path, 1000.0) == status.Status(**FULL)


def test_lines_for_a_terminal():
    assert status.lines(status.Status(**FULL)) == [
        "style    starry_night, plan lowres, pycoral 2.0.0 (TPU)",
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
        "style    none", "picture  0.0 fps, longest gap 0 ms, 0 frames dropped", "TPU      temperature unknown",
        "daemon   1.2, process 7, up 2 d 0:01:01"]


def test_nothing_reaches_the_terminal_but_text():
    hostile = status.Status(style="a\nb", slate="\x1b[2J", refused=["x\r\ny"], ms={"\x07": 1.0})
    assert all(line.isprintable() for line in status.lines(hostile) + [status.summary(hostile)])


@pytest.mark.parametrize("fields, words", [
    ({}, "no style"),
    ({"style": "udnie", "fps": 14.84}, "udnie 14.8 fps"),
    ({"style": "udnie", "fps": 14.84, "temperature": 61.2}, "udnie 14.8 fps, TPU 61 degC"),
    ({"style": "udnie", "fps": 14.84, "temperature": 90.1, "hot": True}, "udnie 14.8 fps, TPU 90 degC (too hot)"),
    ({"style": "udnie", "slate": "no camera"}, "no camera"),
])
def test_a_summary(fields, words):
    assert status.summary(status.Status(**fields)) == words
