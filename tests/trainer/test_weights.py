"""The networks kept beside the recipes are those that their recipes make."""

from pathlib import Path

import numpy as np
import pytest

from appliance.style import bundle
from trainer.perceptual import load_style
from trainer.recipe import Recipe, load
from trainer.runs import load_model, network_run

from .conftest import ROOT

KEPT = sorted((ROOT / "trainer/weights").iterdir())


@pytest.mark.parametrize("folder", KEPT, ids=lambda folder: folder.name)
def test_kept_networks_belong_to_their_recipe_and_to_what_ships(folder: Path):
    recipe = load(ROOT / f"trainer/recipes/{folder.name}.toml")
    shipped = bundle.read(ROOT / f"firmware_overlay/var/lib/reconet/{folder.name}.reconet").manifest.provenance
    frame = np.full((1, 16, 16, 3), 0.5, "float32")
    networks = ["lite", "student"] if recipe.lite else ["student"]
    assert sorted(path.stem for path in folder.glob("*.npz")) == [*networks, "style"]
    for name in networks:
        model, steps = load_model(network_run(recipe, name, folder), 0)  # refuses a model of another recipe
        assert np.isfinite(model(frame)["image"]).all()
        assert shipped["steps"][name] == steps
    assert len(load_style(folder / "style.npz", recipe.style)) == len(recipe.style.layers)


def test_every_recipe_is_that_of_its_bundle():
    for path in sorted((ROOT / "trainer/recipes").glob("*.toml")):
        shipped = bundle.read(ROOT / f"firmware_overlay/var/lib/reconet/{path.stem}.reconet").manifest.provenance
        assert Recipe.model_validate(shipped["recipe"]) == load(path)
