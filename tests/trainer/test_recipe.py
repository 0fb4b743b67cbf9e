import json
import tomllib
from pathlib import Path

import pytest

from appliance.errors import Problem
from trainer.faults import Faults
from trainer.recipe import Recipe, load
from trainer.runs import Note, differences, read_note, student_run, teacher_run

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
        (VALID.format("", "[style]\nscales = [1, 3]"), "style.scales.1"),
        (VALID.format("", "[style]\npalette = 1.5"), "style.palette"),
        (VALID.format("", "[polish]\nlevels = [0.5, 0.5]"), "levels must be two values from 0 to 1, black first"),
        (VALID.format("", "crop = [320, 100]"), "student.crop.1"),
        (VALID.format("", "crop = [640, 320]"), "student.crop must not be above [frame]"),
        (VALID.format("", "[motion]\ncrops = [1.0, 0.5]"), "crops must be"),
        (VALID.format("", "[lite]\nwidth = 1024"), "lite.width and lite.height must not be above those of [frame]"),
        (VALID.format("", "[lite]\nblocks = 1"), "lite.blocks: no such key; there are width, height, steps, widths"),
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


def test_all_faults_of_half_a_recipe_are_named_at_once(tmp_path):
    path = tmp_path / "half.toml"
    path.write_text('name = "x"\nstlye = 1\n[data]\npainting_width = "wide"\n[teacher]\nsteps = 0')
    with pytest.raises(Faults) as caught:
        load(path)
    lines = [str(problem) for problem in caught.value.problems]
    for fault in ("title: missing", "data.painting: missing", "data.painting_width", "teacher.steps", "stlye: no such"):
        assert len([line for line in lines if f"recipe {path}: {fault}" in line]) == 1, fault
    assert any("student: missing" in line for line in lines) and len(lines) == 6


def test_a_run_is_identified_by_its_own_sections_only(fields, tmp_path):
    note = Note(steps=1, recipe=Recipe.model_validate(fields))
    other = Recipe.model_validate({**fields, "title": "Other", "student": {**fields["student"], "steps": 9}})
    assert not differences(note, teacher_run(other, tmp_path))
    assert differences(note, student_run(other, tmp_path)) == ["student.steps 3 → 9"]


def test_a_setting_that_is_newer_than_a_run_counts_with_its_default(fields, tmp_path):
    recipe = Recipe.model_validate(fields)
    old = {"steps": 1, "recipe": recipe.model_dump(mode="json", exclude_defaults=True), "digest": "of long ago"}
    run = student_run(recipe, tmp_path)
    run.path("json").write_text(json.dumps(old))
    assert not differences(read_note(run.path("json")), run)


def test_a_default_that_changes_after_a_run_is_a_difference(fields, tmp_path):
    recipe = Recipe.model_validate(fields)
    note = Note(steps=1, recipe=recipe).model_dump()
    assert note["recipe"]["teacher"]["learning_rate"] == 1e-3  # written, though the recipe does not set it
    note["recipe"]["teacher"]["learning_rate"] = 2e-3  # as if that had been the default then
    assert differences(Note.model_validate(note), teacher_run(recipe, tmp_path)) == [
        "teacher.learning_rate 0.002 → 0.001"
    ]


def test_data_is_compared_by_content(fields, tmp_path):
    recipe = Recipe.model_validate(fields)
    renamed = recipe.model_copy(update={"data": recipe.data.model_copy(update={"photos": "pictures"})})
    note = Note(steps=1, recipe=recipe, contents={"photos": "1" * 64})
    assert not differences(note, teacher_run(renamed, tmp_path, contents={"photos": "1" * 64}))
    assert differences(note, teacher_run(recipe, tmp_path, contents={"photos": "2" * 64})) == [
        "content of data.photos 11111111 → 22222222"
    ]
    assert differences(note, teacher_run(renamed, tmp_path)) == ['data.photos "photos" → "pictures"']
    elsewhere = teacher_run(recipe, tmp_path, contents={"photos": "2" * 64})
    assert not differences(note, elsewhere, of_data=False)  # a network is used on other photographs


@pytest.mark.parametrize("text", ["", "[]", "null", "{", "{}", '{"steps": 1}', '{"steps": 1, "recipe": {"name": 1}}'])
def test_a_damaged_note_is_one_line(tmp_path, text):
    path = tmp_path / "student.json"
    path.write_text(text)
    with pytest.raises(Problem, match="student.json: missing or damaged"):
        read_note(path)


def test_every_field_of_a_shipped_recipe_survives_the_manifest():
    for path in RECIPES:
        recipe = load(path)
        assert Recipe.model_validate(recipe.model_dump(mode="json")) == recipe
        assert tomllib.loads(path.read_text())["title"] == recipe.title
