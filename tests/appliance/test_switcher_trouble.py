"""The switcher when things go wrong: each test is a fault that once existed."""

import os
import shutil
from types import SimpleNamespace

import pytest

from appliance import loader, switcher, trial
from appliance.errors import BundleError
from appliance.files import Pending
from appliance.style import state, store

pytest.importorskip("inotify_simple", reason="inotify_simple is not installed")


@pytest.fixture(autouse=True)
def tried(monkeypatch):
    """(file, plan, runtime) of each trial. None of them really runs."""
    trials = []

    def measure(path, plan, size, runtime, *_):
        trials.append((path.stem, plan, runtime))
        return 1.0

    def passes(path, timeout, plan, runtime, *_):
        trials.append((path.stem, plan, runtime))

    monkeypatch.setattr(trial, "measure", measure)
    monkeypatch.setattr(trial, "passes", passes)
    return trials


@pytest.fixture
def soon(monkeypatch):
    """Pauses are short."""
    monkeypatch.setattr(switcher, "_LOOK_S", 0.01)
    monkeypatch.setattr(switcher, "_BETTER_S", 0.01)


@pytest.fixture
def reads(monkeypatch):
    """The names of the bundles that are read."""
    names, load = [], store.load
    monkeypatch.setattr(store, "load", lambda path: names.append(path.name) or load(path))
    return names


def test_a_folder_that_is_renamed_away_and_back_changes_nothing(folder, style, start, reads, monkeypatch):
    monkeypatch.setattr(switcher, "_LOOK_S", 0.01)
    monkeypatch.setattr("appliance.style.watch._LOOK_S", 0.01)
    style(folder / "a.reconet")
    one = start(folder)
    assert one.runs() == "a"
    for _ in range(3):
        folder.rename(folder.with_name("away"))
        one.passes()
        folder.with_name("away").rename(folder)
        one.passes()
    del reads[:]
    written = (folder / state.NAME).stat().st_ino
    one.passes(30)
    assert reads == [] and one.swapped.empty() and (folder / state.NAME).stat().st_ino == written
    style(folder / "b.reconet", title="B")
    assert one.runs() == "b"


@pytest.mark.parametrize("missing", ["cpu", "slate"])
def test_an_edge_tpu_that_appears_later_is_used(folder, style, start, tpu, soon, missing):
    style(folder / "a.reconet", compiled=True)
    one = start(folder, tpu_missing=missing)
    assert one.runs() == ("a" if missing == "cpu" else None)
    tpu.plug()
    assert one.runs() == "a" and one.now.style.device == "TPU" and not one.now.waiting and one.now.slate is None


@pytest.mark.parametrize("missing", ["cpu", "slate"])
def test_the_pause_doubles_while_an_edge_tpu_cannot_be_opened(folder, style, start, tpu, monkeypatch, missing):
    clock = SimpleNamespace(now=0.0, monotonic=lambda: clock.now)
    monkeypatch.setattr(switcher, "time", clock)
    monkeypatch.setattr(switcher, "_LOOK_S", 0.001)
    tpu.fault = "cannot be opened"
    tpu.plug()
    style(folder / "a.reconet", compiled=True)
    one = start(folder, tpu_missing=missing)
    one.runs()
    one.passes()
    attempts = []
    for clock.now in range(1, 60):
        loads = tpu.loads
        one.passes(2)
        attempts += [clock.now] if tpu.loads > loads else []
    assert attempts == [3, 9, 21, 45] and one.swapped.empty()
    tpu.fault = None
    clock.now += 48
    assert one.runs() == "a" and one.now.style.device == "TPU"


def test_a_slate_ends_that_a_load_outlasts(folder, style, start, tpu, monkeypatch):
    monkeypatch.setattr(loader, "LOAD_S", 0.0)
    begun, end = tpu.hold()
    tpu.plug()
    style(folder / "a.reconet", compiled=True)
    one = start(folder)
    begun.wait(30)
    slate = one.now.slate
    assert slate.title == "Starting" and not slate.holds
    end.set()
    assert one.runs() == "a" and one.now.slate is None


def test_a_load_under_way_at_an_orderly_end_is_not_taken_for_its_cause(folder, style, start, tpu, monkeypatch):
    begun, end = tpu.hold()
    tpu.plug()
    style(folder / "a.reconet", compiled=True)
    one = start(folder)
    begun.wait(30)
    assert state.read(folder).attempt
    one.switcher.forgive()
    assert state.read(folder).attempt is None
    end.set()


def test_what_goes_live_is_what_was_tried(folder, style, start, tried, monkeypatch):
    """A style whose first plan fails runs by the second; the third, which would crash, is never loaded."""
    record = trial.measure

    def measure(path, plan, *rest):
        record(path, plan, *rest)
        if plan != names[1]:
            raise BundleError(f"{path}: {plan} crashed")
        return 1.0

    monkeypatch.setattr(trial, "measure", measure)
    made = style(folder / "a.reconet")
    names = [plan.name for plan in made.manifest.plans]
    one = start(folder)
    stylizer = one.swapped.get(timeout=30)
    assert stylizer.plan == names[1] and tried[-1] == ("a", names[1], stylizer.runtime.name)
    one.switcher.configure(one.settings(folder, plan=names[2]))
    assert f"{names[2]} crashed" in one.reports("a.reconet") and one.swapped.empty()
    assert one.now.style.plan == names[1]


def test_what_is_measured_holds_for_one_plan_on_one_runtime(folder, style, start, tried, monkeypatch):
    made = style(folder / "a.reconet")
    first, second = [plan.name for plan in made.manifest.plans][:2]
    one = start(folder)
    one.runs()
    one.switcher.configure(one.settings(folder, plan=second))
    one.runs()
    one.close()
    assert [plan for _, plan, _ in tried] == [first, second]
    start(folder).runs()
    assert len(tried) == 2
    updated = {
        digest: {device.replace(" CPU", ".1 CPU"): rows for device, rows in devices.items()}
        for digest, devices in state.read(folder).measured.items()
    }
    state.change(folder, lambda now: now.changed(measured=updated))
    start(folder).runs()
    assert len(tried) == 3  # the runtime was updated


def test_the_last_good_copy_is_written_once(folder, style, start, monkeypatch):
    monkeypatch.setattr(switcher, "_STEADY_S", 0.0)
    style(folder / "a.reconet")
    copies = []
    for _ in range(2):
        one = start(folder)
        one.runs()
        while not one.now.style.settled:
            one.passes()
        one.close()
        copies.append((folder / state.LAST_GOOD).stat().st_ino)
    assert copies[0] == copies[1]


def test_what_a_power_cut_left_behind_is_removed(folder, style, start):
    style(folder / "a.reconet")
    pending = Pending(folder / "b.reconet")
    (folder / ".reconet-0123456789ab.part.reconet").write_bytes(b"half")
    (folder / ".reconet-0123456789ac.part").mkdir()
    start(folder).passes()
    assert sorted(path.name for path in folder.glob(".reconet-*")) == [pending.path.name]
    pending.discard()


def test_of_several_styles_at_once_the_newest_stays(folder, style, start, tried, tmp_path):
    style(folder / "a.reconet")
    one = start(folder)
    one.runs()
    del tried[:]
    for age, name in enumerate("dbec"):
        path = style(tmp_path / f"{name}.reconet", title=name).path
        os.utime(str(path), (2e9 - age, 2e9 - age))
    (tmp_path / "f.reconet").write_bytes(b"not a style")
    os.utime(str(tmp_path / "f.reconet"), (1e9, 1e9))
    with one.held():
        for name in "bcdef":
            shutil.move(str(tmp_path / f"{name}.reconet"), str(folder / f"{name}.reconet"))
    assert one.runs() == "d" and "f.reconet" in one.reports("refused")
    assert {name for name, _, _ in tried} == {"d"} and one.swapped.empty()


def test_the_newest_stays_when_rsync_brings_styles_one_by_one(folder, style, start, tmp_path, monkeypatch):
    clock = SimpleNamespace(now=0.0, monotonic=lambda: clock.now)
    monkeypatch.setattr(switcher, "time", clock)
    monkeypatch.setattr(switcher, "_LOOK_S", 0.01)
    style(folder / "a.reconet")
    one = start(folder)
    assert one.runs() == "a"

    def bring(name, modified):
        path = style(tmp_path / f"{name}.reconet", title=name).path
        os.utime(str(path), (modified, modified))
        shutil.move(str(path), str(folder / path.name))

    bring("c", 2e9)
    assert one.runs() == "c"
    bring("b", 1e9)
    one.passes()
    assert one.swapped.empty()
    bring("d", 3e9)
    assert one.runs() == "d"
    one.passes()
    clock.now += 60
    bring("e", 1e9)  # on its own: shown, whatever its time
    assert one.runs() == "e"


def test_a_setting_of_something_else_does_not_load_the_style_again(folder, style, start, reads):
    style(folder / "a.reconet")
    one = start(folder)
    one.runs()
    del reads[:]
    settings = one.settings(folder)
    one.switcher.configure(settings.model_copy(update={"camera": settings.camera.model_copy(update={"mirror": True})}))
    style(folder / "b.reconet", title="B")
    assert one.runs() == "b" and reads == ["b.reconet"]
    one.switcher.configure(one.settings(folder, name="b"))
    state.pin(folder, "a")
    assert one.runs() == "a"


def test_a_style_that_waits_and_is_removed_makes_room(folder, style, start, tpu):
    style(folder / "b.reconet")
    os.utime(str(folder / "b.reconet"), (1e9, 1e9))
    style(folder / "a.reconet", compiled=True)
    one = start(folder, tpu_missing="slate")
    assert one.runs() is None and one.now.waiting
    (folder / "a.reconet").unlink()
    assert one.runs() == "b" and not one.now.waiting


def test_a_snapshot_does_not_change(folder, style, start):
    style(folder / "a.reconet")
    one = start(folder)
    one.runs()
    before = one.now
    copy = before._replace()
    style(folder / "b.reconet", title="B")
    one.runs()
    assert before == copy and before.style.name == "a" and one.now.style.name == "b"
