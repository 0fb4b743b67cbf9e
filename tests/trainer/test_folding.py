"""Normalisation into constants, and back."""

import numpy as np
import pytest

from tests.trainer.test_network import random_thresholds
from trainer import folding, network
from trainer.recipe import Recipe, checked
from trainer.runs import load_model, student_run
from trainer.training import train


def randomised(model, rng):
    random_thresholds(model, rng)
    model.get_layer("image").kernel.assign(rng.normal(0, 0.2, model.get_layer("image").kernel.shape))
    return model


@pytest.mark.parametrize(
    "norm, skips, count", [("frn", False, 1), ("frn", True, 1), ("instance", False, 1), ("batch", True, 3)]
)
def test_a_folded_network_draws_the_same_on_its_own_statistics(spec, norm, skips, count, rng):
    spec = spec.model_copy(update={"skips": skips})
    teacher = randomised(network.build(spec, norm), rng)
    frames = rng.uniform(size=(count, 160, 160, 3)).astype("float32")
    student = folding.folded(teacher, spec, frames)
    expected, made = (np.asarray(model(frames)["image"])[:, 64:96, 64:96] for model in (teacher, student))
    np.testing.assert_allclose(made, expected, atol=2e-5)  # away from the borders it is exact


def test_batch_normalisation_folds_exactly_borders_included(spec, rng):
    teacher = randomised(network.build(spec, "batch"), rng)
    frames = rng.uniform(size=(2, 32, 48, 3)).astype("float32")
    student = folding.folded(teacher, spec, frames)
    np.testing.assert_allclose(student(frames)["image"], teacher(frames)["image"], atol=2e-5)


def test_an_unfolded_student_draws_what_it_drew(spec, rng):
    student = randomised(network.build(spec, "affine"), rng)
    frames = rng.uniform(size=(2, 32, 48, 3)).astype("float32")
    teacher = network.build(spec, "batch")
    teacher.set_weights(folding.unfolded(student, spec, frames))
    np.testing.assert_allclose(teacher(frames)["image"], student(frames)["image"], atol=1e-4)
    again = folding.folded(teacher, spec, frames)
    for made, expected in zip(again.get_weights(), student.get_weights(), strict=True):
        np.testing.assert_allclose(made, expected, rtol=1e-2, atol=1e-3)


def test_a_student_that_learns_with_batch_normalisation_is_saved_without(fields, data, tmp_path):
    student = {"steps": 2, "batch": 1, "norm": "batch", "loss": {"border": 0.0}}
    recipe = Recipe.model_validate({**fields, "teacher": None, "student": student})
    made = train(recipe, data, tmp_path)
    assert not {network.BatchNorm, network.InstanceNorm} & {type(layer) for layer in made.layers}
    loaded, steps = load_model(student_run(recipe, tmp_path), 2)
    frame = np.random.default_rng(0).uniform(size=(1, *recipe.size, 3)).astype("float32")
    assert steps == 2 and np.array_equal(loaded(frame)["image"], made(frame)["image"])
    again = train(recipe, data, tmp_path)  # from the checkpoint, which has the weights that learn
    np.testing.assert_allclose(again(frame)["image"], made(frame)["image"], atol=1e-6)


def test_a_distilled_student_has_no_norm_of_its_own(fields):
    student = {**fields["student"], "norm": "batch"}
    with pytest.raises(Exception, match=r"student.norm is for recipes without \[teacher\]"):
        checked({**fields, "student": student}, "recipe")
