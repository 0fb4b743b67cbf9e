"""What the daemon costs on this machine, but for the network itself. `make bench` runs it.

A camera of 1280x720 YUYV and a screen of 1280x720 are stood in for by memory; styles, engine and daemon are real.
Everything is measured in one run; nothing here is about the Edge TPU.
"""

import argparse
import os
import shutil
import statistics
import subprocess
import sys
import tempfile
import threading
import time
from pathlib import Path

import numpy as np

from appliance import daemon as daemon_module
from appliance.camera.v4l2 import State
from appliance.camera.yuyv import yuyv_to_yuv
from appliance.display.screen import Place, enlarge
from appliance.frames import Frame
from appliance.memory import Memory
from appliance.style import bundle

ROOT = Path(__file__).parents[1]
STYLES = ROOT / "firmware_overlay/var/lib/reconet"
BOARD_PYTHON = ROOT / ".venv-py37/bin/python"
CAMERA = SCREEN = (1280, 720)
FPS = 30
MOST_MB = 150
PARTS = ("outside_inference", "latency", "rss", "switches")


def main(argv=None) -> int:
    parser = argparse.ArgumentParser(prog="benchmarks.daemon", description=__doc__.split("\n")[0])
    parser.add_argument("parts", nargs="*", metavar="PART", help=f"{', '.join(PARTS)}; all by default")
    parser.add_argument("--repeats", type=int, default=200)
    parser.add_argument("--switches", type=int, default=50)
    parser.add_argument("--memory-switches", type=int, default=500)
    parser.add_argument("--rss", type=Path, help=argparse.SUPPRESS)  # a process of its own: RSS with this style
    arguments = parser.parse_args(argv)
    if arguments.rss:
        return print_rss(arguments.rss)
    wanted = set(arguments.parts or PARTS)
    if not wanted <= set(PARTS):
        parser.error(f"the parts are {', '.join(PARTS)}")
    style = bundle.read(STYLES / "starry_night.reconet")
    if "outside_inference" in wanted:
        outside_inference(style, arguments.repeats)
    if "latency" in wanted:
        latency(style, arguments.repeats)
    if "rss" in wanted:
        rss()
    if "switches" in wanted:
        switches(arguments.switches, arguments.memory_switches)
    return 0


# Camera bytes to scan-out bytes


def outside_inference(style, repeats: int) -> None:
    """Milliseconds of one core for each frame, from the camera's bytes to the screen's, without the network."""
    try:
        import cv2

        cv2.setNumThreads(1)
    except ImportError:  # on the board's Python
        cv2 = None
    size = style.manifest.input.width, style.manifest.input.height
    yuyv = np.random.default_rng(0).integers(0, 256, (CAMERA[1], CAMERA[0], 2), np.uint8)
    measured = {}
    for name, make in (
        ("plain NumPy conversion", plain_numpy),
        ("OpenCV cvtColor + resize + copy", opencv),
        ("ours, copies alone", ours),
        ("ours, with exposure and chroma", lambda size: exposed(style)),
    ):
        if make is opencv and cv2 is None:
            continue
        work = make(size)
        work(yuyv)
        times = []
        for _ in range(repeats):
            began = time.process_time()
            work(yuyv)
            times.append(time.process_time() - began)
        measured[name] = 1000 * statistics.median(times)
    print("\nCPU a frame outside inference: {}x{} YUYV to {}x{} to {}x{} BGRX".format(*CAMERA, *size, *SCREEN))
    baseline = measured["plain NumPy conversion"]
    for name, milliseconds in measured.items():
        print(f"  {name:36} {milliseconds:8.3f} ms  {baseline / milliseconds:6.1f}x less")


def _screen(size):
    zoom = min(SCREEN[0] // size[0], SCREEN[1] // size[1])
    width, height = zoom * size[0], zoom * size[1]
    place = Place((SCREEN[0] - width) // 2, (SCREEN[1] - height) // 2, width, height)
    return np.zeros((SCREEN[1], SCREEN[0]), np.uint32), zoom, place


def ours(size):
    frame = np.empty((size[1], size[0], 3), np.uint8)
    tensor, output = np.empty_like(frame), np.zeros((size[1], size[0], 4), np.uint8)
    shown = np.empty_like(output)
    screen, zoom, place = _screen(size)

    def work(yuyv):
        yuyv_to_yuv(yuyv, frame)
        np.bitwise_xor(frame, np.uint8(0x80), out=tensor)
        np.bitwise_xor(output, np.uint8(0x80), out=shown)
        enlarge(shown.view(np.uint32)[..., 0], zoom, screen, place)

    return work


def exposed(style):
    """The stylizer's own input and output, around a network that does nothing."""
    from appliance.engine.stylizer import Stylizer

    stylizer = Stylizer(style, "fused")
    for step in stylizer._steps:
        step.interpreter = type("Nothing", (), {"invoke": staticmethod(lambda: None)})
    size = stylizer.input_size
    frame, shown = np.empty((size[1], size[0], 3), np.uint8), np.empty((size[1], size[0], 4), np.uint8)
    screen, zoom, place = _screen(size)

    def work(yuyv):
        yuyv_to_yuv(yuyv, frame)
        stylizer.stylize(frame, shown)
        enlarge(shown.view(np.uint32)[..., 0], zoom, screen, place)

    return work


def _region(yuyv, size):
    """The part of the camera's picture that a network of this size sees."""
    width, height = 2 * size[0], 2 * size[1]
    top, left = (CAMERA[1] - height) // 2, (CAMERA[0] - width) // 2
    return yuyv[top : top + height, left : left + width]


def opencv(size):
    import cv2

    tensor, output = np.empty((size[1], size[0], 3), np.int8), np.zeros((size[1], size[0], 3), np.int8)
    screen, zoom, place = _screen(size)
    there = screen.view(np.uint8).reshape(SCREEN[1], SCREEN[0], 4)
    there = there[place.top : place.top + place.height, place.left : place.left + place.width]

    def work(yuyv):
        rgb = cv2.cvtColor(np.ascontiguousarray(_region(yuyv, size)), cv2.COLOR_YUV2RGB_YUYV)
        small = cv2.resize(rgb, size, interpolation=cv2.INTER_LINEAR)
        np.bitwise_xor(small, 0x80, out=tensor.view(np.uint8))
        shown = cv2.cvtColor(np.bitwise_xor(output.view(np.uint8), 0x80), cv2.COLOR_RGB2BGRA)
        there[:] = cv2.resize(shown, (place.width, place.height), interpolation=cv2.INTER_NEAREST)

    return work


def plain_numpy(size):
    tensor, output = np.empty((size[1], size[0], 3), np.int8), np.zeros((size[1], size[0], 3), np.int8)
    screen, zoom, place = _screen(size)
    there = screen.view(np.uint8).reshape(SCREEN[1], SCREEN[0], 4)
    there = there[place.top : place.top + place.height, place.left : place.left + place.width]

    def work(yuyv):
        part = _region(yuyv, size)[::2].astype(np.float32)
        y, u, v = 1.164 * (part[:, ::2, 0] - 16), part[:, ::2, 1] - 128, part[:, 1::2, 1] - 128
        rgb = np.stack([y + 1.596 * v, y - 0.392 * u - 0.813 * v, y + 2.017 * u], axis=-1)
        tensor[:] = np.clip(np.rint(rgb), 0, 255).astype(np.int16) - 128
        shown = (output.astype(np.int16) + 128).astype(np.uint8)
        there[..., :3] = np.repeat(np.repeat(shown[..., ::-1], zoom, axis=0), zoom, axis=1)

    return work


# The daemon, on a camera and a screen that are memory


class Camera:
    """Gives the same picture 30 times a second, as its network wants it."""

    live, fps, monotonic, fault = True, float(FPS), True, None
    state = State(None, "memory", "1280x720 at 30 fps")

    def __init__(self, *_):
        self.yuv_size = None
        self._yuyv = np.random.default_rng(0).integers(60, 200, (CAMERA[1], CAMERA[0], 2), np.uint8)
        self._memory = Memory()

    def configure(self, *_):
        pass

    def frames(self, stop):
        index, due = 0, time.monotonic()
        while not stop.wait(max(0.0, due - time.monotonic())):
            taken = time.monotonic()
            if self.yuv_size:
                pixels = self._memory.array((self.yuv_size[1], self.yuv_size[0], 3))
                yuyv_to_yuv(self._yuyv, pixels)
                yield Frame(pixels, taken, index, "yuv", self.yuv_size)
            index, due = index + 1, due + 1 / FPS


class Monitor:
    """A screen whose memory is ours, and which flips at once."""

    fault, size, mode = None, SCREEN, "memory"

    def __init__(self, *_):
        self._screen = np.zeros((SCREEN[1], SCREEN[0]), np.uint32)
        self.times = []

    def connect(self):
        return True

    def show(self, frame):
        if frame.pixels.shape[2] == 4:
            _, zoom, place = _screen((frame.pixels.shape[1], frame.pixels.shape[0]))
            enlarge(np.ascontiguousarray(frame.pixels).view(np.uint32)[..., 0], zoom, self._screen, place)
        self.times.append(time.monotonic())
        return True

    def finish(self):
        pass


class Running:
    """The daemon on `folder`, in this process."""

    def __init__(self, folder: Path):
        daemon_module.V4l2Camera, daemon_module.KmsDisplay = Camera, Monitor
        daemon_module.systemd.log = lambda *_, **__: None  # the table is what is to be read
        settings = folder / "config.toml"
        settings.write_text(f'[style]\nfolder = "{folder}"\n[host]\nstatus = "{folder}/status.json"\n')
        self.daemon = daemon_module.Daemon(settings)
        self.thread = threading.Thread(target=self.daemon.run, daemon=True)

    def __enter__(self):
        self.thread.start()
        self.until(lambda: self.daemon.pipeline.counters.shown >= 1)
        return self

    def until(self, test) -> None:
        while not test():
            assert self.thread.is_alive(), "the daemon ended"
            time.sleep(0.01)

    def __exit__(self, *_):
        self.daemon.stop()
        self.thread.join()


def latency(style, frames: int) -> None:
    """From the camera's timestamp to the flip."""
    with tempfile.TemporaryDirectory() as folder:
        shutil.copy(style.path, folder)
        with Running(Path(folder)) as running:
            counters = running.daemon.pipeline.counters
            running.until(lambda: counters.shown >= frames)
            times = list(counters._milliseconds["latency"])
            medians = counters.median_ms
    print(f"\nLatency from capture to flip, {len(times)} frames of a {FPS} fps camera, network included")
    print(f"  median {statistics.median(times):.1f} ms, p99 {np.percentile(times, 99):.1f} ms")
    print("  stages, medians: " + ", ".join(f"{name} {value:.2f}" for name, value in medians.items()) + " ms")


def print_rss(path: Path) -> int:
    """Run the daemon until the style has settled, and two frames more, and print its resident memory."""
    with tempfile.TemporaryDirectory() as folder:
        shutil.copy(str(path), folder)
        with Running(Path(folder)) as running:
            switcher, counters = running.daemon.switcher, running.daemon.pipeline.counters
            running.until(lambda: not switcher.bundle.files)
            shown = counters.shown
            running.until(lambda: counters.shown >= shown + 2)
            stylizer = switcher.stylizer
            print(f"{stylizer.runtime}, plan {stylizer.plan}", resident(), flush=True)
            os._exit(0)


def resident() -> int:
    """Bytes of this process that are in memory."""
    with open("/proc/self/statm") as file:
        return int(file.read().split()[1]) * os.sysconf("SC_PAGE_SIZE")


def rss() -> None:
    """Each shipped style by each runtime, in a process of its own."""
    print(f"\nResident memory of the whole daemon, one style: at most {MOST_MB} MB")
    for python in (Path(sys.executable), BOARD_PYTHON):
        if not python.exists():
            print(f"  {python}: not there (make .venv-py37/installed)")
            continue
        for path in sorted(STYLES.glob("*.reconet")):
            ran = subprocess.run(
                [str(python), "-m", "benchmarks.daemon", "--rss", str(path)],
                cwd=ROOT,
                stdout=subprocess.PIPE,
                stderr=subprocess.PIPE,
                universal_newlines=True,
            )
            if ran.returncode:
                raise SystemExit(f"benchmarks.daemon: {python}: {ran.stderr.strip().splitlines()[-1]}")
            how, count = ran.stdout.strip().splitlines()[-1].rsplit(" ", 1)
            print(f"  {path.stem:16} {how:36} {int(count) / 1e6:6.1f} MB", flush=True)


def switches(count: int, most: int) -> None:
    """The longest time between two pictures while styles change, and what changing them leaves in memory."""
    small = [bundle.read(ROOT / "tests/data" / f"{name}.reconet") for name in ("board_a", "board_b")]
    shipped = [bundle.read(STYLES / f"{name}.reconet") for name in ("starry_night", "great_wave")]
    for title, styles, number in (("shipped styles", shipped, count), ("small styles", small, most)):
        with tempfile.TemporaryDirectory() as folder:
            folder = Path(folder)
            shutil.copy(styles[0].path, folder)
            with Running(folder) as running:
                monitor = running.daemon.screen._monitor
                switch(running, folder, styles[1])
                switch(running, folder, styles[0])
                while len(monitor.times) <= 60:
                    time.sleep(0.01)
                frame = float(np.median(np.diff(monitor.times[-50:])))
                del monitor.times[:]
                after_ten = 0
                for i in range(number):
                    switch(running, folder, styles[(i + 1) % 2])
                    after_ten = resident() if i == 9 else after_ten
                longest = float(np.max(np.diff(monitor.times)))
        print(f"\n{number} switches between two {title}")
        print(f"  longest gap {1000 * longest:.0f} ms: {longest / frame:.1f} frame times of {1000 * frame:.1f} ms")
        print(
            f"  resident {after_ten / 1e6:.1f} MB after 10, {resident() / 1e6:.1f} MB now: "
            f"{100 * (resident() / after_ten - 1):+.1f} %"
        )


def switch(running: Running, folder: Path, style) -> None:
    """Put the style into the folder and wait until it is seen."""
    shutil.copy(style.path, folder / f".{style.name}")
    os.replace(folder / f".{style.name}", folder / f"{style.name}.reconet")
    running.until(lambda: running.daemon.switcher.bundle.name == style.name)
    shown = running.daemon.pipeline.counters.shown
    running.until(lambda: running.daemon.pipeline.counters.shown >= shown + 2)


if __name__ == "__main__":
    raise SystemExit(main())
