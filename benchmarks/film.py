"""A film through `reconet run`, against the network alone: what decoding and encoding cost beside it.

The film is of the virtual camera, 1280x720 H.264, made here. The network alone runs on the same frames in the same
process, in turns with the film, so that a busy machine slows both; the ratio is the median of the turns, and at most
1.15 is wanted. With `--memory` also what a film's process takes, along the way.
"""

import argparse
import re
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import av
import numpy as np

from appliance.camera import open_camera
from appliance.camera.virtual import VirtualCamera
from appliance.display import open_display
from appliance.frames import Frame, converted, cover
from appliance.memory import return_large_blocks
from appliance.pipeline import Pipeline
from appliance.shapes import Shapes
from appliance.style import store

MOST = 1.15


def main(argv=None) -> int:
    parser = argparse.ArgumentParser(prog="benchmarks.film", description=__doc__.split("\n")[0])
    parser.add_argument("--style", default=None)
    parser.add_argument("--size", default=None, help="WxH, as of reconet run")
    parser.add_argument("--frames", type=int, default=40, help="of the film, each turn")
    parser.add_argument("--turns", type=int, default=5)
    parser.add_argument("--memory", type=int, default=0, metavar="SECONDS", help="also run a film of so many seconds")
    arguments = parser.parse_args(argv)
    return_large_blocks()
    size = tuple(map(int, arguments.size.split("x"))) if arguments.size else None
    with tempfile.TemporaryDirectory() as folder:
        source = make(Path(folder) / "in.mp4", arguments.frames)
        shapes = Shapes(store.find(arguments.style), size)
        turns = [one_turn(source, shapes, Path(folder)) for _ in range(arguments.turns)]
        ratio = statistics.median(film / network for network, film in turns)
        network, film = (statistics.median(column) for column in zip(*turns))
        print("\na film of 1280x720, stylised at {}x{}".format(*shapes.latest.output_size))
        print(f"  the network alone                            {1000 * network:9.3f} ms    1.00x")
        print(f"  decoded, stylised, encoded                   {1000 * film:9.3f} ms  {ratio:6.2f}x (at most {MOST})")
        if arguments.memory:
            memory(Path(folder), arguments)
    return 0


def make(path: Path, frames: int, size=(1280, 720)) -> Path:
    """A film with sound."""
    camera = VirtualCamera(paced=False)
    with av.open(str(path), "w") as container:
        stream = container.add_stream("libx264", rate=30, options={"preset": "veryfast"})
        stream.width, stream.height, stream.pix_fmt = *size, "yuv420p"
        sound = container.add_stream("aac", rate=48000)
        sound.layout = "stereo"
        for number in range(frames):
            picture = av.VideoFrame.from_ndarray(cover(camera.picture(number), size), format="rgb24")
            picture.pts = number
            container.mux(stream.encode(picture))
        container.mux(stream.encode(None))
        for number in range(frames * 1600 // 1024):
            noise = np.random.default_rng(number).normal(0, 0.1, (2, 1024)).astype("float32")
            heard = av.AudioFrame.from_ndarray(noise, format="fltp", layout="stereo")
            heard.sample_rate, heard.pts = 48000, 1024 * number
            container.mux(sound.encode(heard))
        container.mux(sound.encode(None))
    return path


def one_turn(source: Path, shapes: Shapes, folder: Path) -> tuple[float, float]:
    """Seconds a frame: of the network alone, and of the film."""
    camera = VirtualCamera(paced=False)
    stylizer = shapes(Frame(cover(camera.picture(0), (1280, 720)), 0.0, 0))
    out = np.empty((stylizer.output_size[1], stylizer.output_size[0], stylizer.channels), "uint8")
    prepared = [
        stylizer.prepare(converted(cover(camera.picture(number), stylizer.input_size), "rgb", stylizer.input_format))
        for number in range(8)
    ]
    times = []
    for number in range(20):
        began = time.perf_counter()
        stylizer.finish(stylizer.run(prepared[number % 8]), out)
        times.append(time.perf_counter() - began)
    video = open_camera(str(source))
    video.reduced = shapes.network
    display = open_display(str(folder / "out.mp4"))
    counters = Pipeline(video, None, display, fitting=shapes).run()
    return statistics.mean(times), 1 / counters.fps


def memory(folder: Path, arguments) -> None:
    source = make(folder / "long.mp4", 30 * arguments.memory, (640, 360))
    command = [sys.executable, "-m", "appliance", "run", "--camera", source, "--display", folder / "long_out.mp4"]
    command += [
        part
        for name in ("style", "size")
        if getattr(arguments, name)
        for part in (f"--{name}", getattr(arguments, name))
    ]
    process = subprocess.Popen(list(map(str, command)), stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    seen = []
    while process.poll() is None:
        found = re.search(r"VmRSS:\s+(\d+)", Path(f"/proc/{process.pid}/status").read_text())
        seen += [int(found[1]) / 1024] if found else []
        time.sleep(0.5)
    steps = np.array_split(seen, 10)
    print(
        f"  memory of a film of {arguments.memory} s, in tenths of its way, at most:",
        *(f"{max(s):.0f}" for s in steps),
        "MiB",
    )


if __name__ == "__main__":
    sys.exit(main())
