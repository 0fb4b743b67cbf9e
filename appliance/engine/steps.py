"""The segments of a plan, in order: each with its interpreter, and how its inputs come from those before."""

import time
from functools import partial
from typing import Any, Callable, Dict, List, Optional, Sequence, Tuple

import numpy as np

from ..parts import Interpreter
from .interpreter import Runtime
from .stages import NearestUpsampling, PixelShuffle
from .strips import Strip, strips_of

KEPT = "kept"  # the name of the lap in which kept tensors are copied
Kept = Callable[[], np.ndarray]  # returns a view (H, W, C) of a tensor that a segment keeps for a later one


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
    Its further inputs are copies of what earlier segments `kept` for it.

    `input()` and `output()` are views (H, W, C) of the interpreter's tensors. It refuses to run while one is alive.
    With `strips` an input is a strip, and an output an array of `height` rows that collects the strips' results.
    """

    def __init__(
        self,
        name: str,
        interpreter: Interpreter,
        upsample: Optional[NearestUpsampling] = None,
        kept: Sequence[Kept] = (),
        strips: Sequence[Strip] = (),
        height: int = 0,
    ):
        self.name, self.interpreter, self._upsample, self._kept = name, interpreter, upsample, kept
        self._inputs = [interpreter.tensor(end["index"]) for end in interpreter.get_input_details()]
        self._outputs = [interpreter.tensor(end["index"]) for end in interpreter.get_output_details()]
        self._strips = strips or (Strip(0, 0, 0),)
        self._wholes: List[np.ndarray] = []
        if strips:
            self._wholes = [_heightened(view(), height) for view in self._outputs]

    def input(self, number: int = 0) -> np.ndarray:
        tensor: np.ndarray = self._inputs[number]()[0]
        return tensor

    def output(self, number: int = 0) -> np.ndarray:
        whole: np.ndarray = self._wholes[number] if self._wholes else self._outputs[number]()[0]
        return whole

    def keeps(self) -> List[Kept]:
        """The outputs behind the first, which are for later segments."""
        return [partial(self.output, number) for number in range(1, len(self._outputs))]

    def run(self, before: "Optional[Step]", clock: "Laps") -> None:
        """Compute the output from the output of `before`; where that is None, from the input, already filled."""
        for top, first, end in self._strips:
            if before is not None and self._upsample:
                self._upsample(before.output(), self.input(), top)
                clock.lap(f"x{self._upsample.factor}")
            if self._kept:
                self._take(top)
                clock.lap(KEPT)
            self.interpreter.invoke()
            for whole, view in zip(self._wholes, self._outputs):
                whole[top + first : top + end] = view()[0, first:end]
            clock.lap(self.name)

    def _take(self, top: int) -> None:
        """Copy what was kept, from row `top` on, to the further inputs."""
        for number, kept in enumerate(self._kept, 1):
            tensor = self.input(number)
            np.copyto(tensor, kept()[top : top + len(tensor)])


def load(
    plan: Any, runtime: Runtime, segments: Sequence[bytes], reach_of: Callable[[str], Optional[int]]
) -> "Tuple[List[Step], Optional[PixelShuffle]]":
    """The plan's steps, and the shuffle with which it ends, if any.

    What segments keep is a stack: the further inputs of a segment take from it, the last kept first.
    """
    steps: List[Step] = []
    kept: List[Kept] = []
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
        taken = [kept.pop() for _ in interpreter.get_input_details()[1:]]
        steps.append(Step(stage.segment, interpreter, upsample, taken, strips, height))
        kept += steps[-1].keeps()
        factor = 1
    return steps, shuffle


def _heightened(strip: np.ndarray, height: int) -> np.ndarray:
    """An empty array (height, W, C) of the type of `strip` (1, h, W, C)."""
    return np.empty((height,) + strip.shape[2:], strip.dtype)
