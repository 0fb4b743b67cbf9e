"""How long a frame takes by each of a style's plans, on whatever runtime this machine has."""

from dataclasses import dataclass
from typing import List, Tuple

import numpy as np

from .camera.virtual import VirtualCamera
from .engine.stylizer import Stylizer
from .errors import Problem
from .frames import converted, cover
from .style.bundle import Bundle

WARM_UP = 5


@dataclass(frozen=True)
class Timing:
    """Milliseconds a frame by one plan: median and 99th percentile of all, medians of its parts.

    `inference` is the interpreter (the TPU, with its transfers), `numpy` what is computed between and around the
    segments, `copies` the bytes into the first tensor and out of the last. `device` is "CPU" or "TPU". `fault` says
    why a plan did not run.
    """

    plan: str
    runtime: str = ""
    median: float = 0.0
    p99: float = 0.0
    inference: float = 0.0
    numpy: float = 0.0
    copies: float = 0.0
    fault: str = ""
    device: str = ""


def bench(bundle: Bundle, frames: int = 200, threads: int = 0) -> List[Timing]:
    """Times every plan of the bundle, fastest first, those that do not run last."""
    timings = [time_plan(bundle, plan.name, frames, threads) for plan in bundle.manifest.plans]
    return sorted(timings, key=lambda timing: (bool(timing.fault), timing.median))


def time_plan(bundle: Bundle, plan: str, frames: int = 200, threads: int = 0) -> Timing:
    """Times one plan of the bundle on the best runtime that takes it."""
    try:
        stylizer = Stylizer(bundle, plan, threads=threads)
    except Problem as problem:
        return Timing(plan, fault=str(problem))
    camera, (width, height) = VirtualCamera(paced=False), stylizer.output_size
    pictures = [
        converted(cover(camera.picture(24 * i), stylizer.input_size), "rgb", stylizer.input_format) for i in range(4)
    ]
    out = np.empty((height, width, stylizer.channels), np.uint8)
    laps = []
    for i in range(WARM_UP + frames):
        stylizer.stylize(pictures[i % len(pictures)], out)
        laps.append(_parts(stylizer.stage_ms))
    parts = np.array(laps[WARM_UP:])
    total = parts.sum(axis=1)
    inference, numpy, copies = np.median(parts, axis=0)
    runtime = f"{stylizer.runtime} ({stylizer.runtime.device})"
    return Timing(
        plan,
        runtime,
        float(np.median(total)),
        float(np.percentile(total, 99)),
        inference,
        numpy,
        copies,
        device=stylizer.runtime.device,
    )


def _parts(stage_ms: List[Tuple[str, float]]) -> Tuple[float, ...]:
    """(inference, numpy, copies) of one frame's stages."""
    sums = {"inference": 0.0, "numpy": 0.0, "copies": 0.0}
    for stage, milliseconds in stage_ms:
        copied = stage in ("input", "output")
        sums["copies" if copied else "numpy" if _upsample(stage) else "inference"] += milliseconds
    return tuple(sums.values())


def _upsample(stage: str) -> bool:
    return stage[:1] == "x" and stage[1:].isdigit()
