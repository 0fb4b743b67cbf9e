"""Converts folded weights to one int8 TFLite network, calibrated on real frames."""

import keras
import numpy as np

from appliance.errors import Problem
from appliance.frames import BLACK
from trainer.edgetpu.flatbuffer import operation, pack, unpack
from trainer.edgetpu.fold import at_low_resolution, cells_into_cells, nearest_into_transposed
from trainer.edgetpu.student import border
from trainer.network import EPSILON, SKIPS, convolutions
from trainer.quiet import quiet
from trainer.sections import Network


def forward(weights: dict, spec: Network, picture, plan: str = "split", normalise=lambda x, name: x, takes="rgb"):
    """The folded network in TensorFlow operations that an Edge TPU knows: (1, H, W, 3) in 0..1 -> (1, H, W, C) in
    -1..1, shuffled by the network's cell, or in the plan lowres by its stride. The output of every convolution but the
    last passes through normalise(x, its name), which does nothing when folded. A network with a border() needs a
    bordered() picture.
    """
    import tensorflow as tf

    strides = {name: stride for name, _, _, stride in convolutions(spec)}

    def conv(x, name):
        kernel, bias = weights[name]
        padding = "VALID" if name == "encoder1" and border(spec, takes) else "SAME"
        x = tf.nn.bias_add(tf.nn.conv2d(x, kernel, strides[name], padding), bias)
        return x if name == "image" else normalise(x, name)

    def upsample(x):
        # Keras' own layer becomes TILE v3, which the board's runtime cannot load.
        return tf.raw_ops.ResizeNearestNeighbor(images=x, size=[2 * x.shape[1], 2 * x.shape[2]])

    def decode(x, name):
        if plan == "split":
            return conv(upsample(x), name)
        kernel, bias = weights[name]
        if plan == "fused":
            shape = [1, 2 * x.shape[1], 2 * x.shape[2], kernel.shape[3]]
            return tf.nn.bias_add(tf.nn.conv2d_transpose(x, nearest_into_transposed(kernel), shape, 2, "SAME"), bias)
        return low_resolution(x, name, 1 if name == "decoder1" else 2, upsample=2)

    def low_resolution(x, name, factor, upsample=1):
        kernel, bias = weights[name]
        kernel, bias = at_low_resolution(kernel, bias, factor, upsample)
        if name == "image":
            kernel, bias = cells_into_cells(kernel, bias, factor, spec.cell)
        return tf.nn.bias_add(tf.nn.conv2d(x, kernel, 1, "SAME"), bias)

    def kept(plane, name):
        if plan != "lowres":
            return plane
        return tf.nn.space_to_depth(plane, 2 if name == "decoder1" else 4)  # shuffled as the decoder's output is

    x, planes = picture, {}
    for name in ("encoder1", "encoder2", "encoder3"):
        x = planes[name] = tf.nn.relu(conv(x, name))
    for i in range(1, spec.blocks + 1):
        x = tf.nn.relu(x + conv(tf.nn.relu(conv(x, f"block{i}a")), f"block{i}b"))
    for name, plane in SKIPS.items():
        x = decode(x, name)
        x = tf.nn.relu(x + kept(planes[plane], name) if spec.skips else x)
    return tf.tanh(low_resolution(x, "image", 4) if plan == "lowres" else conv(x, "image"))


def convert(
    weights: dict,
    spec: Network,
    frames: np.ndarray,
    plan: str = "split",
    normalise=lambda x, name: x,
    takes: str = "rgb",
    ends: str = "uint8",
) -> bytes:
    """The whole network, in the form of a plan (see edgetpu.cost), as int8 TFLite, batch 1.

    Its ranges are calibrated on frames (N, H, W, 3) in 0..1, of the pixels that it takes, "rgb" or "yuv".

    With `ends` "uint8" there is a QUANTIZE at each end: an input byte b means b / 255, an output byte (b - 128) / 128.
    With "int8" there is none, and bytes are lower by 128. Raises Problem when frames cannot calibrate it.
    """
    import tensorflow as tf

    if not np.isfinite(frames).all() or frames.min() < 0 or frames.max() > 1:
        raise Problem("calibration frames: values outside 0..1")
    pinned = bordered(frames.astype("float32"), border(spec, takes), takes)
    pinned[0, 0, :2] = [[0.0], [1.0]]  # two pixels that pin the input's range to 0..1

    @tf.function(input_signature=[tf.TensorSpec([1, *pinned.shape[1:]], tf.float32)])
    def network(picture):
        return forward(weights, spec, picture, plan, normalise, takes)

    with quiet():
        converter = tf.lite.TFLiteConverter.from_concrete_functions([network.get_concrete_function()])
        converter.optimizations = [tf.lite.Optimize.DEFAULT]
        converter.representative_dataset = lambda: ([frame[None]] for frame in pinned)
        converter.target_spec.supported_ops = [tf.lite.OpsSet.TFLITE_BUILTINS_INT8]
        converter.inference_input_type = converter.inference_output_type = getattr(tf, ends)
        return with_plain_activations(converter.convert())


def bordered(frames: np.ndarray, width: int, pixels: str = "yuv") -> np.ndarray:
    """A copy of frames (N, H, W, 3) of `pixels` in 0..1 with `width` pixels of black around each."""
    count, height, columns, channels = frames.shape
    made = np.empty((count, height + 2 * width, columns + 2 * width, channels), frames.dtype)
    made[:] = np.array(BLACK[pixels]) / 255
    made[:, width : width + height, width : width + columns] = frames
    return made


def with_plain_activations(data: bytes) -> bytes:
    """The same network without rectifiers fused into its transposed convolutions, which makes them version 4.

    The board's runtime knows version 3. Where the output's zero-point is -128, the lowest byte, 0 is the lowest value
    that it can hold, so the type already rectifies. Raises Problem for another zero-point.
    """
    from tensorflow.lite.python import schema_py_generated as schema

    model = unpack(data)
    graph = model.subgraphs[0]
    for operator in graph.operators:
        if operation(model, operator)[0] != "TRANSPOSE_CONV":
            continue
        if operator.builtinOptions.fusedActivationFunction == schema.ActivationFunctionType.RELU:
            if list(graph.tensors[operator.outputs[0]].quantization.zeroPoint) != [-128]:
                raise Problem("transposed convolution: its zero-point is not -128, so its rectifier cannot be left out")
            operator.builtinOptions.fusedActivationFunction = schema.ActivationFunctionType.NONE
        code = model.operatorCodes[operator.opcodeIndex]
        code.version = min(code.version, 3)
    return pack(model)


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

    return convert(weights, spec, frames, normalise=normalise)
