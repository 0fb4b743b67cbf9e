import importlib.util

import numpy as np
import pytest

from appliance.camera.virtual import VirtualCamera
from appliance.errors import Problem
from trainer import faces


@pytest.fixture(scope="module")
def find():
    return faces.detector()


@pytest.fixture(scope="module")
def portrait():
    return VirtualCamera(paced=False).picture(150)  # an astronaut, her face in the upper middle


def test_a_face_is_found_once_where_it_is(find, portrait):
    (box,) = find(portrait)
    left, top, right, bottom = box
    assert 150 < left < right < 500 and -40 < top < bottom < 250
    assert 60 < right - left < 250


def test_a_mirrored_face_is_found_at_the_mirrored_place(find, portrait):
    (box,), (mirrored,) = find(portrait), find(portrait[:, ::-1].copy())
    wanted = np.array([[640 - box[2], box[1], 640 - box[0], box[3]]])
    assert faces.overlap(mirrored, wanted)[0] > 0.7


def test_there_is_no_face_in_noise_or_in_a_flat_picture(find, rng):
    assert find(rng.integers(0, 256, (360, 640, 3), dtype="uint8")).shape == (0, 4)
    assert find(np.full((200, 100, 3), 90, "uint8")).shape == (0, 4)


def test_overlap_is_intersection_over_union():
    others = np.array([[0, 0, 2, 2], [1, 1, 3, 3], [5, 5, 6, 6.0]])
    assert faces.overlap(np.array([0, 0, 2, 2.0]), others) == pytest.approx([1, 1 / 7, 0])


def test_faces_are_kept_by_what_shows_them_and_lost_by_what_does_not(portrait):
    draw = {"same": lambda photo: photo, "grey": lambda photo: np.full_like(photo, 128)}
    assert faces.on_photos(draw, np.stack([portrait, portrait])) == {"found": 2, "kept": {"same": 1.0, "grey": 0.0}}


def test_photographs_without_faces_are_an_error_in_words():
    with pytest.raises(Problem, match="none found"):
        faces.on_photos({}, np.full((1, 360, 640, 3), 128, "uint8"))


def test_a_missing_package_is_named(monkeypatch):
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    with pytest.raises(Problem, match=r"pip install 'reconet-edgetpu\[faces\]'"):
        faces.detector()
