"""Each fold against the unfolded float operations, on random weights and sizes."""

import numpy as np
import pytest
import tensorflow as tf

from trainer.edgetpu import fold

CLOSE = {"rtol": 0, "atol": 1e-5}


@pytest.fixture(params=range(3))
def rng(request):
    return np.random.default_rng(request.param)


def convolution(rng, size, inputs, outputs):
    kernel = rng.normal(0, 1 / (size * inputs**0.5), (size, size, inputs, outputs)).astype("float32")
    return kernel, rng.normal(size=outputs).astype("float32")


def picture(rng, channels, multiple=1):
    height, width = (int(n) * multiple for n in rng.integers(2, 9, 2))
    return rng.uniform(size=(1, height, width, channels)).astype("float32")


def conv(x, kernel, bias=0.0):
    return (tf.nn.conv2d(x, np.float32(kernel), 1, "SAME") + np.float32(bias)).numpy()


def nearest(x, factor):
    return x.repeat(factor, axis=1).repeat(factor, axis=2)


def shuffle(x, factor):
    return tf.nn.space_to_depth(x, factor).numpy() if factor > 1 else x


def test_affine(rng):
    x, (kernel, _) = picture(rng, 5), convolution(rng, 3, 5, 4)
    scale, shift = rng.normal(size=(2, 4)).astype("float32")
    np.testing.assert_allclose(
        conv(x, *fold.affine_into_convolution(kernel, scale, shift)), conv(x, kernel) * scale + shift, **CLOSE
    )


def test_bytes(rng):
    x, (kernel, bias) = picture(rng, 3), convolution(rng, 9, 3, 4)
    np.testing.assert_allclose(conv(x * 255, fold.bytes_into_convolution(kernel), bias), conv(x, kernel, bias), **CLOSE)


@pytest.mark.parametrize("full_range", [True, False])
@pytest.mark.parametrize("size", [3, 9])
def test_yuv_with_black_around_it(rng, full_range, size):
    rgb, (kernel, bias) = rng.uniform(size=(1, 24, 30, 3)), convolution(rng, size, 3, 4)
    # ITU-R BT.601 from RGB, the other way round than the fold has it.
    red, green, blue = np.moveaxis(rgb, -1, 0)
    luma = 0.299 * red + 0.587 * green + 0.114 * blue
    blueness, redness = (blue - luma) / 1.772, (red - luma) / 1.402
    if full_range:
        yuv = [255 * luma, 128 + 255 * blueness, 128 + 255 * redness]
    else:
        yuv = [16 + 219 * luma, 128 + 224 * blueness, 128 + 224 * redness]
    x = np.zeros((1, 23 + size, 29 + size, 3), "float32") + np.float32([0 if full_range else 16, 128, 128])
    x[:, size // 2 : -(size // 2), size // 2 : -(size // 2)] = np.stack(yuv, axis=-1)
    folded, shift = fold.yuv_into_convolution(kernel, bias, full_range)
    made = tf.nn.conv2d(x / 255, np.float32(folded), 1, "VALID").numpy() + np.float32(shift)
    np.testing.assert_allclose(made, conv(rgb.astype("float32"), kernel, bias), **CLOSE)


def test_bgrx(rng):
    x, (kernel, bias) = picture(rng, 6), convolution(rng, 3, 6, 3)
    made, expected = conv(x, *fold.bgrx_from_convolution(kernel, bias)), conv(x, kernel, bias)
    np.testing.assert_allclose(made[..., 2::-1], expected, **CLOSE)
    assert made.shape[-1] == 4


def test_nearest_and_3x3_are_one_transposed_convolution(rng):
    x, (kernel, bias) = picture(rng, 5), convolution(rng, 3, 5, 4)
    _, height, width, _ = x.shape
    made = tf.nn.conv2d_transpose(x, fold.nearest_into_transposed(kernel), (1, 2 * height, 2 * width, 4), 2, "SAME")
    np.testing.assert_allclose(made.numpy() + bias, conv(nearest(x, 2), kernel, bias), **CLOSE)


def test_a_transposed_convolution_takes_3x3_only(rng):
    with pytest.raises(ValueError, match="5x5"):
        fold.nearest_into_transposed(convolution(rng, 5, 2, 2)[0])


@pytest.mark.parametrize("factor, upsample", [(1, 1), (1, 2), (2, 1), (2, 2), (4, 1), (1, 3), (3, 2)])
@pytest.mark.parametrize("size", [1, 3, 5, 9])
def test_at_low_resolution_borders_included(rng, factor, upsample, size):
    x, (kernel, bias) = picture(rng, 3, multiple=factor), convolution(rng, size, 3, 2)
    expected = shuffle(conv(nearest(x, upsample), kernel, bias), factor * upsample)
    low = fold.at_low_resolution(kernel, bias, factor, upsample)
    np.testing.assert_allclose(conv(shuffle(x, factor), *low), expected, **CLOSE)


def test_a_3x3_stays_a_3x3_and_a_quarter_dense(rng):
    kernel, bias = convolution(rng, 3, 4, 4)
    low, _ = fold.at_low_resolution(kernel, bias, factor=2)
    assert low.shape == (3, 3, 16, 16) and np.count_nonzero(low) == 0.25 * low.size


def test_two_upsamples_and_the_image_never_leave_the_quarter_resolution(rng):
    """The decoder as a chain: (H/4, W/4) in, and out come 48 channels that one shuffle makes the image."""
    x = picture(rng, 6)
    first, second, last = (convolution(rng, 3, *channels) for channels in ((6, 5), (5, 4), (4, 3)))
    expected = conv(np.maximum(conv(nearest(np.maximum(conv(nearest(x, 2), *first), 0), 2), *second), 0), *last)
    low = np.maximum(conv(x, *fold.at_low_resolution(*first, 1, 2)), 0)
    low = np.maximum(conv(low, *fold.at_low_resolution(*second, 2, 2)), 0)
    low = conv(low, *fold.at_low_resolution(*last, 4))
    assert low.shape == (*x.shape[:3], 48)
    np.testing.assert_allclose(tf.nn.depth_to_space(low, 4), expected, **CLOSE)
