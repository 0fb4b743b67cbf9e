"""Cameras that give other formats than YUYV."""

import io

import numpy as np
import pytest
from PIL import Image

from appliance.camera import mjpg
from appliance.camera.planar import Planar, PlanarReducer, as_yuyv
from appliance.camera.v4l2 import V4l2Camera, Wanted
from appliance.camera.virtual import VirtualCamera
from appliance.camera.yuyv import BT601, yuyv_to_rgb
from appliance.errors import Problem
from appliance.frames import converted

from .fake_v4l2 import Device, Stop, fault_of, random_planes, take

PLANAR = ("NV12", "YU12")


def whole(planes):
    """(H, W, 3) of planes, each U and V repeated for the pixels that share it."""
    luma = planes[0]
    down, across = (a // b for a, b in zip(luma.shape, planes[1].shape))
    return np.stack([luma] + [np.repeat(np.repeat(plane, down, 0), across, 1) for plane in planes[1:]], -1)


def means(pixels, factor):
    height, width = (side // factor * factor for side in pixels.shape[:2])
    cut = pixels[:height, :width].astype(float)
    return cut.reshape(height // factor, factor, width // factor, factor, 3).mean((1, 3))


def reduced(planes, camera, network, **options):
    out = np.empty(network[::-1] + (3,), np.uint8)
    PlanarReducer(camera, network, **options)(Planar(planes[0], tuple(p[..., np.newaxis] for p in planes[1:])), out)
    return out


# Pixels


@pytest.mark.parametrize("factor", [1, 2, 3, 4, 6])
@pytest.mark.parametrize("shared", [(1, 1), (1, 2), (2, 2)])
def test_each_pixel_is_the_mean_of_those_it_covers(factor, shared):
    network = (16, 10)
    camera = (factor * network[0], factor * network[1])
    luma, *_ = random_planes(camera[1], camera[0])
    chroma = [
        np.random.RandomState(n).randint(0, 256, luma.shape, np.uint8)[:: shared[0], :: shared[1]] for n in (1, 2)
    ]
    chroma = [plane.copy() for plane in chroma]
    error = reduced([luma, *chroma], camera, network) - means(whole([luma, *chroma]), factor)
    assert np.abs(error).max() <= 0.5


def test_the_middle_is_taken_also_from_an_odd_row():
    camera, network = (64, 42), (32, 18)  # 3 rows above and below
    planes = random_planes(camera[1], camera[0])
    expected = means(whole(planes)[2:38], 2)  # the row above: two rows share U and V
    assert np.abs(reduced(planes, camera, network) - expected).max() <= 0.5
    assert np.array_equal(reduced(planes, camera, network, mirror=True), reduced(planes, camera, network)[:, ::-1])


def test_a_full_range_is_made_a_limited_one():
    planes = [np.full((4, 8), 255, np.uint8), np.full((2, 4), 0, np.uint8), np.full((2, 4), 255, np.uint8)]
    assert (reduced(planes, (8, 4), (4, 2), full_range=True) == (235, 16, 240)).all()


@pytest.mark.parametrize("format", PLANAR)
@pytest.mark.parametrize("padding", [0, 32])
def test_planar_cameras(kernel, format, padding):
    device = kernel.devices["/dev/video0"] = Device((format,), (16, 8), padding)
    camera = V4l2Camera(yuv_size=(8, 4))
    frames = camera.frames(Stop(kernel))
    frame = next(frames)
    assert np.abs(frame.pixels - means(whole(device.planes(0)), 2)).max() <= 0.5 and frame.format == "yuv"
    assert camera.state.given == f"16x8 {format} at 30 fps, 100 % of the camera's view"
    camera.yuv_size = None
    expected, planes = np.empty((8, 16, 3), np.uint8), device.planes(1)
    yuyv = as_yuyv(Planar(planes[0], tuple(plane[..., np.newaxis] for plane in planes[1:])))
    yuyv_to_rgb(yuyv, expected)
    assert np.array_equal(next(frames).pixels, expected)
    assert np.array_equal(yuyv[..., 0], planes[0]) and np.array_equal(yuyv[::2, ::2, 1], planes[1])
    frames.close()


def test_uyvy_is_yuyv_with_other_bytes_first(kernel):
    taken = []
    for format in ("YUYV", "UYVY"):
        kernel.devices["/dev/video0"] = Device((format,), (16, 8), 6)
        taken.append([take(V4l2Camera(yuv_size=size), Stop(kernel), 1)[0] for size in ((8, 4), (16, 8), None)])
    for plain, swapped in zip(*taken):
        assert np.array_equal(plain.pixels, swapped.pixels)


# Which format


def test_mjpg_is_taken_where_it_alone_is_fast(kernel):
    pytest.importorskip("turbojpeg")
    device = kernel.devices["/dev/video0"] = Device(("YUYV", "MJPG"))
    device.sizes = {"YUYV": {(1280, 720): 10, (640, 360): 10}, "MJPG": {(1280, 720): 30, (640, 360): 30}}
    device.jpegs = [jpeg(VirtualCamera(paced=False).picture(0), (1280, 720))]
    take(V4l2Camera(yuv_size=(640, 360)), Stop(kernel), 1)
    assert device.format == "MJPG" and device.size == (1280, 720)
    device.sizes["YUYV"][1280, 720] = 30
    take(V4l2Camera(yuv_size=(640, 360)), Stop(kernel), 1)
    assert device.format == "YUYV" and device.size == (1280, 720)
    take(V4l2Camera(Wanted(pixels="MJPG"), yuv_size=(640, 360)), Stop(kernel), 1)
    assert device.format == "MJPG"


def test_a_configured_format_that_is_not_offered(kernel):
    kernel.devices["/dev/video0"] = Device(("YUYV", "H264"))
    camera = V4l2Camera(Wanted("/dev/video0", pixels="NV12"))
    assert take(camera, Stop(kernel), 1) == []
    assert "offers YUYV, H264, not NV12: set camera.format to auto" in camera.fault


def test_without_a_decoder(kernel, monkeypatch):
    def refuse():
        raise Problem("MJPG cameras need PyTurboJPEG")

    monkeypatch.setattr("appliance.camera.stream.decoder", refuse)
    kernel.devices["/dev/video0"] = Device(("MJPG",))
    assert "/dev/video0 (A camera): MJPG cameras need PyTurboJPEG" in fault_of(kernel)
    kernel.devices["/dev/video0"] = Device(("MJPG", "YUYV"))
    assert len(take(V4l2Camera(), Stop(kernel), 1)) == 1


# MJPG


def jpeg(picture, size, **options):
    """The bytes of a JPEG picture of that size; `options` are Pillow's."""
    file = io.BytesIO()
    Image.fromarray(picture).resize(size).save(file, "JPEG", **{"quality": 95, "subsampling": "4:2:2", **options})
    return file.getvalue()


def without_tables(data):
    """The JPEG without its Huffman tables, as many webcams send it."""
    at, kept = 2, data[:2]
    while data[at + 1] != 0xDA:
        end = at + 2 + int.from_bytes(data[at + 2 : at + 4], "big")
        kept += data[at:end] if data[at + 1] != 0xC4 else b""
        at = end
    return kept + data[at:]


@pytest.fixture
def webcam(kernel):
    pytest.importorskip("turbojpeg")
    try:
        mjpg.decoder()
    except Problem as problem:
        pytest.skip(str(problem))
    kernel.devices["/dev/video0"] = Device(("MJPG",), (128, 72))
    return kernel.devices["/dev/video0"]


@pytest.mark.parametrize("subsampling", ["4:2:2", "4:2:0", "4:4:4"])
def test_a_webcams_pictures_are_decoded_to_yuv(kernel, webcam, subsampling):
    picture = VirtualCamera(paced=False).picture(0)
    data = jpeg(picture, (128, 72), subsampling=subsampling)
    webcam.jpegs = [data, without_tables(data)]
    assert len(webcam.jpegs[1]) < len(data) - 100
    camera = V4l2Camera(yuv_size=(64, 36))
    half, again = take(camera, Stop(kernel), 2)
    expected = converted(np.asarray(Image.fromarray(picture).resize((64, 36), Image.BOX)), "rgb", "yuv").astype(int)
    assert np.abs(half.pixels.astype(int) - expected).mean() < 4 and np.array_equal(half.pixels, again.pixels)
    (full,) = take(V4l2Camera(), Stop(kernel), 1)
    assert np.abs(full.pixels.astype(int) - np.asarray(Image.fromarray(picture).resize((128, 72)))).mean() < 6
    assert BT601.full_range is False and camera.state.given.startswith("128x72 MJPG at 30 fps")


def test_a_grey_webcam(kernel, webcam):
    webcam.jpegs = [jpeg(np.full((72, 128), 255, np.uint8), (128, 72))]
    (frame,) = take(V4l2Camera(yuv_size=(64, 36)), Stop(kernel), 1)
    assert (frame.pixels == (235, 128, 128)).all()


def test_damaged_pictures_are_left_out(kernel, webcam):
    good = jpeg(VirtualCamera(paced=False).picture(0), (128, 72))
    other = jpeg(VirtualCamera(paced=False).picture(0), (64, 36))
    webcam.jpegs = [b"", good[:-1000], good[2:], b"\xff\xd8\xff\xd9", other, b"x" * 500 + b"\xff\xd9", good]
    webcam.script = [[{}] for _ in range(20)]
    (frame,) = take(V4l2Camera(yuv_size=(64, 36)), Stop(kernel), 1)
    assert frame.index == 0 and frame.timestamp == pytest.approx(50.006)


def test_a_camera_whose_pictures_are_all_damaged(kernel, webcam):
    webcam.jpegs = [b"no picture"]
    assert fault_of(kernel) == "/dev/video0 gives damaged MJPG pictures: check its cable"
