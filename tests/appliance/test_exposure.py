import numpy as np
import pytest

from appliance.engine.exposure import Curve, ExposureMeter, Statistics, Target, expose, exposure_curve, statistics
from appliance.frames import converted

noise = np.random.RandomState(0).randint(0, 256, (37, 53, 3)).astype(np.uint8)


TARGET = Target(0.45, 0.25, 0.05)


def smooth_room():
    """Something to look at, 0..255, (108, 256, 3)."""
    y, x = np.mgrid[:108, :256] / 40.0
    levels = 120 + 55 * np.sin(x) * np.cos(1.3 * y + 0.4) + 35 * np.sign(np.sin(2.3 * x + y))
    return levels[..., None] * [1.0, 0.95, 0.85]


ROOM = smooth_room()


def sensed(levels, sigma=0.0, seed=0):
    levels = levels + sigma * np.random.RandomState(seed).standard_normal(levels.shape)
    return np.clip(np.rint(levels), 0, 255).astype(np.uint8)


def settled_meter(levels):
    meter = ExposureMeter(*TARGET[:3])
    for _ in range(25):
        meter.update(sensed(levels))
    return meter


def exposed_luma(meter, levels):
    frame = sensed(levels)
    return yuv_of(exposed(frame, meter.update(frame)))[0] * 255


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
    assert statistics(noise)[:3] == pytest.approx(wanted, abs=1e-6)
    assert statistics(grey(51)) == pytest.approx((0.2, 0.0, 0.0, 0.0, 0.0), abs=1e-6)


def test_yuv_has_the_statistics_of_its_rgb():
    assert statistics(converted(noise, "rgb", "yuv"), "yuv")[:3] == pytest.approx(statistics(noise)[:3], abs=1e-3)
    assert statistics(converted(grey(51), "rgb", "yuv"), "yuv")[:3] == pytest.approx((0.2, 0.0, 0.0), abs=3e-3)


def test_statistics_of_yuv_are_exact():
    y, u, v = np.moveaxis((noise[::4, ::4] - np.array([16.0, 128, 128])) / [219, 224, 224], -1, 0)
    wanted = y.mean(), y.std(), np.sqrt((u**2 + v**2).mean() / 2)
    assert statistics(noise, "yuv")[:3] == pytest.approx(wanted, rel=1e-12)
    assert statistics(np.full((9, 9, 3), (77, 128, 128), np.uint8), "yuv") == (61 / 219, 0.0, 0.0, 0.0, 0.0)


@pytest.mark.parametrize("pixels", ["rgb", "yuv"])
def test_noise_is_distinguished_from_edges(pixels):
    picture = np.zeros((108, 256, 3))
    picture[:, 100:] = 120  # one edge, which is no noise
    found = statistics(converted(sensed(60 + picture, 6), "rgb", pixels), pixels)
    assert (
        found.noise == pytest.approx(6 * np.hypot(np.hypot(0.299, 0.587), 0.114) / 255, rel=0.25)
        and found.std > 5 * found.noise
    )
    assert 0.3 * found.chroma_noise < found.chroma < 1.5 * found.chroma_noise


def test_the_curve_brings_a_frame_to_the_targets():
    curve = exposure_curve(Statistics(0.2, 0.1, 0.02), TARGET)
    assert curve.gain == pytest.approx(2.5) and curve.chroma_gain == pytest.approx(2.5)
    assert curve.gain * 0.2 + curve.offset == pytest.approx(0.45)


@pytest.mark.parametrize("std, gain", [(0.08, 3.0), (0.9, 0.5)])
def test_the_gain_is_bounded_and_without_a_chroma_target_that_of_chroma_too(std, gain):
    curve = exposure_curve(Statistics(0.5, std, 0.3), Target(0.45, 0.25))
    assert curve.gain == curve.chroma_gain == pytest.approx(gain)


@pytest.mark.parametrize("chroma, gain", [(0.0125, 4.0), (0.4, 0.2), (0.05, 1.0)])
def test_the_gain_of_chroma_is_bounded(chroma, gain):
    assert exposure_curve(Statistics(0.5, 0.2, chroma), TARGET).chroma_gain == pytest.approx(gain)


@pytest.mark.parametrize("mean", [0.02, 0.3, 0.8])
@pytest.mark.parametrize("std, noise", [(0.0, 0.0), (0.01, 0.0), (0.04, 0.04)])
def test_without_contrast_beside_noise_the_mean_stays_and_noise_shrinks(mean, std, noise):
    now = Statistics(mean, std, 0.002, noise, 0.002)
    assert exposure_curve(now, TARGET) == pytest.approx((0.5, 0.5 * mean, 0.5))


def test_a_coloured_wall_without_contrast_keeps_its_colour():
    assert exposure_curve(Statistics(0.5, 0.005, 0.1), TARGET).chroma_gain == pytest.approx(1)


def test_without_colour_beside_noise_there_is_no_gain_of_chroma():
    assert exposure_curve(Statistics(0.4, 0.2, 0.01, 0.0, 0.01), TARGET).chroma_gain == 0.5
    assert exposure_curve(Statistics(0.4, 0.2, 0.01, 0.0, 0.0), TARGET).chroma_gain > 2


def test_the_gain_fades_without_a_step():
    gains = np.array([exposure_curve(Statistics(0.4, std, 0.05), TARGET)[:2] for std in np.linspace(0, 0.25, 251)])
    assert np.abs(np.diff(gains, axis=0)).max() < 0.07 and gains[-1] == pytest.approx((1, 0.05))


@pytest.mark.parametrize("factor", [4.0, 0.25])
def test_light_that_is_switched_is_followed_at_once(factor):
    room = ROOM * min(1, 1 / factor)
    meter = settled_meter(room)
    curve, fresh = meter.update(sensed(factor * room)), ExposureMeter(*TARGET[:3]).update(sensed(factor * room))
    assert curve == pytest.approx(fresh, abs=1e-3) and meter.jumped


@pytest.mark.parametrize("light", [[1, 0.45, 0.45, 0.45], [1, 0.4, 0.6, 0.5], [0.5, 1.1, 0.9, 1.0]])
def test_light_that_is_dimmed_and_a_camera_that_hunts_leave_the_picture_alone(light):
    """Over 10 frames, and some more that overshoot."""
    meter, wanted = settled_meter(light[0] * ROOM), exposed_luma(ExposureMeter(*TARGET[:3]), ROOM)
    levels = np.interp(range(30), [0, 10, 14, 18], light)
    away = [np.abs(exposed_luma(meter, level * ROOM) - wanted).mean() for level in levels]
    assert max(away) < 12 and away[-1] < 4


@pytest.mark.parametrize("level, wall", [(14, 118), (14, 60), (90, 200)])
def test_a_dark_figure_over_much_of_the_view_leaves_the_wall_alone(level, wall):
    picture = ROOM * 0.3 + wall - 40
    meter = settled_meter(picture)
    before = exposed_luma(meter, picture)[:, :64].mean()
    for number in range(60):
        step = min(number + 1, 8)
        seen = picture.copy()
        seen[:, 256 - 13 * step :] = level
        assert not meter.update(sensed(seen)).gain < 0 and not meter.jumped
        assert abs(exposed_luma(meter, seen)[:, :64].mean() - before) <= 8
    assert step * 13 / 256 > 0.4


def test_a_wall_that_turns_white_is_followed_within_seconds():
    """Half of the view lit by a lamp is neither all of the light nor someone who passes."""
    meter, seen = settled_meter(ROOM * 0.3), ROOM * 0.3
    seen[:, 160:] *= 3.2
    first = np.mean(exposed_luma(meter, seen)[:, 160:] >= 240)
    for _ in range(45):
        meter.update(sensed(seen))
    assert first > 0.5 and np.mean(exposed_luma(meter, seen)[:, 160:] >= 240) < first / 2


def test_another_scene_and_a_reset_count_whole():
    meter = settled_meter(ROOM)
    other = np.flip(255 - ROOM, 1)
    assert meter.update(sensed(other)) == pytest.approx(ExposureMeter(*TARGET[:3]).update(sensed(other)))
    assert meter.jumped
    meter.update(sensed(other))
    assert not meter.jumped
    meter.reset()
    assert meter.update(sensed(ROOM)) == ExposureMeter(*TARGET[:3]).update(sensed(ROOM)) and meter.jumped


def test_noise_alone_moves_nothing():
    meter = settled_meter(ROOM)
    curves = np.array([meter.update(sensed(ROOM, 8, seed)) for seed in range(20)])
    assert np.abs(np.diff(curves, axis=0)).max() < 2e-3 and not meter.jumped


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
