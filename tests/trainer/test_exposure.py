"""The trainer and the appliance must bring a frame to the same exposure: one in floats, one by tables of bytes."""

import numpy as np
import pytest
from PIL import Image, ImageFilter

from trainer.batches import normalise_exposure, still_frames
from trainer.evaluation import as_network_sees, as_on_board, meter
from trainer.sections import Frame

from .conftest import ROOT


@pytest.fixture
def picture():
    return np.asarray(Image.open(ROOT / "appliance/camera/photos/rocket.jpg").resize((64, 32)), "float32")


def luma(frames):
    return frames @ np.array([0.299, 0.587, 0.114])


def chroma(frames):
    u, v = (frames[..., 2] - luma(frames)) / 1.772, (frames[..., 0] - luma(frames)) / 1.402
    return np.sqrt(np.mean(u**2 + v**2) / 2)


def with_chroma(recipe, target):
    return recipe.model_copy(update={"frame": recipe.frame.model_copy(update={"exposure_chroma": target})})


@pytest.mark.parametrize("target", [None, 0.05])
@pytest.mark.parametrize("brightness, contrast", [(0, 1.0), (-60, 0.4), (60, 0.6), (0, 0.05)])
def test_training_frames_look_like_the_appliances(recipe, picture, brightness, contrast, target):
    # Detail in so small a picture would be taken for noise.
    picture = np.asarray(Image.fromarray(picture.astype("uint8")).filter(ImageFilter.GaussianBlur(4)), "float32")
    recipe = with_chroma(recipe, target)
    photo = np.clip((picture - 128) * contrast + 128 + brightness, 0, 255).astype("uint8")
    appliance = as_on_board(photo, meter(recipe.frame)) / 255
    trainer = still_frames(photo[None], recipe)[0]
    # The appliance looks at every fourth row and column only, so the two differ a little.
    assert np.abs(appliance - trainer).mean() < 0.03
    spread = luma(photo / 255).std()
    if not 0.01 < spread < 0.05:  # between them it goes part of the way
        mean = recipe.frame.exposure_mean if spread > 0.01 else luma(photo / 255).mean()
        assert luma(trainer).mean() == pytest.approx(mean, abs=0.05)


@pytest.mark.parametrize("saturation", [0.0, 0.3, 1.0, 3.0])
@pytest.mark.parametrize("target", [None, 0.03, 0.3])
def test_exposure_is_that_of_its_formula(picture, saturation, target):
    frame = Frame(exposure_mean=0.4, exposure_std=0.1, exposure_chroma=target)
    grey = luma(picture / 255)[..., None]
    frames = np.stack([grey + saturation * (picture / 255 - grey), 0.9 * picture / 255])
    y = luma(frames)[..., None]
    gain = np.clip(0.1 / y.std(), 0.5, 3.0)
    colour = gain if target is None else np.clip(target / max(chroma(frames), 1e-3), 0.2, 4.0)
    expected = np.clip(gain * (y - y.mean()) + 0.4 + colour * (frames - y), 0, 1)
    np.testing.assert_allclose(normalise_exposure(frames.astype("float32"), frame), expected, atol=1e-5)


@pytest.mark.parametrize("saturation", [0.4, 1.0, 1.6])
def test_pale_and_colourful_frames_look_equally_colourful(picture, saturation):
    frame = Frame(exposure_mean=0.5, exposure_std=0.1, exposure_chroma=0.04)
    grey = luma(picture / 255)[..., None]
    frames = (grey + saturation * (picture / 255 - grey))[None].astype("float32")
    exposed = np.asarray(normalise_exposure(frames, frame))
    assert chroma(exposed) == pytest.approx(0.04, abs=0.002)


@pytest.mark.parametrize("saturation, target", [(1.0, 0.05), (3.0, 0.3)])
def test_students_for_yuv_train_on_what_the_appliance_makes_of_it(recipe, picture, saturation, target):
    frame = with_chroma(recipe, target).frame
    grey = luma(picture)[..., None]
    photo = np.clip(grey + saturation * (picture - grey), 0, 255).astype("uint8")
    # Repeated, so that the appliance, which looks at every fourth row and column, sees every pixel.
    photo = photo.repeat(4, 0).repeat(4, 1)
    trained = np.asarray(normalise_exposure(photo[None].astype("float32") / 255, frame, "yuv"))[0]
    np.testing.assert_allclose(trained, as_network_sees(photo, meter(frame, "yuv")), atol=0.05)
    y = luma(trained)
    u, v = (trained[..., 2] - y) / 1.772, (trained[..., 0] - y) / 1.402
    assert -1e-6 < y.min() and y.max() < 1 + 1e-6
    assert max(np.abs(u).max(), np.abs(v).max()) < 0.5 + 1e-6
    assert trained.min() < 0 or trained.max() > 1  # and it is not what is clipped as RGB
