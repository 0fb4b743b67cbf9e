"""Notifications to systemd, its watchdog, and the journal."""

import importlib
import os
import socket
import sys
import types

import pytest

from appliance.host import systemd


@pytest.fixture(autouse=True)
def outside_systemd(monkeypatch):
    for name in ("NOTIFY_SOCKET", "WATCHDOG_USEC", "WATCHDOG_PID", "JOURNAL_STREAM"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setattr(systemd, "_daemon", None)
    monkeypatch.setattr(systemd, "_journal", None)


@pytest.fixture(params=["path", "abstract"])
def manager(request, tmp_path, monkeypatch):
    """The socket that systemd reads."""
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


@pytest.mark.parametrize(
    "notify, state",
    [
        (systemd.ready, "READY=1"),
        (lambda: systemd.ready("no camera"), "READY=1\nSTATUS=no camera"),
        (systemd.watchdog, "WATCHDOG=1"),
        (systemd.stopping, "STOPPING=1"),
        (lambda: systemd.status("udnie 14.8 fps, TPU 61 degC"), "STATUS=udnie 14.8 fps, TPU 61 degC"),
        (lambda: systemd.status("caf\u00e9\nWATCHDOG=1\x1b[2J"), "STATUS=caf\u00e9 WATCHDOG=1 [2J"),
    ],
    ids=["ready", "ready with a status", "watchdog", "stopping", "status", "status over two lines"],
)
def test_notifications_to_systemd(manager, notify, state):
    assert notify() is True
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


@pytest.mark.parametrize(
    "microseconds, pid, interval",
    [
        ("10000000", None, 5.0),
        ("10000000", "", 5.0),
        ("3000000", "mine", 1.5),
        ("3000000", "1", None),
        (None, None, None),
        ("0", None, None),
        ("-1", None, None),
        ("soon", None, None),
        ("3000000", "me", None),
    ],
)
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
        ("a style is on", {"PRIORITY": "5", "SYSLOG_IDENTIFIER": "reconet", "STYLE": "udnie", "FPS": "14.8"})
    ]


def test_a_line_on_stderr_where_that_is_not_the_journal(monkeypatch, python_systemd, capsys):
    monkeypatch.setenv("JOURNAL_STREAM", "0:0")
    systemd.log("hello")
    assert python_systemd.entries == [] and capsys.readouterr().err == "<6>hello\n"


@pytest.mark.parametrize(
    "arguments, fields, line",
    [
        (("hello",), {}, "<6>hello\n"),
        (("two\nlines", systemd.ERROR), {}, "<3>two lines\n"),
        (("on", systemd.WARNING), {"STYLE": "udnie", "FPS": 14.8, "TPU_TEMP": None}, "<4>on [STYLE=udnie FPS=14.8]\n"),
    ],
)
def test_a_line_on_stderr_without_python_systemd(monkeypatch, capsys, arguments, fields, line):
    to_the_journal(monkeypatch)
    systemd.log(*arguments, **fields)
    assert capsys.readouterr().err == line


def test_nobody_listening_to_the_log_is_no_error(monkeypatch, python_systemd):
    to_the_journal(monkeypatch)
    python_systemd.fault = BrokenPipeError()
    systemd.log("hello")
