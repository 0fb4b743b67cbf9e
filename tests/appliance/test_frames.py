import threading

import numpy as np
import pytest

from appliance.frames import Frame, Mailbox, converted, cover


def test_latest_wins_and_drops_are_counted():
    box = Mailbox()
    for item in (1, 2, 3):
        assert box.put(item)
    assert box.get() == 3 and box.dropped == 2


def test_what_is_inside_can_be_taken_after_closing():
    box = Mailbox()
    box.put(1)
    box.close()
    assert not box.put(2)
    assert box.get() == 1 and box.get() is None and box.get() is None


def test_abort_throws_away():
    box = Mailbox()
    box.put(1)
    box.abort()
    assert box.get() is None


def test_get_gives_up_after_its_timeout():
    assert Mailbox().get(timeout=0) is None


def test_blocking_put_loses_nothing():
    box, taken = Mailbox(), []

    def take():
        for item in iter(box.get, None):
            taken.append(item)

    thread = threading.Thread(target=take)
    thread.start()
    for item in range(1, 500):
        assert box.put(item, block=True)
    box.close()
    thread.join()
    assert taken == list(range(1, 500)) and box.dropped == 0


@pytest.mark.parametrize("full", [True, False])
def test_closing_wakes_a_blocked_put_and_a_blocked_get(full):
    box, results = Mailbox(), []
    if full:
        box.put(1)
    thread = threading.Thread(target=lambda: results.append(box.put(2, block=True) if full else box.get()))
    thread.start()
    box.close()
    thread.join()
    assert results == [False if full else None]


@pytest.mark.parametrize(
    "shape, size",
    [((360, 640), (512, 216)), ((100, 50), (64, 32)), ((7, 9), (64, 32)), ((1, 1), (8, 8)), ((2000, 3), (64, 32))],
)
def test_cover_fills_the_size(shape, size):
    out = cover(np.full(shape + (3,), 77, np.uint8), size)
    assert out.shape == (size[1], size[0], 3) and (out == 77).all()


def test_cover_keeps_the_centre():
    pixels = np.zeros((40, 120, 3), np.uint8)
    pixels[:, 40:80] = 255
    assert (cover(pixels, (40, 40)) == 255).all()


def test_cover_of_the_right_size_is_the_frame_itself():
    pixels = np.zeros((8, 16, 3), np.uint8)
    assert cover(pixels, (16, 8)) is pixels


colours = np.random.RandomState(0).randint(0, 256, (29, 31, 3)).astype(np.uint8)


def test_a_frame_is_rgb_unless_it_says_otherwise():
    assert Frame(colours, 0.0, 0).format == "rgb"


def test_rgb_to_yuv():
    """ITU-R BT.601-7, 2.5.1 to 2.5.3, as the standard has it."""
    red, green, blue = np.moveaxis(colours / 255.0, -1, 0)
    luma = 0.299 * red + 0.587 * green + 0.114 * blue
    exact = np.stack(
        [219 * luma + 16, 224 * 0.5 / 0.886 * (blue - luma) + 128, 224 * 0.5 / 0.701 * (red - luma) + 128], -1
    )
    assert np.abs(converted(colours, "rgb", "yuv") - exact).max() < 0.502


@pytest.mark.parametrize(
    "rgb, yuv",
    [
        ((0, 0, 0), (16, 128, 128)),
        ((255, 255, 255), (235, 128, 128)),
        ((255, 0, 0), (81, 90, 240)),
        ((0, 0, 255), (41, 240, 110)),
    ],
)
def test_known_colours_and_back(rgb, yuv):
    assert converted(np.uint8([[rgb]]), "rgb", "yuv").tolist() == [[list(yuv)]]
    assert np.abs(converted(np.uint8([[yuv]]), "yuv", "rgb").astype(int) - rgb).max() <= 2


def test_yuv_and_back_is_the_picture():
    back = converted(converted(colours, "rgb", "yuv"), "yuv", "rgb")
    assert np.abs(back.astype(int) - colours).max() <= 2


def test_bgrx_and_back():
    bgrx = converted(colours, "rgb", "bgrx")
    assert bgrx.shape == (29, 31, 4) and np.array_equal(bgrx[..., 2::-1], colours)
    assert np.array_equal(converted(bgrx, "bgrx", "rgb"), colours)
    assert np.array_equal(converted(bgrx, "bgrx", "yuv"), converted(colours, "rgb", "yuv"))


@pytest.mark.parametrize("one", ["rgb", "yuv", "bgrx"])
def test_the_same_format_is_the_frame_itself(one):
    assert converted(colours, one, one) is colours
