import numpy as np
import pytest

from appliance.exposure import ExposureMeter, apply_table, curve_table, exposure_curve, luma_statistics

noise = np.random.RandomState(0).randint(0, 256, (37, 53, 3)).astype(np.uint8)


def test_the_curve_brings_mean_and_deviation_to_the_targets():
    gain, offset = exposure_curve(0.2, 0.1, 0.45, 0.25)
    assert gain == pytest.approx(2.5)
    assert gain * 0.2 + offset == pytest.approx(0.45)


@pytest.mark.parametrize("std, gain", [(0.0, 3.0), (0.01, 3.0), (0.9, 0.5)])
def test_the_gain_is_bounded(std, gain):
    assert exposure_curve(0.5, std, 0.45, 0.25)[0] == gain


def test_luma_of_a_grey_frame():
    mean, std = luma_statistics(np.full((16, 16, 3), 51, np.uint8))
    assert mean == pytest.approx(0.2, abs=1e-6) and std == pytest.approx(0.0, abs=1e-6)


def test_luma_weights():
    frame = np.zeros((8, 8, 3), np.uint8)
    frame[..., 1] = 255
    assert luma_statistics(frame)[0] == pytest.approx(0.587, abs=1e-6)


def test_first_frame_counts_whole_and_later_ones_a_tenth():
    meter = ExposureMeter(0.45, 0.25)
    dark, bright = np.full((8, 8, 3), 51, np.uint8), np.full((8, 8, 3), 153, np.uint8)
    assert meter.update(dark) == pytest.approx(exposure_curve(0.2, 0.0, 0.45, 0.25))
    assert meter.update(bright) == pytest.approx(exposure_curve(0.24, 0.0, 0.45, 0.25))
    meter.reset()
    assert meter.update(bright) == pytest.approx(exposure_curve(0.6, 0.0, 0.45, 0.25))


@pytest.mark.parametrize("gain, offset", [(1.0, 0.0), (1.37, -0.08), (3.0, -1.0), (0.5, 0.4), (2.0, 0.5)])
def test_table_rounds_to_nearest_and_saturates(gain, offset):
    out = np.empty_like(noise)
    apply_table(noise, curve_table(gain, offset), out)
    exact = np.clip(gain * noise.astype(float) + 255 * offset, 0, 255)
    assert np.abs(out - exact).max() <= 0.5 + 1e-9


def test_a_view_with_strides_is_fine():
    out = np.empty((20, 30, 3), np.uint8)
    apply_table(noise[3:23, 5:35], curve_table(1.0, 0.0), out)
    assert np.array_equal(out, noise[3:23, 5:35])
