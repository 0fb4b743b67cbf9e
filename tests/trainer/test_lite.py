"""The lite student: trained beside the student, added to its bundle, drawn by the appliance."""

import itertools
import json
import shutil

import numpy as np
import pytest
from pydantic import ValidationError

from appliance.engine.stylizer import Stylizer
from appliance.errors import Problem
from appliance.style import bundle
from trainer import runs
from trainer.cli import main
from trainer.edgetpu.export import add_lite, export
from trainer.edgetpu.predict import predictions
from trainer.gather import gather
from trainer.lite import lite_recipe
from trainer.making import finished, make
from trainer.polishing import polish
from trainer.recipe import Recipe
from trainer.runs import differences, lite_run, student_run
from trainer.training import train, train_lite

from .test_cli import toml

PIXELS = ("yuv", "bgrx")


@pytest.fixture(scope="module")
def parts(fields):
    """The sections of a recipe that trains a student and a lite student in seconds."""
    return {
        **{name: value for name, value in fields.items() if name != "teacher"},
        "data": {**fields["data"], "painting_width": 161},
        "frame": {"width": 64, "height": 48, "exposure_chroma": 0.05},
        "network": {"widths": [4, 8, 8], "strides": [2, 2, 2], "blocks": 1, "first_kernel": 5, "skips": True},
        "student": {"steps": 2, "batch": 1, "pixels": "yuv", "loss": {"border": 0.0}},
        "lite": {"width": 32, "height": 24, "steps": 3, "widths": [4, 4, 4], "skips": True},
    }


@pytest.fixture(scope="module")
def recipe(parts):
    return Recipe.model_validate(parts)


@pytest.fixture(scope="module")
def plain(parts):
    """The same recipe without a lite student."""
    return Recipe.model_validate({name: value for name, value in parts.items() if name != "lite"})


@pytest.fixture(scope="module")
def made(recipe, data, tmp_path_factory):
    """A folder in which make() was."""
    out = tmp_path_factory.mktemp("lite")
    make(recipe, data, out)
    return out


def test_it_is_a_smaller_network_of_the_same_style(parts):
    recipe = Recipe.model_validate({**parts, "student": {**parts["student"], "start": "udnie"}})
    small = lite_recipe(recipe)
    assert small.size == (24, 32) and small.network.widths == (4, 4, 4) and small.student.steps == 3
    assert small.network.model_copy(update={"widths": recipe.network.widths}) == recipe.network
    without = {**parts, "lite": {**parts["lite"], "skips": False}}
    assert small.network.skips and not lite_recipe(Recipe.model_validate(without)).network.skips
    assert small.motion.pan == 7 and small.data.painting_width == 80  # of 14 and 161
    assert (small.style, small.student.loss, small.name) == (recipe.style, recipe.student.loss, recipe.name)
    assert small.student.learning_rate == recipe.student.learning_rate
    assert small.student.start is small.teacher is small.lite is None
    assert Recipe.model_validate(small.model_dump(mode="json")) == small


def test_its_painting_width_style_and_loss_may_be_its_own(parts):
    own = {"painting_width": 70, "style": {"facets": 1, "content": {"conv2_2": 1.0}}, "loss": {"vivid": 9.0}}
    facets = {**parts, "style": {**parts.get("style", {}), "facets": 6}}
    recipe = Recipe.model_validate({**facets, "lite": {**parts["lite"], **own}})
    small = lite_recipe(recipe)
    assert small.data.painting_width == 70 and small.student.loss.vivid == 9
    assert small.style.facets == 1 and list(small.style.content) == ["conv2_2"]
    assert lite_recipe(Recipe.model_validate(facets)).style.facets == 3  # to scale


def test_a_distilled_style_has_a_lite_student_that_is_trained_directly(fields, tmp_path):
    recipe = Recipe.model_validate({**fields, "lite": {"width": 32, "height": 16}})
    small = lite_recipe(recipe)
    assert small.teacher is None and small.student.loss.teacher_output == small.student.loss.teacher_features == 0


def test_it_is_no_larger_than_the_frame(parts):
    with pytest.raises(ValidationError, match="must not be above those of"):
        Recipe.model_validate({**parts, "lite": {}})


def test_a_painting_that_is_too_low_for_it_is_refused_before_anything_is_trained(parts, data, tmp_path):
    recipe = Recipe.model_validate({**parts, "data": {**parts["data"], "painting_width": 96}})
    with pytest.raises(Problem, match="64x53 once scaled"):
        train(recipe, data, tmp_path)
    assert not list(tmp_path.iterdir())


def test_neither_student_invalidates_the_other(parts, tmp_path):
    recipe = Recipe.model_validate(parts)
    longer = Recipe.model_validate({**parts, "student": {**parts["student"], "steps": 9}})
    lighter = Recipe.model_validate({**parts, "lite": {**parts["lite"], "steps": 9}})
    without = Recipe.model_validate({name: value for name, value in parts.items() if name != "lite"})
    student = runs.Note(steps=1, recipe=without)
    assert not differences(student, student_run(recipe, tmp_path))
    assert not differences(student, student_run(lighter, tmp_path))
    lite = runs.Note(steps=1, recipe=lite_run(recipe, tmp_path).recipe)
    assert not differences(lite, lite_run(longer, tmp_path))
    assert differences(lite, lite_run(lighter, tmp_path)) == ["student.steps 3 → 9"]


def test_everything_from_the_recipe_to_the_bundle_that_the_appliance_draws(made, recipe, data):
    style = bundle.read(made / "small.reconet")
    assert [plan.name for plan in style.manifest.plans] == ["split", "fused", "lowres", "lite"]
    assert style.manifest.sizes.stride == 8 and finished(recipe, data, made)
    assert style.manifest.format == 3  # in the plan split, segments keep planes
    provenance = style.manifest.provenance
    assert provenance["metrics"]["plan_snr_db"]["lite"] > 15
    assert (provenance["steps"]["student"], provenance["steps"]["lite"]) == (2, 3)
    assert provenance["steps"]["lite_polish"] > 0
    lite, _ = runs.load_model(lite_run(recipe, made), 3)
    assert lite.get_layer("encoder1").kernel.shape[-1] == 4
    for plan, (width, height) in itertools.product(("split", "lite"), ((32, 24), (64, 48), (96, 56))):
        drawn = Stylizer(style, plan=plan, size=(width, height))
        assert drawn.draw(np.full((height, width, 3), 90, "uint8")).shape == (height, width, 3)
    assert Stylizer(style).plan == "split"


def test_nothing_is_done_again(made, recipe, data):
    before = {path: path.stat().st_mtime_ns for path in made.rglob("*") if path.is_file()}
    make(recipe, data, made)
    train(recipe, data, made)
    polish(recipe, data, made)
    after = {path: path.stat().st_mtime_ns for path in made.rglob("*") if path.is_file()}
    assert {path for path in before if before[path] != after[path]} <= {made / "style.npz"}


def test_the_students_style_is_not_that_of_the_lite_student(made, recipe, data):
    work = gather(made / "small.reconet", data, made)
    assert set(work.networks) == {"student"} and work.targets and not work.missing
    assert "lite" in gather(made / "lite.keras", data).networks


@pytest.fixture(scope="module")
def before_it(made, plain, recipe, data, tmp_path_factory):
    """A folder with a bundle without the plan, the recipe that has it, and the networks."""
    folder = tmp_path_factory.mktemp("before")
    for name in ("student.keras", "student.json", "lite.keras", "lite.json"):
        shutil.copy(made / name, folder)
    export(plain, data, folder, ("split", "fused"), pixels=PIXELS)
    (folder / "small.toml").write_text(toml(recipe.model_dump(mode="json", exclude_unset=True)))
    return folder


@pytest.fixture
def shipped(before_it, tmp_path):
    """(the bundle, the recipe's file, the folder), to be changed at will."""
    out = tmp_path / "out"
    shutil.copytree(before_it, out)
    return out / "small.reconet", out / "small.toml", out


def test_a_bundle_without_it_does_not_mention_it(shipped, recipe, data):
    path, _, out = shipped
    style = bundle.read(path)
    assert "lite" not in style.manifest.provenance["recipe"] and "lite.tflite" not in style.files
    assert not finished(recipe, data, out)


def test_the_plan_is_added_to_a_bundle_without_touching_the_others(shipped, made, recipe, data):
    path, file, out = shipped
    before = bundle.read(path)
    kept = out / "kept"
    assert main(["pack", str(file), "--out", str(out), "--to", str(kept)]) == 0
    command = ["export", str(file), "--data", str(data), "--out", str(kept), "--lite", str(path)]
    assert main(command) == 0
    once = bundle.read(path)
    assert [plan.name for plan in once.manifest.plans] == ["split", "fused", "lite"]
    assert {name: once.files[name] for name in before.files} == before.files
    assert once.manifest.sizes == before.manifest.sizes and once.manifest.created == before.manifest.created
    snr = once.manifest.provenance["metrics"]["plan_snr_db"]
    assert snr["lite"] > 15 and Recipe.model_validate(once.manifest.provenance["recipe"]) == recipe
    assert {name: snr[name] for name in ("split", "fused")} == before.manifest.provenance["metrics"]["plan_snr_db"]
    assert main(command) == 0
    assert bundle.read(path).files == once.files


def test_what_cannot_be_added_is_said_in_one_line(shipped, recipe, plain, data, capsys):
    path, file, out = shipped
    before = path.read_bytes()
    with pytest.raises(Problem, match="has no \\[lite\\]"):
        add_lite(plain, data, out, path)
    with pytest.raises(Problem, match="has no \\[lite\\]"):
        train_lite(plain, data, out)
    other = recipe.model_copy(update={"title": "Other"})
    with pytest.raises(Problem, match="its recipe is another one"):
        add_lite(other, data, out, path)
    (out / "lite.keras").unlink()
    assert main(["export", str(file), "--data", str(data), "--out", str(out), "--lite", str(path)]) == 1
    assert "lite.keras: not trained yet" in capsys.readouterr().err and path.read_bytes() == before


def test_training_it_alone_leaves_the_student(shipped, made, data):
    _, file, out = shipped
    (out / "lite.keras").unlink()
    student = (out / "student.keras").read_bytes()
    assert main(["train", str(file), "--data", str(data), "--out", str(out), "--lite"]) == 0
    note = json.loads((out / "lite.json").read_text())
    assert note["steps"] == 3 and (out / "student.keras").read_bytes() == student
    assert not (out / "style.npz").exists()


def test_it_is_predicted_without_an_edge_tpu(made):
    found = {one.plan: one for one in predictions(made / "small.reconet", (216, 384))}
    assert found["lite"].tpu_ms == 0 < found["fused"].tpu_ms
    assert found["lite"].low < found["lite"].cpu_ms == found["lite"].ms < found["lite"].high
