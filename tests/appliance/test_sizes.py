"""Styles at other sizes than the one that they are stored for."""

import struct

import numpy as np
import pytest

from appliance import shapes, trial
from appliance.camera.virtual import VirtualCamera
from appliance.cli import main
from appliance.engine import stylizer
from appliance.engine.interpreter import Runtime, runtimes
from appliance.engine.stylizer import Stylizer
from appliance.errors import BundleError, Problem
from appliance.frames import Frame, converted
from appliance.style import bundle, tflite
from appliance.style.resize import Resizable

from .conftest import manifest_fields
from .test_bundle import put, refused, signed

SIZE = (128, 96)
PLANS = ["split", "fused", "lowres"]


def picture(size):
    return VirtualCamera(paced=False).picture(48)[: size[1], : size[0]].copy()


def stylised(engine, rgb):
    width, height = engine.output_size
    out = np.empty((height, width, engine.channels), np.uint8)
    engine.stylize(converted(rgb, "rgb", engine.input_format), out)
    return out


@pytest.mark.parametrize("plan", PLANS)
def test_a_style_is_built_for_the_size_that_is_asked_for(sized, plan):
    engine = Stylizer(sized, plan=plan, size=SIZE)
    assert engine.input_size == engine.output_size == SIZE
    assert stylised(engine, picture(SIZE)).std() > 10


def test_all_plans_draw_the_same_at_another_size(sized):
    split, *others = (stylised(Stylizer(sized, plan=plan, size=SIZE), picture(SIZE)).astype(float) for plan in PLANS)
    for other in others:
        assert np.mean((split - other) ** 2) < 10**-2 * np.mean((split - 128) ** 2)  # above 20 dB


def test_a_larger_picture_is_drawn_as_the_stored_size_draws_its_part(tmp_path, sized):
    """Away from the edges, where the network sees the same."""
    fields = manifest_fields(sized)
    del fields["input"]["exposure"]
    plain = bundle.write(tmp_path / "plain.reconet", fields, sized.files)
    whole = picture((192, 96))
    part = stylised(Stylizer(plain, plan="fused", size=(128, 96), reference=True), whole[:, :128])
    large = stylised(Stylizer(plain, plan="fused", size=(192, 96), reference=True), whole)
    assert np.array_equal(large[:, :64], part[:, :64])


@pytest.mark.parametrize("name, plane", [("encoder.tflite", (98, 130)), ("decoder2.tflite", (96, 128))])
def test_it_is_what_a_runtime_that_can_resize_makes(sized, name, plane):
    """Both runtimes resize networks without transposed convolutions themselves."""
    for runtime in runtimes(1):
        made, resized = runtime.load(Resizable(sized.files[name]).at(plane)), runtime.load(sized.files[name])
        end = resized.get_input_details()[0]
        resized.resize_tensor_input(end["index"], [1, *plane, int(end["shape"][3])])
        resized.allocate_tensors()
        given = np.random.RandomState(2).randint(-128, 128, (1, *plane, int(end["shape"][3]))).astype(np.int8)
        outputs = []
        for interpreter in (made, resized):
            interpreter.set_tensor(interpreter.get_input_details()[0]["index"], given)
            interpreter.invoke()
            outputs.append(interpreter.get_tensor(interpreter.get_output_details()[0]["index"]))
        assert np.array_equal(*outputs)


def test_only_shapes_are_rewritten(sized):
    for name in ("encoder.tflite", "fused.tflite", "lowres.tflite"):
        data = sized.files[name]
        made = Resizable(data).at((98, 130))
        assert len(made) == len(data) and Resizable(made).at((34, 66)) == data
        assert tflite.read(made).inputs[0].shape == (1, 98, 130, 3)
        assert Resizable(data).at((34, 66)) is data


@pytest.mark.parametrize(
    "size, words",
    [
        ((450, 254), "multiples of 4 from 16 to 2048: take 448x252 or 448x256"),
        ((64, 4), "take 64x16"),
        ((4096, 16), "take 2048x16"),
    ],
)
def test_a_size_that_is_none_is_refused_with_the_nearest(sized, size, words):
    with pytest.raises(Problem, match=words):
        Stylizer(sized, size=size)


def test_a_style_of_format_1_has_one_size(tiny):
    assert Stylizer(tiny, size=(64, 32)).input_size == (64, 32)
    with pytest.raises(Problem, match="is for 64x32 only, not 128x96"):
        Stylizer(tiny, size=SIZE)
    assert tiny.candidates((16, 9)) == [(64, 32)]


def with_stride(sized, stride):
    fields = manifest_fields(sized)
    fields["sizes"]["stride"] = stride
    return bundle.Bundle(sized.path, bundle.build(dict(fields, files={})), sized.files)


def test_candidates_have_the_aspect_and_are_few(sized):
    assert sized.candidates((16, 9), most=(640, 360)) == [
        (640, 360),
        (576, 324),
        (512, 288),
        (448, 252),
        (384, 216),
        (320, 180),
        (256, 144),
        (192, 108),
    ]
    eight = with_stride(sized, 8)
    assert eight.candidates((16, 9), most=(640, 360)) == [(640, 360), (512, 288), (384, 216), (256, 144)]
    assert sized.candidates((9, 16), least=(90, 160), most=(360, 640))[0] == (360, 640)


def test_candidates_of_an_odd_aspect_show_98_percent_of_it(sized):
    found = sized.candidates((683, 384))
    assert len(found) > 5
    for width, height in found:
        assert abs(width / height / (683 / 384) - 1) < 0.021 and sized.manifest.has((width, height))


# Compiled sets


def compiled(style, *names):
    """`style` with the segments that it builds as if they were compiled, for sizes `names` of its plan split."""
    fields, files = manifest_fields(style), dict(style.files)
    plan = style.manifest.plans[0]
    sets = {}
    for name in names:
        made = style.build(plan, tuple(map(int, name.split("x"))))
        sets[name] = [s.segment.replace(".tflite", f"_{name}_edgetpu.tflite") for s in plan.segments]
        files.update(zip(sets[name], made))
    fields["plans"][0]["edgetpu"] = sets
    return fields, files


def test_a_compiled_set_belongs_to_its_size(sized, tmp_path):
    made = bundle.write(tmp_path / "a.reconet", *compiled(sized, "128x96", "96x64"))
    plan, other = made.manifest.plans[:2]
    assert plan.compiled and not other.compiled
    assert sorted(made.manifest.compiled(plan)) == [(96, 64), (128, 96)]
    assert made.compiled(plan, (96, 64)) == made.build(plan, (96, 64)) and made.compiled(plan, (64, 32)) == []
    assert made.stored_size(plan, "TPU") == (128, 96) and made.stored_size(plan, "CPU") == (64, 32)
    assert bundle.read(made.path) == made


def test_an_edge_tpu_runs_a_set_at_its_own_size_only(sized, tmp_path, monkeypatch):
    made = bundle.write(tmp_path / "a.reconet", *compiled(sized, "128x96", "96x64"))
    cpu = runtimes(1)[0]
    tpu = Runtime("pycoral", "2.0", "TPU", cpu.load)
    monkeypatch.setattr(stylizer, "runtimes", lambda threads, reference: [tpu, cpu])
    at_hand = Stylizer(made)
    assert (at_hand.runtime.device, at_hand.plan, at_hand.input_size) == ("TPU", "split", (128, 96))
    smaller = Stylizer(made, size=(96, 64))
    assert (smaller.runtime.device, smaller.output_size) == ("TPU", (96, 64))
    assert Stylizer(made, size=(64, 32)).runtime.device == "CPU"


def test_a_film_takes_the_compiled_size_that_is_nearest_in_shape(sized, tmp_path, monkeypatch):
    made = bundle.write(tmp_path / "a.reconet", *compiled(sized, "128x96", "128x64", "64x96"))
    cpu = runtimes(1)[0]
    tpu = Runtime("pycoral", "2.0", "TPU", cpu.load)
    monkeypatch.setattr(stylizer, "runtimes", lambda threads, reference: [tpu, cpu])
    monkeypatch.setattr(shapes, "runtimes", lambda: [tpu, cpu])
    warned = []
    choose = shapes.Shapes(made, warn=warned.append)
    wanted = {(1280, 720): (128, 64), (640, 480): (128, 96), (1080, 1920): (64, 96)}
    assert {film: choose.network(film) for film in wanted} == wanted
    frame = Frame(np.zeros((480, 640, 3), np.uint8), 0.0, 0)
    assert (choose(frame).runtime.device, choose(frame).input_size) == ("TPU", (128, 96))
    assert len(warned) == 1 and "is cut off to make 128x64" in warned[0]
    assert shapes.Shapes(made, size=(64, 32)).network((640, 480)) == (44, 32)  # asked for: on the CPU


@pytest.mark.parametrize(
    "change, words",
    [
        (lambda m: m.update(format=1), "format 1 has no"),
        (lambda m: m["plans"][1]["stages"][0].update(edgetpu="fused.tflite"), "it belongs to the plan"),
        (lambda m: m["sizes"].update(stride=6), "not one of its own sizes"),
        (lambda m: m["sizes"].update(stride=2), "fused.tflite|encoder.tflite|plan split"),
        (lambda m: m["sizes"].update(min=100), "not one of its own sizes"),
        (lambda m: m["sizes"].update(stride=0), "sizes.stride"),
        (lambda m: m["sizes"].update(most=1), "sizes.most"),
        (lambda m: m["plans"][0]["edgetpu"].update({"130x96": ["a", "b", "c"]}), "130x96, which is not one"),
        (lambda m: m["plans"][0]["edgetpu"].update({"0x96": ["a", "b", "c"]}), "edgetpu"),
        (lambda m: m["plans"][0]["edgetpu"].update({"96x96": ["a"]}), "1 compiled files for 96x96"),
        (lambda m: m["plans"][0]["edgetpu"].update({"96x96": ["a", "b", "c"]}), "needs a"),
        (lambda m: m["plans"][0]["edgetpu"].update({"96x96": m["plans"][0]["edgetpu"]["128x96"]}), "two places"),
        (lambda m: m["plans"][0].update(edgetpu={"96x96": m["plans"][0]["edgetpu"]["128x96"]}), "different ends"),
    ],
)
def test_sizes_and_sets_that_do_not_fit(sized, tmp_path, change, words):
    fields, files = compiled(sized, "128x96")
    change(fields)
    line = refused(put(tmp_path, signed(fields, files)))
    assert any(word in line for word in words.split("|")), line


@pytest.mark.parametrize("factor", [2, 4, 8])
def test_cells_of_two_four_and_eight_pixels_are_legal(factor):
    assert bundle.build(
        {
            **{
                "format": 2,
                "name": "a",
                "title": "A",
                "created": "2026-01-01T00:00:00Z",
                "files": {},
                "provenance": {},
            },
            "input": {"width": 64, "height": 32, "pixels": "yuv"},
            "output": {"width": 64, "height": 32, "pixels": "bgrx"},
            "sizes": {"stride": 8, "min": 16, "max": 2048},
            "plans": [{"name": "fused", "stages": [{"segment": "a"}, {"shuffle": "pixels", "factor": factor}]}],
        }
    )


# Hostile networks


def test_two_sizes_in_one_buffer_are_refused(sized):
    """TRANSPOSE_CONV's output shapes are constants; with one for both, only one could be right."""
    data = sized.files["fused.tflite"]
    network = Resizable(data)
    first, second = [one.inputs[0] for one in network._operators if one.code == 67]
    place = network._contents[second][1]
    spoiled = data[:place] + data[network._contents[first][1] :][:16] + data[place + 16 :]
    with pytest.raises(BundleError, match="does not hold its output's size"):
        Resizable(spoiled)


def test_a_shape_that_does_not_follow_is_refused(sized):
    data = sized.files["encoder.tflite"]
    network = Resizable(data)
    inner = network._operators[0].outputs[0]
    place = network._shape_vectors[inner][1] + 4
    with pytest.raises(BundleError, match="do not follow"):
        Resizable(data[:place] + struct.pack("<i", 31) + data[place + 4 :])


def test_every_number_of_a_network_replaced(sized):
    """Refused in one line, or another network of the same length; never anything else."""
    data = sized.files["fused.tflite"]
    places = [at for at in range(8, len(data) - 4, 4) if data[at + 2 : at + 4] in (b"\0\0", b"\xff\xff")]
    for at in places[::9]:
        for value in (0, 1, 2, 0x7FFFFFFF, 0x80000000, 0xFFFFFFFF, len(data)):
            changed = data[:at] + struct.pack("<I", value) + data[at + 4 :]
            try:
                tflite.read(changed)
                assert len(Resizable(changed).at((98, 130))) == len(data)
            except BundleError as error:
                assert "\n" not in str(error)


# What uses it


def test_the_trial_runs_at_the_size(sized):
    assert trial.passes(sized.path, size=SIZE, plan="fused") is None
    assert "take 128x96" in trial.passes(sized.path, size=(128, 97))


def test_run_at_a_size(sized, tmp_path, capsys):
    arguments = ["run", "--style", str(sized.path), "--display", str(tmp_path / "out"), "--every-frame"]
    from PIL import Image

    Image.fromarray(picture((200, 150))).save(str(tmp_path / "one.png"))
    (tmp_path / "in").mkdir()
    (tmp_path / "one.png").rename(tmp_path / "in" / "one.png")
    assert main(arguments + ["--camera", str(tmp_path / "in"), "--size", "128x96"]) == 0
    (made,) = (tmp_path / "out").iterdir()
    assert Image.open(str(made)).size == SIZE
    with pytest.raises(SystemExit):
        main(arguments + ["--size", "128"])
    assert "such as 640x360" in capsys.readouterr().err
