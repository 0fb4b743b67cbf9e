"""The networks kept beside the recipes are those that their recipes make."""

from pathlib import Path

import numpy as np
import pytest

from appliance.style import bundle
from trainer.distillation import student_run
from trainer.recipe import Recipe, load
from trainer.runs import load_model
from trainer.training import teacher_run

from .conftest import ROOT

KEPT = sorted((ROOT / "trainer/weights").iterdir())


@pytest.mark.parametrize("folder", KEPT, ids=lambda folder: folder.name)
def test_kept_networks_belong_to_their_recipe_and_to_what_ships(folder: Path):
    recipe = load(ROOT / f"trainer/recipes/{folder.name}.toml")
    shipped = bundle.read(ROOT / f"firmware_overlay/var/lib/reconet/{folder.name}.reconet").manifest.provenance
    frame = np.full((1, 16, 16, 3), 0.5, "float32")
    for phase, run, steps in (
        ("teacher", teacher_run(recipe, folder), recipe.teacher.steps),
        ("student", student_run(recipe, folder), recipe.student.steps),
    ):
        model, made = load_model(run, steps)  # refuses a model of another recipe
        assert shipped["steps"][phase] == made
        assert np.isfinite(model(frame)["image"]).all()
    assert Recipe.model_validate(shipped["recipe"]) == recipe
