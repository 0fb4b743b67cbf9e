import os
import threading

import numpy as np
import pytest
from PIL import Image

from appliance.camera import open_camera, pictures
from appliance.camera.virtual import VirtualCamera
from appliance.errors import Problem


def take(camera, count=None):
    stop, frames = threading.Event(), []
    for frame in camera.frames(stop):
        frames.append(frame)
        if len(frames) == count:
            stop.set()
    return frames


def picture(path, size=(20, 10), colour=(255, 0, 0)):
    Image.new("RGB", size, colour).save(str(path))


# Virtual


def test_virtual_is_the_same_every_time():
    first, second = (take(VirtualCamera(paced=False), 3) for _ in range(2))
    assert [frame.index for frame in first] == [0, 1, 2]
    assert all(np.array_equal(a.pixels, b.pixels) for a, b in zip(first, second))
    assert first[0].pixels.shape == (360, 640, 3) and first[0].pixels.dtype == np.uint8
    assert first[2].timestamp == pytest.approx(2 / 30)


def test_virtual_moves_smoothly_and_never_ends():
    camera = VirtualCamera(paced=False)
    for index in (10, 50, 95, 96, 479, 480, 10**6):
        change = np.abs(camera.picture(index).astype(int) - camera.picture(index + 1)).mean()
        assert 0.1 < change < 20


def test_virtual_in_real_time_keeps_to_its_clock():
    camera = open_camera("virtual")
    assert camera.live and not open_camera("virtual", every_frame=True).live
    frames = take(camera, 3)
    assert all(a.index < b.index for a, b in zip(frames, frames[1:]))


def test_a_stopped_camera_yields_nothing():
    stop = threading.Event()
    stop.set()
    assert not list(VirtualCamera().frames(stop))


# Pictures


def test_pictures_in_natural_order(tmp_path):
    for number in (10, 9, 1):
        picture(tmp_path / f"p{number}.png", colour=(number, 0, 0))
    (tmp_path / "notes.txt").write_text("no picture")
    picture(tmp_path / ".hidden.png")
    frames = take(open_camera(str(tmp_path)))
    assert [frame.pixels[0, 0, 0] for frame in frames] == [1, 9, 10]
    assert [frame.timestamp for frame in frames] == pytest.approx([0, 1 / 30, 2 / 30])


def test_pictures_of_all_kinds_become_rgb(tmp_path):
    Image.new("L", (9, 7), 5).save(str(tmp_path / "a.png"))
    Image.new("RGBA", (9, 7), (1, 2, 3, 4)).save(str(tmp_path / "b.png"))
    Image.new("P", (9, 7)).save(str(tmp_path / "c.png"))
    assert [frame.pixels.shape for frame in take(open_camera(str(tmp_path)))] == [(7, 9, 3)] * 3


def test_grey_of_16_bits_keeps_its_tones_and_real_numbers_are_refused(tmp_path):
    Image.fromarray(np.full((7, 9), 100 * 257, np.uint16)).save(str(tmp_path / "a.png"))
    assert np.all(take(open_camera(str(tmp_path)))[0].pixels == 100)
    Image.fromarray(np.full((7, 9), 0.5, np.float32)).save(str(tmp_path / "b.tif"))
    with pytest.raises(Problem, match="b.tif: its pixels are floating-point"):
        take(open_camera(str(tmp_path)))


def test_a_picture_on_its_side_is_turned(tmp_path):
    image = Image.new("RGB", (20, 10))
    exif = image.getexif()
    exif[0x0112] = 6
    image.save(str(tmp_path / "a.jpg"), exif=exif)
    assert take(open_camera(str(tmp_path / "a.jpg")))[0].pixels.shape == (20, 10, 3)


@pytest.mark.parametrize(
    "name, content, words",
    [("a.png", b"text", "not a picture"), ("b.png", None, "no pictures"), ("c.png", b"", "not a picture")],
)
def test_bad_pictures(tmp_path, name, content, words):
    if content is not None:
        (tmp_path / name).write_bytes(content)
    with pytest.raises(Problem, match=words):
        take(open_camera(str(tmp_path)))


def test_a_truncated_picture(tmp_path):
    Image.effect_noise((64, 64), 50).save(str(tmp_path / "a.png"))
    data = (tmp_path / "a.png").read_bytes()
    (tmp_path / "a.png").write_bytes(data[: len(data) // 2])
    with pytest.raises(Problem, match="a.png"):
        take(open_camera(str(tmp_path)))


def test_missing_source():
    with pytest.raises(Problem, match="no video or folder of pictures at /none.mp4"):
        open_camera("/none.mp4")


@pytest.mark.parametrize(
    "name, mode", [("a.jpg", "RGB"), ("a.png", "L"), ("a.tif", "RGB"), ("a.png", "P"), ("a.png", "I;16")]
)
def test_large_photographs_are_reduced_without_a_warning(tmp_path, monkeypatch, recwarn, name, mode):
    """Of more pixels than Pillow takes by itself, which is set low here."""
    Image.new(mode, (1200, 800), 77).save(str(tmp_path / name))
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", 100000)
    pixels = pictures.read_picture(tmp_path / name, most=300000)
    assert pixels.shape == (400, 600, 3) and not recwarn.list
    assert Image.MAX_IMAGE_PIXELS == 100000


def test_a_photograph_of_200_megapixels(tmp_path, recwarn):
    image = Image.new("L", (16400, 12300), 99)
    image.save(str(tmp_path / "a.jpg"), quality=50)
    frame = take(open_camera(str(tmp_path)))[0]
    assert frame.pixels.shape == (3075, 4100, 3) and abs(int(frame.pixels[1000, 1000, 0]) - 99) <= 2
    assert not [warning for warning in recwarn.list if "DecompressionBomb" in warning.category.__name__]


def test_a_large_photograph_on_its_side(tmp_path):
    image = Image.new("RGB", (400, 200))
    exif = image.getexif()
    exif[0x0112] = 6
    for name in ("a.jpg", "a.png"):
        image.save(str(tmp_path / name), exif=exif)
        assert pictures.read_picture(tmp_path / name, most=20000).shape == (200, 100, 3)


def test_broken_pictures_among_others_are_left_out_where_that_is_wanted(tmp_path):
    for number in range(3):
        picture(tmp_path / f"{number}.png", colour=(number, 0, 0))
    (tmp_path / "1.png").write_bytes(b"text")
    skipped = []
    frames = take(open_camera(str(tmp_path), skip=skipped.append))
    assert [(frame.index, frame.pixels[0, 0, 0]) for frame in frames] == [(0, 0), (1, 2)]
    assert len(skipped) == 1 and "1.png" in str(skipped[0])


def test_a_device_that_is_none_is_refused_at_once(tmp_path):
    pytest.importorskip("v4l2", reason="v4l2-python3 is not installed")
    for path, words in (
        ("/dev/video999", "not there"),
        ("/dev/null", "not a camera"),
        (tmp_path / "link", "not a camera"),
    ):
        if not str(path).startswith("/dev"):
            path.symlink_to("/dev/null")
        with pytest.raises(Problem, match=words):
            open_camera(str(path))


def test_files_below_dev_are_files(tmp_path):
    path = f"/dev/shm/reconet-test-{os.getpid()}.png"
    if not os.path.isdir("/dev/shm"):
        pytest.skip("no /dev/shm")
    picture(path)
    try:
        assert take(open_camera(path))[0].pixels.shape == (10, 20, 3)
    finally:
        os.unlink(path)


# Video files


def film(path, size=(64, 48), times=(0, 1, 2, 3, 4), rotation=None, aspect=None, codec="libx264"):
    av = pytest.importorskip("av", reason="PyAV is not installed")
    container = av.open(str(path), "w")
    stream = container.add_stream(codec, rate=30)
    stream.width, stream.height, stream.pix_fmt = size[0], size[1], "yuv444p"
    if aspect:
        stream.codec_context.sample_aspect_ratio = aspect
    if rotation:
        stream.set_display_rotation(rotation)
    for number, time in enumerate(times):
        pixels = np.full((size[1], size[0], 3), 40 * number % 256, np.uint8)
        pixels[: size[1] // 2, : size[0] // 2] = 255
        frame = av.VideoFrame.from_ndarray(pixels, format="rgb24")
        frame.pts = time
        container.mux(stream.encode(frame))
    container.mux(stream.encode(None))
    container.close()
    return str(path)


def test_every_frame_of_a_video_at_its_time(tmp_path):
    camera = open_camera(film(tmp_path / "a.mp4", times=(0, 1, 2, 6, 7)))
    frames = take(camera)
    assert not camera.live and camera.fps > 0
    assert [frame.timestamp for frame in frames] == pytest.approx([0, 1 / 30, 2 / 30, 6 / 30, 7 / 30], abs=2e-3)
    assert [frame.pixels[40, 60, 0] for frame in frames] == pytest.approx([0, 40, 80, 120, 160], abs=3)


def test_odd_sizes(tmp_path):
    assert take(open_camera(film(tmp_path / "a.mp4", size=(65, 47))))[0].pixels.shape == (47, 65, 3)


def test_wide_pixels_become_square(tmp_path):
    from fractions import Fraction

    pixels = take(open_camera(film(tmp_path / "a.mp4", aspect=Fraction(3, 2))))[0].pixels
    assert pixels.shape == (48, 96, 3)


def test_a_video_on_its_side_is_turned(tmp_path):
    pytest.importorskip("av", reason="PyAV is not installed")
    path = film(tmp_path / "a.mp4", rotation=90)
    pixels = take(open_camera(path))[0].pixels
    assert pixels.shape == (64, 48, 3)
    bright = [pixels[:32, :24].mean(), pixels[:32, 24:].mean(), pixels[32:, :24].mean(), pixels[32:, 24:].mean()]
    # 90 degrees anticlockwise: what was at the top left is now at the bottom left.
    assert int(np.argmax(bright)) == 2


@pytest.mark.parametrize(
    "content, words",
    [
        (b"", "empty"),
        (b"hello, I am text\n" * 50, "not a video"),
        (bytes(1000), "not a video"),
        (b"#EXTM3U\nfile:///etc/passwd\n", "cannot read"),
    ],
)
def test_bad_videos(tmp_path, content, words):
    pytest.importorskip("av", reason="PyAV is not installed")
    (tmp_path / "a.mp4").write_bytes(content)
    with pytest.raises(Problem, match=words):
        take(open_camera(str(tmp_path / "a.mp4")))


def test_a_truncated_video(tmp_path):
    path = film(tmp_path / "a.mp4", times=range(60))
    data = (tmp_path / "a.mp4").read_bytes()
    (tmp_path / "a.mp4").write_bytes(data[: len(data) // 2])
    with pytest.raises(Problem, match="a.mp4"):
        take(open_camera(path))


def test_sound_only(tmp_path):
    av = pytest.importorskip("av", reason="PyAV is not installed")
    container = av.open(str(tmp_path / "a.wav"), "w")
    stream = container.add_stream("pcm_s16le", rate=8000)
    stream.layout = "mono"
    sound = av.AudioFrame.from_ndarray(np.zeros((1, 800), np.int16), format="s16", layout="mono")
    sound.sample_rate = 8000
    container.mux(stream.encode(sound))
    container.mux(stream.encode(None))
    container.close()
    with pytest.raises(Problem, match="no video stream"):
        open_camera(str(tmp_path / "a.wav"))
