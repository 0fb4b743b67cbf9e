import os
import resource
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from appliance.display import open_display
from appliance.errors import Problem
from appliance.frames import Frame
from appliance.sheet import ContactSheet

ROOT = Path(__file__).parents[2]
noise = np.random.RandomState(0)


def frames(count=5, size=(64, 48)):
    return [
        Frame(noise.randint(0, 256, (size[1], size[0], 3)).astype(np.uint8), 7.0 + index / 30, index)
        for index in range(count)
    ]


def shown(spec, film):
    display = open_display(str(spec))
    for frame in film:
        display.show(frame)
    return display


def decoded(path):
    av = pytest.importorskip("av", reason="PyAV is not installed")
    with av.open(str(path)) as container:
        stream = container.streams.video[0]
        return stream, [(frame.time, frame.to_ndarray(format="rgb24")) for frame in container.decode(stream)]


def test_none_takes_everything():
    shown("none", frames()).finish()


# Pictures


def test_pictures_are_exact_and_appear_when_finished(tmp_path):
    film = frames(3)
    display = shown(tmp_path / "out", film)
    assert not (tmp_path / "out").exists()
    display.finish()
    names = sorted(os.listdir(str(tmp_path / "out")))
    assert names == ["frame_000001.png", "frame_000002.png", "frame_000003.png"]
    assert all(
        np.array_equal(np.asarray(Image.open(str(tmp_path / "out" / name))), frame.pixels)
        for name, frame in zip(names, film)
    )


def test_an_empty_folder_is_filled_and_a_full_one_is_refused(tmp_path):
    shown(tmp_path, []).discard()
    (tmp_path / "in").mkdir()
    shown(tmp_path / "in", frames(1)).finish()
    with pytest.raises(Problem, match="not empty"):
        open_display(str(tmp_path / "in"))


# Video


def test_video_plays_anywhere_and_keeps_its_times(tmp_path):
    pytest.importorskip("av", reason="PyAV is not installed")
    film = [Frame(frame.pixels, 7.0 + time, frame.index) for frame, time in zip(frames(4), (0, 0.1, 0.5, 0.6))]
    shown(tmp_path / "a.mp4", film).finish()
    stream, pictures = decoded(tmp_path / "a.mp4")
    assert stream.codec_context.name == "h264" and stream.codec_context.pix_fmt == "yuv420p"
    assert [time for time, _ in pictures] == pytest.approx([0, 0.1, 0.5, 0.6], abs=1e-3)
    data = (tmp_path / "a.mp4").read_bytes()
    assert data.index(b"moov") < data.index(b"mdat")
    assert os.listdir(str(tmp_path)) == ["a.mp4"]


def test_odd_sizes_are_padded(tmp_path):
    pytest.importorskip("av", reason="PyAV is not installed")
    shown(tmp_path / "a.mp4", frames(2, (65, 47))).finish()
    assert decoded(tmp_path / "a.mp4")[1][0][1].shape == (48, 66, 3)


def test_a_film_without_frames_is_none(tmp_path):
    pytest.importorskip("av", reason="PyAV is not installed")
    with pytest.raises(Problem, match="no frame"):
        shown(tmp_path / "a.mp4", []).finish()
    assert not os.listdir(str(tmp_path))


# Both


@pytest.mark.parametrize("name", ["a.mp4", "folder"])
def test_discard_leaves_nothing_and_what_was_there_stays(tmp_path, name):
    if name == "a.mp4":
        pytest.importorskip("av", reason="PyAV is not installed")
        (tmp_path / name).write_bytes(b"the film before")
    before = os.listdir(str(tmp_path))
    display = shown(tmp_path / name, frames())
    display.discard()
    display.discard()
    assert os.listdir(str(tmp_path)) == before


@pytest.mark.parametrize(
    "name, words",
    [
        ("none/a.mp4", "create the folder"),
        ("none/folder", "create the folder"),
        ("a.gif", "unknown kind '.gif'"),
        ("folder.mp4", "it is a folder"),
        ("file", "cannot write"),
    ],
)
def test_places_that_cannot_be_written(tmp_path, name, words):
    if name.endswith(".mp4"):
        pytest.importorskip("av", reason="PyAV is not installed")
    (tmp_path / "folder.mp4").mkdir()
    (tmp_path / "file").write_bytes(b"")
    with pytest.raises(Problem, match=words):
        shown(tmp_path / name, frames(1)).finish()
    assert sorted(os.listdir(str(tmp_path))) == ["file", "folder.mp4"]


LIMITED = """
import resource, sys
import numpy as np
from appliance.display import open_display
from appliance.errors import Problem
from appliance.frames import Frame
resource.setrlimit(resource.RLIMIT_FSIZE, (20000, resource.RLIM_INFINITY))
noise = np.random.RandomState(0)
display = open_display(sys.argv[1])
try:
    for index in range(60):
        pixels = noise.randint(0, 256, (120, 160, 3)).astype(np.uint8)
        display.show(Frame(pixels, index / 30, index))
    display.finish()
except Problem as problem:
    display.discard()
    sys.exit("Problem: {}".format(problem))
"""


@pytest.mark.parametrize("name", ["a.mp4", "folder"])
def test_a_full_disk_is_one_line_and_leaves_nothing(tmp_path, name):
    """A limit on the size of files stands in for a disk that is full: a write fails in the middle."""
    if name == "a.mp4":
        pytest.importorskip("av", reason="PyAV is not installed")
    assert resource.getrlimit(resource.RLIMIT_FSIZE)[0] == resource.RLIM_INFINITY
    done = subprocess.run(
        [sys.executable, "-c", LIMITED, str(tmp_path / name)],
        cwd=str(ROOT),
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        universal_newlines=True,
    )
    assert done.returncode == 1 and "Problem: cannot write" in done.stderr and "file too large" in done.stderr
    assert not os.listdir(str(tmp_path))


# The contact sheet


@pytest.mark.parametrize("count, columns", [(1, 1), (2, 2), (3, 3), (10, 3), (1000, 3)])
def test_sheet_spreads_its_columns_over_the_run(tmp_path, count, columns):
    sheet = ContactSheet()
    for index in range(count):
        value = 200 * index // count
        sheet.add(np.full((10, 20, 3), value, np.uint8), np.full((10, 20, 3), value + 50, np.uint8))
    sheet.save(tmp_path / "sheet.png")
    pixels = np.asarray(Image.open(str(tmp_path / "sheet.png")))
    assert pixels.shape == (28, 28 * columns - 8, 3)
    values = [int(pixels[5, 28 * column + 5, 0]) for column in range(columns)]
    assert [int(pixels[23, 28 * column + 5, 0]) - 50 for column in range(columns)] == values
    if count >= 10:
        assert values == pytest.approx([33, 100, 167], abs=25)


def test_an_empty_sheet_is_a_problem(tmp_path):
    with pytest.raises(Problem, match="no frame"):
        ContactSheet().save(tmp_path / "sheet.png")
    assert not os.listdir(str(tmp_path))


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write anywhere")
def test_a_folder_without_permission(tmp_path):
    (tmp_path / "locked").mkdir()
    (tmp_path / "locked").chmod(0o500)
    with pytest.raises(Problem, match="permission denied: choose a place you may write to"):
        open_display(str(tmp_path / "locked" / "out"))
