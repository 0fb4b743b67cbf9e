"""The daemon's socket: the picture, and what may be asked for. The daemon, its styles and its checks are real."""

import json
import os
import socket
import stat
import threading

import numpy as np
import pytest

from appliance import daemon as daemon_module
from appliance import switcher, trial, wire
from appliance.errors import BundleError, Problem
from appliance.frames import Frame
from appliance.style import state
from appliance.window import Latest
from appliance.wire import Line

from .running import picture, state_of

pytest.importorskip("inotify_simple", reason="inotify_simple is not installed")


@pytest.fixture
def daemon(appliance, styles, style, monkeypatch):
    """A daemon that shows the style tiny; other is there too. No trial really runs. `ask` sends one request."""
    monkeypatch.setattr(trial, "measure", lambda *_: 1.0)
    monkeypatch.setattr(daemon_module, "_SECOND", 0.05)
    monkeypatch.setattr(switcher, "_LOOK_S", 0.05)
    style(styles / "other.reconet")
    os.utime(str(styles / "other.reconet"), (1, 1))
    one = appliance()
    one.monitor.until(picture)
    one.place = wire.path(appliance.status)

    def ask(do, upload=None, **details):
        with Line(one.place) as line:
            return line.ask(do, upload, **details)

    one.ask, one.folder, one.status = ask, styles, lambda test: state_of(appliance, test)
    return one


@pytest.fixture
def packed(tmp_path, style):
    """Opens the file of a new style."""

    def make(name, **fields):
        return open(str(style(tmp_path / (name + ".reconet"), **fields).path), "rb")

    return make


@pytest.fixture
def crashing(monkeypatch):
    """Every trial fails from now on."""

    def measure(path, *_):
        raise BundleError(f"{path}: it crashes")

    monkeypatch.setattr(trial, "measure", measure)


def names(folder):
    """The styles in the folder, those that are being written too."""
    return sorted(path.name for path in folder.iterdir() if path.suffix == ".reconet" and path.name != state.LAST_GOOD)


def test_the_next_picture_on_the_screen(daemon):
    with Line(daemon.place) as line:
        frames = [line.ask("frame") for _ in range(3)]
    for frame in frames:
        assert (frame["width"], frame["height"], frame["format"]) == (64, 32, "rgb")
        pixels = np.frombuffer(frame["data"], np.uint8).reshape(32, 64, 3)
        assert any((pixels == shown.pixels).all() for shown in daemon.monitor.seen if picture(shown))
    assert frames[0]["data"] != frames[2]["data"]


def test_a_slate_is_a_picture_too_and_may_be_dimmed(daemon):
    daemon.camera.fault = "no camera found"
    daemon.status(lambda now: now.slate and "no camera" in now.slate)
    bright = daemon.ask("frame")
    assert (bright["width"], bright["height"], bright["format"]) == (640, 360, "bgrx")
    assert daemon.ask("dim", brightness=0.25)["brightness"] == 0.25
    daemon.status(lambda now: now.brightness == 0.25)
    daemon.ask("frame")  # a slate that was under way
    dark = daemon.ask("frame")
    assert max(dark["data"]) == max(bright["data"]) // 4
    assert state.read(daemon.folder).slates == 0.25


def test_without_a_monitor_there_is_a_picture(appliance, monkeypatch):
    monkeypatch.setattr(trial, "measure", lambda *_: 1.0)
    one = appliance(lambda one: setattr(one.monitor, "fault", "no monitor is connected"))
    state_of(appliance, lambda now: now.style == "tiny")
    with Line(wire.path(appliance.status)) as line:
        assert line.ask("frame")["width"] == 64
    assert one.monitor.seen == []


def test_nothing_is_kept_while_nobody_watches():
    latest, frame = Latest(), Frame(np.zeros((1, 1, 4), np.uint8), 0.0, 0, "bgrx")
    latest.offer(frame)
    assert latest._frame is None and latest.next(0.0) is None
    seen = []
    waits = threading.Thread(target=lambda: seen.append(latest.next(30)))
    waits.start()
    while waits.is_alive():
        latest.offer(frame)
        waits.join(0.001)
    assert seen == [frame] and latest._frame is None


def test_a_style_is_pinned_and_runs_when_the_answer_comes(daemon):
    assert daemon.ask("use", style="other") == {"pinned": "other", "runs": True, "bytes": 0}
    assert daemon.switcher.snapshot.style.name == "other" and state.read(daemon.folder).pinned == "other"
    assert daemon.ask("use", style="other")["runs"]
    assert daemon.ask("use", style="newest")["pinned"] == "newest"
    daemon.status(lambda now: now.style == "tiny" and now.pinned == "newest")


def test_why_a_style_was_refused(daemon, crashing):
    for _ in range(2):
        with pytest.raises(Problem, match="other.*it crashes"):
            daemon.ask("use", style="other")
    assert daemon.switcher.snapshot.style.name == "tiny"


def test_only_styles_of_the_folder_are_used(daemon):
    for wanted in ("nothing", "../tiny", "/etc/passwd", "tiny.reconet", "", "x" * 300, 3, None):
        with pytest.raises(Problem):
            daemon.ask("use", style=wanted)
    assert state.read(daemon.folder).pinned is None


def test_a_style_is_added_under_its_own_name(daemon, packed):
    with packed("new_one", title="Brand new") as file:
        answer = daemon.ask("add", file)
    assert (answer["style"], answer["title"], answer["runs"]) == ("new_one", "Brand new", True)
    assert daemon.switcher.snapshot.style.name == "new_one"
    assert names(daemon.folder) == ["new_one.reconet", "other.reconet", "tiny.reconet"]
    assert stat.S_IMODE((daemon.folder / "new_one.reconet").stat().st_mode) == 0o664


def test_beside_a_pinned_style_another_one_is_only_added(daemon, packed):
    daemon.ask("use", style="tiny")
    with packed("new_one") as file:
        assert daemon.ask("add", file)["runs"] is False
    assert daemon.switcher.snapshot.style.name == "tiny"


def test_a_bad_style_leaves_nothing(daemon, tmp_path):
    before = names(daemon.folder)
    for content in (b"", b"not a bundle" * 1000, b"PK\x03\x04" + bytes(200000)):
        (tmp_path / "bad").write_bytes(content)
        with (tmp_path / "bad").open("rb") as file, pytest.raises(Problem) as caught:
            daemon.ask("add", file)
        assert ".part" not in str(caught.value) and str(daemon.folder) not in str(caught.value)
    assert names(daemon.folder) == before and daemon.switcher.snapshot.style.name == "tiny"


def test_a_style_that_fails_its_trial_leaves_what_was_there(daemon, packed, crashing):
    before = {name: (daemon.folder / name).read_bytes() for name in names(daemon.folder)}
    for name in ("new_one", "other"):  # one that is new, and one in the place of another
        with packed(name, title="Another") as file, pytest.raises(Problem, match="it crashes"):
            daemon.ask("add", file)
        assert {one: (daemon.folder / one).read_bytes() for one in names(daemon.folder)} == before
    assert daemon.switcher.snapshot.style.name == "tiny"


def test_a_sender_that_leaves_in_the_middle_leaves_nothing(daemon):
    with socket.socket(socket.AF_UNIX) as half:
        half.connect(str(daemon.place))
        half.sendall(b'{"do": "add", "bytes": 100000}\n' + bytes(5000))
    with pytest.raises(Problem, match="another style is being added|not a style bundle|has ended"):
        with open(os.devnull, "rb") as file:
            daemon.ask("add", file)
    daemon.ask("frame")
    while names(daemon.folder) != ["other.reconet", "tiny.reconet"]:
        daemon.ask("frame")


def test_without_room_no_style_is_added(daemon, packed, monkeypatch):
    monkeypatch.setattr("appliance.orders._ROOM", 1 << 60)
    with packed("new_one") as file, pytest.raises(Problem, match="the disk is too full"):
        daemon.ask("add", file)
    assert names(daemon.folder) == ["other.reconet", "tiny.reconet"]


def test_styles_are_deleted_but_the_last(daemon):
    daemon.ask("use", style="other")
    assert daemon.ask("delete", file="other.reconet")["deleted"] == "other.reconet"
    daemon.status(lambda now: now.style == "tiny" and now.pinned == "newest")
    with pytest.raises(Problem, match="tiny.reconet is the only style"):
        daemon.ask("delete", file="tiny.reconet")
    for name in ("../config.toml", ".state.json", "other.reconet", ""):
        with pytest.raises(Problem):
            daemon.ask("delete", file=name)
    assert names(daemon.folder) == ["tiny.reconet"] and daemon.settings.exists()


def test_a_brightness_is_within_bounds(daemon):
    for value in (0, -1, 1.5, "dark", None, True, float("nan")):
        with pytest.raises(Problem, match="brightness is a number from 0.05 to 1"):
            daemon.ask("dim", brightness=value)


def test_it_restarts_only_where_something_starts_it_again(daemon, monkeypatch):
    with pytest.raises(Problem, match="nothing would start it again"):
        daemon.ask("restart")
    monkeypatch.setenv("NOTIFY_SOCKET", "@none")
    daemon.ask("restart")
    daemon.thread.join(10)
    assert daemon.failure is None and not daemon.thread.is_alive() and not daemon.place.exists()
    with pytest.raises(Problem, match="the daemon does not answer at"):
        daemon.ask("frame")


NONSENSE = [b"\n", b"[1]\n", b"{}\n", b'{"do": "shell"}\n', b"x" * 100000, b"[" * 4000 + b"\n", b"\xff\xfe\n"]
SIZES = [b"-1", b"1e9", b"true", b"99999999999", b'"1"']


def test_nonsense_ends_the_connection_and_nothing_else(daemon):
    for data in NONSENSE + [b'{"do": "add", "bytes": %s}\n' % size for size in SIZES]:
        with socket.socket(socket.AF_UNIX) as other:
            other.settimeout(10)
            other.connect(str(daemon.place))
            try:
                other.sendall(data)
                other.shutdown(socket.SHUT_WR)
                assert other.recv(100) == b""
            except (ConnectionResetError, BrokenPipeError):
                pass
    assert daemon.ask("frame")["width"] == 64


def test_only_its_group_may_use_the_socket(daemon):
    assert stat.S_IMODE(daemon.place.stat().st_mode) == 0o660


def test_without_a_place_for_the_socket_the_picture_goes_on(appliance, tmp_path, monkeypatch):
    monkeypatch.setattr(trial, "measure", lambda *_: 1.0)
    long = tmp_path / ("long" * 30)
    long.mkdir()
    appliance.configure(host={"status": str(long / "status.json")})
    appliance.status = long / "status.json"
    one = appliance()
    one.monitor.until(picture)
    state_of(appliance, lambda now: now.style == "tiny")
    assert not (long / "control").exists()


def test_one_that_was_left_is_replaced(appliance, tmp_path):
    with socket.socket(socket.AF_UNIX) as old:
        old.bind(str(tmp_path / "control"))
    appliance().monitor.until(picture)
    with Line(tmp_path / "control") as line:
        assert line.ask("frame")["width"] == 64
    assert json.loads(appliance.status.read_text())["shown"] >= 0
