"""Styles in which a segment keeps tensors for later ones."""

from dataclasses import replace

import numpy as np
import pytest

from appliance import trial
from appliance.engine import stylizer
from appliance.engine.interpreter import Runtime, runtimes
from appliance.engine.steps import Laps, load
from appliance.engine.stylizer import Stylizer
from appliance.style import bundle, flatbuffer, tflite
from appliance.style.manifest import Plan
from appliance.style.resize import Resizable

from .conftest import DATA, manifest_fields
from .engines import frame, stylised
from .test_bundle import patched, put, refused, signed
from .test_engine import uncut
from .test_sizes import compiled

STORED, OTHER = (64, 32), (128, 96)


@pytest.fixture(scope="module")
def plain(tmp_path_factory, tiny_kept):
    """The style without exposure, so that its networks see the frame as it is."""
    fields = manifest_fields(tiny_kept)
    del fields["input"]["exposure"]
    return bundle.write(tmp_path_factory.mktemp("kept") / "plain.reconet", fields, tiny_kept.files)


def whole(size):
    width, height = size
    return Resizable((DATA / "tiny_kept_whole.tflite").read_bytes()).at((height, width))


# Running


@pytest.mark.parametrize("size", [STORED, OTHER])
def test_segments_are_bit_identical_to_the_uncut_network(plain, size):
    engine = Stylizer(plain, size=size, reference=True)
    for _ in range(3):
        pixels = frame(*size)
        assert np.array_equal(stylised(engine, pixels), uncut(whole(size), pixels))


@pytest.mark.parametrize("reference", [True, False])
@pytest.mark.parametrize("size, heights", [(STORED, [32, 16, 18]), (OTHER, [96, 18, 23])])
def test_so_are_strips(plain, monkeypatch, size, heights, reference):
    here = [replace(one, unrolls=True) for one in runtimes(1, reference)]
    monkeypatch.setattr(stylizer, "runtimes", lambda threads, reference: here)
    in_strips = Stylizer(plain, size=size)
    monkeypatch.setattr(stylizer, "runtimes", runtimes)
    at_once = Stylizer(plain, size=size, reference=reference)
    assert [step.input().shape[0] for step in in_strips._steps] == heights
    for _ in range(3):
        pixels = frame(*size)
        assert np.array_equal(stylised(in_strips, pixels), stylised(at_once, pixels))


def test_each_lane_keeps_its_own(plain):
    engine = Stylizer(plain, threads=2, lanes=2, reference=True)
    frames = [frame() for _ in range(6)]
    for pixels, future in zip(frames, [engine.run(engine.prepare(pixels)) for pixels in frames]):
        out = np.empty_like(pixels)
        engine.finish(future.result(), out)
        assert np.array_equal(out, uncut(whole(STORED), pixels))


def test_compiled_segments_keep_as_the_others_do(plain, tmp_path, monkeypatch):
    made = bundle.write(tmp_path / "a.reconet", *compiled(plain, "128x96"))
    tpu = replace(runtimes(1, reference=True)[0], name="pycoral", device="TPU")
    monkeypatch.setattr(stylizer, "runtimes", lambda threads, reference: [tpu])
    engine, pixels = Stylizer(made), frame(*OTHER)
    assert engine.input_size == OTHER and np.array_equal(stylised(engine, pixels), uncut(whole(OTHER), pixels))


def test_the_time_of_copies_has_a_name_of_its_own(plain):
    engine = Stylizer(plain)
    stylised(engine, frame())
    assert [name for name, _ in engine.stage_ms] == [
        *("input", "encoder.tflite", "x2", "kept", "decoder1.tflite", "decoder2.tflite", "output")
    ]


def test_the_trial_runs_it(plain):
    assert trial.passes(plain.path) is None


class Weighing:
    """An interpreter of `taken` inputs, of which each counts more than the last, and `given` different outputs."""

    def __init__(self, taken, given, height):
        self.inputs, self.outputs = (np.zeros((count, 1, height, 5, 2), np.uint8) for count in (taken, given))

    def get_input_details(self):
        return [{"index": number} for number in range(len(self.inputs))]

    def get_output_details(self):
        return [{"index": -1 - number} for number in range(len(self.outputs))]

    def tensor(self, index):
        return lambda: self.outputs[-1 - index] if index < 0 else self.inputs[index]

    def invoke(self):
        made = sum((3 * place + 1) * tensor for place, tensor in enumerate(self.inputs))
        for place, tensor in enumerate(self.outputs):
            tensor[...] = made + 7 * place


@pytest.mark.parametrize("unrolls", [True, False])
def test_the_last_tensor_kept_is_taken_first_also_from_and_into_strips(unrolls):
    """a keeps two tensors, b takes the second and keeps one, c takes that and a's first."""
    counts = {b"a": (1, 3), b"b": (2, 2), b"c": (3, 1)}
    runtime = Runtime("", "", "CPU", lambda data, height=60: Weighing(*counts[data], height), unrolls)
    plan = Plan.model_validate({"name": "abc", "stages": [{"segment": name} for name in "abc"]})
    steps, _ = load(plan, runtime, sorted(counts), lambda segment: 1)
    assert [step.input().shape[0] for step in steps] == ([60, 22, 22] if unrolls else [60, 60, 60])
    pixels = np.random.RandomState(0).randint(0, 256, (60, 5, 2)).astype(np.uint8)
    steps[0].input()[...] = pixels
    for before, step in zip([None, *steps], steps):
        step.run(before, Laps())
    a = [pixels + np.uint8(7 * place) for place in range(3)]
    b = [a[0] + 4 * a[2] + np.uint8(7 * place) for place in range(2)]
    assert np.array_equal(steps[-1].output(), b[0] + 4 * b[1] + 7 * a[1])


# Reading


def test_how_far_a_sum_reaches(tiny_kept):
    assert [tflite.reach(tiny_kept.files[f"decoder{number}.tflite"]) for number in (1, 2)] == [1, 2]
    data = tiny_kept.files["decoder1.tflite"]
    convolution, addition = graph_of(data).tables(3)[2:4]
    picture = convolution.numbers(1, "i", 3)[1]  # a constant of more than one row
    assert tflite.reach(numbered(data, addition.vector(1)[1] + 4, picture)) is None


def test_the_sizes_for_which_every_kept_tensor_fits_are_found(tiny_kept):
    fields = {**manifest_fields(tiny_kept), "sizes": None, "files": {}}
    style = bundle.Bundle(tiny_kept.path, bundle.build(fields), tiny_kept.files)
    assert style.resizable().manifest.sizes.stride == 4


def test_a_style_that_keeps_nothing_may_be_of_format_3(tmp_path, sized):
    fields = dict(manifest_fields(sized), format=3)
    assert bundle.write(tmp_path / "a.reconet", fields, sized.files).manifest.format == 3


# Refusing


def graph_of(data):
    return flatbuffer.Table(data, flatbuffer.u32(data, 0)).tables(2)[0]


def numbered(data, place, *numbers):
    """`data` with these 32-bit numbers from `place` on."""
    made = np.array(numbers, "<i4").tobytes()
    return data[:place] + made + data[place + len(made) :]


def with_outputs(data, *numbers):
    """The segment with these of its outputs, each told by its place among them."""
    graph = graph_of(data)
    outputs, (_, first) = graph.numbers(2, "i", 3), graph.vector(2)
    return numbered(data, first - 4, len(numbers), *(outputs[number] for number in numbers))


def with_one_input(data):
    return numbered(data, graph_of(data).vector(1)[1] - 4, 1)


def with_input_rows(data, rows):
    """The segment with another height of its second input."""
    graph = graph_of(data)
    return numbered(data, graph.tables(0)[graph.numbers(1, "i", 2)[1]].vector(0)[1] + 4, rows)


@pytest.mark.parametrize(
    "name, change, words",
    [
        ("encoder", lambda data: with_outputs(data), "encoder.tflite has 1 inputs and 0 outputs: in format 3"),
        (
            "encoder",
            lambda data: with_outputs(data, 0, 2, 1),
            "encoder.tflite (output 3) gives shape 1x32x64x8 but decoder1.tflite (input 2) takes 1x16x32x16",
        ),
        (
            "encoder",
            lambda data: with_outputs(data, 0),
            "decoder1.tflite (input 2) takes 1x16x32x16 but no segment before it keeps a tensor",
        ),
        (
            "encoder",
            lambda data: with_outputs(data, 0, 2),
            "decoder2.tflite (input 2) takes 1x32x64x8 but no segment before it keeps a tensor",
        ),
        (
            "decoder2",
            with_one_input,
            "encoder.tflite (output 2) gives 1x32x64x8 but no segment behind it takes it",
        ),
        (
            "decoder1",
            lambda data: with_input_rows(data, 8),
            "decoder1.tflite has inputs of 1x16x32x16 and 1x8x32x16: they need the same height and width",
        ),
    ],
)
def test_segments_that_do_not_match(tmp_path, plain, name, change, words):
    file = f"{name}.tflite"
    files = {**plain.files, file: change(plain.files[file])}
    assert words in refused(put(tmp_path, signed(manifest_fields(plain), files)))


def test_another_scale(tmp_path, plain):
    scale = tflite.read(plain.files["decoder1.tflite"]).inputs[1].scale
    files = patched(plain.files, "decoder1.tflite", *(np.float32(one).tobytes() for one in (scale, 2 * scale)))
    line = refused(put(tmp_path, signed(manifest_fields(plain), files)))
    assert "encoder.tflite (output 3) gives scale" in line and "but decoder1.tflite (input 2) takes" in line


def test_compiled_segments_that_keep_in_another_order(tmp_path, plain):
    fields, files = compiled(plain, "128x96")
    name = "encoder_128x96_edgetpu.tflite"
    files[name] = with_outputs(files[name], 0, 2, 1)
    assert f"{name} and encoder.tflite for 128x96 have different ends" in refused(put(tmp_path, signed(fields, files)))


@pytest.mark.parametrize("number, words", [(1, "format 1 has no sizes"), (2, "in format 2 a segment has one of each")])
def test_earlier_formats_keep_nothing(tmp_path, plain, number, words):
    assert words in refused(put(tmp_path, signed(dict(manifest_fields(plain), format=number), plain.files)))


def test_a_stride_at_which_what_is_kept_does_not_fit(tmp_path, plain):
    fields = manifest_fields(plain)
    fields["sizes"]["stride"] = 2
    line = refused(put(tmp_path, signed(fields, plain.files)))
    assert "plan split for 66x34: decoder1.tflite takes inputs of 34x18 but what is kept for it is 33x17" in line


def test_every_number_of_a_segment_replaced(plain):
    """Refused in one line, or read; never anything else."""
    data = plain.files["decoder2.tflite"]
    places = [at for at in range(8, len(data) - 4, 4) if data[at + 2 : at + 4] in (b"\0\0", b"\xff\xff")]
    for at in places[::3]:
        for value in (0, 1, 2, 0x7FFFFFFF, -0x80000000, -1, len(data)):
            changed = numbered(data, at, value)
            try:
                tflite.read(changed)
                assert len(Resizable(changed).at((98, 130))) == len(data)
            except bundle.BundleError as error:
                assert "\n" not in str(error)
