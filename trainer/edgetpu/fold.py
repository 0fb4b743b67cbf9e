"""Folds what stands between convolutions into their kernels and biases. Pure functions on NumPy arrays.

Kernels are (kh, kw, channels in, channels out), biases (channels out,).
"""

import keras
import numpy as np

from trainer.network import convolutions
from trainer.recipe import Network


def affine_into_convolution(kernel: np.ndarray, scale: np.ndarray, shift: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """(kernel, bias) of the one convolution that equals a bias-free one followed by scale * x + shift. Exact, borders
    included.
    """
    return kernel * scale, shift


def fold(student: keras.Model, spec: Network) -> dict[str, tuple[np.ndarray, np.ndarray]]:
    """A student's convolutions with its affine layers folded in: {name: (kernel, bias)}, float32, in order of
    execution.
    """
    folded = {}
    for name, *_ in convolutions(spec):
        layer = student.get_layer(name)
        if name == "image":
            folded[name] = tuple(np.array(array) for array in layer.get_weights())
        else:
            scale, shift = (np.array(array) for array in student.get_layer(f"{name}_norm").get_weights())
            folded[name] = affine_into_convolution(np.array(layer.kernel), scale, shift)
    return folded
