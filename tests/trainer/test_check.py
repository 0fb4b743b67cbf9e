"""The checker's predictions, on small real models and on the tiny bundle."""

import io
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import tensorflow as tf
from rich.console import Console

from appliance.errors import Problem
from trainer.edgetpu import rules
from trainer.edgetpu.check import check_model, report, summary
from trainer.edgetpu.flatbuffer import pack, unpack
from trainer.edgetpu.rules import DEPENDS, MAPPED, NOT_MAPPED

BUNDLE = Path(__file__).parents[1] / "data/tiny.reconet"
SHAPE = (1, 8, 8, 4)
KERNEL = np.random.default_rng(0).normal(0, 0.3, (3, 3, 4, 4)).astype("float32")


def conv(x, **options):
    return tf.nn.conv2d(x, KERNEL, 1, "SAME", **options)


def convert(function, shape=SHAPE, int8=True):
    concrete = tf.function(function, input_signature=[tf.TensorSpec(shape, tf.float32)]).get_concrete_function()
    converter = tf.lite.TFLiteConverter.from_concrete_functions([concrete])
    if int8:
        fixed = [1 if extent is None else extent for extent in shape]
        converter.optimizations = [tf.lite.Optimize.DEFAULT]
        converter.target_spec.supported_ops = [tf.lite.OpsSet.TFLITE_BUILTINS_INT8]
        converter.inference_input_type = converter.inference_output_type = tf.int8
        converter.representative_dataset = lambda: (
            [np.random.default_rng(i).uniform(-1, 1, fixed).astype("float32")] for i in range(4)
        )
    return converter.convert()


def verdicts(function, shape=SHAPE, int8=True):
    return [(v.name, v.verdict) for v in check_model(convert(function, shape, int8))]


def of(name, function, shape=SHAPE):
    found = [v for v in check_model(convert(function, shape)) if v.name == name]
    assert found, f"the converter made no {name}"
    return found[0].verdict


def test_convolutions_sums_and_tanh_are_mapped():
    found = verdicts(lambda x: tf.tanh(conv(tf.nn.relu(conv(x))) + x))
    assert found == [("CONV_2D", MAPPED), ("CONV_2D", MAPPED), ("ADD", MAPPED), ("TANH", MAPPED)]


def test_nothing_that_depends_on_an_operation_left_out_is_mapped():
    def model(x):
        return tf.nn.conv2d(tf.nn.depth_to_space(conv(x), 2), KERNEL[:, :, :1], 1, "SAME")

    verdict = check_model(convert(model))
    assert [v.name for v in verdict] == ["CONV_2D", "DEPTH_TO_SPACE", "CONV_2D"]
    assert [v.verdict for v in verdict] == [MAPPED, NOT_MAPPED, NOT_MAPPED]
    assert "no such operation" in verdict[1].reason
    assert verdict[2].reason == "after the first operation that is not mapped: one subgraph"
    assert [v.index for v in verdict] == [0, 1, 2]


def test_what_only_follows_an_operation_left_out_is_doubtful():
    def branches(x):
        y = conv(x)
        return tf.nn.depth_to_space(y, 2), tf.tanh(y)

    assert sorted(verdicts(branches)) == [("CONV_2D", MAPPED), ("DEPTH_TO_SPACE", NOT_MAPPED), ("TANH", DEPENDS)]


def test_what_follows_a_doubtful_operation_is_doubtful():
    found = verdicts(lambda x: tf.tanh(conv(tf.raw_ops.ResizeNearestNeighbor(images=conv(x), size=[16, 16]))))
    assert [verdict for _, verdict in found] == [MAPPED, DEPENDS, DEPENDS, DEPENDS]


def test_floats_are_not_mapped():
    assert {verdict for _, verdict in verdicts(lambda x: tf.tanh(conv(x)), int8=False)} == {NOT_MAPPED}


def test_conversions_at_the_head_leave_the_rest_to_the_edge_tpu():
    def model(x):
        return tf.tanh(conv(x))

    concrete = tf.function(model, input_signature=[tf.TensorSpec(SHAPE, tf.float32)]).get_concrete_function()
    converter = tf.lite.TFLiteConverter.from_concrete_functions([concrete])
    converter.optimizations = [tf.lite.Optimize.DEFAULT]
    converter.representative_dataset = lambda: ([np.full(SHAPE, i - 1.5, "float32")] for i in range(4))
    found = [(v.name, v.verdict) for v in check_model(converter.convert())]
    assert found == [("QUANTIZE", NOT_MAPPED), ("CONV_2D", MAPPED), ("TANH", MAPPED), ("DEQUANTIZE", NOT_MAPPED)]


def test_an_open_batch_is_never_called_mapped():
    assert MAPPED not in {verdict for _, verdict in verdicts(lambda x: tf.tanh(conv(x)), (None, 8, 8, 4))}


def test_a_batch_of_two_is_not_mapped():
    assert {verdict for _, verdict in verdicts(lambda x: tf.tanh(conv(x)), (2, 8, 8, 4))} == {NOT_MAPPED}


@pytest.mark.parametrize(
    ("name", "function", "expected"),
    [
        ("TRANSPOSE_CONV", lambda x: tf.nn.conv2d_transpose(x, KERNEL, (1, 16, 16, 4), 2), DEPENDS),
        ("RESIZE_BILINEAR", lambda x: tf.compat.v1.image.resize_bilinear(x, (16, 16)), DEPENDS),
        ("TRANSPOSE", lambda x: tf.transpose(x, (0, 2, 1, 3)), DEPENDS),
        ("SPACE_TO_DEPTH", lambda x: tf.nn.space_to_depth(x, 2), MAPPED),
        ("LEAKY_RELU", tf.nn.leaky_relu, NOT_MAPPED),
        ("PAD", lambda x: tf.pad(x, [[0, 0], [1, 1], [1, 1], [0, 0]]), MAPPED),
        ("PAD", lambda x: tf.pad(x, [[1, 0], [0, 0], [0, 0], [0, 0]]), NOT_MAPPED),
        ("MEAN", lambda x: tf.reduce_mean(x, (1, 2)), MAPPED),
        ("MEAN", lambda x: tf.reduce_mean(x, 0), NOT_MAPPED),
        ("STRIDED_SLICE", lambda x: x[:, ::2], NOT_MAPPED),
        ("SOFTMAX", lambda x: tf.nn.softmax(tf.reshape(x, (1, 256))), MAPPED),
        ("SOFTMAX", tf.nn.softmax, NOT_MAPPED),
        ("MUL", lambda x: x * tf.nn.avg_pool2d(x, 8, 8, "VALID"), DEPENDS),
        ("RESHAPE", lambda x: tf.reshape(x, (1, 4, 16, 4)), MAPPED),
    ],
)
def test_limits_of_single_operations(name, function, expected):
    assert of(name, function) == expected


def test_a_tile_that_the_compiler_cannot_read_spoils_the_whole_model():
    """The converter gives TILE in version 2 or 3, by TensorFlow's version; the compiler reads up to 2."""

    def model(version):
        data = unpack(convert(lambda x: tf.tile(conv(x), (1, 2, 2, 1))))
        code = data.operatorCodes[data.subgraphs[0].operators[-1].opcodeIndex]
        code.version = version
        return [(v.name, v.verdict) for v in check_model(pack(data))]

    assert model(2) == [("CONV_2D", MAPPED), ("TILE", DEPENDS)]
    assert model(3) == [("CONV_2D", NOT_MAPPED), ("TILE", NOT_MAPPED)]


def test_a_version_newer_than_any_known_is_doubtful():
    data = unpack(convert(conv))
    data.operatorCodes[0].version = rules.RULES["CONV_2D"].newest + 1
    assert check_model(pack(data))[0].verdict == DEPENDS


def test_in_a_compiled_file_only_the_delegate_is_mapped():
    model = unpack(convert(lambda x: tf.tanh(conv(x))))
    operator = model.subgraphs[0].operators[0]
    code = model.operatorCodes[operator.opcodeIndex]
    code.builtinCode = code.deprecatedBuiltinCode = 32  # CUSTOM
    code.customCode = rules.DELEGATE
    operator.builtinOptions, operator.builtinOptionsType = None, 0
    found = [(v.name, v.verdict) for v in check_model(pack(model))]
    assert found == [(rules.DELEGATE, MAPPED), ("TANH", NOT_MAPPED)]


def test_a_plan_is_summed_up():
    data = convert(lambda x: tf.tanh(conv(x)))
    plan = summary({"one": data, "two": data})
    size = plan.sizes["one"]
    assert (size.inputs, size.outputs, size.largest, size.shape) == (256, 256, 256, SHAPE)
    assert size.parameters == KERNEL.size + 4 * 4  # int8 kernel, int32 biases
    assert plan.parameters == 2 * size.parameters and plan.fits


@pytest.mark.parametrize(("side", "left"), [(64, 7.7), (128, 5.01), (320, 1.43)])
def test_a_large_activation_takes_the_parameters_cache(side, left):
    """As seen with 128x128x32 and in SRGAN."""
    plan = summary(
        {"one": convert(lambda x: tf.nn.conv2d(x, np.ones((1, 1, 1, 32), "f"), 1, "SAME"), (1, side, side, 1))}
    )
    assert plan.cache == pytest.approx(left * 2**20, abs=1) and plan.fits
    sizes = {name: replace(size, parameters=plan.cache + 1) for name, size in plan.sizes.items()}
    assert not replace(plan, sizes=sizes).fits


def printed(path):
    console = Console(width=160, file=io.StringIO())
    console.print(report(path))
    return console.file.getvalue()


def test_the_report_of_a_bundle_shows_every_segment_and_the_plans_parameters():
    text = printed(BUNDLE)
    assert all(name in text for name in ("encoder.tflite", "decoder1.tflite", "decoder2.tflite", "TANH", "MiB"))
    assert "9 mapped, 0 depends, 0 not mapped" in text


def test_the_report_of_one_file(tmp_path):
    path = tmp_path / "x.tflite"
    path.write_bytes(convert(lambda x: tf.tanh(conv(x))))
    assert f"{path}: 2 mapped, 0 depends, 0 not mapped" in printed(path).replace("\n", "")


def test_a_damaged_file_is_refused_in_one_line(tmp_path):
    path = tmp_path / "x.tflite"
    whole = convert(lambda x: tf.tanh(conv(x)))
    for data in (b"", b"not a model", whole[:200], whole[:8] + bytes(len(whole) - 8)):
        path.write_bytes(data)
        with pytest.raises(Problem) as caught:
            report(path)
        assert "\n" not in str(caught.value) and str(path) in str(caught.value)
    with pytest.raises(Problem, match="No such file"):
        report(tmp_path / "missing.tflite")
