"""From a bundle to a Stylizer that may go live: which plan, at which size, on which runtime.

The board chooses: see choice.py. A bundle (by digest), plan, size and runtime go live only after exactly
that combination passed a trial in a separate process (trial.py). Measurements are saved, so each is made only once.

A new style is shown before everything is measured. `load` measures its plans at their smallest size, until one reaches
the target rate, the lite plan runs or `FIRST_S` have passed, and loads the best so far. Then `measure_next` measures
one more plan and size at a time while the style runs; the picture freezes for that second (`quiet`). When no further
measurement could change the choice, `decide` returns the final one. See tuner.py.

A plan for the Edge TPU is tried on the CPU. Its compiled segments are then run and measured in this process. The
attempt is saved first, because the segments may crash the process.
"""

import contextlib
import time
from dataclasses import replace
from typing import Callable, ContextManager, Dict, List, NamedTuple, Optional, Sequence, Tuple

from . import choice, config, trial
from .choice import Measured
from .cost import frame_ms
from .engine import devices, interpreter
from .engine.interpreter import Runtime
from .engine.stylizer import Stylizer
from .errors import BundleError, DeviceError, Problem
from .frames import Size
from .options import Decision, Options, decide, options, runtimes_for, sizes_of
from .style import state
from .style.bundle import Bundle
from .style.state import State
from .style.watch import signature

TPU_RUNTIMES = ("pycoral", "libedgetpu")
TRIAL_S = 180.0  # for all trials of one load
LOAD_S = 60.0  # for loading one plan, in this process
FIRST_S = 15.0  # to look for a better plan than the first one that runs
MEASURE_S = 120.0  # for one plan and size, while a style may use all processors


class Surroundings(NamedTuple):
    """What a choice depends on. `rate()` is the frames per second that the running style could reach, or None when
    unknown. `hot()` is whether the Edge TPU is too hot. `fits()` is the sizes of LADDER that the camera can deliver
    without scaling, or None when unknown. While `quiet()` is held, nothing but a measurement uses the processors.
    """

    rate: Callable[[], Optional[float]] = lambda: None
    hot: Callable[[], bool] = lambda: False
    fits: Callable[[], Optional[Sequence[Size]]] = lambda: None
    quiet: Callable[[], ContextManager[None]] = contextlib.nullcontext


class Request(NamedTuple):
    """What a style was loaded for. While the request stays the same, the style is not reloaded.

    It has the bundle's digest, the settings, and bench's choices for the CPU and the TPU. The name of the bundle's
    file may change.
    """

    digest: str
    engine: config.Engine
    choices: Tuple[Optional[state.Chosen], Optional[state.Chosen]]
    file: str

    def is_like(self, other: "Optional[Request]") -> bool:
        return other is not None and self._replace(file=other.file) == other


class _On(NamedTuple):
    """A bundle on a runtime."""

    bundle: Bundle
    engine: config.Engine
    runtime: Runtime
    fits: Optional[Sequence[Size]]

    @property
    def device(self) -> str:
        return state.device(str(self.runtime), self.runtime.device, self.engine.threads)

    def key(self, plan: str, size: Size) -> Tuple[str, str, str, Size]:
        return self.bundle.digest, self.device, plan, size

    def options(self, remembered: State) -> List[Options]:
        chosen = remembered.chosen(self.bundle.digest, self.runtime.device)
        return options(self.bundle, self.engine, self.runtime.device, chosen, self.fits)


def is_compiled(bundle: Bundle) -> bool:
    return any(plan.compiled for plan in bundle.manifest.plans)


def tpu_is_there() -> bool:
    return bool(devices.found())


def why_not_chosen() -> Optional[str]:
    """Why the configuration leaves out every Edge TPU that is there; None when there is none, or one may be used."""
    return None if tpu_is_there() else interpreter.edge_tpu()[1]


def tpus() -> str:
    """A text that changes when an Edge TPU is plugged in, unplugged or replugged."""
    return ", ".join(tpu.identity for tpu in devices.found())


def wants_tpu(bundle: Bundle, engine: config.Engine) -> bool:
    """Whether the Edge TPU is the best device for the bundle with these settings."""
    return is_compiled(bundle) and engine.runtime in ("auto",) + TPU_RUNTIMES


def is_fatal(bundle: Bundle, remembered: State) -> bool:
    """Whether loading this file, or the file of which `LAST_GOOD` is a copy, crashed the daemon before."""
    if bundle.path.name == state.LAST_GOOD:
        return any(entry.split()[0] == bundle.digest for entry in remembered.fatal)
    return f"{bundle.digest} {signature(bundle.path)}" in remembered.fatal


class Loader:
    """Loads bundles. Measurements, proofs and crashes are saved in `memory`. `busy(seconds)` is called before each
    piece of work with the longest time that it may take.

    `target` is the target rate in frames per second. `device` is "CPU" or "TPU".
    """

    def __init__(self, memory: state.Memory, busy: Callable[[float], None], around: Surroundings):
        self._memory, self._busy, self._around = memory, busy, around
        self._failed: Dict[Tuple[str, str, str, Size], str] = {}  # the reason, by digest, device, plan and size
        self.why_no_tpu: Optional[str] = None  # for the last `load`, if known

    def load(
        self, bundle: Bundle, engine: config.Engine, target: float, device: Optional[str] = None
    ) -> Tuple[Stylizer, Decision]:
        """The best choice so far, on the best runtime that can run the bundle, or on `device`. Raises Problem.

        The Stylizer's bundle has no files, because the interpreter holds its own copy of the network.
        """
        self._busy(LOAD_S)
        self._failed.clear()  # the file may have been copied again, or memory freed
        deadline, failures = time.monotonic() + TRIAL_S, []
        self.why_no_tpu = interpreter.edge_tpu()[1]
        for on in self._places(bundle, engine, device):
            for among in on.options(self._memory.now):
                try:
                    return self._first(on, among, target, deadline)
                except Problem as problem:
                    failures.append(str(problem))
                    if on.runtime.device == "TPU":
                        self.why_no_tpu = str(problem)
                    if isinstance(problem, DeviceError):
                        break
        raise BundleError("; ".join(dict.fromkeys(failures))[:1000])

    def measure_next(self, bundle: Bundle, engine: config.Engine, target: float, device: str) -> bool:
        """Measure one more plan and size. Returns False when no measurement could change the choice.

        Raises Problem.
        """
        on = self._places(bundle, engine, device)[0]
        pair = choice.following(on.options(self._memory.now)[0].sizes, self._rows(on), target)
        if pair:
            self._measure(on, *pair, seconds=MEASURE_S)
        return pair is not None

    def decide(self, bundle: Bundle, engine: config.Engine, target: float, device: str) -> Optional[Decision]:
        """The best of the measured plans and sizes; None when none of them runs. Raises Problem."""
        on = self._places(bundle, engine, device)[0]
        decisions = (decide(among, self._rows(on), target) for among in on.options(self._memory.now))
        return next(filter(None, decisions), None)

    def open(self, bundle: Bundle, engine: config.Engine, row: Measured, device: str) -> Stylizer:
        """A Stylizer for a plan and size that were measured. Raises Problem."""
        return self._open(self._places(bundle, engine, device)[0], row.plan, row.size)

    def forget(self, digest: str, engine: config.Engine, kind: str) -> None:
        """Delete a bundle's measurements on "CPU" or "TPU", because they were disturbed."""
        for runtime in interpreter.runtimes(engine.threads):
            if runtime.device == kind:
                self._memory.forget(digest, state.device(str(runtime), kind, engine.threads))

    def _places(self, bundle: Bundle, engine: config.Engine, device: Optional[str]) -> List[_On]:
        """Where the bundle can run, best first. Raises Problem when it cannot."""
        fits = self._around.fits()
        found = [_On(bundle, engine, runtime, fits) for runtime in runtimes_for(bundle, engine, device)]
        if any(on.runtime.device != "CPU" for on in found) and is_fatal(bundle, self._memory.now):
            raise BundleError(f"{bundle.path}: it crashed the daemon when it was loaded: compile it again")
        return found

    def _first(self, on: _On, among: Options, target: float, deadline: float) -> Tuple[Stylizer, Decision]:
        """The best of what was measured, as soon as one plan runs. Raises Problem."""
        first = time.monotonic() + FIRST_S
        while True:
            decision, now = decide(among, self._rows(on), target), time.monotonic()
            pair = choice.opening(among.sizes, self._rows(on), target)
            if pair and (decision is None or now < first):
                if now >= deadline:
                    raise BundleError(f"{on.bundle.path}: the trials of its plans took longer than {TRIAL_S:g} s")
                self._measure(on, *pair, seconds=deadline - now)
            elif decision is None:
                raise BundleError("; ".join(dict.fromkeys(self._failed.values())))
            else:
                plan, size = decision.row.plan, decision.row.size
                try:
                    return self._open(on, plan, size), decision
                except DeviceError:
                    raise
                except Problem as problem:
                    self._failed[on.key(plan, size)] = str(problem)

    def _rows(self, on: _On) -> List[Measured]:
        """The measurements of a bundle on a runtime, with 0 fps for what failed."""
        failed = {key[2:] for key in self._failed if key[:2] == (on.bundle.digest, on.device)}
        rows = [row for row in self._memory.now.rows(on.bundle.digest, on.device) if row[:2] not in failed]
        return rows + [Measured(plan, size, 0.0) for plan, size in failed]

    def _measure(self, on: _On, plan: str, size: Size, seconds: float) -> None:
        """Try and time a plan at a size. The result is then in `_rows`."""
        self._busy(seconds + LOAD_S)
        try:
            if on.runtime.device == "CPU":
                milliseconds = trial.measure(
                    on.bundle.path,
                    plan,
                    size,
                    on.runtime.name,
                    on.bundle.digest,
                    on.engine.threads,
                    on.engine.stillness,
                    seconds,
                    self._around.quiet,
                )
            else:
                self._prove(on, plan, seconds)
                stylizer = self._open(on, plan, size)
                with self._around.quiet():
                    milliseconds = frame_ms(stylizer)
        except DeviceError:
            raise
        except Problem as problem:
            self._failed[on.key(plan, size)] = str(problem)
            if on.runtime.device == "CPU" and any(row.plan == plan and row.fps for row in self._rows(on)):
                # The plan runs at a smaller size, so this limit, mostly of memory, is permanent.
                self._memory.measured(on.bundle.digest, on.device, [Measured(plan, size, 0.0)])
            return
        self._memory.measured(on.bundle.digest, on.device, [Measured(plan, size, 1000 / max(milliseconds, 1e-3))])

    def _prove(self, on: _On, plan: str, seconds: float) -> None:
        """Try a compiled plan's segments for the CPU, unless they passed before. Raises Problem."""
        stand_in = next((one for one in interpreter.runtimes(on.engine.threads) if one.device == "CPU"), None)
        if stand_in is None:
            raise Problem("no TensorFlow Lite runtime for the CPU: reconet doctor says what is missing")
        size = sizes_of(on.bundle, on.runtime.device)[plan][0]  # the proof is the same at all sizes
        proof = state.proof(on.bundle.digest, plan, size, str(stand_in), stand_in.device)
        if proof in self._memory.now.proved:
            return
        reason = trial.passes(on.bundle.path, seconds, plan, stand_in.name, on.bundle.digest, size)
        if reason:
            raise BundleError(reason)
        self._memory.remember(proved=self._memory.now.proved + (proof,))

    def _open(self, on: _On, plan: str, size: Size) -> Stylizer:
        """A Stylizer for a plan at a size, in this process. Raises Problem."""
        self._busy(LOAD_S)
        bundle, engine = on.bundle, on.engine
        # The trial ran on the CPU, so it proves nothing about compiled segments.
        risk = on.runtime.device != "CPU"
        if risk:
            attempt = state.Attempt(
                bundle=bundle.digest, signature=signature(bundle.path), boot=state.boot_id(), tpu=tpus()
            )
            self._memory.remember(attempt=attempt)
        try:
            stylizer = Stylizer(bundle, plan, on.runtime.name, engine.threads, size=size, stillness=engine.stillness)
        finally:
            if risk:
                self._memory.remember(attempt=None)
        stylizer.bundle = replace(bundle, files={})
        return stylizer
