"""What a frame costs on this machine's CPU, part by part, beside other ways to do the same. `make bench` runs it.

Medians of `--repeats` runs, and ratios to the row that is named the baseline, all in one run. Whole frames are in
networks.py.
"""

import argparse
import os
import sys

os.environ.setdefault("KERAS_BACKEND", "jax")
os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

import numpy as np

from benchmarks.networks import whole_frames
from benchmarks.timing import median_ms, rows


def main(argv=None) -> int:
    parser = argparse.ArgumentParser(prog="benchmarks.appliance", description=__doc__.split("\n")[0])
    parser.add_argument("--repeats", type=int, default=30)
    arguments = parser.parse_args(argv)
    upsampling(arguments.repeats)
    thinning(arguments.repeats)
    macropixels(arguments.repeats)
    formats(arguments.repeats)
    enlarging(arguments.repeats)
    exposing(arguments.repeats)
    whole_frames(arguments.repeats)
    return 0


def upsampling(repeats: int) -> None:
    """Nearest x2 of the two tensors that `split` enlarges, by ours and by others."""
    from appliance.engine.stages import NearestUpsampling, PixelShuffle

    rng = np.random.default_rng(0)
    for shape in ((54, 128, 128), (108, 256, 64)):
        source = rng.integers(-128, 128, shape, "int8")
        out, upsample = np.empty((2 * shape[0], 2 * shape[1], shape[2]), "int8"), NearestUpsampling(*shape[:2], 2)
        ways = {
            "ours": lambda: upsample(source, out),  # noqa: B023  (called before the next turn)
            "broadcast assignment": lambda: out.reshape(shape[0], 2, shape[1], 2, shape[2]).__setitem__(  # noqa: B023
                ...,
                source[:, None, :, None, :],  # noqa: B023
            ),
            "np.repeat": lambda: source.repeat(2, 0).repeat(2, 1),  # noqa: B023
            "TensorFlow Lite's RESIZE_NEAREST_NEIGHBOR": resize_operation(source),
        }
        if opencv := opencv_resize(source):
            ways["cv2.resize"] = opencv
        measured = {name: median_ms(way, repeats) for name, way in ways.items()}
        rows(f"nearest x2, {'x'.join(map(str, shape))}, int8", measured, "ours")
    cells, image = rng.integers(0, 256, (54, 128, 48), "uint8"), np.empty((216, 512, 3), "uint8")
    shuffle = PixelShuffle(54, 128, 4)
    ways = {
        "ours": lambda: shuffle(cells, image),
        "reshape and transpose": lambda: np.ascontiguousarray(
            cells.reshape(54, 128, 4, 4, 3).transpose(0, 2, 1, 3, 4)
        ).reshape(216, 512, 3),
    }
    rows("shuffle of the image in lowres, 54x128x48", {n: median_ms(w, repeats) for n, w in ways.items()}, "ours")


def thinning(repeats: int) -> None:
    """The network's input out of a camera's picture: ours, every second pixel, and OpenCV; and how far each is from the
    mean of the pixels that it stands for, on a sharp picture."""
    from appliance.camera.thin import Thinner

    for camera, network in (((1280, 720), (640, 360)), ((1024, 576), (512, 288)), ((1920, 1080), (640, 360))):
        factor, (width, height) = camera[0] // network[0], network
        yuyv = np.random.default_rng(0).integers(16, 236, (camera[1], camera[0], 2), np.uint8)
        out, thinner = np.empty((height, width, 3), np.uint8), Thinner(camera, network)
        whole = yuyv[..., 0].reshape(height, factor, width, factor).mean((1, 3))
        ways = {"ours": lambda: thinner(yuyv, out)}  # noqa: B023  (called before the next turn)
        if factor == 2:
            pairs = yuyv.reshape(camera[1], width, 4)[::2]
            ways["every second pixel, [::2]"] = lambda: [
                out.__setitem__((..., channel), pairs[..., byte])  # noqa: B023
                for channel, byte in enumerate((0, 1, 3))
            ]
        try:
            import cv2

            cv2.setNumThreads(1)
            ways["OpenCV cvtColor to RGB + INTER_AREA"] = lambda: cv2.resize(
                cv2.cvtColor(yuyv, cv2.COLOR_YUV2RGB_YUYV),  # noqa: B023
                network,  # noqa: B023
                interpolation=cv2.INTER_AREA,
            )
        except ImportError:
            print("OpenCV left out: pip install opencv-python-headless", file=sys.stderr)
        measured = {name: median_ms(way, repeats) for name, way in ways.items()}
        rows("{}x{} YUYV to {}x{}".format(*camera, *network), measured, "ours")
        for name in list(ways)[: 2 if factor == 2 else 1]:
            ways[name]()
            error = out[..., 0] - whole
            print(f"  luma against the mean, {name}: RMS {np.sqrt(np.square(error).mean()):.2f}, of 255")


def macropixels(repeats: int) -> None:
    """The input of a network that would take the camera's pairs of pixels, Y0 U Y1 V, as one pixel of four channels:
    two rows averaged, or every second one, then exposed; beside what is done."""
    from appliance.camera.thin import Thinner
    from appliance.engine.exposure import Curve, expose

    yuyv = np.random.default_rng(0).integers(16, 236, (720, 1280, 2), np.uint8)
    thinner, frame = Thinner((1280, 720), (640, 360)), np.empty((360, 640, 3), np.uint8)
    exposed, curve = np.empty((364, 644, 3), np.uint8)[2:-2, 2:-2], Curve(1.3, -0.1, 2.1)
    rows_of, pairs = yuyv.reshape(360, 2, 2560).view(np.uint64), np.empty((360, 320), np.uint64)
    upper, lower, spare = np.empty((3, 60, 320), np.uint64)
    words, made = pairs.view(np.uint16), np.empty((364, 644, 4), np.uint8).reshape(364, -1).view(np.uint16)[2:-2, 4:-4]
    byte = np.arange(256, dtype=np.uint16)
    table = (byte[None] | byte[:, None] << np.uint16(8)).ravel()  # luma and chroma together: which values is no matter

    def average():
        for top in range(0, 360, 60):
            np.copyto(upper, rows_of[top : top + 60, 0])
            np.copyto(lower, rows_of[top : top + 60, 1])
            np.bitwise_xor(upper, lower, out=spare)
            np.right_shift(spare, np.uint64(1), out=spare)
            np.bitwise_and(spare, np.uint64(0x7F7F7F7F7F7F7F7F), out=spare)
            np.bitwise_or(upper, lower, out=pairs[top : top + 60])
            np.subtract(pairs[top : top + 60], spare, out=pairs[top : top + 60])

    def expose_pairs():
        for top in range(0, 360, 24):
            made[top : top + 24] = table[words[top : top + 24]]

    ways = {
        "ours: thin": lambda: thinner(yuyv, frame),
        "ours: expose": lambda: expose(frame, curve, exposed, "yuv"),
        "pairs: average two rows": average,
        "pairs: every second row": lambda: np.copyto(pairs, rows_of[:, 0]),
        "pairs: expose": expose_pairs,
    }
    rows("1280x720 YUYV for 640x360, as pairs", {n: median_ms(way, repeats) for n, way in ways.items()}, "ours: thin")


def formats(repeats: int) -> None:
    """The network's input out of pictures in other formats than YUYV; and what JPEG costs by the way over RGB."""
    from PIL import Image

    from appliance.camera import mjpg
    from appliance.camera.planar import Planar, PlanarReducer, nv12
    from appliance.camera.thin import Thinner
    from appliance.camera.virtual import VirtualCamera
    from appliance.errors import Problem
    from appliance.frames import converted

    camera, network = (1280, 720), (640, 360)
    picture = np.asarray(Image.fromarray(VirtualCamera(paced=False).picture(0)).resize(camera))
    out = np.empty((network[1], network[0], 3), np.uint8)
    yuyv, buffer = np.zeros((720, 1280, 2), np.uint8), np.zeros(1280 * 720 * 3 // 2, np.uint8)
    packed, planar = Thinner(camera, network), PlanarReducer(camera, network)
    swapped, half = Thinner(camera, network, swapped=True), PlanarReducer(network, network, full_range=True)
    whole = PlanarReducer(camera, network, full_range=True)
    ways = {
        "YUYV": lambda: packed(yuyv, out),
        "UYVY": lambda: swapped(yuyv, out),
        "NV12": lambda: planar(nv12(buffer, camera, 1280), out),
    }
    rows("1280x720 to 640x360, by format", {name: median_ms(way, repeats) for name, way in ways.items()}, "YUYV")
    try:
        turbo = mjpg.decoder()
    except Problem as problem:
        print(f"MJPG left out: {problem}", file=sys.stderr)
        return
    jpeg = np.frombuffer(turbo.encode(picture[..., ::-1], quality=90, jpeg_subsample=1), np.uint8)  # 4:2:2, as webcams

    def decoded(reduced: int) -> Planar:
        found = mjpg.decoded(turbo, jpeg, camera, reduced)
        assert found
        return found

    ways = {
        "to YUV at half the size, ours": lambda: half(decoded(2), out),
        "to YUV, and averaged": lambda: whole(decoded(1), out),
        "to RGB at half the size, and converted": lambda: converted(
            turbo.decode(jpeg, scaling_factor=(1, 2)), "rgb", "yuv"
        ),
    }
    title = f"1280x720 MJPG 4:2:2 to 640x360, {len(jpeg) / 1000:.0f} kB a picture"
    rows(title, {name: median_ms(way, repeats) for name, way in ways.items()}, next(iter(ways)))


def enlarging(repeats: int) -> None:
    """A network's picture on a screen without a plane that scales."""
    from fractions import Fraction

    from appliance.display.enlarge import Enlarger

    for size, zoom in (((640, 360), Fraction(3)), ((640, 360), Fraction(2)), ((512, 216), Fraction(15, 4))):
        picture = np.random.default_rng(0).integers(0, 256, (size[1], size[0], 4), "uint8")
        words, enlarger = picture.view(np.uint32)[..., 0], Enlarger(size, zoom)
        out = np.zeros(enlarger.out_size[::-1], np.uint32)
        ways = {"ours": lambda: enlarger(words, out)}  # noqa: B023  (called before the next turn)
        if zoom.denominator == 1:
            ways["squares: np.repeat, twice"] = lambda: np.copyto(
                out,  # noqa: B023
                words.repeat(int(zoom), 0).repeat(int(zoom), 1),  # noqa: B023
            )
        try:
            import cv2

            cv2.setNumThreads(1)
            ways["OpenCV resize + copy"] = lambda: np.copyto(
                out.view(np.uint8).reshape(out.shape + (4,)),  # noqa: B023
                cv2.resize(picture, enlarger.out_size, interpolation=cv2.INTER_LINEAR),  # noqa: B023
            )
        except ImportError:
            pass
        title = "{}x{} BGRX to {}x{}".format(*size, *enlarger.out_size)
        rows(title, {name: median_ms(way, repeats) for name, way in ways.items()}, "ours")


def exposing(repeats: int) -> None:
    """What happens to a frame before the network, and where source, network and display differ in pixels."""
    from appliance.engine.exposure import Curve, expose, statistics
    from appliance.frames import converted

    frame = np.random.default_rng(0).integers(0, 256, (216, 512, 3), "uint8")
    bgrx, out = converted(frame, "rgb", "bgrx"), np.empty_like(frame)
    table, matrix = Curve(1.3, -0.1, 1.3), Curve(1.3, -0.1, 2.1)
    ways = {
        "copy": lambda: np.copyto(out, frame),
        "statistics of yuv": lambda: statistics(frame, "yuv"),
        "exposure of yuv, two tables": lambda: expose(frame, matrix, out, "yuv", 0x80),
        "exposure of rgb without chroma, one table": lambda: expose(frame, table, out, "rgb", 0x80),
        "exposure of rgb with chroma, a 3x3 matrix": lambda: expose(frame, matrix, out, "rgb", 0x80),
        "rgb to yuv": lambda: converted(frame, "rgb", "yuv"),
        "rgb to bgrx": lambda: converted(frame, "rgb", "bgrx"),
        "bgrx to rgb": lambda: converted(bgrx, "bgrx", "rgb"),
    }
    measured = {name: median_ms(way, repeats) for name, way in ways.items()}
    rows("a frame of 512x216", measured, "exposure of yuv, two tables")


def resize_operation(source):
    """A function that runs TensorFlow Lite's own resize on the CPU."""
    import tensorflow as tf

    from appliance.engine.interpreter import runtimes

    height, width, channels = source.shape

    @tf.function(input_signature=[tf.TensorSpec([1, height, width, channels], tf.float32)])
    def resize(x):
        return tf.raw_ops.ResizeNearestNeighbor(images=x, size=[2 * height, 2 * width])

    converter = tf.lite.TFLiteConverter.from_concrete_functions([resize.get_concrete_function()])
    converter.optimizations = [tf.lite.Optimize.DEFAULT]
    converter.representative_dataset = lambda: ([source[None].astype("float32")] for _ in range(2))
    converter.inference_input_type = converter.inference_output_type = tf.int8
    interpreter = runtimes()[0].load(converter.convert())
    interpreter.set_tensor(interpreter.get_input_details()[0]["index"], source[None])
    return interpreter.invoke


def opencv_resize(source):
    try:
        import cv2
    except ImportError:
        print("cv2.resize left out: pip install opencv-python-headless", file=sys.stderr)
        return None
    height, width, channels = source.shape
    size = (2 * width, 2 * height)
    planes = [source[..., i : i + 4].copy() for i in range(0, channels, 4)]  # it takes four channels at most here

    def resize():
        return [cv2.resize(plane.view("uint8"), size, interpolation=cv2.INTER_NEAREST) for plane in planes]

    return resize


if __name__ == "__main__":
    sys.exit(main())
