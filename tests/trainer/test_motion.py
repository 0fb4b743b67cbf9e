"""Flow, warping and the exact synthetic motion."""

import jax
import numpy as np
import pytest

from trainer import flow
from trainer.data import augment, moving_photos
from trainer.sections import Motion

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
    draws = moving_photos.random_draws(np.random.default_rng(seed), 6, photos.shape[:3], SIZE, Motion(pan=8))
    previous, current, motion, mask, plain = (np.asarray(a) for a in moving_photos.render(photos, draws, SIZE))
    assert previous.shape == current.shape == (6, *SIZE, 3) and motion.shape == (6, *SIZE, 2)
    assert 0 <= current.min() and current.max() <= 1 and not plain.any()
    difference = np.abs(np.asarray(flow.warp(previous, motion)) - current) * mask
    assert difference.max() < 0.02  # two bilinear samplings of smooth waves
    assert mask.mean() > 0.6


def plain_photos(count):
    """Photographs of one colour each, by which a pixel says which of them it shows."""
    return np.broadcast_to(20 + 20 * np.arange(count)[:, None, None, None], (count, 60, 100, 3)).astype("uint8")


def test_the_mask_hides_what_a_cut_out_covers_and_nothing_that_is_seen_twice():
    photos, rng = plain_photos(12), np.random.default_rng(11)
    draws = moving_photos.random_draws(rng, 200, photos.shape[:3], SIZE, Motion(pan=20, layers=3))
    colours = rng.permuted(np.tile(np.arange(12), (200, 1)), axis=1).astype("int32")  # no colour twice in one pair
    draws["photo"], draws["layers"]["photo"] = colours[:, 0], colours[:, 1:4]
    previous, current, motion, mask, _ = (np.asarray(a) for a in moving_photos.render(photos, draws, SIZE))
    moved = np.asarray(flow.warp(previous, motion))
    same = np.abs(moved - current).max(-1) < 1 / 255
    shown = mask[..., 0] > 0
    assert same[shown].all()
    places = motion + np.stack(np.meshgrid(np.arange(SIZE[1]), np.arange(SIZE[0])), -1)
    within = np.asarray(flow.inside(places, *SIZE))[..., 0] > 0
    hidden = within & ~shown
    assert (hidden & ~same).sum() > 2000  # true occlusions
    edges = hidden & same  # seen twice and masked all the same: only within the margin of an outline
    levels = np.round(current[..., 0] * 255)
    pure = np.isin(levels, 20 + 20 * np.arange(12))
    calm = pure & pure_around(levels, 2 * int(moving_photos.MARGIN) + 2)
    assert (edges & calm & calm_in(previous, places)).mean() < 1e-4


def pure_around(levels, reach):
    """Where all pixels within reach have one level."""
    calm = np.ones(levels.shape, bool)
    for dy in range(-reach, reach + 1):
        for dx in range(-reach, reach + 1):
            calm &= np.roll(levels, (dy, dx), (1, 2)) == levels
    return calm


def calm_in(frames, places):
    levels = np.round(frames[..., 0] * 255)
    calm = pure_around(levels, 2 * int(moving_photos.MARGIN) + 2)
    x, y = np.clip(np.round(places[..., 0]), 0, SIZE[1] - 1), np.clip(np.round(places[..., 1]), 0, SIZE[0] - 1)
    return np.stack([one[yy.astype(int), xx.astype(int)] for one, xx, yy in zip(calm, x, y)])


def test_cut_outs_move_by_themselves():
    photos = plain_photos(4)
    draws = moving_photos.random_draws(np.random.default_rng(2), 30, photos.shape[:3], SIZE, Motion(pan=10, layers=1))
    back, layer = draws["back"][:, :, 2], draws["layers"]["back"][:, 0, :, 2]
    assert np.abs(np.corrcoef(back[:, 0], layer[:, 0])[0, 1]) < 0.5 and np.abs(layer).max() > 3


def test_some_pairs_may_have_no_cut_outs():
    draws = moving_photos.random_draws(
        np.random.default_rng(3), 400, (4, 60, 100), SIZE, Motion(layers=2, layered=0.25)
    )
    some = (draws["layers"]["radius"] > 0).any(1).mean()
    assert 0.15 < some < 0.3


def test_no_cut_outs_no_occlusion():
    photos = smooth_photos(2, 60, 100)
    still = Motion(pan=0, rotation=0, zoom=0, layers=0)
    draws = moving_photos.random_draws(np.random.default_rng(1), 4, photos.shape[:3], SIZE, still)
    pairs = moving_photos.render(photos, draws, SIZE)
    assert np.asarray(pairs.mask).min() == 1 and np.abs(pairs.flow).max() < 1e-4
    np.testing.assert_array_equal(pairs.previous, pairs.current)


def test_frames_move_and_the_same_seed_draws_the_same():
    photos = smooth_photos(2, 60, 100)
    first, again = (
        moving_photos.random_draws(np.random.default_rng(5), 8, photos.shape[:3], SIZE, Motion()) for _ in range(2)
    )
    for a, b in zip(jax.tree.leaves(first), jax.tree.leaves(again), strict=True):
        np.testing.assert_array_equal(a, b)
    assert np.abs(moving_photos.render(photos, first, SIZE).flow).max() > 1


def test_views_stay_inside_the_photograph():
    draws = moving_photos.random_draws(np.random.default_rng(0), 50, (1, 50, 90), SIZE, Motion())
    corners = np.array([[[0, 0], [SIZE[1] - 1, SIZE[0] - 1]]], "float32")
    points = np.asarray(augment.project(draws["previous"], corners))
    assert points.min() > -8 and points[..., 0].max() < 90 + 8 and points[..., 1].max() < 50 + 8


def test_light_is_gain_times_power():
    frames = np.array([0.0, 0.25, 1.0], "float32").reshape(1, 1, 3, 1).repeat(3, -1)
    lit = np.asarray(augment.relight(frames, np.array([[0.9, 0.5]], "float32")))
    np.testing.assert_allclose(lit[0, 0, :, 0], [0.0, 0.45, 0.9], atol=1e-3)
    assert np.asarray(augment.relight(frames, np.array([[2.0, 1.0]], "float32"))).max() == 1


def test_light_drifts_within_its_limits_and_differs_between_the_frames_of_a_pair():
    light = augment.random_light(np.random.default_rng(0), 500, Motion(drift=0.1, gamma=0.2))
    assert light.shape == (500, 2, 2)
    assert np.abs(np.log(light[..., 0])).max() <= 0.1 + 1e-6 and np.abs(np.log(light[..., 1])).max() <= 0.2 + 1e-6
    assert np.abs(light[:, 0] - light[:, 1]).max() > 0.05
    assert (augment.random_light(np.random.default_rng(0), 5, Motion(drift=0, gamma=0)) == 1).all()


def test_downscaled_flow_is_in_small_pixels():
    motion = np.full((1, 8, 8, 2), 4.0, "float32")
    np.testing.assert_allclose(flow.downscale(motion, 4) / 4, np.ones((1, 2, 2, 2)))
