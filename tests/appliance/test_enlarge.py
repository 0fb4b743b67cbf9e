"""Pictures on screens of other sizes and shapes: where they go, and how they are scaled."""

from fractions import Fraction

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from appliance.display.enlarge import Enlarger, taps
from appliance.display.placing import Placing, Showing, enlargement, reduced


def noise(width, height, seed=0):
    return np.random.RandomState(seed).randint(0, 256, (height, width, 4)).astype(np.uint8).view(np.uint32)[..., 0]


def as_bytes(picture):
    return np.ascontiguousarray(picture).view(np.uint8).reshape(picture.shape + (4,))


def enlarged(picture, zoom):
    enlarger = Enlarger(picture.shape[::-1], Fraction(zoom))
    out = np.zeros(enlarger.out_size[::-1], np.uint32)
    enlarger(picture, out)
    return out


def bilinear(picture, zoom):
    """Exact bilinear interpolation between the centres of pixels."""
    values = as_bytes(picture).astype(float)
    for axis in (0, 1):
        count = values.shape[axis]
        position = (np.arange(int(count * zoom)) + 0.5) / float(zoom) - 0.5
        low = np.floor(position).astype(int)
        part = (position - low).reshape((-1, 1, 1) if axis == 0 else (1, -1, 1))
        near, far = (values.take(np.clip(low + step, 0, count - 1), axis) for step in (0, 1))
        values = near * (1 - part) + far * part
    return values


# Whole zooms to 1/32 of the distance of two pixels along each axis and the steps lost in rounding; others to a quarter.
@pytest.mark.parametrize("zoom, bound", [(2, 2), (3, 16), (4, 18), (6, 18), ("5/2", 20), ("15/4", 64), ("32/15", 64)])
def test_it_is_bilinear(zoom, bound):
    zoom = Fraction(zoom)
    picture = noise(64, 45)
    error = as_bytes(enlarged(picture, zoom)) - bilinear(picture, zoom)
    assert np.abs(error).max() <= bound and abs(error.mean()) < 0.3


@settings(max_examples=40, deadline=None)
@given(st.integers(1, 70), st.integers(1, 70), st.integers(1, 200), st.integers(1, 32), st.integers(0, 99))
def test_any_size_by_any_ratio(width, height, numerator, denominator, seed):
    zoom = min(Fraction(max(numerator, denominator), denominator), Fraction(12))
    picture = noise(width, height, seed)
    out = enlarged(picture, zoom)
    assert out.shape == (int(height * zoom), int(width * zoom))
    assert out.size == 0 or np.abs(as_bytes(out) - bilinear(picture, zoom)).max() <= 64
    assert (enlarged(np.full_like(picture, 0x01FE80FF), zoom) == 0x01FE80FF).all()


def test_bands_leave_no_seam():
    picture = noise(640, 360)
    for zoom in (Fraction(3), Fraction(15, 4)):
        whole = enlarged(picture, zoom)
        for top in (24, 100, 232):  # elsewhere in its band
            rows = enlarged(picture[top:], zoom)
            start = int(top * zoom) if (top * zoom).denominator == 1 else None
            assert start is not None and np.array_equal(rows[8:], whole[start + 8 :])


def test_three_times_as_large_has_no_squares():
    picture = np.repeat(np.array([[0, 0, 0, 240, 240, 240]], np.uint8), 6, axis=0)
    steps = as_bytes(enlarged((picture.astype(np.uint32) * 0x01010101), 3))[9, :, 0].astype(int)
    assert np.abs(np.diff(steps)).max() <= 240 * 6 / 16 and (np.diff(steps) >= 0).all()
    shown = as_bytes(enlarged(noise(64, 36), 3)).astype(int)
    for axis in (0, 1):  # within what was one pixel, and from it to the next one
        inside = np.diff(shown, axis=axis)
        inner = np.abs(inside.take(np.arange(3, 90, 3), axis)).mean()
        outer = np.abs(inside.take(np.arange(2, 90, 3), axis)).mean()
        assert inner > 0.7 * outer


def test_it_only_writes_where_the_picture_goes():
    class WriteOnly(np.ndarray):
        def __array_ufunc__(self, ufunc, method, *inputs, out=(), **settings):
            assert not any(isinstance(each, WriteOnly) for each in inputs)
            plain = tuple(np.asarray(each) for each in out)
            return getattr(ufunc, method)(*inputs, out=plain, **settings)

    picture = noise(32, 18)
    out = np.full((56, 98), 7, np.uint32)
    Enlarger((32, 18), Fraction(3))(picture, out[1:55, 1:97].view(WriteOnly))
    assert np.array_equal(out[1:55, 1:97], enlarged(picture, 3))
    assert (out[0] == 7).all() and (out[:, 0] == 7).all() and (out[55] == 7).all() and (out[:, 97] == 7).all()


def test_few_weights_and_whole_periods():
    for zoom in (Fraction(3), Fraction(15, 4), Fraction(64, 15), Fraction(1)):
        found = taps(zoom)
        assert len(found) == zoom.numerator and len({tap.weight for tap in found} - {0}) <= 3
        assert all(-1 <= tap.far <= zoom.denominator and 0 <= tap.near < zoom.denominator for tap in found)


# Where


@pytest.mark.parametrize(
    "size, screen, rotate, cover, turned, place",
    [
        ((640, 360), (1920, 1080), 0, False, (640, 360), (0, 0, 1920, 1080)),
        ((512, 216), (1920, 1080), 0, False, (512, 216), (0, 135, 1920, 810)),
        ((640, 360), (1024, 768), 0, False, (640, 360), (0, 96, 1024, 576)),
        ((640, 360), (1024, 768), 0, True, (480, 360), (0, 0, 1024, 768)),
        ((640, 360), (1920, 1080), 90, False, (360, 640), (657, 0, 606, 1080)),
        ((640, 360), (1920, 1080), 270, True, (360, 203), (0, 0, 1920, 1080)),
        ((640, 360), (480, 320), 0, False, (640, 360), (0, 25, 480, 270)),
    ],
)
def test_places(size, screen, rotate, cover, turned, place):
    placing = Placing(size, screen, Showing(rotate, cover))
    assert placing.size == turned and placing.place == place
    assert placing.prepared(noise(*size)).shape == turned[::-1]


def test_it_is_turned_clockwise():
    picture = np.arange(6, dtype=np.uint32).reshape(2, 3)
    shown = [Placing((3, 2), (30, 20), Showing(rotate)).prepared(picture).tolist() for rotate in (0, 90, 180, 270)]
    assert shown == [[[0, 1, 2], [3, 4, 5]], [[3, 0], [4, 1], [5, 2]], [[5, 4, 3], [2, 1, 0]], [[2, 5], [1, 4], [0, 3]]]


@settings(max_examples=100, deadline=None)
@given(st.integers(16, 1280), st.integers(16, 720), st.integers(1280, 4000), st.integers(720, 2200))
def test_the_zoom_fits_and_wastes_little(width, height, across, down):
    zoom = enlargement((width, height), (across, down))
    assert int(width * zoom) <= across and int(height * zoom) <= down
    assert width * zoom > 0.96 * across or height * zoom > 0.96 * down
    zoom = enlargement((width, height), (across, down), cover=True)
    assert int(width * zoom) >= across and int(height * zoom) >= down


def test_a_picture_is_averaged_down():
    assert np.abs(as_bytes(reduced(noise(640, 360), (64, 36))).astype(int) - 127).max() < 60
    assert reduced(noise(640, 360), (480, 270)).shape == (270, 480)
