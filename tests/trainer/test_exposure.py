"""The trainer and the appliance must bring a frame to the same exposure: one in floats, one by a table of bytes."""

import numpy as np
import pytest
from PIL import Image

from trainer.evaluation import expose, meter
from trainer.training import still_frames

from .conftest import ROOT


@pytest.mark.parametrize("brightness, contrast", [(0, 1.0), (-60, 0.4), (60, 0.6), (0, 0.05)])
def test_training_frames_look_like_the_appliances(recipe, brightness, contrast):
    picture = np.asarray(Image.open(ROOT / "appliance/camera/photos/rocket.jpg").resize((64, 32)), "float32")
    photo = np.clip((picture - 128) * contrast + 128 + brightness, 0, 255).astype("uint8")
    appliance = expose(photo, meter(recipe.frame)) / 255
    trainer = still_frames(photo[None], recipe)[0]
    # The appliance looks at every fourth row and column only, so on so small a picture the two differ a little.
    assert np.abs(appliance - trainer).mean() < 0.03
    luma = trainer @ np.array([0.299, 0.587, 0.114])
    assert luma.mean() == pytest.approx(recipe.frame.exposure_mean, abs=0.05)
