"""Makes another style from a run's networks by exchanging red and blue in their output."""

import os
import sys
from pathlib import Path

os.environ.setdefault("KERAS_BACKEND", "jax")

import keras

import trainer.network  # noqa: F401  (Keras finds its layers there)

for name in ("teacher", "student"):
    path = Path(sys.argv[1]) / f"{name}.keras"
    model = keras.saving.load_model(path, compile=False)
    image = model.get_layer("image")
    image.set_weights([weight[..., ::-1] for weight in image.get_weights()])
    model.save(path)
