"""The segments of a plan, in order: each with its interpreter, and how its input comes from the one before."""

import time
from typing import Any, Callable, Dict, List, Optional, Sequence, Tuple

import numpy as np

from ..parts import Interpreter
from .interpreter import Runtime
from .stages import NearestUpsampling, PixelShuffle
from .strips import Strip, strips_of


class Laps:
    """A stopwatch: milliseconds between laps, summed by their names."""

    def __init__(self) -> None:
        self.laps: Dict[str, float] = {}
        self._last = time.perf_counter()

    def lap(self, name: str) -> None:
        now = time.perf_counter()
        self.laps[name] = self.laps.get(name, 0.0) + 1000 * (now - self._last)
        self._last = now


class Step:
    """A segment, and how the output of the segment before it is upsampled to its input; None for the first segment.

    `input()` and `output()` are views (H, W, C) of the interpreter's tensors. It refuses to run while one is alive.
    With `strips` the input is a strip, and the output an array of `height` rows that collects the strips' results.
    """

    def __init__(
        self,
        name: str,
        interpreter: Interpreter,
        upsample: Optional[NearestUpsampling] = None,
        strips: Sequence[Strip] = (),
        height: int = 0,
    ):
        self.name, self.interpreter, self._upsample = name, interpreter, upsample
        self._input = interpreter.tensor(interpreter.get_input_details()[0]["index"])
        self._output = interpreter.tensor(interpreter.get_output_details()[0]["index"])
        self._strips = strips or (Strip(0, 0, 0),)
        self._whole: Optional[np.ndarray] = None
        if strips:
            strip = self.output()
            self._whole = np.empty((height,) + strip.shape[1:], strip.dtype)

    def input(self) -> np.ndarray:
        tensor: np.ndarray = self._input()[0]
        return tensor

    def output(self) -> np.ndarray:
        whole: np.ndarray = self._output()[0] if self._whole is None else self._whole
        return whole

    def run(self, before: "Optional[Step]", clock: "Laps") -> None:
        """Compute the output from the output of `before`; where that is None, from the input, already filled."""
        for top, first, end in self._strips:
            if before is not None and self._upsample:
                self._upsample(before.output(), self.input(), top)
                clock.lap(f"x{self._upsample.factor}")
            self.interpreter.invoke()
            if self._whole is not None:
                self._whole[top + first : top + end] = self._output()[0, first:end]
            clock.lap(self.name)


def load(
    plan: Any, runtime: Runtime, segments: Sequence[bytes], reach_of: Callable[[str], Optional[int]]
) -> "Tuple[List[Step], Optional[PixelShuffle]]":
    """The plan's steps, and the shuffle with which it ends, if any."""
    steps: List[Step] = []
    shuffle: Optional[PixelShuffle] = None
    factor, networks = 1, iter(segments)
    for stage in plan.stages:
        if hasattr(stage, "shuffle"):
            height, width = steps[-1].output().shape[:2]
            shuffle = PixelShuffle(height, width, stage.factor)
            continue
        if hasattr(stage, "factor"):
            factor *= stage.factor
            continue
        network = next(networks)
        reach = reach_of(stage.segment) if steps and runtime.unrolls else None
        height, width = steps[-1].output().shape[:2] if steps else (0, 0)
        upsample = NearestUpsampling(height, width, factor) if steps else None
        height *= factor
        rows, strips = (0, ()) if reach is None else strips_of(height, reach)
        interpreter = runtime.load(network, rows) if strips else runtime.load(network)
        steps.append(Step(stage.segment, interpreter, upsample, strips, height))
        factor = 1
    return steps, shuffle
