"""The reconet-train command, end to end on a style that trains in seconds."""

import json

import numpy as np
import pytest

from appliance.engine.stylizer import Stylizer
from appliance.style import bundle
from trainer.cli import main


def toml(fields, prefix=""):
    lines = [f"{key} = {json.dumps(value)}" for key, value in fields.items() if not isinstance(value, dict)]
    for key, value in fields.items():
        if isinstance(value, dict):
            lines += [f"[{prefix}{key}]", toml(value, f"{prefix}{key}.")]
    return "\n".join(lines)


@pytest.fixture(scope="module")
def trained(data, fields, tmp_path_factory):
    """(recipe file, folder with all that train, distill and export leave)."""
    folder = tmp_path_factory.mktemp("run")
    recipe = folder / "small.toml"
    recipe.write_text(toml(fields))
    for command in ("train", "distill", "export"):
        assert main([command, str(recipe), "--data", str(data), "--out", str(folder / "out")]) == 0
    return recipe, folder / "out"


def test_a_painting_becomes_a_bundle_that_the_appliance_runs(trained):
    _, out = trained
    style = bundle.read(out / "small.reconet")
    assert [plan.name for plan in style.manifest.plans] == ["split"]
    frame, made = np.full((32, 64, 3), 90, "uint8"), np.empty((32, 64, 3), "uint8")
    Stylizer(style).stylize(frame, made)
    assert made.std() > 0


def test_the_bundle_says_where_it_comes_from(trained, fields):
    provenance = bundle.read(trained[1] / "small.reconet").manifest.provenance
    assert provenance["steps"] == {"teacher": 3, "student": 3}
    assert len(provenance["painting_sha256"]) == 64
    assert provenance["recipe"]["data"]["painting"] == fields["data"]["painting"]
    assert {"style_ratio", "content_ratio", "snr_db", "blob_share"} <= set(provenance["metrics"])


def test_nothing_unfinished_is_left(trained):
    assert not [path for path in trained[1].iterdir() if path.name.startswith(".")]


@pytest.mark.parametrize(
    "change, names",
    [
        ({"data": {"painting": "none.jpg"}}, "none.jpg"),
        ({"data": {"painting": "vgg16.npz"}}, "not a picture"),
        ({"data": {"painting": "painting.jpg", "photos": "nowhere"}}, "nowhere"),
        ({"data": {"painting": "painting.jpg", "held_out": 8}}, "held_out"),
        ({"frame": {"width": 256, "height": 128}}, "smaller than the frame"),
        ({"perceptual": "gone.npz"}, "gone.npz"),
        ({"teacher": {"steps": 2, "batch": 1, "learning_rate": 1e30}}, "is not a number at step"),
    ],
)
def test_bad_input_is_one_line_and_leaves_no_model(data, fields, tmp_path, capfd, change, names):
    recipe = tmp_path / "bad.toml"
    recipe.write_text(toml({**fields, **change}))
    assert main(["train", str(recipe), "--data", str(data), "--out", str(tmp_path / "out")]) == 1
    message = [line for line in capfd.readouterr().err.splitlines() if line.startswith("reconet-train:")]
    assert len(message) == 1 and names in message[0]
    assert list((tmp_path / "out").iterdir()) == []


def test_steps_out_of_order_are_told_what_to_run_first(data, trained, tmp_path, capfd):
    recipe, _ = trained
    for command in ("distill", "export"):
        assert main([command, str(recipe), "--data", str(data), "--out", str(tmp_path)]) == 1
        assert "not trained yet" in capfd.readouterr().err
