"""The monitor: finding it, showing on it, scaling."""

import ctypes
import errno
import signal
from fractions import Fraction

import numpy as np
import pytest

from appliance.display import drm, libdrm
from appliance.display.kms import KmsDisplay
from appliance.display.placing import Showing
from appliance.errors import Problem
from appliance.frames import Frame, undrawn

from .fake_drm import OVERLAY, PRIMARY, as_bgrx, as_shown, enlarged, frame, framed, mode, opened

# Finding the display


def test_the_first_monitor_in_the_mode_that_it_asks_for(card, display):
    card.connectors = {"HDMI-A-1": [], "DP-1": [mode(32, 20), mode(64, 36, preferred=True)], "DP-2": [mode(8, 8)]}
    assert display.size is None and display.mode is None
    assert display.show(frame()) and display.fault is None
    assert display.size == (64, 36) and display.mode == "DP-1 64x36 60 Hz, enlarged 4x"


def test_it_connects_without_a_frame(card, display):
    assert display.connect() and display.size == (64, 36)
    assert not card.picture().any()


def test_a_configured_connector_and_mode(card):
    card.connectors["DP-1"] = [mode(64, 36, preferred=True), mode(32, 20, flags=drm.INTERLACED), mode(32, 20)]
    with opened("DP-1", (32, 20)) as display:
        assert display.show(frame()) and display.size == (32, 20) and display.mode.startswith("DP-1")
        assert not card.lit.flags and display.fault is None


def test_a_mode_that_the_monitor_does_not_have(card):
    with opened(size=(1024, 600)) as display:
        assert display.show(frame()) and display.size == (64, 36)
        assert display.fault == (
            "the monitor on HDMI-A-1 has no mode 1024x600, so it shows 64x36: set display.mode to 64x36, 32x20"
        )


def test_a_connector_that_is_not_there(card):
    with opened("HDMI-A-9") as display:
        assert not display.show(frame())
        assert display.fault == "/dev/dri/card0 has no connector HDMI-A-9: set display.connector to HDMI-A-1"


def test_no_card(card, display):
    card.cards = []
    assert not display.show(frame()) and "no /dev/dri/card*" in display.fault


def test_a_card_that_may_not_be_used(card, display):
    card.faults["open"] = [errno.EACCES]
    assert not display.show(frame())
    assert display.fault == (
        "cannot use the display /dev/dri/card0: permission denied: add the user to the group video"
    )


def test_a_card_that_only_computes_is_skipped(card, display):
    card.cards = ["/dev/dri/card0", "/dev/dri/card1"]
    card.faults["drmGetCap"] = [errno.EINVAL]
    assert display.show(frame())


def test_the_card_with_a_monitor_is_not_always_the_first(card):
    """As on a Raspberry Pi 5, where the monitor is on card1."""
    card.cards = ["/dev/dri/card0", "/dev/dri/card1"]
    card.bare["/dev/dri/card0"] = {"DSI-1": []}
    for connector in ("auto", "HDMI-A-1"):
        with opened(connector) as display:
            assert display.show(frame()) and display.mode.startswith("HDMI-A-1 64x36")
    card.connectors["HDMI-A-1"] = []
    with opened("HDMI-A-1") as display:
        assert not display.show(frame())
        assert display.fault == "no monitor on HDMI-A-1 of /dev/dri/card1: plug one in and turn it on"


def test_without_libdrm(monkeypatch):
    def missing(*_, **__):
        raise OSError("libdrm.so.2: cannot open shared object file")

    monkeypatch.setattr(libdrm, "_loaded", None)
    monkeypatch.setattr(libdrm.ctypes, "CDLL", missing)
    with pytest.raises(Problem, match="apt install libdrm2"):
        KmsDisplay()


def test_the_functions_are_in_libdrm():
    try:
        ctypes.CDLL("libdrm.so.2")
    except OSError:
        pytest.skip("libdrm is not installed")
    libdrm.load()
    assert ctypes.sizeof(libdrm.Mode) == 68 and ctypes.sizeof(libdrm.Crtc) == 100
    assert {libdrm.free(name) for name in libdrm.SIGNATURES if "Get" in name and name != "drmGetCap"} == {
        name for name in libdrm.SIGNATURES if "Free" in name and name != "drmModeAtomicFree"
    }


# The picture


@pytest.mark.parametrize("pixels", ["rgb", "bgrx"])
@pytest.mark.parametrize(
    "width, height, zoom", [(16, 6, "4"), (17, 7, "64/17"), (40, 30, "6/5"), (64, 36, "1"), (1, 1, "36")]
)
def test_it_is_enlarged_and_in_the_middle(card, display, width, height, zoom, pixels):
    for seed in range(3):
        shown = frame(width, height, seed)
        assert display.show(as_bgrx(shown) if pixels == "bgrx" else shown)
        assert np.array_equal(card.picture(), framed(enlarged(shown, zoom)))


@pytest.mark.parametrize("atomic", [False, True])
def test_a_card_that_takes_only_rgb565(card, display, atomic):
    card.bits, card.atomic, card.scales = {16}, atomic, atomic
    for seed in range(3):
        shown = frame(32, 18, seed)
        assert display.show(shown), display.fault
        assert np.array_equal(card.picture(), framed(enlarged(shown, 2)) & 0xF8FCF8)
    assert display.mode == "HDMI-A-1 64x36 60 Hz, enlarged 2x"


def test_frames_are_left_as_they_are(card, display):
    shown = as_bgrx(frame(seed=1))
    before = shown.pixels.copy()
    assert display.show(shown) and display.show(frame(seed=2)) and np.array_equal(shown.pixels, before)


def test_a_frame_larger_than_the_screen_is_averaged_down(card, display):
    shown = frame(128, 72)
    assert display.show(shown) and display.mode.endswith("reduced from 128x72 to 64x36")
    means = shown.pixels.reshape(36, 2, 64, 2, 3).mean((1, 3))
    assert np.abs(rgb(card.picture()) - means).mean() < 16  # a triangle of twice the width, not a box
    assert display.show(frame(128, 36)) and not card.picture()[:9].any() and card.picture()[9].all()
    flat = Frame(np.full((50, 80, 3), (9, 80, 201), np.uint8), 0.0, 0)
    assert display.show(flat) and (card.picture()[:, 4:60] == 0x0950C9).all()


def test_frames_of_changing_sizes(card, display):
    for number, size in enumerate([(16, 6), (64, 36), (64, 36), (16, 6), (6, 16), (16, 6)]):
        shown = frame(*size, seed=number)
        assert display.show(shown)
        assert np.array_equal(
            card.picture(), framed(enlarged(shown, min(Fraction(64, size[0]), Fraction(36, size[1]))))
        )


@pytest.mark.parametrize("atomic", [False, True])
def test_what_is_on_the_screen_is_never_drawn_into(card, display, atomic):
    card.atomic = card.scales = atomic
    for number in range(6):  # the card checks at every flip
        assert display.show(frame(seed=number))
    assert card.calls.count("drmModeAtomicCommit" if atomic else "drmModePageFlip") >= 6


def test_the_time_of_the_flip(card, display):
    display.show(frame())
    first = display.flipped_at
    assert first == pytest.approx(card.now, abs=1e-5)
    display.show(frame())
    assert display.flipped_at == pytest.approx(first + 0.016, abs=1e-5)


def test_a_signal_does_not_end_the_wait(card, display):
    card.late = True
    before = signal.signal(signal.SIGALRM, lambda *_: card.flipped())
    signal.setitimer(signal.ITIMER_REAL, 0.01, 0.01)
    try:
        assert display.show(frame()) and display.show(frame(seed=1))
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)
    assert np.array_equal(card.picture(), framed(enlarged(frame(seed=1), 4)))


# Scaling


def test_an_overlay_scales_over_black(scaling, display):
    for number in range(3):
        shown = frame(16, 6, seed=number)
        assert display.show(shown) and np.array_equal(scaling.picture(), framed(as_shown(shown, 4)))
    assert display.mode == "HDMI-A-1 64x36 60 Hz, scaled by plane 51"
    assert display.show(frame(40, 36)) and scaling.planes[OVERLAY]["CRTC_W"] == 40
    assert display.show(frame(30, 20)) and scaling.planes[OVERLAY]["CRTC_W"] == 54


def test_a_frame_of_the_screens_size_needs_no_scaling(scaling, display):
    for number, size in enumerate([(16, 6), (64, 36), (16, 6), (64, 36), (64, 36)]):
        shown = frame(*size, seed=number)
        assert display.show(shown)
        assert np.array_equal(scaling.picture(), framed(as_shown(shown, 64 // size[0])))


@pytest.mark.parametrize("zpos", [{PRIMARY: 1, OVERLAY: 0}, {PRIMARY: 0, OVERLAY: 0}])
def test_an_overlay_below_is_of_no_use(scaling, display, zpos):
    scaling.zpos, scaling.primary_floats = zpos, True
    shown = frame()
    assert display.show(shown) and display.mode.endswith("scaled by plane 50")
    assert np.array_equal(scaling.picture(), framed(as_shown(shown, 4)))
    assert display.show(frame(64, 36)) and np.array_equal(scaling.picture(), as_shown(frame(64, 36)))


def test_a_card_that_does_not_scale(card, display):
    card.atomic = True
    shown = frame()
    assert display.show(shown) and display.mode.endswith("enlarged 4x")
    assert np.array_equal(card.picture(), framed(enlarged(shown, 4)))


def test_a_card_that_scales_in_tests_only(scaling, display):
    assert display.show(frame(64, 36))
    scaling.faults["drmModeAtomicCommit"] = [None, errno.ERANGE]
    shown = frame()
    assert display.show(shown) and display.mode.endswith("enlarged 4x")
    assert np.array_equal(scaling.picture(), framed(enlarged(shown, 4))) and not scaling.planes[OVERLAY]
    assert display.show(frame(8, 8)) and scaling.calls[-2:].count("drmModeAtomicCommit") == 0


# Other screens


def rgb(picture):
    return picture.view(np.uint8).reshape(picture.shape + (4,))[..., 2::-1].astype(int)


@pytest.mark.parametrize("atomic", [False, True])
def test_three_times_as_large_fills_the_screen_without_squares(card, display, atomic):
    card.connectors = {"HDMI-A-1": [mode(96, 54, preferred=True)]}
    card.atomic = atomic
    dark = np.zeros((18, 32, 3), np.uint8)
    dark[:, 16:] = 240
    assert display.show(Frame(dark, 0.0, 0)) and display.mode == "HDMI-A-1 96x54 60 Hz, enlarged 3x"
    row = rgb(card.picture())[27, :, 0]
    assert row[:46].max() == 0 and row[50:].min() == 240  # no bars
    assert np.diff(row).max() <= 0.4 * 240  # squares would step by 240


@pytest.mark.parametrize("planes", [False, True])
@pytest.mark.parametrize("rotate", [0, 90, 180, 270])
def test_a_monitor_on_its_side(card, planes, rotate):
    card.atomic = card.scales = planes
    card.connectors = {"HDMI-A-1": [mode(96, 54, preferred=True)]}
    quarters = Frame(np.zeros((54, 96, 3), np.uint8), 0.0, 0)
    colours = [0xFF0000, 0x00FF00, 0x0000FF, 0xFFFFFF]  # of the upper left quarter and on clockwise, as seen
    for colour, rows, columns in zip(colours, (0, 0, 27, 27), (0, 48, 48, 0)):
        quarters.pixels[rows : rows + 27, columns : columns + 48] = [colour >> 16, colour >> 8 & 255, colour & 255]
    with opened(showing=Showing(rotate)) as display:
        assert display.show(quarters)
        assert display.size == ((54, 96) if rotate % 180 else (96, 54))
        screen = card.picture()
    width, height = (30, 54) if rotate % 180 else (96, 54)
    left = (96 - width) // 2
    assert not screen[:, : max(0, left - 1)].any() and not screen[:, left + width + 1 :].any()  # bars
    x, y = (width // 4, height // 4)
    found = [screen[row, left + column] for row, column in ((y, x), (y, 3 * x), (3 * y, 3 * x), (3 * y, x))]
    start = rotate // 90
    assert found == [colours[(corner - start) % 4] for corner in range(4)]


@pytest.mark.parametrize("planes", [False, True])
def test_a_monitor_of_another_shape_has_bars_or_is_covered(card, planes):
    card.atomic = card.scales = planes
    card.connectors = {"HDMI-A-1": [mode(64, 48, preferred=True)]}
    shown = Frame(np.full((36, 64, 3), 200, np.uint8), 0.0, 0)
    shown.pixels[:, :6] = shown.pixels[:, -6:] = 50  # what does not fit when the rest covers the screen
    with opened() as display:
        assert display.show(shown)
        screen = rgb(card.picture())[..., 0]
        assert not screen[:6].any() and not screen[-6:].any() and screen[6:-6].all() and screen[20, 2] == 50
    with opened(showing=Showing(cover=True)) as display:
        assert display.show(shown)
        assert (rgb(card.picture())[:, 2:-2] == 200).all() and card.picture().all()


@pytest.mark.parametrize("padding", [0, 64])
@pytest.mark.parametrize("planes", [False, True])
@pytest.mark.parametrize("width, height", [(16, 9), (64, 36)])
def test_a_picture_is_drawn_where_it_is_scanned_out_if_it_lies_there_as_it_is(card, width, height, planes, padding):
    """A plane scales it, or it is as large as the screen; and rows follow each other without a gap."""
    card.atomic = card.scales = planes
    card.padding = padding
    with opened() as display:
        for seed in range(3):
            drawn = []
            assert display.show(lazy(as_bgrx(frame(width, height, seed)), drawn))
            expected = as_shown(frame(width, height, seed), 64 // width)
            if planes or width == 64:
                assert np.array_equal(card.picture(), expected)
            scanned_out = any(np.shares_memory(drawn[0], pixels) for pixels in card.framebuffers.values())
            assert scanned_out == (padding == 0 and (planes or width == 64)) and len(drawn) == 1


@pytest.mark.parametrize("showing", [Showing(rotate=180), Showing(cover=True)])
def test_a_picture_that_is_turned_or_cropped_is_drawn_elsewhere_first(card, showing):
    card.atomic = card.scales = True
    card.padding = 0
    shown = as_bgrx(frame(20, 9))
    with opened(showing=showing) as display:
        display.show(shown)
        expected = card.picture()
        assert display.show(lazy(shown, [])) and np.array_equal(card.picture(), expected)


def lazy(shown, drawn):
    """A frame that is yet to be drawn; `drawn` gets the memory into which it is."""

    def draw(out):
        np.copyto(out, shown.pixels)
        drawn.append(out)

    return Frame(undrawn(shown.pixels.shape), 0.0, 0, "bgrx", draw=draw)


def test_a_plane_reduces_pictures_too(scaling, display):
    assert display.show(frame(128, 72)) and display.mode.endswith("scaled by plane 51")
    assert scaling.planes[OVERLAY]["CRTC_W"] == 64
