"""How long a frame takes with each of a style's plans, at each size, on this machine's best runtime."""

import time
from dataclasses import dataclass
from pathlib import Path
from typing import List, Optional, Sequence, Tuple

import numpy as np

from . import config
from .choice import Measured, best
from .cost import Lap, Work, of_laps
from .engine.interpreter import runtimes
from .engine.steps import KEPT
from .engine.stylizer import Stylizer
from .errors import Problem
from .frames import Size
from .options import options, sizes_of
from .style import state
from .style.bundle import Bundle
from .style.manifest import size_name

WARM_UP = 5
_MOST_S = 5.0  # for a plan and size
_HOPELESS = 0.5  # of the target rate: below it, larger sizes of the plan are skipped


@dataclass(frozen=True)
class Timing:
    """Milliseconds per frame of one plan at one size: median and 99th percentile of the whole, medians of its parts.

    `inference` is the interpreter (the TPU, with its transfers), `numpy` the work between and around the segments,
    `copies` the bytes into the first tensor and out of the last. `fps` is the daemon's predicted rate, see
    cost.of_laps. `device` is "CPU" or "TPU". `fault` is why a plan did not run.
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
    size: Size = (0, 0)
    fps: float = 0.0

    @property
    def row(self) -> Measured:
        return Measured(self.plan, self.size, self.fps)


def bench(bundle: Bundle, frames: int = 200, threads: int = 0, target: float = 30.0) -> List[Timing]:
    """Times every plan of the bundle at every size worth trying. Smallest sizes come first, failures last.

    Uses the best runtime that can run the bundle. A plan's sizes end at the first that is far below `target` frames per
    second. Raises Problem when there is no runtime.
    """
    here = next(runtime for runtime in runtimes(threads) if sizes_of(bundle, runtime.device))
    timings: List[Timing] = []
    for plan, sizes in sizes_of(bundle, here.device).items():
        for size in sizes:
            timings.append(time_plan(bundle, plan, frames, threads, size, here.name))
            if timings[-1].fps < _HOPELESS * target:
                break
    return sorted(timings, key=lambda one: (bool(one.fault), one.size[0] * one.size[1], one.median))


def taken(timings: Sequence[Timing], target: float, plans: Sequence[str]) -> Optional[Timing]:
    """What the daemon would run for `target` frames per second; None when nothing runs. `plans`: as in choice.best."""
    rows = [timing.row for timing in timings]
    row = best(rows, target, plans)
    return timings[rows.index(row)] if row else None


def overruled(bundle: Bundle, engine: config.Engine, choice: Timing) -> List[str]:
    """The line that says what in the configuration keeps the daemon from running `choice`; none when nothing does."""
    among = options(bundle, engine, choice.device, state.Chosen(choice.plan, choice.size))[0]
    if among.sizes == {choice.plan: [choice.size]}:
        return []
    asked = [f'{key} = "{value}"' for key, value in (("plan", engine.plan), ("size", engine.size)) if value != "auto"]
    return [f"but the configuration overrides it: {' and '.join(asked)} in [engine] of {config.PATH}"]


def table(timings: Sequence[Timing]) -> List[Tuple[str, ...]]:
    """Rows of cells to print, header first."""
    rows: List[Tuple[str, ...]] = [("PLAN", "SIZE", "MEDIAN", "P99", "INFERENCE", "NUMPY", "COPIES", "FPS", "RUNTIME")]
    for one in timings:
        if not one.fault:
            numbers = (one.median, one.p99, one.inference, one.numpy, one.copies)
            cells = (f"{number:.2f}" for number in numbers)
            rows.append((one.plan, size_name(one.size), *cells, f"{one.fps:.1f}", one.runtime))
    return rows


def faults(timings: Sequence[Timing]) -> List[str]:
    """One line for each failure."""
    return [f"{one.plan}: {one.fault}" for one in timings if one.fault]


def save(bundle: Bundle, choice: Timing, timings: Sequence[Timing], threads: int = 0) -> Path:
    """Save `choice` and its measurements for the daemon; returns the file. Raises Problem."""
    folder, device = bundle.path.parent, state.device(choice.runtime.rpartition(" (")[0], choice.device, threads)
    state.choose(folder, bundle.digest, choice.device, choice.plan, choice.size)
    state.note(folder, bundle.digest, device, [one.row for one in timings if one.fps])
    return folder / state.NAME


def time_plan(
    bundle: Bundle,
    plan: str,
    frames: int = 200,
    threads: int = 0,
    size: Optional[Size] = None,
    runtime: Optional[str] = None,
) -> Timing:
    """Times one plan of the bundle at a size, by default the stored one, on a runtime, by default the best."""
    try:
        stylizer = Stylizer(bundle, plan, runtime=runtime, threads=threads, size=size)
    except Problem as problem:
        return Timing(plan, fault=str(problem), size=size or (0, 0))
    work = Work(stylizer)
    laps: List[Lap] = []
    found = []
    end = time.perf_counter() + _MOST_S
    for i in range(WARM_UP + frames):
        lap = work()
        if i < WARM_UP:
            continue
        laps.append(lap)
        found.append(_parts([("input", lap.prepare), *stylizer.stage_ms, ("output", lap.finish)]))
        if time.perf_counter() > end:
            break
    parts = np.array(found)
    total = parts.sum(axis=1)
    inference, numpy, copies = np.median(parts, axis=0)
    return Timing(
        plan,
        f"{stylizer.runtime} ({stylizer.runtime.device})",
        float(np.median(total)),
        float(np.percentile(total, 99)),
        inference,
        numpy,
        copies,
        device=stylizer.runtime.device,
        size=stylizer.input_size,
        fps=1000 / of_laps(laps, stylizer.runtime.device),
    )


def _parts(stage_ms: List[Tuple[str, float]]) -> Tuple[float, ...]:
    """(inference, numpy, copies) of one frame's stages."""
    sums = {"inference": 0.0, "numpy": 0.0, "copies": 0.0}
    for stage, milliseconds in stage_ms:
        copied = stage in ("input", "output")
        sums["copies" if copied else "numpy" if _between(stage) else "inference"] += milliseconds
    return tuple(sums.values())


def _between(stage: str) -> bool:
    """Whether it is between two segments: an upsampling, or the copy of a kept tensor."""
    return stage == KEPT or stage[:1] == "x" and stage[1:].isdigit()
