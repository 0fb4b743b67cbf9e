"""Runs a style: frame in, stylised frame out, in buffers that are allocated once."""

import os
from typing import Any, List, NamedTuple, Optional, Sequence, Tuple

import numpy as np

from ..errors import DeviceError, Problem
from ..frames import BLACK, converted, cover
from ..memory import Memory
from ..parts import Style
from .exposure import ExposureMeter, expose, grain
from .interpreter import Runtime, runtimes
from .lanes import Lanes
from .steps import Laps, Step, load
from .stillness import Judged, Stillness

_SIGN_BIT = np.uint8(0x80)


class Prepared(NamedTuple):
    """A frame as the network takes it, uint8 (h, w, 3) with the border; and what moves in it."""

    pixels: np.ndarray
    judged: Optional[Judged]


class Drawn(NamedTuple):
    """What the network drew: the bytes of its last tensor as those of pixels; and what moves in the frame."""

    pixels: np.ndarray
    judged: Optional[Judged]


class Stylizer:
    """Runs the first plan of `bundle` that works here (or the one named `plan`), on the best runtime or the one named.
    The lite plan has to be named.

    `prefer` names a plan to try before the others.
    `size` (width, height) is the picture's, for which the networks are built. The default is the size for which they
    are stored or, on an Edge TPU, compiled.
    `stillness` is the share of the last picture that is kept where nothing moves, see stillness.py; 0 turns it off.
    `threads` is for the CPU, 0 means one per CPU. `reference` selects the reference kernels: the same bits everywhere.
    With several `lanes` it works on so many frames at once, on the CPU; threads are divided among them, and each takes
    the memory of a network.
    Every candidate gets a trial run. Raises Problem when none passes.

    Attributes: `bundle`; `plan` (its name); `runtime` (a Runtime: str() gives name and version, `.device` CPU or TPU);
    `input_size` and `output_size` as (width, height); `input_format` and `output_format`, see frames.py; `channels`, of
    the output; `stage_ms`, [(stage, milliseconds)] of the last frame.
    """

    def __init__(
        self,
        bundle: Style,
        plan: Optional[str] = None,
        runtime: Optional[str] = None,
        threads: int = 0,
        reference: bool = False,
        prefer: Optional[str] = None,
        size: Optional[Tuple[int, int]] = None,
        stillness: float = 0.0,
        lanes: int = 1,
    ):
        manifest = bundle.manifest
        plans = [p for p in manifest.plans if p.name == plan or plan is None and not p.lite]
        plans.sort(key=lambda p: p.name != prefer)
        if not plans:
            raise Problem(
                f"style {manifest.name} has no plan {plan!r}: it has " + ", ".join(p.name for p in manifest.plans)
            )
        threads = threads or os.cpu_count() or 1
        lanes = min(lanes, threads)
        here = [r for r in runtimes(threads // lanes, reference) if runtime in (None, r.name)]
        if not here:
            raise Problem(f"the runtime {runtime!r} is not on this machine: leave it out to take the best one")
        if size is not None:
            bundle.check_size(size)
        self.bundle = bundle
        self.input_format, self.output_format = manifest.input.pixels, manifest.output.pixels
        self.channels = manifest.output.channels
        self.stage_ms: List[Tuple[str, float]] = []
        self._memory, self._drawn = Memory(), Memory()
        self._border, exposure = manifest.input.border, manifest.input.exposure
        self._meter = exposure and ExposureMeter(exposure.mean, exposure.std, exposure.chroma, self.input_format)
        # In RGB, green comes closest to luma.
        self._stillness = Stillness(stillness, int(self.input_format == "rgb")) if stillness else None
        self._grained = 1.0
        self._lanes: Optional[Lanes] = None
        self._choose(plans, here, size, lanes)

    def _choose(self, plans: Sequence[Any], here: List[Runtime], size: Optional[Tuple[int, int]], lanes: int) -> None:
        failures = []
        for runtime in here:
            for plan in plans:
                at = size or self.bundle.stored_size(plan, runtime.device)
                if runtime.device == "TPU" and not self.bundle.compiled(plan, at):
                    continue
                try:
                    self.input_size, self.output_size = at, self.bundle.manifest.output_size(at)
                    self._exposed = np.empty(at[::-1] + (3,) if self._stillness else 0, np.uint8)
                    segments = (self.bundle.compiled if runtime.device == "TPU" else self.bundle.build)(plan, at)
                    self._steps, self._shuffle = load(plan, runtime, segments, self.bundle.reach)
                    # Kept, because no view of the tensor may exist while the network runs.
                    self._input = _end_of(self._steps[0].input())
                    self._trial_run()
                    if lanes > 1 and runtime.device == "CPU":
                        more = [load(plan, runtime, segments, self.bundle.reach)[0] for _ in range(1, lanes)]
                        self._lanes = Lanes([self._steps] + more)
                except DeviceError as error:  # no other plan would do better there
                    if len(here) == 1:
                        raise
                    failures.append(str(error))
                    break
                except Exception as error:  # runtimes raise many kinds on a model that they cannot run
                    failures.append(f"plan {plan.name} on {runtime}: {str(error) or repr(error)}")
                    continue
                self.plan, self.runtime = plan.name, runtime
                return
        raise Problem(
            f"style {self.bundle.manifest.name} does not run here: "
            + ("; ".join(failures)[:500] or "it has no plan for this runtime")
            + ": update the runtime or export the style again"
        )

    def _trial_run(self) -> None:
        (width, height), (out_width, out_height) = self.input_size, self.output_size
        self.stylize(np.zeros((height, width, 3), np.uint8), np.empty((out_height, out_width, self.channels), np.uint8))
        self.reset()

    def reset(self) -> None:
        """Forget the frames so far: the next one starts a new film."""
        if self._meter:
            self._meter.reset()
        if self._stillness:
            self._stillness.reset()

    def stylize(self, frame: np.ndarray, out: np.ndarray) -> None:
        """Stylise `frame`, uint8 (H, W, 3) of `input_size` and `input_format`, into `out`, uint8 (H, W, channels) of
        `output_size` and `output_format`: `prepare`, `run` and `finish`.
        """
        clock = Laps()
        prepared = self.prepare(frame)
        clock.lap("input")
        drawn = self._run(self._steps, prepared, clock)
        self.finish(drawn, out)
        clock.lap("output")
        self.stage_ms = list(clock.laps.items())

    def prepare(self, frame: np.ndarray) -> "Prepared":
        """What `run` takes for `frame` (see `stylize`).

        Call it for frames in order. `prepare`, `run` and `finish` may each have a thread. A prepared frame need not be
        run.
        """
        shape, flip = self._input
        pixels = self._memory.array(shape)
        inside, judged = pixels, None
        if self._border:
            inside = _inside(pixels, self._border, np.array(BLACK[self.input_format], np.uint8) ^ flip)
        if self._stillness:
            jumped = False
            if self._meter:
                curve = self._meter.update(frame)
                if abs(curve.gain - self._grained) > 0.4:  # not for small changes: new grain changes the picture
                    self._grained = curve.gain
                expose(frame, curve, self._exposed, self.input_format, 0, grain(frame.shape[:2], self._grained))
                frame, jumped = self._exposed, self._meter.jumped
            frame, judged = self._stillness.before(frame, jumped)
            np.bitwise_xor(frame, flip, out=inside)
        elif self._meter is None:
            np.bitwise_xor(frame, flip, out=inside)
        else:
            expose(frame, self._meter.update(frame), inside, self.input_format, int(flip))
        return Prepared(pixels, judged)

    def run(self, prepared: "Prepared") -> Any:
        """Run the network on what `prepare` returned. Returns what `finish` takes; it need not be finished.

        With several lanes it returns a Future (concurrent.futures) of that, as soon as a lane is free to run it.
        """
        if self._lanes:
            return self._lanes.start(self._timed, prepared)
        return self._timed(self._steps, prepared)

    def settle(self, drawn: "Drawn") -> "Drawn":
        """What to show, given what `run` returned: averaged where nothing moves. It changes with the next call. Call it
        for frames in order.
        """
        if self._stillness and drawn.judged:
            return Drawn(self._stillness.behind(drawn.pixels, drawn.judged), None)
        return drawn

    def finish(self, drawn: "Drawn", out: np.ndarray) -> None:
        """Write what `run`, or `settle`, returned into `out`, uint8 (H, W, channels) of `output_size` and
        `output_format`, which is contiguous and never read. Call it for frames in order.
        """
        pixels = self.settle(drawn).pixels
        if self._shuffle:
            self._shuffle(pixels, out)
        else:
            np.copyto(out, pixels)

    def _timed(self, steps: List[Step], prepared: "Prepared") -> "Drawn":
        clock = Laps()
        drawn = self._run(steps, prepared, clock)
        self.stage_ms = list(clock.laps.items())
        return drawn

    def _run(self, steps: List[Step], prepared: "Prepared", clock: "Laps") -> "Drawn":
        np.copyto(steps[0].input().view(np.uint8), prepared.pixels)
        clock.lap("input")
        before = None
        for step in steps:
            step.run(before, clock)
            before = step
        tensor = steps[-1].output()
        pixels = self._drawn.array(tensor.shape)
        _copy_pixels(tensor, pixels)
        del tensor  # an interpreter refuses to run while a view of its tensors is alive
        clock.lap("output")
        return Drawn(pixels, prepared.judged)

    def draw(self, picture: np.ndarray) -> np.ndarray:
        """A picture of any size, stylised; both uint8 RGB (H, W, 3). `stylize` with the conversions around it."""
        width, height = self.output_size
        out = np.empty((height, width, self.channels), np.uint8)
        self.stylize(converted(cover(picture, self.input_size), "rgb", self.input_format), out)
        return converted(out, self.output_format, "rgb")


def _end_of(tensor: np.ndarray) -> Tuple[Tuple[int, ...], np.uint8]:
    """The shape of the network's first or last tensor, and what XORed with its bytes gives those of pixels."""
    return tensor.shape, _SIGN_BIT if tensor.dtype == np.int8 else np.uint8(0)


def _inside(pixels: np.ndarray, border: int, colour: np.ndarray) -> np.ndarray:
    """Fill the border of uint8 `pixels` (H, W, C) with `colour` (C,), and return a view of what is inside it."""
    for edge in (np.s_[:border], np.s_[-border:], np.s_[:, :border], np.s_[:, -border:]):
        pixels[edge] = colour
    return pixels[border:-border, border:-border]


def _copy_pixels(tensor: np.ndarray, out: np.ndarray) -> None:
    """Copy the last tensor (uint8, or int8: the byte with its top bit flipped) to pixels (uint8)."""
    if tensor.dtype == np.int8:
        np.bitwise_xor(tensor.view(np.uint8), _SIGN_BIT, out=out)
    else:
        np.copyto(out, tensor)
