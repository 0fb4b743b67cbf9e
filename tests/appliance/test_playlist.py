"""Turns, fades and rest: which style is shown when nobody touches anything, and when nothing is."""

import random
import threading
import time
from types import SimpleNamespace

import numpy as np
import pytest

from appliance import config, switcher, trial, wire
from appliance import daemon as daemon_module
from appliance.display import announcer
from appliance.display.announcer import Announcer
from appliance.display.none import NoMonitor
from appliance.errors import Problem
from appliance.frames import Frame
from appliance.playlist import Playlist
from appliance.rest import reason_to_rest
from appliance.snapshot import Snapshot
from appliance.style import state, store

from .running import picture, state_of


def settings(**style):
    return config.Settings.model_validate({"style": style})


@pytest.mark.parametrize("text, seconds", [("off", None), ("5 s", 5), ("10 min", 600), ("2h", 7200), ("9999s", 9999)])
def test_the_length_of_a_turn(text, seconds):
    assert settings(every=text).style.seconds == seconds


@pytest.mark.parametrize("text", ["", "10", "0 s", "1.5 h", "10 minutes", "-1 s", "10  min"])
def test_what_is_no_length(text):
    with pytest.raises(ValueError):
        settings(every=text)


@pytest.mark.parametrize("text", ["23:00", "24:00-7:00", "7-23", "7:60-8:00", "07:00 - 08:00"])
def test_what_are_no_hours(text):
    with pytest.raises(ValueError):
        settings(quiet=text)


@pytest.mark.parametrize(
    "quiet, clock, rests",
    [
        ("off", "03:00", False),
        ("23:00-7:00", "22:59", False),
        ("23:00-7:00", "23:00", True),
        ("23:00-7:00", "00:00", True),
        ("23:00-7:00", "06:59", True),
        ("23:00-7:00", "07:00", False),
        ("9:30-12:00", "09:30", True),
        ("9:30-12:00", "12:00", False),
        ("8:00-8:00", "08:00", False),
    ],
)
def test_quiet_hours(quiet, clock, rests):
    reason = reason_to_rest(settings(quiet=quiet), Snapshot(), time.strptime(clock, "%H:%M"))
    assert bool(reason) is rests
    assert not rests or reason == "Quiet hours, until " + quiet.split("-")[1] + "."


def test_it_may_be_switched_off():
    assert reason_to_rest(settings(), Snapshot(off=True)) == "It is switched off."


@pytest.fixture
def list_of(tmp_path, style):
    """A playlist over these styles; `runs(name)` says what runs, and `now` what is remembered."""

    def make(*names, **keys):
        folder = tmp_path / "list"
        folder.mkdir()
        digests = {name: style(folder / (name + ".reconet"), title=name).digest for name in names}
        one = SimpleNamespace(snapshot=Snapshot(), folder=folder)
        given = settings(folder=str(folder), **keys)
        one.playlist = Playlist(lambda: given, lambda: one.snapshot, random.Random(1))

        def runs(name, **fields):
            one.snapshot = Snapshot(style=SimpleNamespace(name=name, digest=digests[name]), **fields)

        def turns(count, step=1):
            seen = []
            for _ in range(count):
                seen.append(one.playlist.turn(step))
                runs(seen[-1], pinned=one.snapshot.pinned)
            return seen

        one.runs, one.turns, one.now = runs, turns, lambda: state.read(folder)
        return one

    return make


def test_turns_go_round_by_name(list_of):
    one = list_of("c", "a", "b", every="10 min")
    one.runs("a")
    assert one.turns(4) == ["b", "c", "a", "b"] and one.turns(3, -1) == ["a", "c", "b"]
    assert one.now().turn == "b" and one.now().pinned is None


def test_shuffled_turns_show_each_style_once_before_any_again(list_of):
    one = list_of(*"abcdefgh", every="1 s", order="shuffle")
    one.runs("a")
    first = one.turns(8)
    assert sorted(first) == list("abcdefgh") and first != list("bcdefgha") and one.turns(8) == first


def test_a_turn_comes_when_it_is_time_unless_a_style_is_pinned(list_of):
    one = list_of("a", "b", every="10 s")
    one.runs("a")
    for now, expected in ((100.0, None), (109.9, None), (110.0, "b")):
        one.playlist.look(now)
        assert one.now().turn == expected
    one.runs("b")
    one.playlist.look(111.0)
    one.runs("b", pinned="b")
    one.playlist.look(200.0)
    assert one.now().turn == "b"
    one.runs("b", pinned=state.NEWEST)
    one.playlist.look(201.0)
    assert one.now().turn == "a"


def test_without_a_playlist_the_next_one_is_pinned(list_of):
    one = list_of("a", "b")
    one.runs("a")
    one.playlist.look(0.0)
    one.playlist.look(1e9)
    assert one.now() == state.State()
    assert one.playlist.turn(1) == "b" and one.now().pinned == "b"


def test_what_is_refused_has_no_turn(list_of):
    one = list_of("a", "b", "c", every="1 s")
    one.folder.joinpath("bad.reconet").write_bytes(b"")
    one.runs("a", refused=(("b.reconet", "it crashes"),))
    assert one.playlist.turn(1) == "c"
    alone = one.folder / "a.reconet"
    for path in store.paths([one.folder]):
        if path != alone:
            path.unlink()
    with pytest.raises(Problem, match="there is no other style"):
        one.playlist.turn(1)


# The fade


@pytest.fixture
def screen(monkeypatch):
    clock = SimpleNamespace(now=100.0, monotonic=lambda: clock.now)
    monkeypatch.setattr(announcer, "time", clock)
    one = Announcer(NoMonitor())
    one.clock, one.seen, one.fades = clock, [], 1.0
    one.watch = one.seen.append
    return one


def plain(value, size=(36, 64)):
    return Frame(np.full(size + (4,), value, np.uint8), 0.0, 0, "bgrx")


def test_a_style_fades_into_the_next(screen):
    screen.show(plain(0))
    screen.fade()
    for screen.clock.now, expected in ((100.0, 0), (100.25, 50), (100.5, 100), (101.0, 200), (101.1, 200)):
        screen.show(plain(200))
        assert abs(int(screen.seen[-1].pixels.mean()) - expected) <= 1
    assert screen._fading is None


@pytest.mark.parametrize("between", [plain(9, (18, 32)), None])
def test_pictures_of_different_sizes_and_slates_do_not_fade(screen, between):
    screen.show(plain(0))
    screen.fade()
    if between:
        screen.show(between)
    else:
        screen.show_slate("No camera")
    screen.clock.now += 0.1
    screen.show(plain(200))
    assert screen.seen[-1].pixels.min() == 200


def test_without_fades_no_picture_is_kept(screen):
    screen.fades = 0.0
    screen.show(plain(0))
    screen.fade()
    screen.show(plain(200))
    assert screen._latest is None and screen.seen[-1].pixels.min() == 200


# The daemon


@pytest.fixture
def quick(monkeypatch):
    pytest.importorskip("inotify_simple", reason="inotify_simple is not installed")
    monkeypatch.setattr(trial, "measure", lambda *_: 1.0)
    monkeypatch.setattr(daemon_module, "_SECOND", 0.05)
    monkeypatch.setattr(daemon_module, "_SILENT_S", 0.1)
    monkeypatch.setattr(switcher, "_LOOK_S", 0.05)


def test_the_daemon_shows_one_style_after_the_other(appliance, styles, style, quick):
    for name in ("b", "c"):
        style(styles / (name + ".reconet"), title=name)
    appliance.configure(style={"every": "1 s", "fade": 0.2})
    one, seen = appliance(), []
    one.monitor.until(picture)
    for _ in range(4):
        seen.append(state_of(appliance, lambda now: now.style not in (None, *seen[-1:])).style)
    assert set(seen[-3:]) == {"tiny", "b", "c"} and not one.screen.slate
    assert state.read(styles).pinned is None


def test_a_style_that_is_added_to_a_playlist_has_its_turn(appliance, styles, style, quick, tmp_path):
    appliance.configure(style={"every": "1 h"})
    one = appliance()
    one.monitor.until(picture)
    added = style(tmp_path / "new_one.reconet", title="New")

    with wire.Line(wire.path(appliance.status)) as line, open(str(added.path), "rb") as file:
        assert line.ask("add", file)["runs"] is True
    assert one.switcher.snapshot.style.name == "new_one" and state.read(styles).pinned is None


def test_when_it_is_switched_off_the_screen_is_black_and_the_network_idle(appliance, styles, quick):
    one = appliance()
    one.monitor.until(picture)
    state.change(styles, lambda now: now.changed(off=True))
    one.monitor.until(lambda frame: frame.pixels.shape[:2] == (360, 640) and not frame.pixels.any())
    now = state_of(appliance, lambda now: now.off and now.slate)
    assert now.slate == "Resting: It is switched off." and one.pipeline.stylizer is None
    stylised = one.pipeline.counters.stylised
    fed = one.notes.count("WATCHDOG=1")
    waited = threading.Event()
    while one.notes.count("WATCHDOG=1") == fed:  # what rests is not stuck
        waited.wait(0.01)
    assert one.pipeline.counters.stylised == stylised
    state.change(styles, lambda now: now.changed(off=False))
    one.monitor.until(picture)
    state_of(appliance, lambda now: not now.off and not now.slate)
