"""What a Stylizer makes of frames."""

from dataclasses import replace

import numpy as np
import pytest

from appliance.camera.virtual import VirtualCamera
from appliance.engine import stylizer
from appliance.engine.exposure import ExposureMeter, expose
from appliance.engine.interpreter import runtimes
from appliance.engine.stylizer import Stylizer
from appliance.style import bundle, manifest

from .conftest import DATA, manifest_fields
from .engines import Stub, frame, noise, stylised, use


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


def test_lanes_draw_the_same_pictures(tiny_yuv):
    one, two = Stylizer(tiny_yuv, threads=2), Stylizer(tiny_yuv, threads=2, lanes=2)
    frames = [np.random.default_rng(number).integers(16, 236, frame().shape).astype(np.uint8) for number in range(6)]
    begun = [two.run(two.prepare(pixels)) for pixels in frames]
    for pixels, future in zip(frames, begun):
        out, same = np.empty((2, two.output_size[1], two.output_size[0], two.channels), np.uint8)
        two.finish(future.result(), out)
        one.stylize(pixels, same)
        assert np.array_equal(out, same)


def test_what_is_settled_is_drawn_as_often_as_one_likes(tiny_yuv):
    """Onto the screen, and for who watches: it is averaged with the past once."""
    one, other = (Stylizer(tiny_yuv, reference=True, stillness=0.75) for _ in range(2))
    outs = np.empty((3, one.output_size[1], one.output_size[0], one.channels), np.uint8)
    for seed in range(6):
        picture = np.random.RandomState(seed).randint(100, 103, (32, 64, 3)).astype(np.uint8)
        settled = one.settle(one.run(one.prepare(picture)))
        for out in outs[:2]:
            one.finish(settled, out)
        other.stylize(picture, outs[2])
        assert np.array_equal(outs[0], outs[2]) and np.array_equal(outs[1], outs[2])


def test_the_frame_itself_is_left_alone(tiny):
    pixels = frame()
    before = pixels.copy()
    stylised(Stylizer(tiny), pixels)
    assert np.array_equal(pixels, before)


def test_frames_are_prepared_ahead(tiny_yuv):
    pictures = [np.random.RandomState(seed).randint(16, 236, (32, 64, 3)).astype(np.uint8) for seed in range(3)]
    one, other = Stylizer(tiny_yuv, reference=True), Stylizer(tiny_yuv, reference=True)
    ahead, outs = [one.prepare(picture) for picture in pictures], np.empty((2, 32, 64, 4), np.uint8)
    for picture, prepared in zip(pictures, ahead):
        one.finish(one.run(prepared), outs[0])
        other.stylize(picture, outs[1])
        assert np.array_equal(*outs)
