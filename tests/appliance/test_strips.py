import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from appliance.engine import strips
from appliance.engine.strips import strips_of


@given(st.integers(1, 1200), st.integers(0, 20))
def test_equally_high_strips_whose_kept_rows_are_the_picture(height, reach):
    rows, parts = strips_of(height, reach)
    if not parts:
        assert height <= max(24, 12 * reach)
        return
    assert 2 * reach < rows < height
    begins, ends = [one.top + one.first for one in parts], [one.top + one.end for one in parts]
    assert begins[0] == 0 and ends[-1] == height
    assert all(begin <= end for begin, end in zip(begins[1:], ends))  # no row is left out
    for top, first, end in parts:
        assert 0 <= top <= height - rows
        assert first == (reach if top else 0) and end == (rows if top + rows == height else rows - reach)


@given(st.integers(100, 1200), st.integers(0, 8))
def test_little_is_computed_twice(height, reach):
    rows, parts = strips_of(height, reach)
    assert rows * len(parts) < 1.3 * height


@pytest.mark.parametrize("reach", [0, 1, 3])
def test_a_filter_makes_the_same_of_strips_as_of_the_whole(reach, monkeypatch):
    monkeypatch.setattr(strips, "_ROWS", 7)
    picture = np.random.RandomState(0).rand(100)

    def filtered(part):
        return np.convolve(part, np.arange(1.0, 2 * reach + 2), "same")

    rows, parts = strips_of(len(picture), reach)
    made = np.full(len(picture), np.nan)
    for top, first, end in parts:
        made[top + first : top + end] = filtered(picture[top : top + rows])[first:end]
    assert np.allclose(made, filtered(picture), rtol=1e-12)
