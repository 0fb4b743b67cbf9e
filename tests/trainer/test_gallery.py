"""Many recipes as jobs: one that is killed is tried again, what is done is left alone, what is wrong is said."""

import json
import os
import shutil
import signal
from pathlib import Path

import filelock
import pytest
from PIL import Image
from rich.console import Console

from appliance.errors import Problem
from appliance.style import bundle
from trainer import executors, gallery, sweep
from trainer.cli import main
from trainer.cli_measure import SHIPPED
from trainer.data.contents import contents
from trainer.recipe import Recipe, load

RECIPE = Path(sweep.__file__).with_name("recipes") / "udnie.toml"


# What the jobs do here. It is imported in each of them, so this module imports no Keras.
def take(task):
    """Takes the shipped bundle for the result. The Great Wave's first job dies."""
    first = task.out / "died"
    if task.recipe.name == "great_wave" and not first.exists():
        first.touch()
        os.kill(os.getpid(), signal.SIGKILL)
    if task.recipe.name == "the_scream":
        raise Problem("no such painting")
    shutil.copy(SHIPPED / f"{task.recipe.name}.reconet", task.out)
    (task.out / "report.html").touch()


def task(name, folder):
    made = bundle.read(SHIPPED / f"{name}.reconet").manifest.provenance
    return gallery.Task(Recipe.model_validate(made["recipe"]), folder, folder / name)


class Nowhere:
    def submit(self, *_):
        raise AssertionError("this was done already")


@pytest.fixture(autouse=True)
def brisk(monkeypatch):
    monkeypatch.setattr(gallery, "POLL", 0.1)


def test_two_workers_do_all_though_one_is_killed_and_again_there_is_nothing_to_do(tmp_path, capsys):
    console = Console(width=140)
    tasks = [task(name, tmp_path) for name in ("udnie", "great_wave", "the_scream")]
    places = executors.local(tmp_path / "jobs", 2)
    entries = gallery.run(tasks, places, gallery.Work(take), console)
    assert [(entry.state, entry.tries) for entry in entries] == [("done", 1), ("done", 2), ("failed", 1)]
    with pytest.raises(Problem, match="1 of 3 styles failed: the_scream: no such painting"):
        gallery.show(entries, tmp_path / "gallery.jpg", console)
    assert "great_wave" in capsys.readouterr().out
    with Image.open(tmp_path / "gallery.jpg") as sheet:
        assert sheet.width > 2 * 480

    entries = gallery.run(tasks[:2], [Nowhere()], gallery.Work(take), console)
    assert [(entry.state, entry.tries) for entry in entries] == [("done", 0), ("done", 0)]
    gallery.show(entries, tmp_path / "gallery.jpg", console)


def test_what_was_made_of_another_painting_is_not_done(tmp_path):
    one = task("udnie", tmp_path)
    one.out.mkdir()
    take(one)
    placed = tmp_path / one.recipe.data.painting
    placed.parent.mkdir(parents=True, exist_ok=True)
    Image.new("RGB", (300, 300)).save(placed)
    (one.out / "student.json").write_text(json.dumps({"contents": contents(one.recipe, tmp_path)}))
    assert gallery.finished(one)
    Image.new("RGB", (300, 300), "red").save(placed)
    assert not gallery.finished(one)
    placed.unlink()
    assert gallery.finished(one)


def test_a_job_that_always_dies_is_given_up(tmp_path, monkeypatch):
    class Dead:
        paths = type("", (), {"stderr": "jobs/1.err"})

        def done(self):
            return True

        def result(self):
            raise RuntimeError("node failed")

    class Cluster:
        def submit(self, *_):
            return Dead()

    (entry,) = gallery.run([task("udnie", tmp_path)], [Cluster()], gallery.Work(take), Console(quiet=True))
    assert (entry.state, entry.tries, entry.why) == ("failed", gallery.TRIES, "node failed; see jobs/1.err")


def test_a_job_keeps_others_from_its_folder_and_says_what_is_wrong(tmp_path):
    def make(one):
        with pytest.raises(filelock.Timeout):
            filelock.FileLock(one.out / ".lock").acquire(timeout=0)
        raise Problem("no such painting")

    assert gallery.Work(make)(task("udnie", tmp_path)) == "no such painting"
    filelock.FileLock(tmp_path / "udnie/.lock").acquire(timeout=0)  # free again


def test_a_preempted_job_is_queued_again_with_the_same_task(tmp_path):
    one = task("udnie", tmp_path)
    again = gallery.Work(take).checkpoint(one)
    assert again.args == (one,)


def stand_in(folder, name, text):
    (folder / name).write_text(f"#!/bin/sh\n{text}\n")
    (folder / name).chmod(0o755)


def test_a_slurm_job_has_one_gpu_and_is_told_before_it_is_preempted(tmp_path, monkeypatch):
    stand_in(tmp_path, "srun", "exit 0")
    stand_in(tmp_path, "sbatch", "echo Submitted batch job 12")
    monkeypatch.setenv("PATH", f"{tmp_path}:{os.environ['PATH']}")
    first, _ = executors.slurm(tmp_path / "jobs", 2, "gpu", None)
    assert first.submit(gallery.Work(take), task("udnie", tmp_path)).job_id == "12"
    script = min((tmp_path / "jobs").glob("*.sh"))  # and its copy with the number
    lines = script.read_text().splitlines()
    for option in ("--gpus-per-node=1", "--partition=gpu", "--signal=USR2@90"):
        assert f"#SBATCH {option}" in lines


@pytest.mark.parametrize(
    "arguments, names",
    [
        (["--on", "slurm"], "no srun on this machine"),
        (["--set", "student.loss.content=4,x,[", "--on", "local"], "are not TOML"),
        (["--set", "student.loss.content"], "write KEY=VALUE"),
        (["--set", "student.loss.contnt=1,2"], "student.loss.contnt: no such key"),
        (["--set", "student.steps=1", "--set", "student.steps=2"], "given twice"),
        (["--set", "title.a=1"], "title is a value"),
        ([str(RECIPE)], "two recipes are named udnie"),
    ],
)
def test_what_is_wrong_is_one_line(arguments, names, tmp_path, capsys):
    assert main(["gallery", "--out", str(tmp_path / "out"), str(RECIPE), *arguments]) == 1
    error = [line for line in capsys.readouterr().err.splitlines() if line.startswith("reconet-train:")]
    assert len(error) == 1 and names in error[0]


def test_a_sweep_is_the_product_of_the_values_each_with_a_name(tmp_path):
    recipe = load(RECIPE)
    settings = sweep.parse(["student.loss.content=4,5.5", "style.scales=[1],[1, 2]", "perceptual=hed"])
    made = sweep.product(recipe, settings)
    assert [(one.student.loss.content, one.style.scales) for one in made] == [
        (4, (1,)),
        (4, (1, 2)),
        (5.5, (1,)),
        (5.5, (1, 2)),
    ]
    assert made[3].name == "udnie_content_5_5_scales_1_2_perceptual_hed"
    assert made[3].title == "Udnie, content 5.5, scales [1, 2], perceptual hed"
    assert made[3].student.loss.style == recipe.student.loss.style
    assert sweep.product(recipe, {}) == [recipe]
    assert len(sweep.product(recipe, {"student.loss.content": [4, 4.0, 5]})) == 2


def test_names_that_are_cut_stay_apart():
    settings = {"style.layers": [["conv1_1", "conv2_1", "conv3_1", "conv4_1", "conv5_1"] + [last] for last in
                ("conv1_2", "conv2_2")]}  # fmt: skip
    names = {one.name for one in sweep.product(load(RECIPE), {**settings, "style.weights": [[1, 1, 1, 1, 1, 1]]})}
    assert len(names) == 2 and all(len(name) <= 64 for name in names)
