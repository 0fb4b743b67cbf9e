"""The examples run as their first lines say, here with a small style under the name that they ask for."""

import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from appliance.style import bundle

ROOT = Path(__file__).parents[1]


@pytest.fixture
def example(tmp_path):
    """A function that runs an example in a folder with a style and returns what it prints."""
    tiny = bundle.read(ROOT / "tests/data/tiny.reconet")
    fields = tiny.manifest.model_dump(exclude_none=True)
    bundle.write(tmp_path / "starry_night.reconet", {**fields, "name": "starry_night"}, tiny.files)

    def run(name, *arguments):
        return subprocess.check_output(
            [sys.executable, ROOT / "examples" / name, *arguments],
            cwd=tmp_path,
            env={**os.environ, "RECONET_STYLES": str(tmp_path), "PYTHONPATH": str(ROOT)},
            text=True,
        )

    return run


def test_a_film_through_a_style(example, tmp_path):
    (tmp_path / "in").mkdir()
    for index in range(3):
        Image.new("RGB", (100, 60), (80 * index, 80, 120)).save(tmp_path / f"in/{index}.png")
    assert example("film.py", "in", "out").startswith("3 frames at ")
    assert len(list((tmp_path / "out").glob("*.png"))) == 3


def test_a_photograph_and_a_film_in_python(example, tmp_path):
    (tmp_path / "in").mkdir()
    for index in range(2):
        Image.new("RGB", (60, 36), (80 * index, 80, 120)).save(tmp_path / f"in/{index}.png")
    assert example("paint.py", "in/0.png", "in", "out") == "0.00 s: 60x36\n0.03 s: 60x36\n"
    assert {Image.open(path).size for path in (tmp_path / "out").iterdir()} == {(60, 36)}
    assert sorted(path.name for path in (tmp_path / "out").iterdir()) == ["0000.png", "0001.png", "photo.png"]


def test_a_camera_of_your_own(example, tmp_path):
    assert example("own_camera.py", "out") == "60 frames\n"
    first, last = (np.asarray(Image.open(tmp_path / f"out/frame_0000{n}.png")) for n in ("01", "60"))
    assert (first != last).any()


def test_the_gallery_of_a_style(example, tmp_path):
    (tmp_path / "gallery/photographs").mkdir(parents=True)
    for index in range(4):
        Image.new("RGB", (64, 36), (60 * index, 80, 120)).save(tmp_path / f"gallery/photographs/{index}.jpg")
    example("gallery.py", "starry_night", "gallery")
    assert Image.open(tmp_path / "gallery/starry_night.jpg").size == (128, 72)
    film = Image.open(tmp_path / "gallery/starry_night.webp")
    assert film.size == (384, 216) and film.n_frames > 10


def test_every_example_is_run_here():
    text = Path(__file__).read_text()
    assert all(f'"{path.name}"' in text for path in (ROOT / "examples").glob("*.py"))
