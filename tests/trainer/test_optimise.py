"""The training loop continues where it was interrupted, stops at NaN, refuses other settings, leaves no part files."""

import json
import os
import re
import signal
import subprocess
import sys

import keras
import numpy as np
import pytest
from keras import ops
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

from appliance.errors import Problem
from trainer import eventlog, runs
from trainer import optimise as loop
from trainer.optimise import optimise
from trainer.recipe import Recipe
from trainer.runs import Run, load_model

from .conftest import ROOT


def tiny_model():
    keras.utils.set_random_seed(0)
    pixels = keras.Input((None, None, 3))
    return keras.Model(pixels, {"image": keras.layers.Conv2D(3, 1)(pixels)})


def towards_grey(call, constants, draws, key):
    loss = ops.mean(ops.square(call(draws["frames"])["image"] - constants["grey"]))
    return loss, {"grey": loss}, {"grey": loss}


def draw(rng):
    return {"frames": rng.uniform(size=(2, 4, 4, 3)).astype("float32")}


def tiny_run(folder, steps, learning_rate=0.01, contents=None):
    student = {"steps": steps, "batch": 2, "learning_rate": learning_rate}
    fields = {"name": "tiny", "title": "Tiny", "data": {"painting": "tiny.jpg"}, "student": student}
    return Run(folder, "tiny", Recipe.model_validate(fields), ("data", "student"), contents=contents or {})


def train(folder, steps, objective=towards_grey, grey=0.5, draw=draw, learning_rate=0.01, contents=None):
    model = tiny_model()
    samples = np.zeros((1, 4, 4, 3), "float32")
    run = tiny_run(folder, steps, learning_rate, contents)
    return optimise(model, objective, {"grey": grey}, draw, run.recipe.student, run, samples)


def losses(folder):
    return [json.loads(line)["loss"] for line in (folder / "tiny.losses.jsonl").read_text().splitlines()]


def test_it_minimises_and_leaves_model_checkpoint_history_and_sample(tmp_path):
    train(tmp_path, 300)
    assert losses(tmp_path)[-1] < 0.5 * losses(tmp_path)[0]
    assert sorted(p.name for p in tmp_path.iterdir()) == [
        "tensorboard",
        "tiny.checkpoint.npz",
        "tiny.json",
        "tiny.keras",
        "tiny.losses.jsonl",
        "tiny.png",
    ]


def test_tensorboard_shows_scalars_and_pictures(tmp_path):
    train(tmp_path, 20)
    events = EventAccumulator(str(tmp_path / "tensorboard/tiny")).Reload()
    assert [event.step for event in events.Scalars("grey")] == list(range(1, 21))
    np.testing.assert_allclose([event.value for event in events.Scalars("loss")], losses(tmp_path), rtol=1e-5)
    assert events.Images("tiny")[-1].encoded_image_string.startswith(b"\x89PNG")


def test_a_training_goes_on_without_events_when_the_disk_is_full(tmp_path, monkeypatch, capfd):
    class Full:
        def __init__(self, folder):
            pass

        def add_event(self, event):
            raise OSError(28, "No space left on device")

    monkeypatch.setattr(eventlog, "EventFileWriter", Full)
    train(tmp_path, 2)
    assert len(losses(tmp_path)) == 2
    assert capfd.readouterr().err.count("no more TensorBoard events: [Errno 28] No space left") == 1


def test_an_interrupted_run_goes_on_and_ends_as_an_uninterrupted_one(tmp_path, monkeypatch):
    monkeypatch.setattr(loop, "CHECKPOINT", 0.0)
    (tmp_path / "a").mkdir()
    (tmp_path / "b").mkdir()
    whole = train(tmp_path / "a", 40)

    drawn = []

    def power_cut(rng):
        drawn.append(1)
        if len(drawn) == 20:
            raise KeyboardInterrupt
        return draw(rng)

    with pytest.raises(KeyboardInterrupt):
        train(tmp_path / "b", 40, draw=power_cut)
    stopped, steps = load_model(tiny_run(tmp_path / "b", 40), 40)
    assert 0 < steps < 20 and not np.allclose(stopped.get_weights()[0], whole.get_weights()[0])
    resumed = train(tmp_path / "b", 40)
    np.testing.assert_allclose(losses(tmp_path / "b"), losses(tmp_path / "a"), rtol=1e-5)
    for a, b in zip(whole.get_weights(), resumed.get_weights(), strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-5)


KILLED = """
import os, signal
from pathlib import Path
import appliance.files, trainer.runs
from tests.trainer.test_optimise import draw, train
import trainer.optimise as loop
loop.CHECKPOINT = 0.0
kill_at, seen = {at}, 0
commit = appliance.files.Pending.commit
def deadly(pending):
    global seen
    seen += 1
    if seen == kill_at:
        os.kill(os.getpid(), signal.SIGKILL)
    commit(pending)
appliance.files.Pending.commit = deadly
train(Path({folder!r}), 6)
"""


def test_sigkill_between_any_two_files_is_repaired_by_the_same_command(tmp_path):
    """Every step writes history, checkpoint, model and note, one after the other: die before the first, before a
    checkpoint, between a checkpoint and its model, and before the last note.
    """
    (tmp_path / "whole").mkdir()
    whole = train(tmp_path / "whole", 6)
    for at in (1, 10, 11, 24):
        folder = tmp_path / str(at)
        folder.mkdir()
        script = KILLED.format(at=at, folder=str(folder))
        done = subprocess.run([sys.executable, "-c", script], cwd=ROOT)
        assert done.returncode == -signal.SIGKILL
        assert list(folder.glob(".reconet-*.part*"))
        again = train(folder, 6)
        np.testing.assert_allclose(losses(folder), losses(tmp_path / "whole"), rtol=1e-5)
        assert not list(folder.glob(".reconet-*"))
        saved, steps = load_model(tiny_run(folder, 6), 6)
        assert steps == 6
        for a, b, c in zip(whole.get_weights(), again.get_weights(), saved.get_weights(), strict=True):
            np.testing.assert_allclose(a, b, rtol=1e-5)
            np.testing.assert_array_equal(b, c)


def test_a_disk_that_is_full_at_the_last_picture_loses_nothing(tmp_path, monkeypatch):
    def full(*_):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(loop, "contact_sheet", full)
    with pytest.raises(OSError):
        train(tmp_path, 5)
    monkeypatch.undo()
    kept = (tmp_path / "tiny.checkpoint.npz").read_bytes()
    train(tmp_path, 5)
    assert (tmp_path / "tiny.png").exists() and (tmp_path / "tiny.checkpoint.npz").read_bytes() == kept


def test_a_finished_run_is_not_run_again(tmp_path):
    first, again = (train(tmp_path, 10).get_weights() for _ in range(2))
    assert len(losses(tmp_path)) == 10
    np.testing.assert_array_equal(first[0], again[0])


def files(folder):
    return {path: path.read_bytes() for path in folder.rglob("*") if path.is_file()}


@pytest.mark.parametrize(
    "change, named",
    [
        ({"steps": 8}, "student.steps 5 → 8"),
        ({"learning_rate": 0.02}, "student.learning_rate 0.01 → 0.02"),
        ({"contents": {"photos": "b" * 64}}, "content of data.photos aaaaaaaa → bbbbbbbb"),
    ],
)
def test_what_changed_is_named_and_nothing_is_overwritten(tmp_path, change, named):
    before = {"steps": 5, "contents": {"photos": "a" * 64}}
    train(tmp_path, **before)
    kept = files(tmp_path)
    with pytest.raises(Problem) as caught:
        train(tmp_path, **{**before, **change})
    assert named in str(caught.value) and "--restart" in str(caught.value) and "\n" not in str(caught.value)
    assert files(tmp_path) == kept
    (tmp_path / "tiny.checkpoint.npz").unlink()  # the network alone is not overwritten either
    with pytest.raises(Problem, match=re.escape(named)):
        train(tmp_path, **{**before, **change})


def test_a_network_without_a_checkpoint_is_not_trained_over(tmp_path):
    train(tmp_path, 5)
    (tmp_path / "tiny.checkpoint.npz").unlink()
    with pytest.raises(Problem, match="trained already"):
        train(tmp_path, 5)


def test_a_restart_forgets_the_run_and_no_other(tmp_path):
    train(tmp_path, 5)
    (tmp_path / "teacher.keras").write_bytes(b"another run's")
    runs.forget(tiny_run(tmp_path, 8))
    assert [path.name for path in sorted(tmp_path.iterdir())] == ["teacher.keras", "tensorboard"]
    train(tmp_path, 8)
    assert len(losses(tmp_path)) == 8


def test_a_model_of_other_settings_is_not_used(tmp_path):
    train(tmp_path, 5)
    with pytest.raises(Problem, match="student.steps 5 → 6"):
        load_model(tiny_run(tmp_path, 6), 6)


def test_a_damaged_note_is_one_line_and_written_again(tmp_path):
    train(tmp_path, 5)
    note = tmp_path / "tiny.json"
    for text in ("", "[]", '{"steps": 5}'):
        note.write_text(text)
        with pytest.raises(Problem, match="tiny.json: missing or damaged"):
            load_model(tiny_run(tmp_path, 5), 5)
        train(tmp_path, 5)  # the checkpoint knows what made it
        assert load_model(tiny_run(tmp_path, 5), 5)[1] == 5


def test_a_checkpoint_from_before_notes_were_in_it_is_continued(tmp_path):
    train(tmp_path, 5)
    path = tmp_path / "tiny.checkpoint.npz"
    with np.load(path) as file:
        np.savez(path, **{name: file[name] for name in file.files if name != "note"})
    train(tmp_path, 5)
    with pytest.raises(Problem, match="student.steps 5 → 6"):
        train(tmp_path, 6)


def test_a_damaged_checkpoint_is_named_not_overwritten(tmp_path):
    train(tmp_path, 5)
    path = tmp_path / "tiny.checkpoint.npz"
    path.write_bytes(path.read_bytes()[:300])
    with pytest.raises(Problem, match="tiny.checkpoint.npz: .* damaged"):
        train(tmp_path, 5)
    assert path.stat().st_size == 300


def test_nan_stops_with_the_step_and_the_term(tmp_path):
    def breaks(call, constants, draws, key):
        loss, weighted, terms = towards_grey(call, constants, draws, key)
        return loss, weighted, {**terms, "style": loss * constants["grey"]}

    with pytest.raises(Problem) as caught:
        train(tmp_path, 50, breaks, grey=float("inf"))
    assert "step 1" in str(caught.value) and "style" in str(caught.value) and "\n" not in str(caught.value)
    assert [path.name for path in tmp_path.iterdir()] == ["tensorboard"]


def test_divergence_stops_with_the_step_and_the_term(tmp_path):
    def runs_away(call, constants, draws, key):
        loss, weighted, terms = towards_grey(call, constants, draws, key)
        pull = draws["pull"] * ops.mean(call(draws["frames"])["image"] ** 2 + 1)
        return loss + pull, {**weighted, "pull": pull}, {**terms, "pull": pull}

    steps = []

    def draw_pull(rng):
        steps.append(len(steps))
        return {**draw(rng), "pull": np.float32(1e6 if steps[-1] == 7 else 0)}

    with pytest.raises(Problem, match="diverged at step 8, where pull is"):
        train(tmp_path, 30, runs_away, draw=draw_pull)
    events = EventAccumulator(str(tmp_path / "tensorboard/tiny")).Reload()
    assert [event.step for event in events.Scalars("pull")] == list(range(1, 9))  # the last step's too
    assert events.Scalars("pull")[-1].value > 1e5


PARALLEL = """
import jax, pathlib
assert jax.device_count() == {count}
from trainer.cli import main
folder = pathlib.Path({folder!r})
assert main(["train", str(folder / "small.toml"), "--data", {data!r}, "--out", str(folder / "out{count}")]) == 0
"""


def test_two_devices_train_as_one_at_the_same_batch(data, fields, tmp_path):
    from .test_cli import toml

    (tmp_path / "small.toml").write_text(toml({**fields, "teacher": {"steps": 3, "batch": 2, "precision": "float32"}}))
    runs = []
    for count in (1, 2):
        script = PARALLEL.format(count=count, folder=str(tmp_path), data=str(data))
        flags = f"--xla_force_host_platform_device_count={count}"
        environment = os.environ | {"XLA_FLAGS": flags}
        runs.append(subprocess.Popen([sys.executable, "-c", script], cwd=ROOT, env=environment))
    assert [run.wait() for run in runs] == [0, 0]
    one, two = (
        [json.loads(line) for line in (tmp_path / f"out{n}/teacher.losses.jsonl").read_text().splitlines()]
        for n in (1, 2)
    )
    for a, b in zip(one, two, strict=True):
        del a["seconds"], b["seconds"]
        assert a == pytest.approx(b, rel=2e-3, abs=1e-5)
