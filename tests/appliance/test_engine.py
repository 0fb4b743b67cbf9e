import gc
import tracemalloc
from dataclasses import replace

import numpy as np
import pytest

from appliance.camera.virtual import VirtualCamera
from appliance.engine import interpreter, stages, stylizer
from appliance.engine.exposure import ExposureMeter, expose
from appliance.engine.interpreter import Runtime, runtimes
from appliance.engine.stages import NearestUpsampling, PixelShuffle
from appliance.engine.stylizer import Stylizer
from appliance.errors import Problem
from appliance.style import bundle, manifest

from .conftest import DATA, manifest_fields

noise = np.random.RandomState(0)


def frame(width=64, height=32):
    return noise.randint(0, 256, (height, width, 3)).astype(np.uint8)


def stylised(engine, pixels):
    out = np.empty_like(pixels)
    engine.stylize(pixels, out)
    return out


def uncut(network, prepared):
    """What the whole network makes of pixels that are ready for it, under the reference kernels."""
    runtime = runtimes(1, reference=True)[0]
    loaded = runtime.load(network)
    given, taken = loaded.get_input_details()[0], loaded.get_output_details()[0]
    signed = given["dtype"] == np.int8
    loaded.set_tensor(given["index"], (prepared ^ 0x80).view(np.int8)[None] if signed else prepared[None])
    loaded.invoke()
    result = loaded.get_tensor(taken["index"])[0]
    return result.view(np.uint8) ^ 0x80 if signed else result


@pytest.mark.parametrize("factor", [1, 2, 3])
def test_upsample_repeats_each_pixel(factor):
    source = noise.randint(-128, 128, (4, 5, 6)).astype(np.int8)
    out = np.empty((4 * factor, 5 * factor, 6), np.int8)
    NearestUpsampling(4, 5, factor)(source, out)
    assert np.array_equal(out, source.repeat(factor, 0).repeat(factor, 1))


def test_upsample_of_some_rows():
    source = noise.randint(-128, 128, (4, 5, 6)).astype(np.int8)
    out = np.empty((7, 15, 6), np.int8)
    NearestUpsampling(4, 5, 3)(source, out, 4)
    assert np.array_equal(out, source.repeat(3, 0).repeat(3, 1)[4:11])


@pytest.mark.parametrize("factor, channels", [(2, 3), (4, 3), (4, 4), (3, 1)])
def test_shuffle_spreads_channels_over_cells_of_pixels(factor, channels):
    source = noise.randint(0, 256, (4, 5, factor * factor * channels)).astype(np.uint8)
    out = np.empty((4 * factor, 5 * factor, channels), np.uint8)
    PixelShuffle(4, 5, factor)(source, out)
    for y, x in np.ndindex(4 * factor, 5 * factor):
        cell = source[y // factor, x // factor].reshape(factor, factor, channels)
        assert np.array_equal(out[y, x], cell[y % factor, x % factor])


def test_all_plans_draw_the_same_picture(tiny):
    """The same function in other forms: their rounding differs, the picture does not."""
    assert [plan.name for plan in tiny.manifest.plans] == ["split", "fused", "lowres"]
    pixels = np.kron(noise.randint(0, 256, (4, 8, 3)), np.ones((8, 8, 1))).astype(np.uint8)
    split, *others = (stylised(Stylizer(tiny, plan=plan.name), pixels).astype(float) for plan in tiny.manifest.plans)
    for other in others:
        assert np.mean((split - other) ** 2) < 10**-2 * np.mean((split - 128) ** 2)  # above 20 dB


@pytest.mark.parametrize("plan", ["split", "fused", "lowres"])
def test_from_yuv_to_bgrx_it_is_the_same_style(tiny, tiny_yuv, plan):
    like, engine = Stylizer(tiny, plan=plan), Stylizer(tiny_yuv, plan=plan)
    assert (like.input_format, like.output_format, like.channels) == ("rgb", "rgb", 3)
    assert (engine.input_format, engine.output_format, engine.channels) == ("yuv", "bgrx", 4)
    picture = VirtualCamera(paced=False).picture(48)
    away = np.abs(like.draw(picture).astype(int) - engine.draw(picture))
    assert away.mean() < 2 and np.percentile(away, 99) < 10  # Y, U and V are rounded, and have fewer steps than R, G, B


@pytest.mark.parametrize("plan", ["split", "fused", "lowres"])
def test_uint8_ends_draw_the_same_bytes_as_int8_ends(tiny, tiny_uint8, plan):
    signed, unsigned = (Stylizer(style, plan=plan, reference=True) for style in (tiny, tiny_uint8))
    for _ in range(2):
        pixels = frame()
        assert np.array_equal(stylised(unsigned, pixels), stylised(signed, pixels))


def test_the_bytes_of_uint8_ends_are_not_touched(tiny, monkeypatch):
    size = (16, 8)
    end = {"width": 16, "height": 8, "pixels": "rgb"}
    plans = [{"name": "fused", "stages": [{"segment": "cpu"}]}]
    fields = dict(manifest_fields(tiny), input=end, output=end, plans=plans, files={})
    style = bundle.Bundle(tiny.path, manifest.build(fields), {"cpu": b""})
    network = Stub(200, size, np.uint8)
    use(monkeypatch, tflite_runtime=lambda data: network)
    pixels = frame(*size)
    assert (stylised(Stylizer(style), pixels) == 200).all()
    assert np.array_equal(network.tensors[0][0], pixels)


def test_without_exposure_yuv_is_only_copied(tmp_path, tiny_yuv):
    fields = manifest_fields(tiny_yuv)
    del fields["input"]["exposure"]
    engine = Stylizer(bundle.write(tmp_path / "plain.reconet", fields, tiny_yuv.files), plan="fused", reference=True)
    pixels = frame()
    out, within_black = np.empty((32, 64, 4), np.uint8), np.full((34, 66, 3), (16, 128, 128), np.uint8)
    within_black[1:-1, 1:-1] = pixels
    for _ in range(2):
        engine.stylize(pixels, out)
        assert np.array_equal(out, uncut(tiny_yuv.files["fused.tflite"], within_black))


def test_segments_and_numpy_are_bit_identical_to_the_uncut_network(tmp_path, parts):
    fields, files = parts
    fields["input"].pop("exposure", None)
    plain = bundle.write(tmp_path / "plain.reconet", fields, files)
    engine = Stylizer(plain, plan="split", reference=True)
    whole = (DATA / "tiny_whole.tflite").read_bytes()
    for _ in range(3):
        pixels = frame()
        assert np.array_equal(stylised(engine, pixels), uncut(whole, pixels))


@pytest.mark.parametrize("reference", [True, False])
def test_strips_are_bit_identical_to_the_whole(tiny, monkeypatch, reference):
    """But for a few rows at the edges of each strip, which are not kept, a convolution sees the same."""

    def heights(engine):
        return [step.input().shape[0] for step in engine._steps]

    def engine(unrolls):
        here = [replace(one, unrolls=unrolls) for one in runtimes(1, reference)]
        monkeypatch.setattr(stylizer, "runtimes", lambda threads, reference: here)
        return Stylizer(tiny, plan="split")

    in_strips, whole = engine(True), engine(False)
    assert heights(whole) == [32, 16, 32] and heights(in_strips)[2] < 32
    for _ in range(3):
        pixels = frame()
        assert np.array_equal(stylised(in_strips, pixels), stylised(whole, pixels))


@pytest.mark.parametrize("chroma", [None, 0.05])
def test_exposure_is_applied_before_the_network(tmp_path, parts, chroma):
    fields, files = parts
    fields["input"]["exposure"] = {"mean": 0.45, "std": 0.25, "chroma": chroma}
    engine = Stylizer(bundle.write(tmp_path / "x.reconet", fields, files), plan="split", reference=True)
    whole = (DATA / "tiny_whole.tflite").read_bytes()
    meter = ExposureMeter(0.45, 0.25, chroma)
    for brightness in (1, 2, 4):
        pixels = frame() // brightness
        prepared = np.empty_like(pixels)
        expose(pixels, meter.update(pixels), prepared)
        assert np.array_equal(stylised(engine, pixels), uncut(whole, prepared))


@pytest.mark.parametrize("plan", ["split", "lowres"])  # the last one ends in cells of 4x4 pixels
def test_stillness_calms_noise_and_lets_a_cut_through(tiny_yuv, plan):
    rng, picture = (
        np.random.RandomState(3),
        np.kron(np.random.RandomState(0).randint(40, 200, (4, 8, 3)), np.ones((8, 8, 1))),
    )
    films = [
        [np.clip(scene + 3 * rng.standard_normal(scene.shape), 16, 235).astype(np.uint8) for _ in range(30)]
        for scene in (picture, picture[::-1, ::-1])
    ]

    def made(stillness):
        engine, drawn = Stylizer(tiny_yuv, plan=plan, stillness=stillness), []
        for pixels in films[0] + films[1][:1]:
            drawn.append(np.empty((32, 64, 4), np.uint8))
            engine.stylize(pixels, drawn[-1])
        return np.array(drawn)[..., :3].astype(int)

    live, plain = made(0.75), made(0.0)
    restless, calm = (np.abs(np.diff(drawn[15:30], axis=0)).mean() for drawn in (plain, live))
    assert calm < 0.3 * restless
    assert np.abs(live[30] - plain[30]).mean() < 4  # but for the grain
    fresh = Stylizer(tiny_yuv, plan=plan, stillness=0.75)
    out = np.empty((32, 64, 4), np.uint8)
    fresh.stylize(films[1][0], out)
    assert np.array_equal(out[..., :3], live[30])


def test_the_frame_itself_is_left_alone(tiny):
    pixels = frame()
    before = pixels.copy()
    stylised(Stylizer(tiny), pixels)
    assert np.array_equal(pixels, before)


def test_it_says_what_it_runs(tiny):
    engine = Stylizer(tiny)
    stylised(engine, frame())
    assert engine.plan == tiny.manifest.plans[0].name
    assert engine.runtime.device == "CPU" and engine.runtime.name in str(engine.runtime)
    assert engine.input_size == engine.output_size == (64, 32)
    names = [name for name, _ in engine.stage_ms]
    assert names[0] == "input" and names[-1] == "output" and "x2" in names
    assert all(milliseconds >= 0 for _, milliseconds in engine.stage_ms)


class Stub:
    """An interpreter that paints everything in one value."""

    def __init__(self, value, size=(64, 32), dtype=np.int8):
        self.tensors = [np.zeros((1, size[1], size[0], 3), dtype) for _ in range(2)]
        self.value = value

    def get_input_details(self):
        return [{"index": 0}]

    def get_output_details(self):
        return [{"index": 1}]

    def tensor(self, index):
        return lambda: self.tensors[index]

    def invoke(self):
        self.tensors[1][...] = self.value


def stub_bundle(tiny, *plans):
    made = [
        {"name": name, "stages": [{"segment": "cpu", **({"edgetpu": "tpu"} if compiled else {})}]}
        for name, compiled in plans
    ]
    fields = dict(manifest_fields(tiny), name="stub", plans=made, files={})
    return bundle.Bundle(tiny.path, manifest.build(fields), {"cpu": b"cpu", "tpu": b"tpu"})


def refuse(data):
    raise ValueError("op TILE v3 is unknown")


def use(monkeypatch, **devices):
    monkeypatch.setattr(
        stylizer,
        "runtimes",
        lambda threads, reference: [
            Runtime(name, "1.0", "TPU" if name == "pycoral" else "CPU", load) for name, load in devices.items()
        ],
    )


def test_a_runtime_that_fails_gives_way_to_the_next(tiny, monkeypatch):
    use(monkeypatch, pycoral=refuse, tflite_runtime=lambda data: Stub(5))
    engine = Stylizer(stub_bundle(tiny, ("split", True)))
    assert str(engine.runtime) == "tflite_runtime 1.0"
    assert (stylised(engine, frame()) == 133).all()


def test_the_tpu_takes_only_plans_that_are_compiled(tiny, monkeypatch):
    loaded = []
    use(monkeypatch, pycoral=lambda data: loaded.append(data) or Stub(1), tflite_runtime=refuse)
    engine = Stylizer(stub_bundle(tiny, ("plain", False), ("compiled", True)))
    assert engine.plan == "compiled" and engine.runtime.device == "TPU" and loaded == [b"tpu"]


def test_a_plan_that_fails_gives_way_to_the_next(tiny, monkeypatch):
    calls = []

    def load(data):
        calls.append(data)
        return refuse(data) if len(calls) == 1 else Stub(0)

    use(monkeypatch, tflite_runtime=load)
    assert Stylizer(stub_bundle(tiny, ("first", False), ("second", False))).plan == "second"


def test_when_all_fail_the_reasons_are_given(tiny, monkeypatch):
    use(monkeypatch, tflite_runtime=refuse)
    with pytest.raises(Problem, match="does not run here: plan split on tflite_runtime 1.0: op TILE v3 is unknown"):
        Stylizer(stub_bundle(tiny, ("split", False)))


def test_unknown_plan_and_unknown_runtime(tiny):
    with pytest.raises(Problem, match="no plan 'fast': it has"):
        Stylizer(tiny, plan="fast")
    with pytest.raises(Problem, match="not on this machine"):
        Stylizer(tiny, runtime="cuda")


def test_no_runtime_at_all_says_what_to_install(monkeypatch):
    def missing(name):
        raise ImportError(name)

    monkeypatch.setattr(interpreter.importlib, "import_module", missing)
    with pytest.raises(Problem, match="pip install ai-edge-litert"):
        runtimes()


def test_a_style_that_is_gone_leaves_nothing_behind(tiny):
    """Of what was allocated in stages.py: the lists of which pixel goes where."""
    only = [tracemalloc.Filter(True, stages.__file__)]
    tracemalloc.start()
    try:
        engines = [Stylizer(tiny, plan=plan) for plan in ("split", "lowres")]
        for engine in engines:
            stylised(engine, frame())
        assert tracemalloc.take_snapshot().filter_traces(only).traces
        del engine, engines
        gc.collect()
        assert not tracemalloc.take_snapshot().filter_traces(only).traces
    finally:
        tracemalloc.stop()


def test_nothing_as_large_as_a_frame_is_allocated(tiny, monkeypatch):
    use(monkeypatch, tflite_runtime=lambda data: Stub(7, (256, 108) if data == b"first" else (512, 216)))
    # A frame of 256x108 goes in and one of 512x216 comes out.
    stages = [{"segment": "a"}, {"upsample": "nearest", "factor": 2}, {"segment": "b"}]
    fields = dict(
        manifest_fields(tiny),
        plans=[{"name": "split", "stages": stages}],
        input={"width": 256, "height": 108, "pixels": "rgb", "exposure": {"mean": 0.45, "std": 0.25}},
        output={"width": 512, "height": 216, "pixels": "rgb"},
        files={},
    )
    engine = Stylizer(bundle.Bundle(tiny.path, manifest.build(fields), {"a": b"first", "b": b"last"}))
    pixels, out = frame(256, 108), np.empty((216, 512, 3), np.uint8)
    engine.stylize(pixels, out)
    tracemalloc.start()
    try:
        for _ in range(200):  # until Python's free lists are full
            engine.stylize(pixels, out)
        before, _ = tracemalloc.get_traced_memory()
        for _ in range(20):
            engine.stylize(pixels, out)
        after, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert (out == 135).all()
    assert after - before < pixels.nbytes / 2 and peak - before < pixels.nbytes


def test_frames_are_prepared_ahead(tiny_yuv):
    pictures = [np.random.RandomState(seed).randint(16, 236, (32, 64, 3)).astype(np.uint8) for seed in range(3)]
    one, other = Stylizer(tiny_yuv, reference=True), Stylizer(tiny_yuv, reference=True)
    ahead, outs = [one.prepare(picture) for picture in pictures], np.empty((2, 32, 64, 4), np.uint8)
    for picture, prepared in zip(pictures, ahead):
        one.run(prepared, outs[0])
        other.stylize(picture, outs[1])
        assert np.array_equal(*outs)
