"""The right style runs, whatever is put into the folder."""

import os
from types import SimpleNamespace

import numpy as np
import pytest

from appliance import trial
from appliance.engine import interpreter
from appliance.engine.stylizer import Stylizer
from appliance.errors import BundleError, Problem
from appliance.style import bundle, state, store
from appliance.style.watch import Events, signature

pytest.importorskip("inotify_simple", reason="inotify_simple is not installed")


@pytest.fixture(autouse=True)
def no_trial(monkeypatch):
    """A process for each style would take most of the time; test_trial.py is about it."""
    monkeypatch.setattr(trial, "passes", lambda path, *_: None)
    monkeypatch.setattr(trial, "measure", lambda path, *_: 1.0)


def test_what_is_put_into_the_folder_is_shown_however_it_comes(folder, style, start, tmp_path, monkeypatch):
    monkeypatch.setattr("appliance.switcher._TOGETHER_S", 0.0)
    style(folder / "first.reconet", title="The First")
    one = start(folder)
    assert one.runs() == "first" and one.reports("The First") and one.now.slate is None
    style(tmp_path / "second.reconet")  # moved
    os.rename(str(tmp_path / "second.reconet"), str(folder / "second.reconet"))
    assert one.runs() == "second"
    data = style(tmp_path / "third.reconet").path.read_bytes()
    with open(str(folder / "third.reconet"), "wb") as file:  # in pieces
        for start_at in range(0, len(data), 50000):
            file.write(data[start_at : start_at + 50000])
            file.flush()
    assert one.runs() == "third" and one.now.refused == ()
    old = style(tmp_path / "fourth.reconet").path
    os.utime(str(old), (1e9, 1e9))  # an old file that is new here
    os.rename(str(old), str(folder / "fourth.reconet"))
    assert one.runs() == "fourth"


def test_a_bad_bundle_is_refused_and_the_old_style_keeps_running(folder, style, start):
    good = style(folder / "good.reconet").path.read_bytes()
    one = start(folder)
    assert one.runs() == "good"
    flipped = bytearray(good)
    flipped[len(good) // 2] ^= 1
    for name, data in (("truncated", good[:-1000]), ("flipped", bytes(flipped)), ("text", b"not a zip")):
        (folder / f"{name}.reconet").write_bytes(data)
        assert f"{name}.reconet" in one.reports("refused")
    (folder / "folder.reconet").mkdir()
    assert "folder.reconet" in one.reports("directory")
    (folder / "link.reconet").symlink_to("/etc/shadow")
    assert "link.reconet" in one.reports("symbolic link")
    assert sorted(one.now.reasons) == [name + ".reconet" for name in ("flipped", "folder", "link", "text", "truncated")]
    assert one.now.style.name == "good" and one.swapped.empty()
    (folder / "text.reconet").unlink()
    style(folder / "flipped.reconet")
    assert one.runs() == "flipped" and "flipped.reconet" not in one.now.reasons


def test_a_refused_file_is_tried_again_when_its_rights_change(folder, style, start, monkeypatch):
    refused = [BundleError("a.reconet: cannot be read: Permission denied")]  # root may read everything
    load = store.load
    monkeypatch.setattr(store, "load", lambda path: load(path) if not refused else raised(refused.pop()))
    one = start(folder)
    path = style(folder / "a.reconet").path
    one.reports("Permission denied")
    path.chmod(0o644)
    assert one.runs() == "a"


def raised(error):
    raise error


def test_a_style_that_fails_its_trial_is_refused(folder, style, start, monkeypatch):
    def measure(path, *_):
        if path.stem == "bad":
            raise BundleError(f"{path}: crashed the interpreter")
        return 1.0

    monkeypatch.setattr(trial, "measure", measure)
    style(folder / "good.reconet")
    one = start(folder)
    assert one.runs() == "good"
    style(folder / "bad.reconet")
    assert "bad.reconet: crashed the interpreter" in one.reports("refused")
    assert one.swapped.empty()


def test_a_style_is_tried_once(folder, style, start, monkeypatch):
    tried = []
    monkeypatch.setattr(trial, "measure", lambda path, *_: tried.append(path.stem) or 1.0)
    style(folder / "a.reconet")
    one = start(folder)
    one.runs()
    for _ in range(2):
        style(folder / "b.reconet", title="B")
        assert one.runs() == "b"
        style(folder / "a.reconet")
        assert one.runs() == "a"
    one.close()
    again = start(folder)
    assert again.runs() == "a" and tried == ["a", "b"]


def test_without_a_style_it_shows_why_until_there_is_one(folder, style, start):
    one = start(folder / "later")
    (folder / "later").mkdir()
    (folder / "later" / "bad.reconet").write_bytes(b"")
    one.reports("bad.reconet")
    style(folder / "later" / "good.reconet")
    assert one.runs() == "good"
    assert one.now.slate is None


def test_the_style_that_ran_last_runs_again_and_what_came_meanwhile_goes_first(folder, style, start):
    style(folder / "a.reconet")
    style(folder / "b.reconet")
    one = start(folder)
    one.runs()
    style(folder / "a.reconet")
    assert one.runs() == "a"
    one.close()
    os.utime(str(folder / "b.reconet"), (2e9, 2e9))
    seen = signature(folder / "b.reconet")
    state.change(folder, lambda before: before.changed(seen={**before.seen, "b.reconet": seen}))
    two = start(folder)  # b has the later time, but it had been seen when a ran
    assert two.runs() == "a"
    two.close()
    path = style(folder / "c.reconet").path
    os.utime(str(path), (1e9, 1e9))  # the clock was wrong
    assert start(folder).runs() == "c"


def test_the_last_good_style_survives_its_own_file(folder, style, start, monkeypatch):
    monkeypatch.setattr("appliance.switcher._STEADY_S", 0.0)
    style(folder / "other.reconet")
    style(folder / "good.reconet")
    one = start(folder)
    assert one.runs() == "good"
    style(folder / "late.reconet", name="late")
    assert one.runs() == "late"
    style(folder / "good.reconet")
    assert one.runs() == "good"
    while not (folder / state.LAST_GOOD).exists() or bundle.read(folder / state.LAST_GOOD).name != "good":
        one.thread.join(0.05)
    (folder / "good.reconet").write_bytes(b"overwritten by something else")
    one.reports("good.reconet")
    one.close()
    assert start(folder).runs() == "good"


def test_a_pinned_style_stays_and_newest_ends_that(folder, style, start):
    style(folder / "a.reconet")
    style(folder / "b.reconet")
    os.utime(str(folder / "a.reconet"), (1e9, 1e9))
    one = start(folder)
    assert one.runs() == "b"
    state.pin(folder, "a")
    assert one.runs() == "a"
    style(folder / "c.reconet")
    state.pin(folder, "newest")
    assert one.runs() == "c"
    state.pin(folder, "guernica")
    assert "guernica" in one.reports("guernica")


def test_a_removed_style_makes_room_for_the_next(folder, style, start):
    style(folder / "a.reconet")
    os.utime(str(folder / "a.reconet"), (1e9, 1e9))
    style(folder / "b.reconet")
    one = start(folder)
    assert one.runs() == "b"
    (folder / "b.reconet").unlink()
    assert one.runs() == "a"
    (folder / "a.reconet").unlink()
    one.reports("removed")
    assert one.now.style is not None  # the picture never goes black


@pytest.mark.parametrize("settled", [False, True])
def test_the_plan_that_bench_chose_is_taken_at_once(folder, style, start, monkeypatch, settled):
    monkeypatch.setattr("appliance.switcher._STEADY_S", 0.0 if settled else 1e9)
    made = style(folder / "a.reconet")
    one = start(folder)
    assert one.swapped.get(timeout=30).plan == made.manifest.plans[0].name
    while settled and not one.now.style.settled:
        one.thread.join(0.05)
    state.choose(folder, made.digest, "CPU", "lowres")
    assert one.swapped.get(timeout=30).plan == "lowres"


def test_settings_may_change_at_any_time(folder, style, start):
    style(folder / "a.reconet")
    style(folder / "b.reconet")
    one = start(folder)
    one.runs()
    one.switcher.configure(one.settings(folder, name="a", plan="lowres"))
    stylizer = one.swapped.get(timeout=30)
    assert stylizer.bundle.name == "a" and stylizer.plan == "lowres"


def test_without_an_edge_tpu_a_compiled_style_runs_on_the_cpu_or_waits(folder, style, start, monkeypatch, tmp_path):
    style(folder / "a.reconet", compiled=True)
    monkeypatch.setattr(interpreter, "TPU_DEVICE", str(tmp_path / "apex_0"))
    assert start(folder).runs() == "a"
    waiting = start(folder, tpu_missing="slate")
    assert waiting.runs() is None and waiting.now.slate.title == "No Edge TPU"
    state.pin(folder, "guernica")  # which is not there: the one that waits is what there is
    assert "guernica" in waiting.reports("guernica")
    state.pin(folder, "newest")
    style(folder / "b.reconet")  # needs none
    while waiting.runs() != "b":
        pass
    assert waiting.now.style.name == "b" and waiting.now.slate is None


def test_a_style_that_stops_before_it_has_settled_is_not_copied(folder, style, start, monkeypatch, tmp_path):
    style(folder / "a.reconet", compiled=True)
    monkeypatch.setattr(interpreter, "TPU_DEVICE", str(tmp_path / "apex_0"))
    one = start(folder, tpu_missing="cpu")
    assert one.runs() == "a"
    one.switcher.configure(one.settings(folder, tpu_missing="slate"))
    assert one.runs() is None
    one.close()
    monkeypatch.setattr("appliance.switcher.time", SimpleNamespace(monotonic=lambda: float("inf")))
    one.switcher._notice(Events())
    assert not (folder / state.LAST_GOOD).exists()


def test_a_compiled_style_that_crashed_the_daemon_is_refused_until_it_is_copied_again(
    folder, style, start, tpu, monkeypatch, tmp_path
):
    style(folder / "good.reconet")
    bad = style(folder / "bad.reconet", compiled=True)
    tpu.plug()
    one = start(folder, tpu_missing="cpu")
    assert one.runs() == "bad"  # it came through
    one.close()
    interrupted(folder, bad)  # and now it does not
    two = start(folder)
    assert "crashed the daemon" in two.reports("bad.reconet") and two.runs() == "good"
    two.close()
    state.pin(folder, "bad")
    two = start(folder)  # it is not forgotten after that start
    assert "crashed the daemon" in two.reports("bad.reconet") and two.runs() == "good"
    style(folder / "bad.reconet", compiled=True)
    assert two.runs() == "bad"
    two.close()
    interrupted(folder, bad)
    monkeypatch.setattr(state, "_BOOT", tmp_path / "boot_id")
    (tmp_path / "boot_id").write_text("another one: the power was cut")
    assert start(folder).runs() == "bad"


def interrupted(folder, style):
    """A process was killed while it loaded the style."""
    attempt = state.Attempt(bundle=style.digest, signature=signature(style.path), boot=state.boot_id())
    state.change(folder, lambda before: before.changed(attempt=attempt))


def test_a_folder_that_cannot_be_written_does_not_stop_the_picture(folder, style, start, monkeypatch):
    def refuse(*_):
        raise Problem("the disk is full")

    monkeypatch.setattr(state, "change", refuse)
    style(folder / "a.reconet")
    one = start(folder)
    assert one.runs() == "a"
    style(folder / "b.reconet")
    assert one.runs() == "b"


def test_the_picture_of_a_style_is_the_same_before_and_after_a_switch(folder, style, start):
    made = style(folder / "a.reconet")
    one = start(folder)
    frame = np.random.RandomState(0).randint(0, 256, (32, 64, 3), np.uint8)
    pictures = []
    for stylizer in (one.swapped.get(timeout=30), Stylizer(made)):
        out = np.empty((32, 64, 3), np.uint8)
        stylizer.stylize(frame, out)
        pictures.append(out)
    assert np.array_equal(*pictures)
