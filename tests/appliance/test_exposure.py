import numpy as np
import pytest

from appliance.exposure import Curve, ExposureMeter, Statistics, expose, exposure_curve, statistics
from appliance.frames import converted

noise = np.random.RandomState(0).randint(0, 256, (37, 53, 3)).astype(np.uint8)


def grey(level):
    return np.full((16, 16, 3), level, np.uint8)


def yuv_of(rgb):
    """Y in 0..1, U and V in -0.5..0.5 of uint8 RGB, in floating point."""
    red, green, blue = np.moveaxis(rgb / 255.0, -1, 0)
    luma = 0.299 * red + 0.587 * green + 0.114 * blue
    return luma, (blue - luma) / 1.772, (red - luma) / 1.402


def exposed(frame, curve, pixels="rgb"):
    out = np.empty_like(frame)
    expose(frame, curve, out, pixels)
    return out


def test_statistics_of_every_fourth_row_and_column():
    luma, u, v = yuv_of(noise[::4, ::4])
    wanted = luma.mean(), luma.std(), np.sqrt((u**2 + v**2).mean() / 2)
    assert statistics(noise) == pytest.approx(wanted, abs=1e-6)
    assert statistics(grey(51)) == pytest.approx((0.2, 0.0, 0.0), abs=1e-6)


def test_yuv_has_the_statistics_of_its_rgb():
    assert statistics(converted(noise, "rgb", "yuv"), "yuv") == pytest.approx(statistics(noise), abs=1e-3)
    assert statistics(converted(grey(51), "rgb", "yuv"), "yuv") == pytest.approx((0.2, 0.0, 0.0), abs=3e-3)


def test_statistics_of_yuv_are_exact():
    y, u, v = np.moveaxis((noise[::4, ::4] - np.array([16.0, 128, 128])) / [219, 224, 224], -1, 0)
    wanted = y.mean(), y.std(), np.sqrt((u**2 + v**2).mean() / 2)
    assert statistics(noise, "yuv") == pytest.approx(wanted, rel=1e-12)
    assert statistics(np.full((9, 9, 3), (77, 128, 128), np.uint8), "yuv") == (61 / 219, 0.0, 0.0)


def test_the_curve_brings_a_frame_to_the_targets():
    curve = exposure_curve(Statistics(0.2, 0.1, 0.02), Statistics(0.45, 0.25, 0.05))
    assert curve.gain == pytest.approx(2.5) and curve.chroma_gain == pytest.approx(2.5)
    assert curve.gain * 0.2 + curve.offset == pytest.approx(0.45)


@pytest.mark.parametrize("std, gain", [(0.0, 3.0), (0.01, 3.0), (0.9, 0.5)])
def test_the_gain_is_bounded_and_without_a_chroma_target_that_of_chroma_too(std, gain):
    curve = exposure_curve(Statistics(0.5, std, 0.3), Statistics(0.45, 0.25))
    assert curve.gain == curve.chroma_gain == gain


@pytest.mark.parametrize("chroma, gain", [(0.0, 4.0), (0.01, 4.0), (0.4, 0.2), (0.05, 1.0)])
def test_the_gain_of_chroma_is_bounded(chroma, gain):
    assert exposure_curve(Statistics(0.5, 0.2, chroma), Statistics(0.45, 0.25, 0.05)).chroma_gain == gain


def test_first_frame_counts_whole_and_later_ones_a_tenth():
    target = Statistics(0.45, 0.25, 0.05)
    meter = ExposureMeter(*target)
    assert meter.update(grey(51)) == pytest.approx(exposure_curve(Statistics(0.2, 0.0, 0.0), target))
    assert meter.update(grey(153)) == pytest.approx(exposure_curve(Statistics(0.24, 0.0, 0.0), target))
    meter.reset()
    red = np.zeros((16, 16, 3), np.uint8)
    red[..., 0] = 255
    assert meter.update(red) == pytest.approx(exposure_curve(statistics(red), target))
    smoothed = Statistics(*(0.9 * old + 0.1 * new for old, new in zip(statistics(red), statistics(grey(51)))))
    assert meter.update(grey(51)) == pytest.approx(exposure_curve(smoothed, target))


CURVES = [
    Curve(1.0, 0.0, 1.0),
    Curve(1.37, -0.08, 1.37),
    Curve(3.0, -1.0, 0.2),
    Curve(0.5, 0.4, 4.0),
    Curve(2.0, 0.5, 2.0),
]


@pytest.mark.parametrize("curve", CURVES)
def test_rgb_is_rounded_to_nearest_and_saturates(curve):
    luma = yuv_of(noise)[0][..., np.newaxis]
    exact = np.clip(255 * (curve.gain * luma + curve.offset + curve.chroma_gain * (noise / 255.0 - luma)), 0, 255)
    assert np.abs(exposed(noise, curve) - exact).max() < 0.502


@pytest.mark.parametrize("curve", CURVES)
def test_yuv_is_two_tables(curve):
    """Y by the gain and the offset, U and V by the gain of chroma, each within its range."""
    y = 16 + 219 * np.clip(curve.gain * (noise[..., :1] - 16.0) / 219 + curve.offset, 0, 1)
    uv = np.clip(128 + curve.chroma_gain * (noise[..., 1:] - 128.0), 16, 240)
    assert np.abs(exposed(noise, curve, "yuv") - np.concatenate([y, uv], -1)).max() <= 0.5 + 1e-9


@pytest.mark.parametrize("curve", CURVES)
def test_yuv_is_bit_for_bit_the_rounded_formula(curve):
    y = np.clip(np.rint(curve.gain * (noise[..., :1].astype(int) - 16) + (16 + 219 * curve.offset)), 16, 235)
    uv = np.clip(np.rint(curve.chroma_gain * (noise[..., 1:].astype(int) - 128) + 128), 16, 240)
    wanted = np.concatenate([y, uv], -1)
    assert np.array_equal(exposed(noise, curve, "yuv"), wanted)
    in_place = noise.copy()
    expose(in_place, curve, in_place, "yuv")
    assert np.array_equal(in_place, wanted)


@pytest.mark.parametrize("curve", [Curve(1.2, -0.05, 0.6), Curve(0.8, 0.1, 0.8)])
def test_yuv_and_rgb_come_to_the_same_exposure(curve):
    pale = 96 + noise // 4  # stays clear of the ends, where one clips Y, U and V and the other R, G and B
    by_yuv = converted(exposed(converted(pale, "rgb", "yuv"), curve, "yuv"), "yuv", "rgb")
    assert np.abs(by_yuv.astype(int) - exposed(pale, curve)).max() <= 4


@pytest.mark.parametrize("pixels, curve", [("rgb", CURVES[0]), ("rgb", CURVES[2]), ("yuv", CURVES[2])])
def test_a_view_with_strides_is_fine_and_bits_can_be_flipped(pixels, curve):
    view, out = noise[3:33, 5:35], np.empty((30, 60, 3), np.uint8)[:, ::2]
    expose(view, curve, out, pixels, 0x80)
    assert np.array_equal(out ^ 0x80, exposed(view.copy(), curve, pixels))
