import tomllib
from pathlib import Path

import pytest

from appliance.errors import Problem
from trainer.recipe import Recipe, load
from trainer.training import student_run, teacher_run

RECIPES = sorted((Path(__file__).parents[2] / "trainer/recipes").glob("*.toml"))


@pytest.mark.parametrize("path", RECIPES, ids=lambda path: path.stem)
def test_shipped_recipes_load(path):
    assert load(path).name == path.stem


VALID = 'name = "x"\ntitle = "X"\n{}\n[data]\npainting = "p.jpg"\n[teacher]\nsteps = 1\n[student]\nsteps = 1\n{}'


@pytest.mark.parametrize(
    "text, names",
    [
        ("name = ", "not valid TOML"),
        ('name = "../x"', "name"),
        ('name = "x"\ntitle = "X"', "data"),
        (VALID.format("stlye = 1", ""), "stlye: no such key; there are name, title,"),
        (VALID.format("", "[student.loss]\nboarder = 1"), "student.loss.boarder: no such key; there are content"),
        (VALID.format("", "batch = 0"), "student.batch"),
        (VALID.format("", "[frame]\nwidth = 513"), "frame.width"),
        (VALID.format("", "[network]\nlast_kernel = 4"), "odd"),
        (VALID.format("", "[network]\nstrides = [1, 1, 2]"), "strides [1, 1, 2] shrink by 2"),
        (VALID.format("", "[network]\nstrides = [4, 2, 2]"), "network.strides.0"),
        (VALID.format("", "[style]\nlayers = ['conv6_1']"), "style.layers.0"),
        (VALID.format("", "[style]\nweights = [1]"), "1 weights for 4 layers"),
        (VALID.format("", "[style]\nscales = [1, 2]"), "sliced"),
        (VALID.format("", "[motion]\ncrops = [1.0, 0.5]"), "crops must be"),
        (VALID.format("", "[mix]\nphotos = 0"), "one of photos, sintel, video and flat"),
        (VALID.replace("[student]", "stpes = 1\n[student]").format("", ""), "teacher.stpes: no such key; there are"),
    ],
)
def test_a_bad_recipe_is_refused_in_one_line_that_names_file_and_key(tmp_path, text, names):
    path = tmp_path / "bad.toml"
    path.write_text(text)
    with pytest.raises(Problem) as caught:
        load(path)
    message = str(caught.value)
    assert str(path) in message and names in message and "\n" not in message


def test_a_missing_recipe_is_named(tmp_path):
    with pytest.raises(Problem, match="none.toml"):
        load(tmp_path / "none.toml")


def test_the_digest_changes_with_its_sections_only(fields):
    first = Recipe.model_validate(fields)
    other = Recipe.model_validate({**fields, "student": {"steps": 9}})
    assert first.digest("teacher", "network") == other.digest("teacher", "network")
    assert first.digest("student") != other.digest("student")


# What the first recipes' teachers and students had before recipes knew styles, strides and crops.
FIRST = {
    "name": "x",
    "title": "X",
    "data": {"painting": "x.jpg", "held_out": 24},
    "mix": {"photos": 0.9, "video": 0.1},
    "teacher": {"steps": 8000, "loss": {"style": 30.0}},
    "student": {"steps": 26000, "pixels": "yuv"},
}
DIGESTS = "2b54c6c5d6b0 f0456eaf479c"


def test_a_new_field_leaves_what_was_trained_before_it(tmp_path):
    recipe = Recipe.model_validate(FIRST)
    runs = teacher_run(recipe, tmp_path), student_run(recipe, tmp_path)
    assert " ".join(run.digest[:12] for run in runs) == DIGESTS


def test_every_field_of_a_shipped_recipe_survives_the_manifest():
    for path in RECIPES:
        recipe = load(path)
        assert Recipe.model_validate(recipe.model_dump(mode="json")) == recipe
        assert tomllib.loads(path.read_text())["title"] == recipe.title
