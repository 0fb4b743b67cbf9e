"""The frame as content and tone see it: against slow NumPy, and what it does to edges, noise and flat areas."""

import numpy as np
import pytest

from trainer import losses, objectives, painterly, perceptual
from trainer.sections import Style


def test_no_clarity_and_no_facets_leave_the_frame(rng):
    frames = rng.uniform(size=(1, 16, 24, 3)).astype("float32")
    assert painterly.simplified(frames, Style()) is frames


def test_clarity_raises_local_contrast_and_keeps_flat_areas(rng):
    frames = np.full((1, 80, 80, 3), 0.5, "float32")
    assert np.allclose(painterly.clarified(frames, 0.7), frames, atol=1e-6)
    frames[:, 36:44, 36:44] = 0.6
    drawn = np.asarray(painterly.clarified(frames, 0.7))
    assert drawn[0, 40, 40, 0] > 0.63  # the square, against the mean around it
    assert drawn[0, 5, 5] == pytest.approx(0.5, abs=1e-3)  # far from it
    extreme = rng.uniform(size=(1, 40, 40, 3)).round().astype("float32")
    assert 0 <= painterly.clarified(extreme, 2.0).min() and painterly.clarified(extreme, 2.0).max() <= 1


def test_clarity_keeps_differences_of_colours(rng):
    frames = rng.uniform(0.4, 0.6, size=(1, 40, 40, 3)).astype("float32")
    drawn = np.asarray(painterly.clarified(frames, 0.5))
    assert np.allclose(drawn[..., 0] - drawn[..., 1], frames[..., 0] - frames[..., 1], atol=1e-5)


def slow_facets(frame, radius):
    """Papari, Petkov and Campisi's filter, pixel by pixel."""
    height, width, _ = frame.shape
    padded = np.pad(frame, ((radius, radius), (radius, radius), (0, 0)), mode="reflect").astype("float64")
    y, x = np.mgrid[-radius : radius + 1, -radius : radius + 1]
    near = np.exp(-(x**2 + y**2) / (2 * (radius / 2) ** 2))
    out = np.empty_like(frame)
    for row in range(height):
        for column in range(width):
            window = padded[row : row + 2 * radius + 1, column : column + 2 * radius + 1]
            light = window @ np.array([0.299, 0.587, 0.114])
            total, weights = 0, 0
            for sector in range(8):
                turn = np.arctan2(y, x) - sector * np.pi / 4
                away = (turn + np.pi) % (2 * np.pi) - np.pi
                share = np.exp(-((away / (np.pi / 8)) ** 2) / 2)
                share[radius, radius] = 8**-0.5
                share = near * share / (near * share).sum()
                mean = (share[..., None] * window).sum((0, 1))
                variance = max((share * light**2).sum() - (share * light).sum() ** 2, 0)
                weight = 1 / (1 + (variance / (2 / 255) ** 2 + 1e-6) ** 4)
                total, weights = total + weight * mean, weights + weight
            out[row, column] = total / weights
    return out


def test_facets_match_slow_numpy(rng):
    frame = rng.uniform(size=(10, 12, 3)).astype("float32")
    assert np.allclose(painterly.faceted(frame[None], 3)[0], slow_facets(frame, 3), atol=2e-3)


def test_facets_keep_a_sharp_edge_and_remove_what_is_small(rng):
    frames = np.full((1, 40, 60, 3), 0.2, "float32")
    frames[:, :, 30:] = 0.8
    frames += rng.normal(scale=0.03, size=frames.shape).astype("float32")
    frames[:, 20, 15] = 1.0
    drawn = np.asarray(painterly.faceted(frames, 5))[0, ..., 1]
    assert drawn[:, 28].mean() < 0.25 and drawn[:, 31].mean() > 0.75
    assert drawn[8:-8, 38:52].std() < 0.6 * frames[0, 8:-8, 38:52, 1].std()
    assert drawn[20, 15] < 0.4  # a speck


def test_vivid_counts_where_the_frame_has_colour():
    grey = np.full((1, 16, 16, 3), 0.5, "float32")
    red = grey + np.array([0.4, -0.2, -0.2], "float32")
    assert float(losses.vivid(red, grey)) == 0  # what is grey may take any colour
    assert float(losses.vivid(red, red)) == 0
    assert float(losses.vivid(grey, red)) > 0.01
    pale = grey + np.array([0.04, -0.02, -0.02], "float32")
    assert float(losses.vivid(grey, pale)) < 1e-3 * float(losses.vivid(grey, red))


def test_content_counts_less_where_the_frame_is_flat():
    frames = np.full((1, 64, 96, 3), 0.5, "float32")
    frames[:, :, 64::4] = 0.8  # bars on the right
    counts = np.asarray(painterly.structure(frames, 0.3))
    assert counts.shape == (1, 8, 12, 1)
    assert np.allclose(counts[:, :, :6], 0.3, atol=0.01) and np.allclose(counts[:, :, 9:], 1)


def test_dark_things_count_at_less_contrast():
    frames = np.full((2, 64, 64, 3), 0.1, "float32")
    frames[1] = 0.8
    frames[:, :, ::4] += 0.04
    dark, light = np.asarray(painterly.structure(frames, 0.0)).mean((1, 2, 3))
    assert dark > 1.5 * light


def test_the_terms_of_a_flat_picture_count_it_as_the_recipe_says(rng):
    size, channels, weights = (16, 24), 3, {}
    for layer in perceptual.LAYERS[:3]:
        wide = 4 * channels
        weights |= {f"{layer}_kernel": rng.normal(0, 0.2, (3, 3, channels, wide)).astype("float32")}
        weights |= {f"{layer}_bias": np.zeros(wide, "float32")}
        channels = wide
    frames = np.full((2, *size, 3), 0.5, "float32")
    drawn = rng.uniform(-1, 1, (2, *size, 3)).astype("float32")
    still, seen = np.zeros((1, *size, 2), "float32"), np.ones((1, *size, 1), "float32")
    batch = {"clean": frames, "flow": still, "mask": seen, "plain": np.zeros(1, "float32")}
    grams = {"conv1_1": np.eye(12, dtype="float32")}
    constants = {"vgg": weights, "style": grams, "colours": losses.colour_moments(frames)}
    constants["weights"] = {"content": [1.0], "style": [1.0]}

    def terms(flat):
        style = Style(layers=("conv1_1",), content={"conv2_1": 1.0}, flat=flat)
        outputs = {"image": drawn, "encoded": drawn}
        return objectives.picture_terms(outputs, batch, constants, style, None)

    full, quarter = terms(1.0), terms(0.25)
    for name in ("content", "tone"):
        assert float(quarter[name]) == pytest.approx(0.25 * float(full[name]), rel=0.02)
    assert float(quarter["style"]) == pytest.approx(float(full["style"]))
