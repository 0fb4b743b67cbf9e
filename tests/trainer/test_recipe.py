import tomllib
from pathlib import Path

import pytest

from appliance.errors import Problem
from trainer.recipe import Recipe, load

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


def test_every_field_of_a_shipped_recipe_survives_the_manifest():
    for path in RECIPES:
        recipe = load(path)
        assert Recipe.model_validate(recipe.model_dump(mode="json")) == recipe
        assert tomllib.loads(path.read_text())["title"] == recipe.title
