"""Keeps TensorFlow's start-up messages, which come from C++ and cannot be switched off, from the terminal."""

import contextlib
import os
import sys
import warnings

from trainer import caches


def choose_backend() -> None:
    """Settings for Keras, TensorFlow and JAX, which have to be there before they are imported."""
    os.environ.setdefault("KERAS_BACKEND", "jax")
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
    caches.keep_compiled()


@contextlib.contextmanager
def quiet():
    """Discards the process's standard error inside the `with` block, C++ included. Exceptions pass."""
    sys.stderr.flush()
    kept = os.dup(2)
    try:
        with open(os.devnull, "w") as null, warnings.catch_warnings():
            warnings.simplefilter("ignore")
            os.dup2(null.fileno(), 2)
            yield
    finally:
        os.dup2(kept, 2)
        os.close(kept)


def import_tensorflow() -> None:
    """Imports TensorFlow, if installed, without its messages; Keras would import it later with them."""
    with quiet(), contextlib.suppress(ImportError):
        import tensorflow  # noqa: F401
