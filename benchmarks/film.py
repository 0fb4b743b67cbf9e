"""A film through `reconet run`, against the network alone: what decoding and encoding cost beside it.

The film is of the virtual camera, 1280x720 H.264, made here. The network alone runs on the same frames in the same
process, one after the other, with all threads, in turns with the film, so that a busy machine slows both; the ratio is
the median of the turns, and at most 1.15 is wanted. CPU time is that of all threads. `--stages` runs each stage by
itself. With `--memory` also what a film's process takes, along the way.
"""

import argparse
import re
import resource
import subprocess
import sys
import tempfile
import threading
import time
from pathlib import Path

import av
import numpy as np

from appliance.camera import open_camera
from appliance.camera.virtual import VirtualCamera
from appliance.display import open_display
from appliance.film import LANES
from appliance.frames import Frame, converted, cover
from appliance.memory import return_large_blocks
from appliance.pipeline import Pipeline
from appliance.scaler import BT709, Scaler
from appliance.shapes import Shapes
from appliance.style import store

MOST = 1.15


def main(argv=None) -> int:
    parser = argparse.ArgumentParser(prog="benchmarks.film", description=__doc__.split("\n")[0])
    parser.add_argument("--style", default=None)
    parser.add_argument("--size", default=None, help="WxH, as of reconet run")
    parser.add_argument("--frames", type=int, default=40, help="of the film, each turn")
    parser.add_argument("--turns", type=int, default=5)
    parser.add_argument("--stages", action="store_true", help="also the CPU time of each stage")
    parser.add_argument("--memory", type=int, default=0, metavar="SECONDS", help="also run a film of so many seconds")
    parser.add_argument("--rate", type=int, default=30, help="frames a second of that film")
    parser.add_argument("--memory-only", action="store_true", help="nothing but that film")
    arguments = parser.parse_args(argv)
    return_large_blocks()
    with tempfile.TemporaryDirectory() as folder:
        if not arguments.memory_only:
            speed(Path(folder), arguments)
        if arguments.memory:
            memory(Path(folder), arguments)
    return 0


def speed(folder: Path, arguments) -> None:
    size = tuple(map(int, arguments.size.split("x"))) if arguments.size else None
    source, style = make(folder / "in.mp4", arguments.frames), store.find(arguments.style)
    alone, shapes = Shapes(style, size), Shapes(style, size, lanes=LANES)
    turns = np.array([network_turn(alone) + film_turn(source, shapes, folder) for _ in range(arguments.turns)])
    (network, network_cpu, film, film_cpu), ratios = np.median(turns, 0), turns[:, 2:] / turns[:, :2]
    ratio, cpu_ratio = np.median(ratios, 0)
    width, height = alone.latest.output_size
    print(f"\na film of 1280x720, stylised at {width}x{height}, plan {alone.latest.plan}: ms a frame, and of CPU time")
    print(f"  the network alone             {1e3 * network:9.2f}             {1e3 * network_cpu:9.2f}")
    print(
        f"  decoded, stylised, encoded    {1e3 * film:9.2f} {ratio:6.2f}x     {1e3 * film_cpu:9.2f} {cpu_ratio:6.2f}x"
    )
    print(f"  at most wanted                          {MOST:6.2f}x")
    if arguments.stages:
        stages(source, alone, folder)


def make(path: Path, frames: int, size=(1280, 720), rate: int = 30) -> Path:
    """A film with sound."""
    camera = VirtualCamera(paced=False)
    with av.open(str(path), "w") as container:
        stream = container.add_stream("libx264", rate=rate, options={"preset": "veryfast"})
        stream.width, stream.height, stream.pix_fmt = *size, "yuv420p"
        sound = container.add_stream("aac", rate=48000)
        sound.layout = "stereo"
        for number in range(frames):
            picture = av.VideoFrame.from_ndarray(cover(camera.picture(number), size), format="rgb24")
            picture.pts = number
            container.mux(stream.encode(picture))
        container.mux(stream.encode(None))
        for number in range(frames * 48000 // rate // 1024):
            noise = np.random.default_rng(number).normal(0, 0.1, (2, 1024)).astype("float32")
            heard = av.AudioFrame.from_ndarray(noise, format="fltp", layout="stereo")
            heard.sample_rate, heard.pts = 48000, 1024 * number
            container.mux(sound.encode(heard))
        container.mux(sound.encode(None))
    return path


def network_turn(shapes: Shapes) -> tuple[float, float]:
    """Seconds a frame, and seconds of CPU time: of the network alone."""
    camera = VirtualCamera(paced=False)
    stylizer = shapes(Frame(cover(camera.picture(0), (1280, 720)), 0.0, 0))
    out = np.empty((stylizer.output_size[1], stylizer.output_size[0], stylizer.channels), "uint8")
    prepared = [
        stylizer.prepare(converted(cover(camera.picture(number), stylizer.input_size), "rgb", stylizer.input_format))
        for number in range(8)
    ]
    numbers = iter(range(20))
    return timed(lambda: stylizer.finish(stylizer.run(prepared[next(numbers) % 8]), out), 20)


def film_turn(source: Path, shapes: Shapes, folder: Path) -> tuple[float, float]:
    """Seconds a frame, and seconds of CPU time: of the film."""
    shapes(Frame(np.zeros((720, 1280, 3), np.uint8), 0.0, 0))  # the networks are made once, whatever the film's length
    began = cpu()
    counters = Pipeline(film(source, shapes), None, open_display(str(folder / "out.mp4")), fitting=shapes).run()
    return 1 / counters.fps, (cpu() - began) / counters.shown


def film(source: Path, shapes: Shapes):
    video = open_camera(str(source))
    video.reduced, video.format = shapes.network, shapes.latest.input_format
    return video


def stages(source: Path, shapes: Shapes, folder: Path) -> None:
    """CPU time of each stage by itself, one after the other."""
    video, stylizer = film(source, shapes), shapes.latest
    with av.open(str(source)) as container:
        began = cpu()
        count = sum(1 for _ in container.decode(video=0))
        decoding = (cpu() - began) / count
    with av.open(str(source)) as container:
        picture = next(container.decode(video=0))
    pixels = video._frame(picture, 0.0, 0).pixels
    prepared = stylizer.prepare(pixels)
    drawn, scale = stylizer.run(prepared), Scaler()
    out = np.empty((stylizer.output_size[1], stylizer.output_size[0], stylizer.channels), "uint8")
    stylizer.finish(drawn, out)
    whole = av.VideoFrame.from_numpy_buffer(out, format="bgra" if out.shape[2] == 4 else "rgb24")
    display, frames, painted = open_display(str(folder / "stages.mp4")), iter(range(99)), []
    for frame in film(source, shapes).frames(threading.Event()):
        stylizer.finish(stylizer.run(stylizer.prepare(frame.pixels)), out)
        painted.append(out.copy())
        if len(painted) == 40:
            break

    def show() -> None:
        number = next(frames)
        display.show(Frame(painted[number % len(painted)], number / 30, number, stylizer.output_format))

    rows = {
        "decode": decoding,
        "scale and convert": timed(lambda: video._frame(picture, 0.0, 0))[1],
        "expose": timed(lambda: stylizer.prepare(pixels))[1],
        "network": timed(lambda: stylizer.run(prepared))[1],
        "finish": timed(lambda: stylizer.finish(drawn, out))[1],
        "convert for the encoder": timed(lambda: scale(whole, "yuv420p", (whole.width, whole.height), target=BT709))[1],
    }
    rows["encode and mux"] = timed(show, len(painted))[1] - rows["convert for the encoder"]
    display.discard()
    print("\n  ms of CPU time a frame, each stage by itself")
    for name, seconds in rows.items():
        print(f"  {name:30} {1e3 * seconds:8.2f}")


def timed(work, times: int = 20) -> tuple[float, float]:
    """Seconds of one call, and seconds of CPU time, in the mean."""
    began, used = time.perf_counter(), cpu()
    for _ in range(times):
        work()
    return (time.perf_counter() - began) / times, (cpu() - used) / times


def cpu() -> float:
    """Seconds of CPU time of this process so far, all its threads."""
    used = resource.getrusage(resource.RUSAGE_SELF)
    return used.ru_utime + used.ru_stime


def memory(folder: Path, arguments) -> None:
    source = make(folder / "long.mp4", arguments.rate * arguments.memory, rate=arguments.rate)
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
        seen += [int(found[1]) * 1024 / 1e6] if found else []
        time.sleep(0.2)
    if process.returncode:
        sys.exit(f"the film of {arguments.memory} s failed: run it by hand to see why")
    print(
        f"  memory of a film of {arguments.memory} s at {arguments.rate} fps, in tenths of its way, at most:",
        *(f"{max(s):.0f}" for s in np.array_split(seen, 10)),
        "MB",
    )


if __name__ == "__main__":
    sys.exit(main())
