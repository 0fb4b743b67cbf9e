"""Each loss term against a slow NumPy version of its formula."""

import numpy as np
import pytest

from trainer import losses


def slow_gram(features):
    return np.stack(
        [sum(np.outer(p, p) for p in f.reshape(-1, f.shape[-1])) / (f.shape[0] * f.shape[1]) for f in features]
    )


def test_gram_is_the_channel_correlation_averaged_over_the_plane(rng):
    features = rng.normal(size=(2, 3, 5, 4)).astype("float32")
    np.testing.assert_allclose(losses.gram(features), slow_gram(features), rtol=1e-4, atol=1e-5)


def test_style_is_zero_at_the_target_and_one_at_nothing(rng):
    target = slow_gram(rng.normal(size=(1, 4, 4, 3)))[0].astype("float32")
    assert float(losses.style([target[None]], [target])) == 0
    assert float(losses.style([0 * target[None]], [target])) == pytest.approx(1)


def test_style_is_the_mean_over_layers(rng):
    a, b = (slow_gram(rng.normal(size=(1, 4, 4, 3)))[0].astype("float32") for _ in range(2))
    expected = np.sum((a - b) ** 2) / np.sum(b**2) / 2
    assert float(losses.style([a[None], b[None]], [b, b])) == pytest.approx(expected, rel=1e-5)


def test_content_is_relative_to_the_target_energy(rng):
    a, b = rng.normal(size=(2, 1, 3, 4, 5)).astype("float32")
    assert float(losses.content(a, b)) == pytest.approx(np.mean((a - b) ** 2) / np.mean(b**2), rel=1e-5)
    assert float(losses.content(10 * a, 10 * b)) == pytest.approx(float(losses.content(a, b)), rel=1e-5)


def test_content_and_tone_count_places_by_their_weight(rng):
    made, wanted = rng.uniform(size=(2, 2, 16, 24, 3)).astype("float32")
    cells = np.zeros((2, 2, 3, 1), "float32")
    cells[:, :, 0] = 1
    within = losses.tone(made[:, :, :8], wanted[:, :, :8])
    assert losses.tone(made, wanted, cells) == pytest.approx(float(within) / 3, rel=1e-5)
    pixels = np.repeat(np.repeat(cells, 8, 1), 8, 2)
    expected = (pixels * (made - wanted) ** 2).mean() / (wanted**2).mean()
    assert losses.content(made, wanted, pixels) == pytest.approx(expected, rel=1e-5)


def test_total_variation(rng):
    image = rng.uniform(size=(1, 4, 5, 3)).astype("float32")
    across = np.mean([(image[0, y, x + 1] - image[0, y, x]) ** 2 for y in range(4) for x in range(4)])
    down = np.mean([(image[0, y + 1, x] - image[0, y, x]) ** 2 for y in range(3) for x in range(5)])
    assert float(losses.total_variation(image)) == pytest.approx(across + down, rel=1e-5)


def test_output_temporal_forgives_the_change_of_luminance(rng):
    frame, warped_frame, warped_output = rng.uniform(size=(3, 1, 4, 4, 3)).astype("float32")
    change = ((frame - warped_frame) @ np.array([0.299, 0.587, 0.114], "float32"))[..., None]
    mask = np.ones((1, 4, 4, 1), "float32")
    follows = losses.output_temporal(warped_output + change, warped_output, frame, warped_frame, mask)
    assert float(follows) == pytest.approx(0, abs=1e-10)
    stays = losses.output_temporal(warped_output, warped_output, frame, warped_frame, mask)
    assert float(stays) == pytest.approx(np.mean(change**2), rel=1e-4)


def test_temporal_terms_see_only_what_the_mask_shows(rng):
    a, b = rng.normal(size=(2, 1, 4, 4, 6)).astype("float32")
    mask = np.zeros((1, 4, 4, 1), "float32")
    mask[0, 1, 2] = 1
    expected = np.mean((a - b)[0, 1, 2] ** 2) / np.mean(a**2)
    assert float(losses.feature_temporal(a, b, mask)) == pytest.approx(expected, rel=1e-4)
    assert float(losses.feature_temporal(a, b, 0 * mask)) == 0


def test_tone_ignores_strokes_within_a_cell_and_sees_brightness():
    grey = np.full((1, 16, 16, 3), 0.5, "float32")
    strokes = grey + np.where(np.indices((16, 16)).sum(0) % 2, 0.2, -0.2)[None, :, :, None].astype("float32")
    assert float(losses.tone(strokes, grey)) == pytest.approx(0, abs=1e-8)
    assert float(losses.tone(grey + 0.1, grey)) == pytest.approx(0.01, rel=1e-4)


def test_palette_compares_colour_moments_of_the_batch(rng):
    images = rng.uniform(size=(2, 16, 24, 3)).astype("float32")
    cells = images.reshape(2, 2, 8, 3, 8, 3).mean((2, 4)).reshape(-1, 3)
    mean, covariance = losses.colour_moments(images)
    np.testing.assert_allclose(mean, cells.mean(0), rtol=1e-5)
    np.testing.assert_allclose(covariance, np.cov(cells.T, bias=True), rtol=1e-3, atol=1e-7)
    assert float(losses.palette((mean, covariance), (mean, covariance))) == 0


def test_frame_difference_is_zero_when_the_output_changes_as_the_input_does(rng):
    before, now, output_before = rng.uniform(size=(3, 2, 4, 5, 3)).astype("float32")
    plain = np.array([1, 1], "float32")
    follows = losses.frame_difference(output_before + (now - before), output_before, now, before, plain)
    assert float(follows) == pytest.approx(0, abs=1e-10)


def test_frame_difference_counts_only_plain_pairs(rng):
    before, now, output_before, output = rng.uniform(size=(4, 2, 4, 5, 3)).astype("float32")
    expected = np.mean([((output - output_before) - (now - before))[1] ** 2])
    some = losses.frame_difference(output, output_before, now, before, np.array([0, 1], "float32"))
    assert float(some) == pytest.approx(expected, rel=1e-5)
    none = losses.frame_difference(output, output_before, now, before, np.zeros(2, "float32"))
    assert float(none) == 0


def slow_output_temporal(output, warped_output, frame, warped_frame, mask):
    """ReCoNet's equation 4, pixel by pixel, over the visible pixels and channels."""
    total, count = 0.0, 0
    for b, y, x in np.ndindex(mask.shape[:3]):
        if mask[b, y, x, 0]:
            light = sum(c * (frame - warped_frame)[b, y, x, i] for i, c in enumerate((0.299, 0.587, 0.114)))
            for i in range(3):
                total += ((output - warped_output)[b, y, x, i] - light) ** 2
                count += 1
    return total / count


def test_output_temporal_against_its_equation(rng):
    arrays = rng.uniform(size=(4, 2, 5, 6, 3)).astype("float32")
    mask = (rng.uniform(size=(2, 5, 6, 1)) > 0.4).astype("float32")
    assert float(losses.output_temporal(*arrays, mask)) == pytest.approx(slow_output_temporal(*arrays, mask), rel=1e-4)


def wave(*shape, k):
    n = np.arange(np.prod(shape))
    return np.sin(0.1 * k + 0.7 * n * (1 + 0.01 * k)).reshape(shape).astype("float32")


PUBLIC = {
    "gram": [0.01576303, 0.09446793, 0.12788756, 0.10000146],
    "content": 1.8040138,
    "style": 0.00040621578,
}


def test_gram_content_and_style_agree_with_a_public_implementation():
    """Values of EmptySamurai/pytorch-reconet (commit a8e7e37) on the same arrays; its losses are sums where ours are
    relative to the target, and its Gram matrix is also divided by the channels.
    """
    a, b, c = (wave(2, 6, 8, 4, k=k) for k in (1, 2, 3))
    np.testing.assert_allclose(np.asarray(losses.gram(a))[1, 2] / 4, PUBLIC["gram"], rtol=1e-4)
    assert float(losses.content(a, b)) * np.mean(b**2) * 2 == pytest.approx(PUBLIC["content"], rel=1e-4)
    target = np.asarray(losses.gram(c))[0]
    ours = float(losses.style([losses.gram(a)], [target])) * np.sum(target**2) * 2 / 4**2
    assert ours == pytest.approx(PUBLIC["style"], rel=1e-4)


def slow_sliced(points, targets, directions):
    """Direction by direction: project, sort, compare."""
    distance = energy = 0.0
    for direction in directions.T:
        wanted = sorted(float(target @ direction) for target in targets)
        energy += np.mean(np.square(wanted)) / directions.shape[1]
        for one in points:
            made = sorted(float(point @ direction) for point in one)
            distance += np.mean([(m - w) ** 2 for m, w in zip(made, wanted, strict=True)])
    return distance / (len(points) * directions.shape[1]) / energy


def test_sliced_distances_against_their_definition(rng):
    points = rng.normal(size=(3, 2, 7, 5)).astype("float32")
    targets, directions = rng.normal(1, 1, size=(3, 7, 5)).astype("float32"), rng.normal(size=(5, 4)).astype("float32")
    expected = [slow_sliced(one, wanted, directions) for one, wanted in zip(points, targets, strict=True)]
    np.testing.assert_allclose(losses.sliced(points @ directions, targets @ directions), expected, rtol=1e-4)


def test_sliced_distance_is_of_the_cloud_and_not_of_the_order(rng):
    wanted = rng.normal(size=(1, 9, 6)).astype("float32")
    assert float(losses.sliced(wanted[:, None, ::-1], wanted)[0]) == pytest.approx(0, abs=1e-10)
    assert float(losses.sliced(10 * wanted[:, None] + 1, 10 * wanted)[0]) > 0


def slow_high_pass(image):
    y = image @ np.array([0.299, 0.587, 0.114])
    fine = np.zeros((y.shape[0] - 2, y.shape[1] - 2))
    for row, column in np.ndindex(fine.shape):
        i, j = row + 1, column + 1
        fine[row, column] = y[i, j] - (y[i - 1, j] + y[i + 1, j] + y[i, j - 1] + y[i, j + 1]) / 4
    return fine


def test_high_pass(rng):
    images = rng.uniform(size=(2, 5, 6, 3)).astype("float32")
    expected = np.mean([np.mean(slow_high_pass(image) ** 2) for image in images])
    assert float(losses.high_pass(images)) == pytest.approx(expected, rel=1e-4)


def slow_lattice(image, period, count):
    """Detail averaged over count x count cells for each place in a cell, squared, mean over places and windows."""
    detail = np.stack([slow_high_pass(image[..., [c] * 3]) for c in range(3)], axis=-1)
    detail, side, energies = np.pad(detail, ((1, 1), (1, 1), (0, 0))), period * count, []
    for top in range(0, detail.shape[0] - side + 1, side):
        for left in range(0, detail.shape[1] - side + 1, side):
            window = detail[top : top + side, left : left + side]
            energies += [window[y::period, x::period].mean((0, 1)) ** 2 for y, x in np.ndindex(period, period)]
    return np.mean(energies)


def test_lattice_against_its_definition(rng):
    images = rng.uniform(size=(2, 17, 26, 3)).astype("float32")
    expected = sum(np.mean([slow_lattice(image, period, 4) for image in images]) for period in (2, 4))
    # A window of 8 pixels holds 4 cells of 2; of 4 and of 8 it is 4 cells all the same, and 8 x 4 does not fit.
    assert float(losses.lattice(images, (2, 4, 8), window=8)) == pytest.approx(expected, rel=1e-3)


def test_lattice_sees_a_grid_and_hardly_strokes(rng):
    grid = np.zeros((1, 80, 80, 3), "float32")
    grid[:, ::4, ::4] = 1
    strewn = grid.reshape(-1, 3)[rng.permutation(80 * 80)].reshape(grid.shape)
    assert float(losses.high_pass(strewn)) > 0.5 * float(losses.high_pass(grid))
    assert float(losses.lattice(grid, (4,))) > 10 * float(losses.lattice(strewn, (4,)))
    assert float(losses.lattice(grid[:, :4, :4])) == 0  # no period fits


def test_colour_compares_cells_and_ignores_luma(rng):
    images, frames = rng.uniform(size=(2, 1, 5, 9, 3)).astype("float32")

    def cells(image):
        image = image[0, :4, :8].reshape(1, 4, 2, 4, 3).mean((1, 3))
        y = image @ np.array([0.299, 0.587, 0.114])
        return np.stack([(image[..., 2] - y) / 1.772, 0 * y, (image[..., 0] - y) / 1.402])

    expected = np.mean((cells(images) - cells(frames)) ** 2)
    assert float(losses.colour(images, frames, cell=4)) == pytest.approx(expected, rel=1e-4)
    assert float(losses.colour(frames + 0.2, frames, cell=4)) == pytest.approx(0, abs=1e-8)
