"""The world in the painting's colours: what the table does to colours and light, and its lookup against SciPy's."""

import numpy as np
import pytest
from scipy.interpolate import RegularGridInterpolator

from appliance.colour import LUMA, TO_YUV
from trainer import palette


@pytest.fixture(scope="module")
def frames():
    return np.random.default_rng(1).uniform(size=(4, 40, 40, 3)).astype("float32")


@pytest.fixture(scope="module")
def painting():
    """Indigo and cream, in equal parts, with a little noise."""
    rng = np.random.default_rng(2)
    colours = np.array([[0.15, 0.2, 0.45], [0.95, 0.9, 0.75]])[rng.integers(0, 2, (60, 60))]
    return np.clip(colours + rng.normal(0, 0.02, colours.shape), 0, 1)


@pytest.fixture(scope="module")
def table(frames, painting):
    return palette.table(frames, painting)


def test_the_frames_get_the_paintings_colours(frames, painting, table):
    made = np.asarray(palette.recoloured(frames, table, 1.0)).reshape(-1, 3) @ TO_YUV.T
    wanted, had = (colours.reshape(-1, 3) @ TO_YUV.T for colours in (painting, frames))
    assert made[:, 1:].mean(0) == pytest.approx(wanted[:, 1:].mean(0), abs=0.02)
    assert made[:, 1:].std(0) == pytest.approx(wanted[:, 1:].std(0), rel=0.3)
    assert (made[:, 1:].std(0) < 0.7 * had[:, 1:].std(0)).all()


def test_light_things_stay_light(table):
    greys = np.linspace(0, 1, 30, dtype="float32")[None, None, :, None].repeat(3, axis=3)
    made = np.asarray(palette.recoloured(greys, table, 1.0))[0, 0]
    assert (np.diff(made @ np.array(LUMA)) > 0).all()
    assert made[2, 2] > made[2, 0] and made[-3, 0] > made[-3, 2]  # indigo below, cream above


def test_a_grey_painting_leaves_no_colour(frames):
    grey = np.random.default_rng(3).uniform(size=(50, 50, 1)).repeat(3, axis=2)
    made = np.asarray(palette.recoloured(frames, palette.table(frames, grey), 1.0))
    assert np.ptp(made, axis=-1).max() < 0.01


def test_between_its_entries_the_table_is_linear(frames, table, rng):
    axis = np.linspace(0, 1, palette.EDGE)
    wanted = RegularGridInterpolator((axis, axis, axis), table)(frames.astype("float64"))
    assert np.asarray(palette.recoloured(frames, table, 1.0)) == pytest.approx(wanted, abs=1e-5)
    half = np.asarray(palette.recoloured(frames, table, 0.5))
    assert half == pytest.approx((frames + wanted) / 2, abs=1e-5)
    ends = np.array([[[[0, 0, 0], [1, 1, 1]]]], "float32")
    assert np.asarray(palette.recoloured(ends, table, 1.0))[0, 0] == pytest.approx(table[[0, -1], [0, -1], [0, -1]])
