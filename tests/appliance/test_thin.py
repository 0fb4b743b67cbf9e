"""The network's input from a camera's picture: which size, which part, and its pixels."""

import tracemalloc

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from appliance.camera.sizes import Offer, choose_size, described, shown, steps, way
from appliance.camera.thin import Thinner

from .fake_v4l2 import random_yuyv


def thinned(yuyv, network, **options):
    out = np.empty(network[::-1] + (3,), np.uint8)
    Thinner(yuyv.shape[1::-1], network, **options)(yuyv, out)
    return out


def means(yuyv, factor):
    """Exact means of factor x factor pixels, each with the U and V of its pair."""
    pixels = np.stack([yuyv[..., 0], *(np.repeat(yuyv[:, byte::2, 1], 2, axis=1) for byte in (0, 1))], axis=-1)
    height, width = yuyv.shape[0] // factor, yuyv.shape[1] // factor
    return pixels.astype(float).reshape(height, factor, width, factor, 3).mean((1, 3))


# Pixels


@pytest.mark.parametrize(
    "camera, network",
    [
        ((1280, 720), (640, 360)),
        ((1024, 576), (512, 288)),
        ((44, 20), (22, 10)),
        ((640, 360), (640, 360)),
        ((1920, 1080), (640, 360)),
        ((320, 180), (80, 45)),
        ((1024, 512), (64, 32)),
    ],
)
def test_each_pixel_is_the_mean_of_those_it_covers(camera, network):
    yuyv = random_yuyv(camera[1], camera[0])
    error = thinned(yuyv, network) - means(yuyv, camera[0] // network[0])
    assert np.abs(error).max() <= 0.5 and np.abs(error.mean((0, 1))).max() <= 0.3


@settings(max_examples=40, deadline=None)
@given(st.integers(1, 16), st.integers(1, 6), st.integers(1, 9), st.integers(0, 999))
def test_any_whole_factor(factor, pairs, height, seed):
    yuyv = random_yuyv(factor * height, factor * 2 * pairs, seed)
    error = thinned(yuyv, (2 * pairs, height)) - means(yuyv, factor)
    assert np.abs(error).max() <= 0.5


def test_a_flat_picture_stays_what_it_is():
    for value in (0, 1, 127, 254, 255):
        for network in ((320, 180), (640, 360), (160, 90), (200, 100)):
            assert (thinned(np.full((360, 640, 2), value, np.uint8), network) == value).all()


def test_less_moire_than_every_second_pixel():
    rows, columns = np.mgrid[:720, :1280]
    fine = 128 + 100 * np.sin(columns * 2.9 + rows * 0.7)  # finer than the network can see
    yuyv = np.stack([fine, np.full(fine.shape, 128.0)], axis=-1).astype(np.uint8)
    assert thinned(yuyv, (640, 360))[..., 0].std() < 0.25 * yuyv[::2, ::2, 0].std()


@pytest.mark.parametrize("network", [(640, 360), (1280, 720), (320, 180), (512, 288)])
def test_a_mirror_swaps_left_and_right(network):
    yuyv = random_yuyv(720, 1280)
    assert np.abs(thinned(yuyv, network, mirror=True)[:, ::-1] - thinned(yuyv, network).astype(int)).max() <= 1


def test_a_full_range_camera_is_brought_to_limited_range():
    yuyv = random_yuyv(8, 16)
    plain = thinned(yuyv, (8, 4)).astype(float)
    expected = [16, 128, 128] + (plain - [0, 128, 128]) * [219 / 255, 224 / 255, 224 / 255]
    assert np.abs(thinned(yuyv, (8, 4), full_range=True) - expected).max() <= 0.5


def test_the_middle_is_taken_and_a_shape_in_between_is_scaled():
    yuyv = np.zeros((480, 640, 2), np.uint8)
    yuyv[60:420, :, 0] = np.arange(640) // 4
    made = thinned(yuyv, (640, 360))
    assert np.array_equal(made[..., 0], yuyv[60:420, :, 0])
    yuyv[55:425, :, 0] = np.arange(640) // 4
    made = thinned(yuyv, (400, 225))
    assert np.abs(made[:, 2:-2, 0].astype(float) - (np.arange(2, 398) + 0.5) * 1.6 / 4).max() < 1


def test_it_reads_rows_with_padding_and_writes_nothing_but_its_output():
    padded = random_yuyv(720, 1300)
    padded.setflags(write=False)
    yuyv, out = padded[:, :1280], np.empty((360, 640, 3), np.uint8)
    thinner = Thinner((1280, 720), (640, 360))
    thinner(yuyv, out)
    tracemalloc.start()
    try:
        thinner(yuyv, out)
        tracemalloc.clear_traces()
        before = tracemalloc.get_traced_memory()[0]
        thinner(yuyv, out)
        assert tracemalloc.get_traced_memory()[1] - before < 16384
    finally:
        tracemalloc.stop()
    assert np.array_equal(out, thinned(np.ascontiguousarray(yuyv), (640, 360)))


# Sizes


def test_the_whole_view_by_whole_steps():
    for camera, network in [((1280, 720), (640, 360)), ((1024, 576), (512, 288)), ((1920, 1080), (640, 360))]:
        assert not way(camera, network).resampled and shown(camera, network) == (1, 1)
        assert described(camera, network) == "100 % of the camera's view"


@settings(max_examples=200, deadline=None)
@given(st.integers(16, 2600), st.integers(16, 2000), st.integers(8, 1300), st.integers(8, 800))
def test_no_more_is_cut_than_the_shapes_ask_for(width, height, across, down):
    camera, network = (width // 2 * 2, height), (across // 2 * 2, down)
    seen = np.prod(shown(camera, network))
    shapes = (camera[0] * network[1], camera[1] * network[0])
    assert 0.98 * min(shapes) / max(shapes) - 1e-9 <= seen <= 1
    factor, taken, resampled = way(camera, network)
    assert all(part % factor == 0 and part <= whole for part, whole in zip(taken, camera))
    if not resampled:
        assert taken == (factor * network[0], factor * network[1])


def test_what_is_cropped_is_reported():
    assert described((1024, 432), (512, 216)) == "100 % of the camera's view"
    assert described((720, 480), (240, 480)) == "33 % of the camera's view (cuts 67 % left and right)"
    assert described((640, 480), (640, 360)) == "75 % of the camera's view (cuts 25 % top and bottom)"
    scaled = ", scaled: no integer factor gives "
    assert described((1280, 720), (512, 288)) == f"100 % of the camera's view{scaled}512x288"
    assert described((1280, 720), (512, 216)).endswith(f"(cuts 25 % top and bottom){scaled}512x216")


CSI = [Offer(size, 15 if size[0] == 2592 else 30) for size in [(640, 480), (720, 480), (1280, 720), (1920, 1080)]]
USB = [
    Offer((640, 480), 30),
    Offer((160, 90), 30),
    Offer((640, 360), 30),
    Offer((864, 480), 24),
    Offer((1024, 576), 15),
    Offer((1280, 720), 10),
]


@pytest.mark.parametrize(
    "offered, network, size",
    [
        (CSI, (640, 360), (1280, 720)),
        (CSI, (320, 180), (1280, 720)),
        (CSI, (960, 540), (1920, 1080)),
        (USB, (640, 360), (640, 360)),  # 1280x720 comes at 10 fps
        (USB, (320, 180), (640, 360)),
        (USB, (1280, 720), (864, 480)),
        ([Offer((1280, 720)), Offer((1024, 576))], (512, 288), (1024, 576)),
        ([Offer((640, 480), 30), Offer((1280, 720), 10)], (640, 360), (640, 480)),
        ([Offer((320, 240), 30)], (640, 360), (320, 240)),
        ([Offer((1280, 720), 60), Offer((1280, 960), 60)], (640, 360), (1280, 720)),
    ],
)
def test_the_size_that_suits_the_network(offered, network, size):
    assert choose_size(offered, network) == choose_size(offered[::-1], network) == size


def test_a_camera_of_any_size():
    assert steps((16, 16), (1920, 1080), (2, 2), (640, 360))[0] == (1280, 720)
    assert (640, 360) in steps((16, 16), (800, 600), (1, 1), (640, 360))
    assert steps((100, 100), (500, 400), (8, 8), (640, 360)) == [(500, 400)]
