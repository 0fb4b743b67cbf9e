"""What the daemon costs on this machine, but for the network itself. `make bench` runs it.

A camera of 1280x720 YUYV and a screen of 1920x1080 are stood in for by memory; styles, engine and daemon are real.
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
from appliance.bench import time_plan
from appliance.camera.sizes import described
from appliance.camera.thin import Thinner
from appliance.camera.v4l2 import State
from appliance.display.enlarge import Enlarger
from appliance.display.placing import centred, enlargement
from appliance.engine.exposure import ExposureMeter, expose
from appliance.frames import Frame
from appliance.memory import Memory, return_large_blocks
from appliance.style import bundle

ROOT = Path(__file__).parents[1]
STYLES = ROOT / "firmware_overlay/var/lib/reconet"
BOARD_PYTHON = ROOT / ".venv-py37/bin/python"
CAMERA, NETWORK, SCREEN = (1280, 720), (640, 360), (1920, 1080)
FPS = 30
MOST_MB, LEAST_FPS = 180, 20
PARTS = ("outside_inference", "rate", "latency", "rss", "switches")


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
        outside_inference(arguments.repeats)
    if "rate" in wanted:
        rate(arguments.repeats)
    if "latency" in wanted:
        latency(style, arguments.repeats)
    if "rss" in wanted:
        rss()
    if "switches" in wanted:
        switches(arguments.switches, arguments.memory_switches)
    return 0


# Camera bytes to scan-out bytes


def outside_inference(repeats: int) -> None:
    """Milliseconds of one core for each frame, from the camera's bytes to the screen's, without the network."""
    ways = {
        "ours, a plane enlarges": lambda: ours(plane=True),
        "ours, a plane enlarges, without exposure": lambda: ours(plane=True, exposure=False),
        "ours, the CPU enlarges": lambda: ours(plane=False),
        "ours, the CPU enlarges, without exposure": lambda: ours(plane=False, exposure=False),
    }
    try:
        import cv2

        cv2.setNumThreads(1)
        baseline = "OpenCV cvtColor + INTER_AREA + resize + copy"
        ways = {baseline: opencv, "the same with its LUT for exposure": lambda: opencv(exposure=True), **ways}
    except ImportError:  # on the board's Python
        baseline = "ours, the CPU enlarges"
    return_large_blocks()  # as the daemon does
    yuyv = np.random.default_rng(0).integers(0, 256, (CAMERA[1], CAMERA[0], 2), np.uint8)
    works, times = {name: make() for name, make in ways.items()}, {name: [] for name in ways}
    for _ in range(repeats + 3):
        for name, work in works.items():  # in turns, so that a busy moment strikes all of them
            began = time.process_time()
            work(yuyv)
            times[name].append(time.process_time() - began)
    title = "\nCPU a frame outside inference: {}x{} YUYV to {}x{} to {}x{} BGRX, one core, medians"
    print(title.format(*CAMERA, *NETWORK, *SCREEN))
    medians = {name: 1000 * statistics.median(each[3:]) for name, each in times.items()}
    for name, milliseconds in medians.items():
        print(f"  {name:46} {milliseconds:8.3f} ms  {milliseconds / medians[baseline]:6.2f}x")
    print(f"  share of the camera's view that is seen: {described(CAMERA, NETWORK)}")


def ours(plane: bool, exposure: bool = True):
    """Averaged, exposed, copied to the network's uint8 tensor; its BGRX output to a buffer, by a plane's or by us."""
    thinner, meter = Thinner(CAMERA, NETWORK), ExposureMeter(0.45, 0.25, 0.1, "yuv")
    frame, exposed, tensor = np.empty((3, NETWORK[1], NETWORK[0], 3), np.uint8)
    output = np.random.default_rng(0).integers(0, 256, (NETWORK[1], NETWORK[0], 4), np.uint8)
    shown, screen = np.empty_like(output), np.zeros((SCREEN[1], SCREEN[0]), np.uint32)
    enlarger = Enlarger(NETWORK, enlargement(NETWORK, SCREEN))
    scanned = np.zeros(NETWORK[::-1], np.uint32)

    def work(yuyv):
        thinner(yuyv, frame)
        if exposure:
            expose(frame, meter.update(frame), exposed, "yuv")
        np.copyto(tensor, exposed if exposure else frame)
        np.copyto(shown, output)
        picture = shown.view(np.uint32)[..., 0]
        if plane:
            scanned[:] = picture
        else:
            enlarger(picture, screen)

    return work


def opencv(exposure: bool = False):
    import cv2

    tensor, output = np.empty((NETWORK[1], NETWORK[0], 3), np.uint8), np.zeros((NETWORK[1], NETWORK[0], 3), np.uint8)
    rgb, small, exposed = np.empty((CAMERA[1], CAMERA[0], 3), np.uint8), np.empty_like(tensor), np.empty_like(tensor)
    shown, table = np.empty((NETWORK[1], NETWORK[0], 4), np.uint8), np.arange(256, dtype=np.uint8)
    screen, large = np.zeros((2, SCREEN[1], SCREEN[0], 4), np.uint8)

    def work(yuyv):
        cv2.cvtColor(yuyv, cv2.COLOR_YUV2RGB_YUYV, dst=rgb)
        cv2.resize(rgb, NETWORK, dst=small, interpolation=cv2.INTER_AREA)
        np.copyto(tensor, cv2.LUT(small, table, dst=exposed) if exposure else small)
        cv2.cvtColor(output, cv2.COLOR_RGB2BGRA, dst=shown)
        cv2.resize(shown, SCREEN, dst=large, interpolation=cv2.INTER_LINEAR)
        np.copyto(screen, large)

    return work


# The network


def rate(frames: int) -> None:
    """Frames per second that the daemon would have of each shipped style, on two threads; of its plans but lite."""
    size = "{}x{}".format(*NETWORK)
    print(f"\nFrames a second on two threads, {size} where the style can be built for it: {LEAST_FPS} are wanted")
    for path in sorted(STYLES.glob("*.reconet")):
        style = bundle.read(path)
        at = NETWORK if style.manifest.has(NETWORK) else style.manifest.size
        timings = [
            time_plan(style, plan.name, min(frames, 50), 2, at) for plan in style.manifest.plans if not plan.lite
        ]
        best = max(timings, key=lambda one: one.fps)
        pixels = at[0] * at[1] / 1e6
        print(
            f"  {path.stem:16} {at[0]}x{at[1]}, plan {best.plan:8} {best.runtime:28} {best.fps:6.1f} fps, "
            f"{1000 / best.fps / pixels:7.1f} ms a megapixel",
            flush=True,
        )


# The daemon, on a camera and a screen that are memory


class Camera:
    """Gives the same picture 30 times a second, as its network wants it."""

    live, fps, monotonic, fault = True, float(FPS), True, None
    state = State(None, "memory", "1280x720 at 30 fps")

    def __init__(self, *_):
        self.yuv_size, self._thinner = None, None
        self._yuyv = np.random.default_rng(0).integers(60, 200, (CAMERA[1], CAMERA[0], 2), np.uint8)
        self._memory = Memory()

    def configure(self, *_):
        pass

    def frames(self, stop):
        index, due = 0, time.monotonic()
        while not stop.wait(max(0.0, due - time.monotonic())):
            taken = time.monotonic()
            size = self.yuv_size
            if size and size[0]:
                pixels = self._memory.array((size[1], size[0], 3))
                if self._thinner is None or self._thinner.network != size:
                    self._thinner = Thinner(CAMERA, size)
                self._thinner(self._yuyv, pixels)
                yield Frame(pixels, taken, index, "yuv", size)
            index, due = index + 1, due + 1 / FPS


class Monitor:
    """A screen whose memory is ours, and which flips at once."""

    fault, size, mode, draws = None, SCREEN, "memory", False

    def __init__(self, *_, **__):
        self._screen, self._enlarger = np.zeros((SCREEN[1], SCREEN[0]), np.uint32), None
        self.times = []

    def connect(self):
        return True

    def show(self, frame):
        if frame.pixels.shape[2] == 4:
            size = frame.pixels.shape[1], frame.pixels.shape[0]
            if self._enlarger is None or self._enlarger.size != size:
                self._enlarger = Enlarger(size, enlargement(size, SCREEN), SCREEN)
            place = centred(self._enlarger.out_size, SCREEN)
            picture = np.ascontiguousarray(frame.pixels).view(np.uint32)[..., 0]
            self._enlarger(picture, self._screen[place.top :, place.left :][: place.height, : place.width])
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
        size = "{}x{}".format(*NETWORK)  # whatever holds the rate here
        settings.write_text(
            f'[style]\nfolder = "{folder}"\n[engine]\nsize = "{size}"\n[host]\nstatus = "{folder}/status.json"\n'
        )
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
            running.until(lambda: switcher.snapshot.style.settled)
            shown = counters.shown
            running.until(lambda: counters.shown >= shown + 2)
            style = switcher.snapshot.style
            print("{}, {}x{}, plan {}".format(style.runtime, *style.size, style.plan), resident(), flush=True)
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
            print(f"  {path.stem:16} {how:46} {int(count) / 1e6:6.1f} MB", flush=True)


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
    running.until(lambda: running.daemon.switcher.snapshot.style.name == style.name)
    running.until(lambda: not running.daemon.switcher.snapshot.style.why.startswith("the first"))  # all is measured
    shown = running.daemon.pipeline.counters.shown
    running.until(lambda: running.daemon.pipeline.counters.shown >= shown + 2)


if __name__ == "__main__":
    raise SystemExit(main())
