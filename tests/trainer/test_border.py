"""The border term: a student is to draw along a border what it would draw there if the frame went on."""

import json

import jax
import numpy as np
import pytest

from appliance.errors import Problem
from trainer import network
from trainer.distillation import distill
from trainer.objectives import border
from trainer.recipe import Recipe
from trainer.training import train

REACH = 4


def blur(frames, padding):
    """Mean over 3x3 pixels, what is outside being 0 or the nearest pixel; borders are felt one pixel deep."""
    wide = np.pad(frames, ((0, 0), (1, 1), (1, 1), (0, 0)), padding)
    height, width = frames.shape[1:3]
    return {"image": sum(wide[:, y : y + height, x : x + width] for y in range(3) for x in range(3)) / 9}


def test_it_is_the_difference_that_the_border_makes(rng):
    frames = rng.uniform(size=(4, 24, 32, 3)).astype("float32")
    term = border(lambda f: blur(f, "constant"), frames, blur(frames, "constant")["image"], REACH)
    sum_of_squares = energy = 0.0
    for frame in frames[1::2]:
        whole = blur(frame[None], "constant")["image"][0, REACH:-REACH, REACH:-REACH]
        alone = blur(frame[None, REACH:-REACH, REACH:-REACH], "constant")["image"][0]
        sum_of_squares += np.sum((whole - alone) ** 2)
        energy += np.sum(whole**2)
        assert np.array_equal(np.isclose(whole, alone).all(-1), np.pad(np.ones((14, 22), bool), 1))
    assert float(term) == pytest.approx(sum_of_squares / energy, rel=1e-4)


def test_it_is_nothing_where_the_border_makes_no_difference():
    frames = np.full((2, 24, 32, 3), 0.5, "float32")
    assert float(border(lambda f: blur(f, "edge"), frames, frames, REACH)) == pytest.approx(0, abs=1e-10)


def test_minimising_it_makes_a_network_forget_where_the_border_is(spec, rng):
    model, reach = network.build(spec, "affine"), network.reach(spec)
    model.get_layer("image").kernel.assign(rng.normal(0, 0.5, model.get_layer("image").kernel.shape))
    frames = rng.uniform(size=(2, 64, 64, 3)).astype("float32")
    weights = [variable.value for variable in model.trainable_variables]

    @jax.jit
    @jax.value_and_grad
    def term(weights):
        def call(frames):
            return model.stateless_call(weights, [], frames)[0]

        return border(call, frames, call(frames)["image"], reach)

    first, gradients = term(weights)
    for _ in range(20):
        norm = np.sqrt(sum(float((g**2).sum()) for g in gradients))
        weights = [w - 0.02 * g / norm for w, g in zip(weights, gradients, strict=True)]
        last, gradients = term(weights)
    assert last < 0.7 * first


def test_it_is_a_term_of_the_student(data, fields, tmp_path):
    student = {**fields["student"], "steps": 1, "loss": {"border": 1.0}}
    frame = {"width": 64, "height": 48}
    recipe = Recipe.model_validate({**fields, "frame": frame, "student": student, "teacher": {"steps": 1, "batch": 1}})
    train(recipe, data, tmp_path)
    distill(recipe, data, tmp_path)
    assert json.loads((tmp_path / "student.losses.jsonl").read_text())["border"] > 0


def test_a_frame_without_a_middle_is_named(data, fields, tmp_path):
    recipe = Recipe.model_validate({**fields, "student": {**fields["student"], "loss": {"border": 1.0}}})
    with pytest.raises(Problem, match="student.loss.border needs frames of more than 32 x 32 pixels"):
        distill(recipe, data, tmp_path)
