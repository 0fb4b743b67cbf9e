"""Style, for other programs."""

import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

import appliance
from appliance import Style
from appliance.errors import Problem

from . import clips

ROOT = Path(__file__).parents[2]


@pytest.mark.parametrize("size", [(60, 36), (36, 60), (64, 32)])
def test_a_picture_keeps_its_shape(styles, size):
    painted = Style("tiny")(clips.corners(size))
    assert painted.dtype == np.uint8 and painted.shape == (size[1], size[0], 3)
    assert (painted != clips.corners(size)).any()


def test_each_picture_is_painted_by_itself(styles, tiny_yuv):
    style = Style(tiny_yuv.path)
    first = style(clips.corners((60, 36)))
    style(np.full((36, 60, 3), 20, np.uint8))
    assert np.array_equal(style(clips.corners((60, 36))), first)


def test_size_is_the_most(styles):
    assert Style("tiny", size=(128, 64))(clips.corners((800, 400))).shape == (64, 128, 3)


def test_the_default_style_and_what_it_is_called(styles, tiny):
    assert (Style().name, Style().title) == (tiny.name, tiny.manifest.title)


@pytest.mark.parametrize(
    "picture",
    [
        np.zeros((36, 60, 3)),
        np.zeros((36, 60), np.uint8),
        np.zeros((48, 80, 4), np.uint8),
        np.zeros((0, 8, 3), np.uint8),
    ],
    ids=["float", "grey", "alpha", "empty"],
)
def test_other_arrays_are_refused_in_words(styles, picture):
    with pytest.raises(ValueError, match="uint8, .height, width, 3"):
        Style("tiny")(picture)


def test_unknown_styles_and_sizes(styles):
    with pytest.raises(Problem, match="there is tiny"):
        Style("guernica")
    with pytest.raises(Problem, match="multiples of 4"):
        Style("tiny", size=(63, 31))


def test_a_folder_of_pictures_frame_by_frame(styles, tmp_path):
    for number, size in enumerate([(60, 36), (36, 60)]):
        Image.fromarray(clips.corners(size)).save(str(tmp_path / f"{number}.png"))
    frames = list(Style("tiny").film(tmp_path))
    assert [frame.pixels.shape for frame in frames] == [(36, 60, 3), (60, 36, 3)]
    assert [frame.index for frame in frames] == [0, 1] and frames[1].timestamp == pytest.approx(1 / 30)


def test_a_film_frame_by_frame(styles, tmp_path):
    path = clips.write(tmp_path / "a.mp4", [clips.corners((64, 32))] * 25, 25)
    frames = list(Style("tiny").film(path, seconds=0.4))
    assert [frame.timestamp for frame in frames] == pytest.approx([number / 25 for number in range(10)], abs=1e-3)
    assert all(frame.pixels.shape == (32, 64, 3) and frame.duration == pytest.approx(0.04) for frame in frames)


def test_the_package_is_light_until_it_is_used():
    script = "import sys, appliance; print(sorted({'numpy', 'PIL', 'pydantic', 'av'} & set(sys.modules)))"
    assert subprocess.check_output([sys.executable, "-c", script], cwd=str(ROOT)).strip() == b"[]"


def test_the_package_has_nothing_else():
    assert not hasattr(appliance, "Painter") and appliance.__version__
