"""The networks kept beside the recipes are those that their recipes make."""

from pathlib import Path

import numpy as np
import pytest

from appliance.style import bundle
from trainer.perceptual import load_style
from trainer.recipe import Recipe, load
from trainer.runs import load_model, network_run, read_note

from .conftest import ROOT

KEPT = sorted((ROOT / "trainer/weights").iterdir())


@pytest.mark.parametrize("folder", KEPT, ids=lambda folder: folder.name)
def test_kept_networks_belong_to_their_recipe_and_to_what_ships(folder: Path):
    recipe = load(ROOT / f"trainer/recipes/{folder.name}.toml")
    shipped = bundle.read(ROOT / f"firmware_overlay/var/lib/reconet/{folder.name}.reconet").manifest.provenance
    frame = np.full((1, 16, 16, 3), 0.5, "float32")
    kept = sorted(path.stem for path in folder.glob("*.npz") if path.stem != "style")
    assert {"teacher", "student"} <= set(kept)
    for name in kept:
        # Those to compare with may be of an earlier recipe, which they tell; the report says so.
        note = folder / f"{name}.json"
        own = recipe if name in ("teacher", "student") else read_note(note).recipe
        model, steps = load_model(network_run(own, name, folder), 0)  # refuses a model of another recipe
        assert np.isfinite(model(frame)["image"]).all()
        assert shipped["steps"].get(name, steps) == steps
    grams = load_style(folder / "style.npz", recipe.style)
    assert [gram.shape for gram in grams] == [(64, 64), (128, 128), (256, 256), (512, 512)]
    for gram in grams:
        np.testing.assert_array_equal(gram, gram.T)


def test_every_recipe_is_that_of_its_bundle():
    for path in sorted((ROOT / "trainer/recipes").glob("*.toml")):
        shipped = bundle.read(ROOT / f"firmware_overlay/var/lib/reconet/{path.stem}.reconet").manifest.provenance
        assert Recipe.model_validate(shipped["recipe"]) == load(path)
