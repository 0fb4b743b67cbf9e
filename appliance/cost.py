"""How long one frame takes of the daemon, for a plan and size: what the board's choice is made on."""

import os
import statistics
import time

import numpy as np

from .camera.thin import Thinner
from .camera.virtual import VirtualCamera
from .engine.stylizer import Stylizer
from .frames import converted, cover

FRAMES, SECONDS = 7, 0.7  # whichever is over first


def frame_ms(stylizer: Stylizer, frames: int = FRAMES, seconds: float = SECONDS) -> float:
    """Median milliseconds a frame over `frames` frames, or fewer after `seconds`, one at least.

    The capture thread thins and prepares a frame, and the show thread finishes one, while the stylise thread runs the
    network. On an Edge TPU the slowest of the three sets the rate. On the CPU the network has all cores, so the work of
    the others is divided among them and added. Showing itself is left out: its cost hardly depends on the picture's
    size, and a plane may do it.
    """
    width, height = stylizer.input_size
    camera = VirtualCamera(paced=False)
    pictures = [
        converted(cover(camera.picture(24 * i), stylizer.input_size), "rgb", stylizer.input_format) for i in range(4)
    ]
    thinner = Thinner((2 * width, 2 * height), (width, height))
    yuyv, thinned = np.zeros((2 * height, 2 * width, 2), np.uint8), np.empty((height, width, 3), np.uint8)
    out = np.empty(stylizer.output_size[::-1] + (stylizer.channels,), np.uint8)
    captures, runs, finishes = [], [], []
    begin = time.perf_counter()
    for number in range(frames):
        captured = time.perf_counter()
        thinner(yuyv, thinned)
        prepared = stylizer.prepare(pictures[number % len(pictures)])
        ready = time.perf_counter()
        drawn = stylizer.run(prepared)
        ran = time.perf_counter()
        stylizer.finish(drawn, out)
        end = time.perf_counter()
        captures.append(1000 * (ready - captured))
        runs.append(1000 * (ran - ready))
        finishes.append(1000 * (end - ran))
        if end - begin >= seconds:
            break
    capture, run, finish = (statistics.median(times) for times in (captures, runs, finishes))
    if stylizer.runtime.device == "CPU":
        return run + (capture + finish) / (os.cpu_count() or 1)
    return max(run, capture, finish)
