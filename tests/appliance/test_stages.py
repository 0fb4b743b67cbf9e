"""What happens between segments, in NumPy."""

import numpy as np
import pytest

from appliance.engine.stages import NearestUpsampling, PixelShuffle

noise = np.random.RandomState(0)


@pytest.mark.parametrize("factor", [1, 2, 3])
def test_upsample_repeats_each_pixel(factor):
    source = noise.randint(-128, 128, (4, 5, 6)).astype(np.int8)
    out = np.empty((4 * factor, 5 * factor, 6), np.int8)
    NearestUpsampling(4, 5, factor)(source, out)
    assert np.array_equal(out, source.repeat(factor, 0).repeat(factor, 1))


def test_upsample_of_some_rows():
    source = noise.randint(-128, 128, (4, 5, 6)).astype(np.int8)
    out = np.empty((7, 15, 6), np.int8)
    NearestUpsampling(4, 5, 3)(source, out, 4)
    assert np.array_equal(out, source.repeat(3, 0).repeat(3, 1)[4:11])


@pytest.mark.parametrize("factor, channels", [(2, 3), (4, 3), (4, 4), (3, 1)])
def test_shuffle_spreads_channels_over_cells_of_pixels(factor, channels):
    source = noise.randint(0, 256, (4, 5, factor * factor * channels)).astype(np.uint8)
    out = np.empty((4 * factor, 5 * factor, channels), np.uint8)
    PixelShuffle(4, 5, factor)(source, out)
    for y, x in np.ndindex(4 * factor, 5 * factor):
        cell = source[y // factor, x // factor].reshape(factor, factor, channels)
        assert np.array_equal(out[y, x], cell[y % factor, x % factor])
