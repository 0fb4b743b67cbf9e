"""Muon for convolutions."""

import keras
import numpy as np
import pytest

from trainer import network
from trainer.muon import Muon
from trainer.recipe import Recipe
from trainer.training import train

RATE = 0.01


@pytest.fixture
def changes(spec, rng):
    """Each weight of a network by its path, and its change in one step along a random gradient."""
    model = network.build(spec, "affine")
    before = [np.asarray(v.value) for v in model.trainable_variables]
    optimizer = Muon(RATE)
    gradients = [
        (rng.normal(size=v.shape) * np.linspace(0.1, 3, v.shape[-1])).astype("float32")
        for v in model.trainable_variables
    ]
    optimizer.apply(gradients, model.trainable_variables)
    return {v.path: np.asarray(v.value) - old for v, old in zip(model.trainable_variables, before, strict=True)}


def test_kernels_move_as_far_in_every_direction(changes):
    kernels = {path: change for path, change in changes.items() if change.ndim == 4 and "image" not in path}
    assert len(kernels) >= 7
    for change in kernels.values():
        values = np.linalg.svd(change.reshape(-1, change.shape[-1]), compute_uv=False)
        assert values.max() / values.min() < 2


def test_a_step_is_as_large_as_adams(changes):
    for path, change in changes.items():
        size = np.sqrt(np.mean(change**2)) / RATE
        assert 0.1 < size < 0.35 if change.ndim == 4 and "image" not in path else size == pytest.approx(1, rel=0.01)


def test_a_student_learns_with_muon(fields, data, tmp_path):
    student = {"steps": 2, "batch": 1, "optimizer": "muon", "loss": {"border": 0.0}}
    recipe = Recipe.model_validate({**fields, "teacher": None, "student": student})
    made = train(recipe, data, tmp_path)
    assert isinstance(made, keras.Model) and (tmp_path / "student.keras").exists()
