"""The display: found, shown on, scaled."""

import ctypes
import errno
import signal

import numpy as np
import pytest

from appliance.display import drm, libdrm
from appliance.display.kms import KmsDisplay
from appliance.errors import Problem

from .fake_drm import OVERLAY, PRIMARY, as_bgrx, as_shown, frame, framed, mode, opened

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


def test_a_card_that_only_computes_is_passed_over(card, display):
    card.cards = ["/dev/dri/card0", "/dev/dri/card1"]
    card.faults["drmGetCap"] = [errno.EINVAL]
    assert display.show(frame())


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
@pytest.mark.parametrize("width, height, zoom", [(16, 6, 4), (17, 7, 3), (40, 30, 1), (64, 36, 1), (1, 1, 36)])
def test_it_is_enlarged_and_in_the_middle(card, display, width, height, zoom, pixels):
    for seed in range(3):
        shown = frame(width, height, seed)
        assert display.show(as_bgrx(shown) if pixels == "bgrx" else shown)
        assert np.array_equal(card.picture(), framed(as_shown(shown, zoom)))


def test_frames_are_left_as_they_are(card, display):
    shown = as_bgrx(frame(seed=1))
    before = shown.pixels.copy()
    assert display.show(shown) and display.show(frame(seed=2)) and np.array_equal(shown.pixels, before)


def test_of_a_larger_frame_the_middle_is_shown(card, display):
    shown = frame(80, 50)
    assert display.show(shown) and np.array_equal(card.picture(), as_shown(shown)[7:43, 8:72])
    shown = frame(80, 10)
    assert display.show(shown) and np.array_equal(card.picture(), framed(as_shown(shown)[:, 8:72]))


def test_frames_of_changing_sizes(card, display):
    for number, size in enumerate([(16, 6), (64, 36), (64, 36), (16, 6), (6, 16), (16, 6)]):
        shown = frame(*size, seed=number)
        assert display.show(shown)
        assert np.array_equal(card.picture(), framed(as_shown(shown, min(64 // size[0], 36 // size[1]))))


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
    assert np.array_equal(card.picture(), framed(as_shown(frame(seed=1), 4)))


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
    assert np.array_equal(card.picture(), framed(as_shown(shown, 4)))


def test_a_card_that_scales_in_tests_only(scaling, display):
    assert display.show(frame(64, 36))
    scaling.faults["drmModeAtomicCommit"] = [None, errno.ERANGE]
    shown = frame()
    assert display.show(shown) and display.mode.endswith("enlarged 4x")
    assert np.array_equal(scaling.picture(), framed(as_shown(shown, 4))) and not scaling.planes[OVERLAY]
    assert display.show(frame(8, 8)) and scaling.calls[-2:].count("drmModeAtomicCommit") == 0
