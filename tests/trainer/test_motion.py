"""Flow, warping and the exact synthetic motion."""

import numpy as np
import pytest

from trainer import flow
from trainer.data import moving_photos
from trainer.recipe import Motion

SIZE = (40, 72)


def smooth_photos(count, height, width):
    y, x = np.mgrid[:height, :width].astype("float32")
    waves = [np.sin(x / (9 + i) + i) + np.cos(y / (7 + i)) for i in range(3 * count)]
    photos = np.stack(waves, -1).reshape(height, width, count, 3).transpose(2, 0, 1, 3)
    return ((photos + 2) / 4 * 255).round().astype("uint8")


def test_warp_by_whole_pixels_is_a_shift(rng):
    image = rng.uniform(size=(1, 6, 8, 3)).astype("float32")
    motion = np.zeros((1, 6, 8, 2), "float32")
    motion[..., 0], motion[..., 1] = 2, -1
    warped = np.asarray(flow.warp(image, motion))
    np.testing.assert_allclose(warped[0, 1:, :-2], image[0, :-1, 2:], atol=1e-6)


def test_sample_between_pixels_is_bilinear():
    image = np.arange(12, dtype="float32").reshape(1, 3, 4, 1)
    points = np.array([[[[0.5, 0.0], [1.25, 1.5]]]], "float32")
    np.testing.assert_allclose(np.ravel(flow.sample(image, points)), [0.5, 7.25])


@pytest.mark.parametrize("seed", range(3))
def test_the_previous_frame_warped_by_the_flow_is_the_current_frame(seed):
    photos = smooth_photos(2, 60, 100)
    motion = Motion(pan=8, drift=0, noise=0)
    draws = moving_photos.draw(np.random.default_rng(seed), 6, photos.shape[:3], SIZE, motion)
    previous, current, motion, mask = (np.asarray(a) for a in moving_photos.render(photos, draws, SIZE))
    assert previous.shape == current.shape == (6, *SIZE, 3) and motion.shape == (6, *SIZE, 2)
    assert 0 <= current.min() and current.max() <= 1
    difference = np.abs(np.asarray(flow.warp(previous, motion)) - current) * mask
    assert difference.max() < 0.02  # two bilinear samplings of smooth waves
    assert mask.mean() > 0.6


def test_frames_move_and_the_same_seed_draws_the_same():
    photos = smooth_photos(2, 60, 100)
    first, again = (moving_photos.draw(np.random.default_rng(5), 8, photos.shape[:3], SIZE, Motion()) for _ in range(2))
    assert all(np.array_equal(first[name], again[name]) for name in first)
    _, _, motion, _ = moving_photos.render(photos, first, SIZE)
    assert np.abs(motion).max() > 1


def test_views_stay_inside_the_photograph():
    photos = np.full((1, 50, 90, 3), 255, "uint8")
    draws = moving_photos.draw(np.random.default_rng(0), 50, photos.shape[:3], SIZE, Motion())
    corners = np.array([[[0, 0], [SIZE[1] - 1, SIZE[0] - 1]]], "float32")
    points = np.asarray(moving_photos.project(draws["previous"], corners))
    assert points.min() > -8 and points[..., 0].max() < 90 + 8 and points[..., 1].max() < 50 + 8


def test_downscaled_flow_is_in_small_pixels():
    motion = np.full((1, 8, 8, 2), 4.0, "float32")
    np.testing.assert_allclose(flow.downscale(motion, 4) / 4, np.ones((1, 2, 2, 2)))
