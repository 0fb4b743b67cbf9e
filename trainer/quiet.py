"""Keeps TensorFlow's start-up chatter, which comes from C++ and obeys no setting, off the user's terminal."""

import contextlib
import os
import sys
import warnings


@contextlib.contextmanager
def quiet():
    """Nothing reaches the process's standard error from inside, not even from C++. Exceptions pass."""
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
    """Imports TensorFlow if it is installed; Keras would do it later, and noisily, when it saves a model."""
    with quiet(), contextlib.suppress(ImportError):
        import tensorflow  # noqa: F401
