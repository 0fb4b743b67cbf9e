"""A network that is rewritten for another size is, byte for byte, the one that is exported at that size."""

import numpy as np
import pytest

from appliance.style.resize import Resizable
from appliance.style.tflite import read
from trainer import network
from trainer.edgetpu.convert import convert
from trainer.edgetpu.cut import cut
from trainer.edgetpu.flatbuffer import operation, pack, unpack
from trainer.edgetpu.student import border, fold, for_pixels
from trainer.network import Network

from .test_edgetpu import run

SPEC = Network(widths=(4, 8, 8), blocks=1, skips=True)
HALF = Network(widths=(4, 8, 8), blocks=1, strides=(2, 2, 2), first_kernel=5)
COLOURS = np.array([[0.2, 0.5, 0.6], [0.7, 0.4, 0.5], [0.9, 0.6, 0.3]], "float32")


def frames(height, width):
    """Of one colour each, so that the ranges of what is computed do not depend on the size."""
    return np.broadcast_to(COLOURS[:, None, None], (3, height, width, 3)).copy()


def bare(data):
    """The network without its metadata, which holds a number that is another in every conversion."""
    model = unpack(data)
    for metadata in model.metadata:
        model.buffers[metadata.buffer].data = None
    return pack(model)


@pytest.mark.parametrize(
    "spec, plan, pixels",
    [
        (SPEC, "split", ("rgb", "rgb")),
        (SPEC, "fused", ("yuv", "bgrx")),
        (SPEC, "lowres", ("yuv", "rgb")),
        (HALF, "fused", ("yuv", "bgrx")),
        (HALF, "lowres", ("yuv", "bgrx")),
    ],
)
def test_a_plan_is_the_exported_one(spec, plan, pixels, rng):
    folded = fold(network.build(spec, "affine"), spec)
    folded = {
        name: (kernel, rng.normal(0, 0.1, bias.shape).astype("float32")) for name, (kernel, bias) in folded.items()
    }
    folded, around = for_pixels(folded, *pixels), 2 * border(spec, pixels[0])
    stored, wanted = (convert(folded, spec, frames(*size), plan, takes=pixels[0]) for size in ((96, 128), (64, 160)))
    made = Resizable(stored).at((64 + around, 160 + around))
    assert bare(made) == bare(wanted) and len(made) == len(wanted)
    picture = rng.integers(0, 256, (1, 64 + around, 160 + around, 3)).astype("uint8").view(read(made).inputs[0].dtype)
    assert np.array_equal(run(made, picture), run(wanted, picture))
    if plan == "split":
        stages = zip(cut(stored), cut(wanted), strict=True)
        segments = [pair for pair in stages if isinstance(pair[0], bytes)]
        for plane, (before, after) in zip([(64, 160), (32, 80), (64, 160)], segments, strict=True):
            assert Resizable(before).at(plane) == after


def test_every_operator_that_is_known(rng):
    """Strides with and without padding over a frame with a border, 2x2 cells, and what no style uses yet."""
    import tensorflow as tf

    shapes = [(5, 5, 3, 8), (3, 3, 8, 8), (3, 3, 8, 1), (3, 3, 8, 8), (4, 4, 8, 8), (3, 3, 16, 12)]
    kernels = [rng.normal(0, 0.3, shape).astype("float32") for shape in shapes]

    def forward(picture):
        x = tf.nn.relu(tf.nn.conv2d(picture, kernels[0], 2, "VALID"))
        x = tf.nn.relu6(tf.nn.conv2d(x, kernels[1], 2, "SAME"))
        x = tf.nn.max_pool2d(x, 2, 2, "VALID") + tf.nn.depthwise_conv2d(x, kernels[2], [1, 2, 2, 1], "SAME")
        x = tf.pad(tf.nn.leaky_relu(x), [[0, 0], [1, 2], [1, 2], [0, 0]])
        x = tf.nn.conv2d(x, kernels[3], 1, "VALID", dilations=2)
        x = tf.raw_ops.ResizeNearestNeighbor(images=x, size=[2 * x.shape[1], 2 * x.shape[2]])
        x = tf.nn.conv2d_transpose(x, kernels[4], [1, 2 * x.shape[1], 2 * x.shape[2], 8], 2, "SAME")
        x = tf.nn.space_to_depth(tf.nn.depth_to_space(tf.nn.sigmoid(x), 2), 2)
        x = tf.concat([x, tf.nn.avg_pool2d(x, 3, 1, "SAME")], 3)
        return tf.tanh(tf.nn.conv2d(x, kernels[5], 1, "SAME"))

    def exported(height, width):
        given = frames(height + 4, width + 4)
        given[0, 0, :2] = [[0.0], [1.0]]
        signature = [tf.TensorSpec([1, *given.shape[1:]], tf.float32)]
        function = tf.function(forward, input_signature=signature).get_concrete_function()
        converter = tf.lite.TFLiteConverter.from_concrete_functions([function])
        converter.optimizations = [tf.lite.Optimize.DEFAULT]
        converter.representative_dataset = lambda: ([frame[None]] for frame in given)
        converter.target_spec.supported_ops = [tf.lite.OpsSet.TFLITE_BUILTINS_INT8]
        converter.inference_input_type = converter.inference_output_type = tf.int8
        return converter.convert()

    stored, wanted = exported(128, 160), exported(96, 192)
    made = Resizable(stored).at((100, 196))
    model = unpack(stored)
    used = {operation(model, one)[0].replace("PADV2", "PAD") for one in model.subgraphs[0].operators}
    assert used >= {"DEPTHWISE_CONV_2D", "MAX_POOL_2D", "PAD", "TRANSPOSE_CONV", "CONCATENATION", "DEPTH_TO_SPACE"}
    assert Resizable(stored).output((100, 196)) == (44, 92)
    assert bare(made) == bare(wanted)
