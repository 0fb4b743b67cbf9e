"""Fixtures for the trainer's tests, which need Keras, JAX and TensorFlow: left out without them, but never on CI."""

import os

os.environ.setdefault("KERAS_BACKEND", "jax")
os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
# Tests and the processes that they start compile the same programs many times.
os.environ.setdefault("JAX_COMPILATION_CACHE_DIR", str(ROOT / "build/jax"))
os.environ.setdefault("JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS", "0.5")

try:
    import jax  # noqa: F401
    import keras  # noqa: F401
    import numpy as np
    import tensorflow  # noqa: F401
except ImportError as error:
    if "CI" in os.environ:
        raise
    collect_ignore_glob = ["test_*.py"]
    print(f"tests/trainer left out: {error}: pip install -e '.[workstation,trainer,test]'")
else:
    from jaxtyping import install_import_hook
    from PIL import Image

    SHAPED = ("batches", "flow", "losses", "objectives", "perceptual")
    install_import_hook([f"trainer.{name}" for name in SHAPED], "beartype.beartype")  # checks shapes at every call
    from trainer.network import Network
    from trainer.perceptual import LAYERS
    from trainer.recipe import Recipe

    @pytest.fixture
    def rng():
        return np.random.default_rng(7)

    @pytest.fixture
    def spec():
        return Network(widths=(4, 8, 8), blocks=2)

    @pytest.fixture(scope="session")
    def data(tmp_path_factory):
        """A data folder: a painting, eight photographs and random VGG16 weights, small where it can be."""
        folder = tmp_path_factory.mktemp("data")
        rng = np.random.default_rng(1)
        (folder / "photos").mkdir()
        sources = sorted((ROOT / "appliance/camera/photos").glob("*.jpg"))
        for i in range(8):
            source = Image.open(sources[i % len(sources)])
            source.rotate(0 if i < len(sources) else 180).resize((96, 64)).save(folder / "photos" / f"{i}.jpg")
        Image.open(sources[0]).resize((96, 80)).save(folder / "painting.jpg")
        widths = dict(zip("12345", (64, 128, 256, 512, 512), strict=True))
        weights, channels = {}, 3
        for layer in LAYERS:
            width = widths[layer[4]]
            kernel = rng.normal(0, (2 / (9 * channels)) ** 0.5, (3, 3, channels, width)).astype("float16")
            weights |= {f"{layer}_kernel": kernel, f"{layer}_bias": np.zeros(width, "float16")}
            channels = width
        np.savez(folder / "vgg16.npz", **weights)
        return folder

    @pytest.fixture(scope="session")
    def fields():
        """The sections of a recipe that trains in seconds."""
        return {
            "name": "small",
            "title": "Small",
            "perceptual": "vgg16.npz",
            "data": {"painting": "painting.jpg", "painting_width": 96, "held_out": 2},
            "frame": {"width": 64, "height": 32},
            "network": {"widths": [4, 8, 8], "blocks": 1},
            "teacher": {"steps": 3, "batch": 1},
            "student": {"steps": 3, "batch": 1, "loss": {"teacher_output": 1.0, "teacher_features": 1.0}},
        }

    @pytest.fixture(scope="session")
    def recipe(fields):
        return Recipe.model_validate(fields)
