"""Conversion, the gate and the cut, on a real int8 network under the reference kernels."""

import keras
import numpy as np
import pytest

from appliance.engine.stages import NearestUpsampling
from appliance.errors import Problem
from appliance.frames import converted
from trainer import network
from trainer.edgetpu import gate
from trainer.edgetpu.check import check_model
from trainer.edgetpu.convert import bordered, convert, forward
from trainer.edgetpu.cut import cut
from trainer.edgetpu.flatbuffer import operation, unpack
from trainer.edgetpu.reader import read
from trainer.edgetpu.rules import MAPPED, NOT_MAPPED
from trainer.edgetpu.student import fold, for_pixels, keep_zero
from trainer.edgetpu.unsigned import unsigned
from trainer.evaluation import snr_db
from trainer.network import Network


@pytest.fixture(scope="module", params=[False, True], ids=["plain", "skips"])
def spec(request):
    return Network(widths=(8, 16, 16), blocks=2, skips=request.param)


@pytest.fixture(scope="module")
def frames():
    y, x = np.mgrid[:24, :40].astype("float32")
    waves = [np.stack([np.sin(x / (3 + i)), np.cos(y / 5 + i), np.sin((x + y) / 4)], -1) for i in range(8)]
    return (np.stack(waves) + 1) / 2


@pytest.fixture(scope="module")
def student(spec):
    rng = np.random.default_rng(3)
    keras.utils.set_random_seed(3)
    model = network.build(spec, "affine")
    for layer in model.layers:
        if isinstance(layer, network.Affine):
            layer.shift.assign(rng.normal(0, 0.2, layer.shift.shape))
    model.get_layer("image").kernel.assign(rng.normal(0, 0.05, model.get_layer("image").kernel.shape))
    return model


@pytest.fixture(scope="module")
def whole(student, spec, frames):
    return convert(fold(student, spec), spec, frames)


def run(data, tensor):
    return run_segment(data, [tensor])[0]


def run_segment(data, tensors):
    """All outputs of a network for all its inputs."""
    from ai_edge_litert.interpreter import Interpreter, OpResolverType

    interpreter = Interpreter(model_content=data, experimental_op_resolver_type=OpResolverType.BUILTIN_REF)
    interpreter.allocate_tensors()
    for details, tensor in zip(interpreter.get_input_details(), tensors, strict=True):
        interpreter.set_tensor(details["index"], tensor)
    interpreter.invoke()
    return [interpreter.get_tensor(details["index"]) for details in interpreter.get_output_details()]


def image(output):
    """What uint8 pixels of the network's output mean."""
    return (output.astype("float32") - 128) / 128


def test_the_int8_network_draws_what_the_student_draws(student, whole, frames):
    pixels = np.round(frames[:1] * 255).astype("uint8")
    made = image(run(whole, pixels))
    expected = np.asarray(student(pixels.astype("float32") / 255)["image"])
    assert np.sqrt(np.mean((made - expected) ** 2)) < 0.1 * expected.std()


def test_segments_with_numpy_between_them_give_the_whole_networks_bytes(whole, spec, rng):
    tensor = rng.integers(0, 256, (1, 24, 40, 3), "uint8")
    expected, kept = run(whole, tensor), []
    stages = cut(whole)
    for stage in stages:
        if isinstance(stage, int):
            _, h, w, c = tensor.shape
            larger = np.empty((1, h * stage, w * stage, c), tensor.dtype)
            NearestUpsampling(h, w, stage)(tensor[0], larger[0])
            tensor = larger
        else:
            taken = [kept.pop() for _ in read(stage).inputs[1:]]
            tensor, *more = run_segment(stage, [tensor, *taken])
            kept += more
    np.testing.assert_array_equal(tensor, expected)
    ends = [(len(read(stage).inputs), len(read(stage).outputs)) for stage in stages[::2]]
    assert ends == ([(1, 3), (2, 1), (2, 1)] if spec.skips else [(1, 1)] * 3) and not kept


def test_what_is_kept_is_what_is_taken(whole):
    encoder, first, second = (read(segment) for segment in cut(whole)[::2])
    for kept, taken in zip(encoder.outputs[:0:-1], first.inputs[1:] + second.inputs[1:], strict=True):
        assert kept == taken
    for model in (encoder, first, second):
        assert len({tensor.shape[1:3] for tensor in model.inputs}) == 1


PLANS = ("split", "fused", "lowres")


def unshuffled(output, plan):
    if plan != "lowres":
        return output
    _, height, width, _ = output.shape
    cells = output.reshape(height, width, 4, 4, -1).transpose(0, 2, 1, 3, 4)
    return cells.reshape(1, 4 * height, 4 * width, -1)


@pytest.mark.parametrize("plan", PLANS)
def test_every_plan_is_the_students_function(student, spec, frames, plan, rng):
    import tensorflow as tf

    pixels = rng.uniform(size=(1, 32, 56, 3)).astype("float32")
    made = unshuffled(forward(fold(student, spec), spec, tf.constant(pixels), plan).numpy(), plan)
    np.testing.assert_allclose(made, student(pixels)["image"], atol=1e-5)  # borders included


def test_every_plan_in_int8_is_as_close_to_the_student_and_passes_the_gate(student, spec, frames):
    weights, pixels = fold(student, spec), np.round(frames[:1] * 255).astype("uint8")
    expected = np.asarray(student(pixels.astype("float32") / 255)["image"])
    noise, operations = {}, {}
    for plan in PLANS:
        data = convert(weights, spec, frames, plan)
        assert gate.faults(data) == []
        model = unpack(data)
        operations[plan] = {operation(model, o)[0] for o in model.subgraphs[0].operators}
        made = unshuffled(image(run(data, pixels)), plan)
        noise[plan] = snr_db(expected, made)
    shuffles = {"SPACE_TO_DEPTH"} if spec.skips else set()
    assert operations["lowres"] == {"QUANTIZE", "CONV_2D", "ADD", "TANH"} | shuffles
    assert operations["fused"] == {"QUANTIZE", "CONV_2D", "ADD", "TANH", "TRANSPOSE_CONV"}
    assert all(abs(noise[plan] - noise["split"]) < 1 for plan in PLANS), noise


def test_from_yuv_to_bgrx_int8_is_as_close_as_from_rgb_to_rgb(student, spec, frames):
    import tensorflow as tf

    folded, rgb = fold(student, spec), np.round(frames * 255).astype("uint8")
    weights, yuv = for_pixels(folded, "yuv", "bgrx"), np.stack([converted(frame, "rgb", "yuv") for frame in rgb])
    expected = np.asarray(student(rgb[:1].astype("float32") / 255)["image"])
    shown = np.round(255 * bordered(yuv[:1] / 255, 1)).astype("uint8")
    for plan in PLANS:
        floating = forward(weights, spec, tf.constant(shown / np.float32(255)), plan, takes="yuv").numpy()
        assert snr_db(expected, unshuffled(floating, plan)[..., 2::-1]) > 35, plan  # but for Y, U and V being rounded
        data = convert(weights, spec, yuv / 255, plan, takes="yuv")
        assert gate.faults(data) == []
        made = unshuffled(image(run(data, shown)), plan)
        plain = unshuffled(image(run(convert(folded, spec, rgb / 255, plan), rgb[:1])), plan)
        assert made.shape[-1] == 4 and snr_db(expected, made[..., 2::-1]) > snr_db(expected, plain) - 1, plan


@pytest.mark.parametrize("plan", PLANS)
def test_uint8_ends_are_the_int8_network_with_a_quantize_at_each_end(student, spec, frames, plan):
    folded, pixels = fold(student, spec), np.round(frames[:1] * 255).astype("uint8")
    unsigned, signed = (convert(folded, spec, frames, plan, ends=ends) for ends in ("uint8", "int8"))
    made, same = run(unsigned, pixels), run(signed, (pixels ^ 0x80).view("int8"))
    assert (made.dtype, same.dtype) == (np.uint8, np.int8)
    np.testing.assert_array_equal(made, same.view("uint8") ^ 0x80)
    kinds = [
        [operation(model, o)[0] for o in model.subgraphs[0].operators] for model in map(unpack, (unsigned, signed))
    ]
    assert kinds[0] == ["QUANTIZE", *kinds[1], "QUANTIZE"] and "QUANTIZE" not in kinds[1]
    assert all(v.verdict != NOT_MAPPED for v in check_model(unsigned))


@pytest.mark.parametrize("ends", ["uint8", "int8"])
def test_all_ends_of_segments_have_the_type_of_the_networks_ends(student, spec, frames, ends):
    segments = cut(convert(fold(student, spec), spec, frames, ends=ends))[::2]
    models = [read(segment) for segment in segments]
    assert {tensor.dtype for model in models for tensor in (*model.inputs, *model.outputs)} == {ends.upper()}
    assert all(v.verdict == MAPPED for segment in segments for v in check_model(segment))


def test_segments_of_before_get_uint8_ends_and_give_the_same_bytes(student, spec, frames, rng):
    for segment in cut(convert(fold(student, spec), spec, frames, ends="int8"))[::2]:
        made = unsigned(segment)
        tensors = [rng.integers(0, 256, tensor.shape, "uint8") for tensor in read(segment).inputs]
        same = run_segment(segment, [(tensor ^ 0x80).view("int8") for tensor in tensors])
        for one, other in zip(run_segment(made, tensors), same, strict=True):
            np.testing.assert_array_equal(one, other.view("uint8") ^ 0x80)
        assert gate.faults(made) == [] and unsigned(made) == made


def test_segments_hold_only_what_they_need_and_no_resize(whole):
    stages = cut(whole)
    assert [stage if isinstance(stage, int) else "segment" for stage in stages] == [
        "segment",
        2,
        "segment",
        2,
        "segment",
    ]
    names = [operation(model, o)[0] for model in map(unpack, stages[::2]) for o in model.subgraphs[0].operators]
    assert set(names) == {"QUANTIZE", "CONV_2D", "ADD", "TANH"}
    assert sum(map(len, stages[::2])) < 1.2 * len(whole)


def test_converted_files_pass_the_gate(whole):
    for data in (whole, *cut(whole)[::2]):
        assert gate.faults(data) == []


def test_the_gate_refuses_float_dequantize_tile_and_open_batch():
    import tensorflow as tf

    def converted(function, shape, int8=False):
        concrete = tf.function(function, input_signature=[tf.TensorSpec(shape, tf.float32)]).get_concrete_function()
        converter = tf.lite.TFLiteConverter.from_concrete_functions([concrete])
        if int8:
            converter.optimizations = [tf.lite.Optimize.DEFAULT]
            converter.representative_dataset = lambda: (
                [np.random.default_rng(i).uniform(size=shape).astype("float32")] for i in range(4)
            )
        return converter.convert()

    assert any("FLOAT32" in fault for fault in gate.faults(converted(tf.nn.relu, [1, 4, 4, 3])))
    assert any("not fixed" in fault for fault in gate.faults(converted(tf.nn.relu, [None, 4, 4, 3])))
    kernel = np.ones((3, 3, 3, 3), "float32")
    ends = gate.faults(converted(lambda x: tf.nn.conv2d(x, kernel, 1, "SAME"), [1, 8, 8, 3], int8=True))
    assert any("DEQUANTIZE" in fault for fault in ends)
    with pytest.raises(Problem, match="x.tflite"):
        gate.check("x.tflite", converted(tf.nn.relu, [1, 4, 4, 3]))


def shrunk(x):
    import tensorflow as tf

    return tf.nn.avg_pool2d(x, 2, 2, "SAME")


def enlarged(x):
    import tensorflow as tf

    return tf.raw_ops.ResizeNearestNeighbor(images=x, size=[2 * x.shape[1], 2 * x.shape[2]])


def the_input_is_read_behind_a_cut(x):
    return enlarged(shrunk(x)) + x


def two_segments_read_a_plane(x):
    half = shrunk(x)
    up = enlarged(shrunk(half)) + half
    return enlarged(shrunk(up)) * half


@pytest.mark.parametrize("network", [the_input_is_read_behind_a_cut, two_segments_read_a_plane])
def test_what_no_stack_can_carry_is_not_cut(network):
    import tensorflow as tf

    concrete = tf.function(network, input_signature=[tf.TensorSpec([1, 24, 40, 3], tf.float32)]).get_concrete_function()
    converter = tf.lite.TFLiteConverter.from_concrete_functions([concrete])
    with pytest.raises(Problem, match="read by one segment"):
        cut(converter.convert())


def test_a_kernel_rounded_beforehand_keeps_what_zero_gives():
    rng = np.random.default_rng(0)
    kernel, bias = rng.normal(size=(3, 3, 3, 5)), rng.normal(size=5)
    kernel[..., 4] = 0
    zero = np.array([16, 128, 128]) / 255
    rounded, shifted = keep_zero(kernel, bias, zero)

    def on(pixel, kernel, bias):
        return np.einsum("hwic,i->c", kernel, pixel) + bias

    assert np.allclose(on(zero, rounded, shifted), on(zero, kernel, bias), atol=1e-12)
    steps = rounded[..., :4] / np.abs(kernel[..., :4]).max((0, 1, 2)) * 127
    assert np.allclose(steps, np.round(steps), atol=1e-9) and np.abs(steps).max() <= 127 + 1e-9
