"""How long one frame takes of the daemon, for a plan and size: what the board's choice is made on."""

import os
import statistics
import time
from typing import List, NamedTuple, Sequence

import numpy as np

from .camera.thin import Thinner
from .camera.virtual import VirtualCamera
from .engine.stylizer import Stylizer
from .frames import converted, cover

FRAMES, SECONDS = 7, 0.7  # whichever is over first


class Lap(NamedTuple):
    """Milliseconds of a frame's steps."""

    thin: float
    prepare: float
    run: float
    finish: float


class Work:
    """The work of the daemon's threads on a frame, without camera and display: each call does that of the next one."""

    def __init__(self, stylizer: Stylizer):
        width, height = stylizer.input_size
        camera = VirtualCamera(paced=False)
        self._stylizer, self._number = stylizer, 0
        self._pictures = [
            converted(cover(camera.picture(24 * i), stylizer.input_size), "rgb", stylizer.input_format)
            for i in range(4)
        ]
        self._thinner = Thinner((2 * width, 2 * height), (width, height))
        self._yuyv = np.zeros((2 * height, 2 * width, 2), np.uint8)
        self._thinned = np.empty((height, width, 3), np.uint8)
        self._out = np.empty(stylizer.output_size[::-1] + (stylizer.channels,), np.uint8)

    def __call__(self) -> Lap:
        picture = self._pictures[self._number % len(self._pictures)]
        self._number += 1
        times = [time.perf_counter()]
        self._thinner(self._yuyv, self._thinned)
        times.append(time.perf_counter())
        prepared = self._stylizer.prepare(picture)
        times.append(time.perf_counter())
        drawn = self._stylizer.run(prepared)
        times.append(time.perf_counter())
        self._stylizer.finish(drawn, self._out)
        times.append(time.perf_counter())
        return Lap(*(1000 * (end - begin) for begin, end in zip(times, times[1:])))


def frame_ms(stylizer: Stylizer, frames: int = FRAMES, seconds: float = SECONDS) -> float:
    """Median milliseconds a frame over `frames` frames, or fewer after `seconds`, one at least: see `of_laps`."""
    work = Work(stylizer)
    laps: List[Lap] = []
    end = time.perf_counter() + seconds
    while len(laps) < frames:
        laps.append(work())
        if time.perf_counter() >= end:
            break
    return of_laps(laps, stylizer.runtime.device)


def of_laps(laps: Sequence[Lap], device: str) -> float:
    """Median milliseconds a frame on "CPU" or "TPU".

    The capture thread thins and prepares a frame, and the show thread finishes one, while the stylise thread runs the
    network. On an Edge TPU the slowest of the three sets the rate. On the CPU the network has all cores, so the work of
    the others is divided among them and added. Showing itself is left out: its cost hardly depends on the picture's
    size, and a plane may do it.
    """
    capture = statistics.median(lap.thin + lap.prepare for lap in laps)
    run = statistics.median(lap.run for lap in laps)
    finish = statistics.median(lap.finish for lap in laps)
    if device == "CPU":
        return run + (capture + finish) / (os.cpu_count() or 1)
    return max(run, capture, finish)
