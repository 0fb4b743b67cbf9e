"""Films as people have them, through `reconet run`: shape, sound, time, orientation, colour."""

import json
import os
import re
from fractions import Fraction

import numpy as np
import pytest
from PIL import Image

from appliance import shapes
from appliance.camera import hdr, open_camera, pictures
from appliance.display import open_display
from appliance.errors import Problem
from appliance.frames import Frame, converted
from appliance.style import bundle, sizes, state

from . import clips
from .test_camera import take


@pytest.fixture
def film(reconet, tmp_path):
    """Stylise a film: (path of the result, lines of stderr)."""
    clips.import_av()

    def stylise(source, *options, code=0):
        result = tmp_path / "out.mp4"
        done, _, err = reconet("run", "--camera", source, "--display", result, *options)
        assert done == code, err
        return result, err

    return stylise


# Shape


@pytest.mark.parametrize("size", [(96, 54), (54, 96), (80, 60), (60, 80), (64, 64), (128, 54), (640, 360), (361, 641)])
def test_a_film_keeps_its_shape(film, tmp_path, size):
    result, err = film(clips.write(tmp_path / "a.mp4", [clips.corners(size)] * 3, pix_fmt="yuv444p"))
    height, width = clips.pictures(result)[0][1].shape[:2]
    assert width / height == pytest.approx(size[0] / size[1], rel=0.03) and err == []
    assert width <= max(size[0], 32) + 1 and height <= max(size[1], 32) + 1
    assert width * height <= 2 * 64 * 32


def test_size_is_the_most_and_crop_the_very_size(film, tmp_path):
    source = clips.write(tmp_path / "a.mp4", [clips.corners((96, 128))] * 3)
    assert clips.pictures(film(source, "--size", "256x64")[0])[0][1].shape == (64, 48, 3)
    assert clips.pictures(film(source, "--size", "128x64", "--fit", "crop")[0])[0][1].shape == (64, 128, 3)
    assert clips.pictures(film(source, "--fit", "crop")[0])[0][1].shape == (32, 64, 3)


def test_a_size_is_a_bound_whatever_the_stride(reconet, film, tmp_path):
    source = clips.write(tmp_path / "a.mp4", [clips.corners((96, 128))] * 3)
    assert clips.pictures(film(source, "--size", "255x67")[0])[0][1].shape == (64, 48, 3)
    _, err = film(source, "--size", "255x67", "--fit", "crop", code=1)
    assert "cannot be built for 255x67" in err[0]
    _, err = film(source, "--size", "20x9", code=1)
    assert "cannot be built for 20x9" in err[0]
    code, out, _ = reconet("run", "--camera", "virtual", "--seconds", "0.1", "--size", "131x67", "--json")
    assert code == 0 and json.loads(out)["size"] == [128, 64]


def test_what_bench_chose_is_taken_unless_it_is_lite(reconet, styles, tiny, tmp_path, monkeypatch):
    clips.import_av()
    source = clips.write(tmp_path / "a.mp4", [clips.corners((96, 54))] * 3)
    fields = tiny.manifest.model_dump(exclude_none=True, exclude={"files"})
    fields["plans"].append(dict(fields["plans"][1], name="lite"))
    style = bundle.write(styles / "tiny.reconet", fields, tiny.files)
    monkeypatch.setattr(shapes, "_thrifty", lambda: "lowres")
    for chosen, taken in (("lite", "lowres"), ("fused", "fused")):
        state.choose(styles, style.digest, "CPU", chosen, (64, 32))
        _, out, _ = reconet("run", "--camera", source, "--json", "--style", "tiny", "--display", "none")
        assert json.loads(out)["plan"] == taken


def test_a_style_of_format_2_fits_as_well(film, sized, tmp_path):
    source = clips.write(tmp_path / "a.mp4", [clips.corners((54, 96))] * 3)
    height, width = clips.pictures(film(source, "--style", sized.path)[0])[0][1].shape[:2]
    assert width / height == pytest.approx(54 / 96, rel=0.03)


def test_a_style_that_cannot_be_built_for_a_shape_crops_and_says_so(film, tmp_path, monkeypatch):
    monkeypatch.setattr(sizes, "inferred", lambda *_: None)
    source = clips.write(tmp_path / "a.mp4", [clips.corners((54, 96))] * 3)
    result, err = film(source)
    assert clips.pictures(result)[0][1].shape == (32, 64, 3)
    assert len(err) == 1 and "72 % of a picture of 54x96 is cut off to make 64x32" in err[0]


def test_pictures_of_mixed_shapes_keep_each_its_own(reconet, tmp_path):
    (tmp_path / "in").mkdir()
    sizes = [(80, 60), (60, 80), (80, 60), (96, 54)]
    for number, size in enumerate(sizes):
        Image.fromarray(clips.corners(size)).save(str(tmp_path / f"in/{number}.png"))
    code, _, err = reconet("run", "--camera", tmp_path / "in", "--display", tmp_path / "out")
    made = [Image.open(str(tmp_path / "out" / name)).size for name in sorted(os.listdir(str(tmp_path / "out")))]
    assert code == 0 and err == []
    assert [w / h for w, h in made] == pytest.approx([w / h for w, h in sizes], rel=0.03)


def test_a_film_of_mixed_pictures_has_the_shape_of_the_first_and_says_so(film, tmp_path):
    (tmp_path / "in").mkdir()
    for number, size in enumerate([(80, 60), (60, 80), (80, 60)]):
        Image.fromarray(clips.corners(size)).save(str(tmp_path / f"in/{number}.png"))
    result, err = film(tmp_path / "in")
    assert {pixels.shape for _, pixels in clips.pictures(result)} == {(48, 64, 3)}
    assert len(err) == 1 and "shape of its first picture" in err[0]


# Sound


@pytest.mark.parametrize("codec, kind", [("aac", "mp4"), ("libopus", "mkv"), ("libmp3lame", "mov"), ("flac", "mkv")])
def test_the_sound_comes_along_as_it_was(film, tmp_path, codec, kind):
    source = clips.write(tmp_path / f"a.{kind}", [clips.corners((64, 32))] * 50, 25, codec)
    result, err = film(source)
    assert err == [] and clips.packets(result) == clips.packets(source)
    (rate, before), (_, after) = clips.heard(source), clips.heard(result)
    beeps = [np.flatnonzero(np.abs(samples[rate // 2 :]) > 0.2)[0] / rate for samples in (before, after)]
    assert beeps[1] == pytest.approx(beeps[0], abs=0.005)


def test_the_sound_ends_with_what_is_shown(film, tmp_path):
    source = clips.write(tmp_path / "a.mp4", [clips.corners((64, 32))] * 75, 25, "aac")
    result, _ = film(source, "--seconds", "1.2")
    rate, samples = clips.heard(result)
    assert clips.duration(result) == pytest.approx(1.2, abs=0.02)
    assert len(samples) / rate - 2 == pytest.approx(1.2, abs=0.05)
    assert np.abs(samples[rate : int(1.1 * rate)]).max() > 0.2


def test_no_sound_when_nobody_wants_it(film, tmp_path):
    source = clips.write(tmp_path / "a.mp4", [clips.corners((64, 32))] * 10, 25, "aac")
    assert clips.heard(film(source, "--no-sound")[0]) is None


def test_a_sound_that_an_mp4_does_not_hold_is_left_out_and_named(film, tmp_path):
    source = clips.write(tmp_path / "a.avi", [clips.corners((64, 32))] * 10, 25, "adpcm_ms")
    result, err = film(source)
    assert clips.heard(result) is None and len(clips.pictures(result)) == 10
    assert len(err) == 1 and "the sound is left out" in err[0] and "adpcm_ms" in err[0]


def test_all_the_tracks_of_a_film_come_along(film, tmp_path):
    av = clips.import_av()
    for name in "ab":
        clips.write(tmp_path / f"{name}.mp4", [clips.corners((64, 32))] * 25, 25, "aac")
    with av.open(str(tmp_path / "both.mkv"), "w") as out:
        sources = [av.open(str(tmp_path / f"{name}.mp4")) for name in "ab"]
        taken = [sources[0].streams.video[0], sources[0].streams.audio[0], sources[1].streams.audio[0]]
        made = [out.add_stream_from_template(stream) for stream in taken]
        for number, source in enumerate(sources):
            for packet in source.demux(*[stream for stream in taken if stream.container is source]):
                if packet.dts is not None:
                    packet.stream = made[2 * number + (packet.stream.type == "audio" and number == 0)]
                    out.mux(packet)
        for source in sources:
            source.close()
    result, err = film(tmp_path / "both.mkv")
    assert err == [] and all(clips.heard(result, track) is not None for track in (0, 1))


# Time


@pytest.mark.parametrize("rate", [24, 25, 30, 50, 60, Fraction(30000, 1001)])
def test_a_film_is_as_long_as_its_source(film, tmp_path, rate):
    source = clips.write(tmp_path / "a.mp4", [clips.corners((64, 32))] * 31, rate)
    result, _ = film(source)
    assert clips.duration(result) == pytest.approx(clips.duration(source), abs=0.5 / rate)
    assert len(clips.pictures(result)) == 31


def test_a_last_frame_that_stays_is_cut_at_the_seconds_wanted(film, tmp_path):
    source = clips.write(tmp_path / "a.mp4", [clips.corners((64, 32))] * 3, Fraction(1, 2))
    assert clips.duration(film(source)[0]) == pytest.approx(6)
    assert clips.duration(film(source, "--seconds", "3")[0]) == pytest.approx(3)


# Orientation

_TURNS = {
    (1, 0, 0, 1): "wrgb",
    (-1, 0, 0, 1): "rwbg",  # mirrored, as selfie cameras do
    (1, 0, 0, -1): "gbwr",
    (-1, 0, 0, -1): "bgrw",
    (0, 1, 1, 0): "wgrb",
    (0, 1, -1, 0): "gwbr",  # turned clockwise by 90 degrees
    (0, -1, 1, 0): "rbwg",
    (0, -1, -1, 0): "brgw",
}


@pytest.mark.parametrize("matrix", _TURNS, ids=str)
def test_all_eight_orientations(tmp_path, matrix):
    """The quarters of the picture, from the top left row by row."""
    clips.write(tmp_path / "a.mp4", [clips.corners((64, 48))] * 2)
    pixels = take(open_camera(clips.with_matrix(tmp_path / "a.mp4", *matrix)))[0].pixels
    height, width = pixels.shape[:2]
    assert (width, height) == ((64, 48) if matrix[0] else (48, 64))
    names = {(True, True, True): "w", (True, False, False): "r", (False, True, False): "g", (False, False, True): "b"}
    seen = [pixels[y * height // 4, x * width // 4] > 128 for y in (1, 3) for x in (1, 3)]
    assert "".join(names[tuple(map(bool, quarter))] for quarter in seen) == _TURNS[matrix]


# Colour


def hdr_film(path, codes, transfer, mastering=""):
    av = clips.import_av()
    from av.video.reformatter import Colorspace

    pixels = np.empty((48, 64, 3), np.uint16)
    pixels[:] = np.round(np.array(codes) * 65535)
    container = av.open(str(path), "w")
    options = {"x265-params": "log-level=none:bframes=0:frame-threads=1:pools=none" + mastering}
    stream = container.add_stream("libx265", rate=30, options=options)
    stream.width, stream.height, stream.pix_fmt = 64, 48, "yuv420p10le"
    context = stream.codec_context
    context.color_trc, context.color_primaries, context.colorspace, context.color_range = transfer, 9, 9, 1
    for number in range(2):
        frame = av.VideoFrame.from_ndarray(pixels, format="rgb48le")
        frame = frame.reformat(format="yuv420p10le", dst_colorspace=Colorspace.BT2020)
        frame.pts = number
        container.mux(stream.encode(frame))
    container.mux(stream.encode(None))
    container.close()
    return take(open_camera(str(path)))[0].pixels[24, 32].tolist()


@pytest.mark.parametrize(
    "light, code", [(0.0, 0), (5.0, 55), (50.0, 142), (100.0, 189), (203.0, 230), (1000.0, 255), (4000.0, 255)]
)
def test_hdr10_is_brought_to_an_sdr_screen(tmp_path, light, code):
    """Greys: below the knee as bright as they were on a screen of 203 cd/m2 (BT.1886), the peak of 1,000 white."""
    clips.import_av()
    pixel = hdr_film(tmp_path / "a.mkv", [float(hdr.light_to_pq(np.float64(light)))] * 3, hdr.PQ)
    assert pixel == pytest.approx([code] * 3, abs=4)


def test_the_peak_that_a_film_declares_is_the_one_that_becomes_white(tmp_path):
    clips.import_av()
    codes = [float(hdr.light_to_pq(np.float64(1000.0)))] * 3
    bright = hdr_film(tmp_path / "a.mkv", codes, hdr.PQ, ":hdr10=1:max-cll=4000,400")
    assert 225 < bright[0] < 252


@pytest.mark.parametrize("signal, code", [(0.0, 0), (0.5, 143), (0.75, 230), (1.0, 255)])
def test_hlg_is_brought_to_an_sdr_screen(tmp_path, signal, code):
    clips.import_av()
    assert hdr_film(tmp_path / "a.mkv", [signal] * 3, hdr.HLG) == pytest.approx([code] * 3, abs=4)


def test_red_of_bt_2020_becomes_red_of_bt_709(tmp_path):
    clips.import_av()
    code = float(hdr.light_to_pq(np.float64(100.0)))
    red, green, blue = hdr_film(tmp_path / "a.mkv", [code, 0, 0], hdr.PQ)
    assert red > 180 and green < 12 and blue < 12


@pytest.mark.parametrize("size, codec", [((1280, 720), "libx264"), ((96, 64), "libx264"), ((96, 64), "mjpeg")])
def test_yuv_frames_show_what_rgb_frames_show(tmp_path, size, codec):
    full = {"codec": "mjpeg", "pix_fmt": "yuvj420p"} if codec == "mjpeg" else {}
    path = clips.write(tmp_path / "a.mkv", [clips.corners(size)] * 2, **full)
    seen = []
    for pixels in ("rgb", "yuv"):
        camera = open_camera(str(path))
        camera.reduced, camera.format = lambda size: (64, 40), pixels
        (one,) = take(camera, 1)
        assert (one.format, one.made_for, one.pixels.shape) == (pixels, (64, 40), (40, 64, 3))
        seen.append(converted(one.pixels, pixels, "rgb").astype(int))
    assert np.abs(seen[0] - seen[1]).mean() < 2.5


@pytest.mark.parametrize("size", [(64, 32), (63, 31)])
def test_a_film_of_bgrx_is_the_film_of_rgb(tmp_path, size):
    clips.import_av()
    pictures = []
    for pixels in ("rgb", "bgrx"):
        display = open_display(str(tmp_path / f"{pixels}.mp4"))
        display.show(Frame(converted(clips.corners(size), "rgb", pixels), 0.0, 0, pixels))
        display.show(Frame(converted(clips.corners((48, 32)), "rgb", pixels), 0.1, 1, pixels))
        display.finish()
        pictures.append([picture.astype(int) for _, picture in clips.pictures(tmp_path / f"{pixels}.mp4")])
    assert len(pictures[0]) == 2 and np.abs(np.subtract(*pictures)).max() < 8


def test_what_a_film_is_written_with_says_its_colours(film, tmp_path):
    result, _ = film(clips.write(tmp_path / "a.mkv", [clips.corners((64, 32))] * 2))
    with clips.import_av().open(str(result)) as container:
        context = container.streams.video[0].codec_context
        assert (context.colorspace, context.color_primaries, context.color_trc, context.color_range) == (1, 1, 1, 1)


# What is no film


def test_a_song_with_a_cover_is_no_film(tmp_path):
    av = clips.import_av()
    Image.fromarray(clips.corners((64, 64))).save(str(tmp_path / "cover.jpg"))
    clips.write(tmp_path / "a.mkv", [clips.corners((64, 64))] * 2, 25, "libmp3lame")
    packets = clips.packets(tmp_path / "a.mkv")
    data = (tmp_path / "cover.jpg").read_bytes()
    picture = b"\x00image/jpeg\x00\x03\x00" + data
    frame = b"APIC" + len(picture).to_bytes(4, "big") + b"\x00\x00" + picture
    size = bytes(len(frame) >> shift & 0x7F for shift in (21, 14, 7, 0))
    (tmp_path / "a.mp3").write_bytes(b"ID3\x03\x00\x00" + size + frame + b"".join(packets))
    with av.open(str(tmp_path / "a.mp3")) as container:
        assert container.streams.video, "the test's own file has no cover"
    with pytest.raises(Problem, match="no video stream"):
        open_camera(str(tmp_path / "a.mp3"))


@pytest.mark.parametrize("name, count", [("a.gif", 3), ("a.avif", 1)])
def test_pictures_that_move_are_the_same_alone_and_in_a_folder(reconet, tmp_path, name, count):
    clips.import_av()
    (tmp_path / "in").mkdir()
    pictures = [Image.fromarray(np.roll(clips.corners((64, 48)), 9 * shift, 1)) for shift in range(count)]
    try:
        pictures[0].save(str(tmp_path / "in" / name), save_all=count > 1, append_images=pictures[1:])
    except (KeyError, OSError, ValueError):
        pytest.skip(f"Pillow does not write {name}")
    results = []
    for source in (tmp_path / "in", tmp_path / "in" / name):
        code, out, err = reconet("run", "--camera", source, "--json")
        results.append((code, json.loads(out)["frames"], err))
    assert results == [(0, count, [])] * 2


@pytest.mark.parametrize("tiles", [0, 64])
def test_a_phone_writes_heic_in_tiles(reconet, tmp_path, monkeypatch, tiles):
    heif = pytest.importorskip("pillow_heif", reason="pillow-heif is not installed")
    heif.register_heif_opener()
    monkeypatch.setattr(heif.options, "GRID_TILE_SIZE", tiles)
    corners = clips.corners((192, 128))
    Image.fromarray(corners).save(str(tmp_path / "a.heic"), quality=90)
    seen = pictures.read_picture(tmp_path / "a.heic")
    assert seen.shape == (128, 192, 3) and np.abs(seen.astype(int) - corners).mean() < 8
    code, out, err = reconet("run", "--camera", tmp_path / "a.heic", "--json")
    assert (code, json.loads(out)["frames"], err) == (0, 1, [])


def test_without_pillow_heif_tiles_are_refused_with_advice(reconet, tmp_path, monkeypatch):
    heif = pytest.importorskip("pillow_heif", reason="pillow-heif is not installed")
    heif.register_heif_opener()
    monkeypatch.setattr(heif.options, "GRID_TILE_SIZE", 64)
    Image.fromarray(clips.corners((192, 128))).save(str(tmp_path / "a.heic"))
    monkeypatch.setattr(pictures, "_opens_heif", lambda: False)
    code, _, err = reconet("run", "--camera", tmp_path / "a.heic")
    assert code == 1 and "in tiles: pip install pillow-heif" in err[0]


def test_a_heic_that_is_none_is_named_alone_and_in_a_folder(reconet, tmp_path):
    clips.import_av()
    (tmp_path / "in").mkdir()
    (tmp_path / "in/a.heic").write_bytes(b"text")
    for source in (tmp_path / "in", tmp_path / "in/a.heic"):
        code, _, err = reconet("run", "--camera", source)
        assert code == 1 and re.search("a.heic: not a (video|picture), or damaged", err[0])
