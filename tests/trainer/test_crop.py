"""Training on crops: what is cut from a pair, and how a recipe asks for it."""

import json

import jax
import numpy as np
import pytest

from appliance.errors import Problem
from trainer import batches, objectives
from trainer.flow import warp
from trainer.recipe import Recipe, checked
from trainer.training import train

ROWS, COLUMNS = 40, 56


@pytest.fixture
def batch():
    """Three pairs whose frames tell where each pixel is, and whose camera moves by 5 pixels to the right."""
    y, x = np.mgrid[:ROWS, :COLUMNS].astype("float32")
    pairs = [np.stack([x, y, np.full_like(x, number)], axis=-1) for number in range(3)]
    previous = np.stack(pairs)
    current = previous + np.float32([5, 0, 0])
    frames = np.stack([previous, current], axis=1).reshape(6, ROWS, COLUMNS, 3)
    flow = np.broadcast_to(np.float32([5, 0]), (3, ROWS, COLUMNS, 2))
    mask = np.ones((3, ROWS, COLUMNS, 1), "float32")
    return {"clean": frames, "noisy": frames + 0.5, "flow": flow, "mask": mask, "plain": np.zeros(3, "float32")}


def test_the_two_frames_of_a_pair_are_cut_at_one_place_and_pairs_at_others(batch):
    cut = {name: np.asarray(array) for name, array in batches.cropped(batch, jax.random.key(4), 24, 16).items()}
    assert cut["clean"].shape == (6, 16, 24, 3) and cut["mask"].shape == (3, 16, 24, 1)
    corners = cut["clean"][:, 0, 0]
    assert np.array_equal(corners[1::2] - corners[::2], np.tile([5, 0, 0], (3, 1)))
    assert np.array_equal(corners[::2, 2], [0, 1, 2]) and len(np.unique(corners[::2, :2], axis=0)) == 3
    assert np.array_equal(cut["noisy"], cut["clean"] + 0.5)


def test_the_mask_is_0_where_the_flow_leaves_the_crop(batch):
    cut = batches.cropped(batch, jax.random.key(4), 24, 16)
    mask = np.asarray(cut["mask"])
    assert (mask[:, :, :19] == 1).all() and (mask[:, :, 19:] == 0).all()
    previous, current = batches.halves(cut["clean"])
    assert np.abs(mask * (warp(previous, cut["flow"]) - current)).max() == 0


def test_crops_are_at_all_places(batch):
    found = [np.asarray(batches.cropped(batch, jax.random.key(n), 24, 16)["clean"])[::2, 0, 0] for n in range(60)]
    places = np.concatenate(found)[:, :2]
    assert (places.min(0) <= 1).all() and (places.max(0) >= [COLUMNS - 24 - 1, ROWS - 16 - 1]).all()


def test_a_student_trains_on_crops_and_draws_whole_frames(fields, data, tmp_path):
    student = {"steps": 1, "batch": 1, "crop": [32, 16], "loss": {"border": 0.0}}
    recipe = Recipe.model_validate({**fields, "teacher": None, "student": student})
    model = train(recipe, data, tmp_path)
    assert json.loads((tmp_path / "student.losses.jsonl").read_text())["loss"] > 0
    frame = np.zeros((1, *recipe.size, 3), "float32")
    assert model(frame)["image"].shape == frame.shape


def test_the_border_term_needs_a_larger_crop(fields, data, tmp_path):
    student = {"steps": 1, "crop": [32, 16], "loss": {"border": 1.0}}
    with pytest.raises(Problem, match=r"needs frames of more than .* enlarge \[frame\] or student.crop"):
        train(Recipe.model_validate({**fields, "teacher": None, "student": student}), data, tmp_path)


def test_no_term_sees_the_margin(batch):
    maps = {"image": batch["clean"][..., :3], "encoded": batch["clean"][:, ::8, ::8]}
    outputs, inner = objectives.trimmed(maps, batch, 8)
    assert np.array_equal(outputs["image"], batch["clean"][:, 8:-8, 8:-8])
    assert np.array_equal(outputs["encoded"], batch["clean"][:, 8:-8:8, 8:-8:8])
    assert np.array_equal(inner["noisy"], batch["noisy"][:, 8:-8, 8:-8])
    mask = np.asarray(inner["mask"])
    assert mask.shape == (3, 24, 40, 1) and (mask[:, :, :35] == 1).all() and (mask[:, :, 35:] == 0).all()


def test_a_student_trains_with_a_margin(fields, data, tmp_path):
    student = {"steps": 1, "batch": 1, "crop": [32, 16], "margin": 8, "loss": {"border": 0.0}}
    recipe = Recipe.model_validate({**fields, "teacher": None, "student": student})
    train(recipe, data, tmp_path)
    assert json.loads((tmp_path / "student.losses.jsonl").read_text())["loss"] > 0


@pytest.mark.parametrize(
    "student, message",
    [
        ({"margin": 8}, "margin is around crop, which is unset"),
        ({"margin": 4, "crop": [32, 16]}, "multiple of 8"),
        ({"margin": 16, "crop": [32, 16]}, "student.crop must not be above .frame., margin included"),
    ],
)
def test_a_margin_that_cannot_be(fields, student, message):
    with pytest.raises(Problem, match=message):
        checked({**fields, "teacher": None, "student": {"steps": 1, **student}}, "recipe")
