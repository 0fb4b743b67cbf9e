"""The pixels of a camera, and the memory that they are put in."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from appliance.camera.yuyv import BT601, BT709, yuyv_to_rgb
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


def test_memory_is_reused_only_when_nothing_holds_it():
    memory = Memory()
    first = memory.array((4, 5, 3))
    view, kept = first[1:, 2:, 0], first.__array_interface__["data"][0]
    del first
    second = memory.array((4, 5, 3))
    assert not np.shares_memory(view, second)
    del view
    assert memory.array((4, 5, 3)).__array_interface__["data"][0] == kept
    assert memory.array((2, 2, 3)).shape == (2, 2, 3)
