"""Other colours for students: hue and gamma that both frames of a pair share."""

import jax
import numpy as np
import pytest

from trainer import batches, runs
from trainer.data import augment, moving_photos
from trainer.distillation import distill
from trainer.recipe import Recipe
from trainer.runs import Note, student_run, teacher_run
from trainer.sections import Augment, Motion
from trainer.training import train

SIZE = (16, 24)


def differences(frames):
    """Y, and U + iV, of RGB (..., 3)."""
    y = frames @ np.array([0.299, 0.587, 0.114])
    return y, (frames[..., 2] - y) / 1.772 + 1j * (frames[..., 0] - y) / 1.402


def test_turning_the_hue_turns_u_and_v_and_leaves_y(rng):
    frames, hue = rng.uniform(0.4, 0.6, (2, 3, 8, 9, 3)), rng.uniform(-np.pi, np.pi, (2, 3))
    turned = np.asarray(augment.turn(frames.astype("float32"), hue.astype("float32")))
    (y, colour), (y_turned, colour_turned) = differences(frames), differences(turned.astype(float))
    np.testing.assert_allclose(y_turned, y, atol=1e-5)
    np.testing.assert_allclose(colour_turned, colour * np.exp(1j * hue)[..., None, None], atol=1e-5)


def test_a_turned_frame_stays_within_its_range(rng):
    frames = rng.choice([0.0, 1.0], (4, 8, 9, 3)).astype("float32")
    turned = np.asarray(augment.turn(frames, np.array([0.0, 1.0, 2.0, 3.0], "float32")))
    np.testing.assert_allclose(turned[0], frames[0], atol=1e-6)
    assert turned.min() == 0 and turned.max() == 1


def test_colours_are_drawn_within_their_limits_to_both_sides():
    gamma, hue = augment.random_colours(np.random.default_rng(0), 500, Augment(gamma=0.5, hue=90))
    for drawn, largest in ((np.log(gamma), 0.5), (hue, np.pi / 2)):
        assert np.abs(drawn).max() <= largest + 1e-6
        assert drawn.min() < -0.9 * largest and drawn.max() > 0.9 * largest


@pytest.fixture
def sources(rng):
    photos = rng.integers(0, 256, (3, 20, 30, 3), dtype="uint8")
    return [moving_photos.source(photos, SIZE, Motion(), 1.0)]


def test_both_frames_of_a_pair_get_the_same_colours_and_other_pairs_others(sources):
    still = Motion(drift=0, gamma=0)
    light = batches.random_draws(sources, np.random.default_rng(0), 6, still, Augment(gamma=1))["light"]
    assert (light[:, 0] == light[:, 1]).all() and len(np.unique(light[:, 0, 1])) == 6
    assert (light[..., 0] == 1).all()


def test_without_augmentation_a_batch_is_what_it_was(sources, recipe):
    plain, turned = (
        batches.random_draws(sources, np.random.default_rng(0), 2, Motion(noise=0), colours)
        for colours in (Augment(), Augment(hue=180))
    )
    stores = [source.store for source in sources]
    key = jax.random.key(0)
    before, after = (np.asarray(batches.make_batch(sources, stores, d, key, recipe)["clean"]) for d in (plain, turned))
    assert before.shape == after.shape and np.abs(before - after).mean() > 0.01
    turned["hue"] = np.zeros_like(turned["hue"])
    same = np.asarray(batches.make_batch(sources, stores, turned, key, recipe)["clean"])
    np.testing.assert_allclose(same, before, atol=1e-5)


def test_it_is_the_students_alone(data, fields, tmp_path):
    student = {**fields["student"], "steps": 1, "augment": {"gamma": 0.5, "hue": 180}}
    teacher = {"teacher": {"steps": 1, "batch": 1}}
    plain = Recipe.model_validate({**fields, **teacher})
    recipe = Recipe.model_validate({**fields, **teacher, "student": student})
    note = Note(steps=1, recipe=plain)
    assert not runs.differences(note, teacher_run(recipe, tmp_path))
    assert "student.augment.hue 0.0 → 180.0" in runs.differences(note, student_run(recipe, tmp_path))
    train(recipe, data, tmp_path)
    distill(recipe, data, tmp_path)
    assert (tmp_path / "student.keras").exists()
