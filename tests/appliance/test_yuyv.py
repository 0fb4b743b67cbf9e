"""The pixels of a camera, and the memory that they are put in."""

import tracemalloc

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from appliance.camera.yuyv import BT601, BT709, yuyv_to_rgb, yuyv_to_yuv
from appliance.memory import Memory

from .fake_v4l2 import random_yuyv


def reference(yuyv, colour):
    """RGB before rounding, from the definition: R'G'B' to Y'CbCr as a matrix, inverted."""
    red, blue = colour.red, colour.blue
    y = np.array([red, 1 - red - blue, blue])
    definition = np.stack([y, ([0, 0, 1] - y) / (2 * (1 - blue)), ([1, 0, 0] - y) / (2 * (1 - red))])
    black, luma_range, chroma_range = (0, 255, 255) if colour.full_range else (16, 219, 224)
    ycc = np.stack(
        [
            (yuyv[..., 0] - float(black)) / luma_range,
            (np.repeat(yuyv[:, 0::2, 1], 2, axis=1) - 128.0) / chroma_range,
            (np.repeat(yuyv[:, 1::2, 1], 2, axis=1) - 128.0) / chroma_range,
        ],
        axis=-1,
    )
    return np.clip(255 * ycc @ np.linalg.inv(definition).T, 0, 255)


@settings(max_examples=30, deadline=None)
@given(st.integers(1, 40), st.integers(1, 20), st.integers(0, 10**6), st.booleans(), st.sampled_from([BT601, BT709]))
def test_rgb_is_within_a_step(height, pairs, seed, full_range, colour):
    colour = colour._replace(full_range=full_range)
    yuyv = random_yuyv(height, 2 * pairs, seed)
    out = np.empty((height, 2 * pairs, 3), np.uint8)
    yuyv_to_rgb(yuyv, out, colour)
    assert np.abs(out - reference(yuyv, colour)).max() < 1


@pytest.mark.parametrize(
    "colour, y, u, v, rgb",
    [
        (BT601, 16, 128, 128, (0, 0, 0)),
        (BT601, 235, 128, 128, (255, 255, 255)),
        (BT601, 81, 90, 240, (254, 0, 0)),
        (BT601, 255, 128, 128, (255, 255, 255)),
        (BT709, 63, 102, 240, (255, 1, 0)),
        (BT601._replace(full_range=True), 0, 128, 128, (0, 0, 0)),
        (BT601._replace(full_range=True), 76, 85, 255, (254, 0, 0)),
    ],
)
def test_known_colours(colour, y, u, v, rgb):
    out = np.empty((1, 2, 3), np.uint8)
    yuyv_to_rgb(np.array([[[y, u], [y, v]]], np.uint8), out, colour)
    assert np.abs(out.astype(int) - rgb).max() <= 1


def test_yuv_is_the_centre_at_half_the_size():
    yuyv = random_yuyv(720, 1280)
    out = np.empty((216, 512, 3), np.uint8)
    yuyv_to_yuv(yuyv, out)
    whole = np.stack([yuyv[::2, ::2, 0], yuyv[::2, ::2, 1], yuyv[::2, 1::2, 1]], axis=-1)
    assert whole.shape == (360, 640, 3)
    assert np.array_equal(out, whole[72:288, 64:576])


@pytest.mark.parametrize("size, step", [((320, 180), 4), ((64, 32), 20), ((200, 100), 6), ((640, 20), 2)])
def test_yuv_of_a_small_network_sees_all_that_a_step_leaves(size, step):
    yuyv, out = random_yuyv(720, 1280), np.empty((size[1], size[0], 3), np.uint8)
    yuyv_to_yuv(yuyv, out)
    rows, pairs = yuyv[::step], yuyv[::step].reshape(-1, 640, 4)[:, :: step // 2]
    top, left = (720 // step - size[1]) // 2, (1280 // step - size[0]) // 2
    expected = pairs[top : top + size[1], left : left + size[0]][..., [0, 1, 3]]
    assert len(rows) == 720 // step and np.array_equal(out, expected)


def test_yuv_of_a_full_range_camera_is_brought_to_limited_range():
    yuyv, out = random_yuyv(8, 16), np.empty((4, 8, 3), np.uint8)
    yuyv_to_yuv(yuyv, out, full_range=True)
    plain = np.empty_like(out)
    yuyv_to_yuv(yuyv, plain)
    expected = [16, 128, 128] + (plain - np.array([0.0, 128, 128])) * [219 / 255, 224 / 255, 224 / 255]
    assert np.abs(out - expected).max() <= 0.5


def test_yuv_allocates_nothing_and_reads_rows_with_padding():
    padded = random_yuyv(720, 1300)
    yuyv, out = padded[:, :1280], np.empty((360, 640, 3), np.uint8)
    assert np.shares_memory(yuyv.reshape(720, 640, 4), padded)
    tracemalloc.start()
    try:
        yuyv_to_yuv(yuyv, out)
        tracemalloc.reset_peak() if hasattr(tracemalloc, "reset_peak") else tracemalloc.clear_traces()
        before = tracemalloc.get_traced_memory()[0]
        yuyv_to_yuv(yuyv, out)
        assert tracemalloc.get_traced_memory()[1] - before < 4096
    finally:
        tracemalloc.stop()
    assert np.array_equal(out[..., 2], yuyv[::2, 1::2, 1])


def test_memory_is_used_again_only_when_nothing_holds_it():
    memory = Memory()
    first = memory.array((4, 5, 3))
    view, kept = first[1:, 2:, 0], first.__array_interface__["data"][0]
    del first
    second = memory.array((4, 5, 3))
    assert not np.shares_memory(view, second)
    del view
    assert memory.array((4, 5, 3)).__array_interface__["data"][0] == kept
    assert memory.array((2, 2, 3)).shape == (2, 2, 3)
