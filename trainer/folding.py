"""Normalisation into constants, and back: a network that learns with normalisation runs without.

On an Edge TPU a network has no statistics of its own picture. A normalisation that always subtracts the same mean and
divides by the same deviation is a scale and a shift per channel, which fold into the convolution before it. Batch
normalisation (Ioffe and Szegedy, ICML 2015) is meant for that.
"""

import keras
import numpy as np
from jaxtyping import Float
from keras import ops

from trainer import network
from trainer.sections import Network

STATISTICS = 24  # frames from which average statistics are taken


def folded(teacher: keras.Model, spec: Network, frames) -> keras.Model:
    """A student without normalisation whose constants are the teacher's average statistics on frames (B, H, W, 3) in
    0..1.

    A threshold t is max(x, t) = relu(x - t) + t: the shift before it takes -t, and the constant t afterwards goes
    through the next convolution into the next shift, and through a skip into the decoder's sum. That is exact except
    for the zero padding at the borders, which fine-tuning corrects.
    """
    student = network.build(spec, "affine")
    names = [name for name, *_ in network.convolutions(spec)]
    probe = keras.Model(teacher.input, {name: teacher.get_layer(name).output for name in names})
    activations = probe(frames)
    thresholds = {
        layer.name.removesuffix("_relu"): ops.convert_to_numpy(layer.threshold)
        for layer in teacher.layers
        if isinstance(layer, network.Threshold)
    }

    def through(kernel, source):
        return kernel.sum((0, 1)).T @ thresholds[source] if source in thresholds else 0.0

    stream: str | None = None  # the convolution or block whose threshold is contained in the next one's input
    for name in names[:-1]:
        kernel = ops.convert_to_numpy(teacher.get_layer(name).kernel)
        scale, shift = teacher.get_layer(f"{name}_norm").constants(activations[name])
        source: str | None
        if name.startswith("block") and name.endswith("b"):
            source, target = f"{name[:-1]}a", name[:-1]
            carried = thresholds.get(stream, 0.0) - thresholds.get(target, 0.0)
        else:
            source, target = stream, name
            skip = network.SKIPS.get(name) if spec.skips else None
            carried = thresholds.get(skip, 0.0) - thresholds.get(target, 0.0)
        student.get_layer(name).kernel.assign(kernel)
        student.get_layer(f"{name}_norm").scale.assign(scale)
        student.get_layer(f"{name}_norm").shift.assign(shift + scale * through(kernel, source) + carried)
        if not (name.startswith("block") and name.endswith("a")):
            stream = target
    last = teacher.get_layer("image")
    kernel, bias = (ops.convert_to_numpy(weight) for weight in (last.kernel, last.bias))
    student.get_layer("image").kernel.assign(kernel)
    student.get_layer("image").bias.assign(bias + through(kernel, stream))
    return student


def unfolded(student: keras.Model, spec: Network, frames: Float[np.ndarray, "count height width 3"]) -> list:
    """The weights with which a network with batch normalisation draws what the student draws, on frames in 0..1."""
    names = [name for name, *_ in network.convolutions(spec)][:-1]
    probe = keras.Model(student.input, {name: student.get_layer(name).output for name in names})
    activations = probe(frames)
    made = network.build(spec, "batch")
    made.set_weights(student.get_weights())
    for name in names:
        mean, variance = ops.moments(ops.cast(activations[name], "float32"), axes=(0, 1, 2))
        norm, deviation = made.get_layer(f"{name}_norm"), ops.sqrt(variance + network.EPSILON)
        norm.shift.assign(norm.shift + norm.scale * mean)
        norm.scale.assign(norm.scale * deviation)
    return made.get_weights()
