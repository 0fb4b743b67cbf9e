"""Folded weights to one int8 TFLite network, calibrated on real frames."""

import keras
import numpy as np

from appliance.errors import Problem
from trainer.network import EPSILON, convolutions
from trainer.quiet import quiet
from trainer.recipe import Network


def forward(weights: dict, spec: Network, pixels, normalise=lambda x, name: x):
    """The folded network in TensorFlow operations that an Edge TPU knows: (1, H, W, 3) in 0..1 -> (1, H, W, 3) in
    -1..1. What comes out of a convolution but the last goes through normalise(x, its name), nothing when folded.
    """
    import tensorflow as tf

    strides = {name: stride for name, _, _, stride in convolutions(spec)}

    def conv(x, name):
        kernel, bias = weights[name]
        x = tf.nn.bias_add(tf.nn.conv2d(x, kernel, strides[name], "SAME"), bias)
        return x if name == "image" else normalise(x, name)

    def upsample(x):
        # Keras' own layer becomes TILE v3, which the board's runtime cannot load.
        return tf.raw_ops.ResizeNearestNeighbor(images=x, size=[2 * x.shape[1], 2 * x.shape[2]])

    x = pixels
    for name in ("encoder1", "encoder2", "encoder3"):
        x = tf.nn.relu(conv(x, name))
    for i in range(1, spec.blocks + 1):
        x = tf.nn.relu(x + conv(tf.nn.relu(conv(x, f"block{i}a")), f"block{i}b"))
    for name in ("decoder1", "decoder2"):
        x = tf.nn.relu(conv(upsample(x), name))
    return tf.tanh(conv(x, "image"))


def convert(weights: dict, spec: Network, frames: np.ndarray, normalise=lambda x, name: x) -> bytes:
    """The whole network as int8 TFLite, batch 1, with ranges calibrated on frames (N, H, W, 3) in 0..1.

    The input's byte b stands for (b + 128) / 255 and the output's for b / 128. Raises Problem when frames cannot
    calibrate it.
    """
    import tensorflow as tf

    if not np.isfinite(frames).all() or frames.min() < 0 or frames.max() > 1:
        raise Problem("calibration frames: values outside 0..1")
    pinned = frames.astype("float32").copy()
    pinned[0, 0, :2] = [[0.0], [1.0]]  # two pixels that pin the input's range to 0..1

    @tf.function(input_signature=[tf.TensorSpec([1, *frames.shape[1:]], tf.float32)])
    def network(pixels):
        return forward(weights, spec, pixels, normalise)

    with quiet():
        converter = tf.lite.TFLiteConverter.from_concrete_functions([network.get_concrete_function()])
        converter.optimizations = [tf.lite.Optimize.DEFAULT]
        converter.representative_dataset = lambda: ([frame[None]] for frame in pinned)
        converter.target_spec.supported_ops = [tf.lite.OpsSet.TFLITE_BUILTINS_INT8]
        converter.inference_input_type = converter.inference_output_type = tf.int8
        return converter.convert()


def convert_instance_norm(model: keras.Model, spec: Network, frames: np.ndarray) -> bytes:
    """A network with instance normalisation as int8 TFLite, normalisation included: what a bundle never holds, to show
    what it costs. frames as in convert().
    """
    import tensorflow as tf

    weights = {}
    for name, _, channels, _ in convolutions(spec):
        arrays = [np.array(array) for array in model.get_layer(name).get_weights()]
        weights[name] = arrays if len(arrays) == 2 else (arrays[0], np.zeros(channels, "float32"))

    def normalise(x, name):
        scale, shift = (np.array(array) for array in model.get_layer(f"{name}_norm").get_weights())
        mean, variance = tf.nn.moments(x, [1, 2], keepdims=True)
        return (x - mean) * tf.math.rsqrt(variance + EPSILON) * scale + shift

    return convert(weights, spec, frames, normalise)
