"""From a bundle to a Stylizer that may go live: which plan on which runtime, tried in a process of its own first.

What goes live is exactly what was tried: the same bundle (by digest), plan and runtime. A plan for the Edge TPU is
tried on the CPU. Its compiled segments run first in this process, which is noted beforehand: they may end it.
"""

import os
import time
from dataclasses import replace
from typing import Callable, List, NamedTuple, Optional

from . import config, trial
from .engine import interpreter
from .engine.interpreter import Runtime
from .engine.stylizer import Stylizer
from .errors import BundleError, Problem
from .style import state
from .style.bundle import Bundle
from .style.state import State
from .style.watch import signature

TRIAL_S = 180.0  # for all plans of a bundle together
LOAD_S = 60.0  # for one plan, in this process


class Candidate(NamedTuple):
    """A plan on a runtime."""

    plan: str
    runtime: Runtime


def is_compiled(bundle: Bundle) -> bool:
    return any(plan.compiled for plan in bundle.manifest.plans)


def tpu_is_there() -> bool:
    return os.path.exists(interpreter.TPU_DEVICE)


def wants_tpu(bundle: Bundle, engine: config.Engine) -> bool:
    """Whether the Edge TPU is the best device for it, with these settings."""
    return is_compiled(bundle) and engine.runtime in ("auto", "pycoral")


def is_fatal(bundle: Bundle, remembered: State) -> bool:
    """Whether this file, or what `LAST_GOOD` is a copy of, ended the daemon while it was loaded."""
    if bundle.path.name == state.LAST_GOOD:
        return any(entry.split()[0] == bundle.digest for entry in remembered.fatal)
    return f"{bundle.digest} {signature(bundle.path)}" in remembered.fatal


class Loader:
    """Loads bundles. What was proved and what was fatal goes into `memory`. `busy(seconds)` is called before each piece
    of work, with the longest that it may take.
    """

    def __init__(self, memory: state.Memory, busy: Callable[[float], None]):
        self._memory, self._busy = memory, busy

    def load(self, bundle: Bundle, engine: config.Engine, device: Optional[str] = None) -> Stylizer:
        """The bundle on the best runtime that takes it, or the best of `device`. Raises Problem.

        The Stylizer's own bundle is without the files: the interpreter holds its own copy of the network.
        """
        self._busy(LOAD_S)
        here = interpreter.runtimes(engine.threads)
        stand_in = next((runtime for runtime in here if runtime.device == "CPU"), None)
        candidates = self._candidates(bundle, engine, here, device)
        if any(one.runtime.device != "CPU" for one in candidates) and is_fatal(bundle, self._memory.now):
            raise BundleError(f"{bundle.path}: it took the daemon down when it was loaded: compile it again")
        deadline, failures = time.monotonic() + TRIAL_S, []
        for plan, runtime in candidates:
            tried = runtime if runtime.device == "CPU" else stand_in
            if tried is None:
                raise Problem("no TensorFlow Lite runtime for the CPU: reconet doctor says what is missing")
            failure = self._try(bundle, Candidate(plan, tried), deadline)
            if failure is None:
                try:
                    return self._load(bundle, engine, Candidate(plan, runtime))
                except Problem as problem:
                    failure = str(problem)
            failures.append(failure)
        raise BundleError("; ".join(dict.fromkeys(failures))[:1000])

    def _candidates(
        self, bundle: Bundle, engine: config.Engine, here: List[Runtime], device: Optional[str]
    ) -> List[Candidate]:
        """What to try, best first. Raises Problem when there is nothing."""
        names = [plan.name for plan in bundle.manifest.plans]
        found = []
        for runtime in here:
            if engine.runtime not in ("auto", runtime.name) or device not in (None, runtime.device):
                continue
            chosen = self._memory.now.choice(bundle.digest, runtime.device)
            plans = [plan for plan in bundle.manifest.plans if runtime.device == "CPU" or plan.compiled]
            if engine.plan in names:
                plans = [plan for plan in plans if plan.name == engine.plan]
            found += [Candidate(plan.name, runtime) for plan in sorted(plans, key=lambda plan: plan.name != chosen)]
        if not found and device == "TPU":
            raise Problem("there is an Edge TPU, but no runtime for it: reconet doctor says what is missing")
        if not found:
            where = f"the runtime {engine.runtime!r}" if engine.runtime != "auto" else "this machine"
            raise Problem(f"{bundle.path}: it has no plan for {where}: see engine.runtime in the configuration")
        return found

    def _try(self, bundle: Bundle, candidate: Candidate, deadline: float) -> Optional[str]:
        """None when the candidate came through its trial, now or before; else why not."""
        proof = state.proof(bundle.digest, candidate.plan, candidate.runtime)
        if proof in self._memory.now.proved:
            return None
        seconds = deadline - time.monotonic()
        if seconds <= 0:
            return f"{bundle.path}: the trials of its plans took longer than {TRIAL_S:g} s"
        self._busy(seconds + LOAD_S)
        reason = trial.passes(bundle.path, seconds, candidate.plan, candidate.runtime.name, bundle.digest)
        if reason is None:
            self._memory.remember(proved=self._memory.now.proved + (proof,))
        return reason

    def _load(self, bundle: Bundle, engine: config.Engine, candidate: Candidate) -> Stylizer:
        """The candidate in this process. Raises Problem."""
        self._busy(LOAD_S)
        # The trial was on the CPU: what it proved does not hold for compiled segments.
        risk = candidate.runtime.device != "CPU"
        if risk:
            attempt = state.Attempt(bundle=bundle.digest, signature=signature(bundle.path), boot=state.boot_id())
            self._memory.remember(attempt=attempt)
        try:
            stylizer = Stylizer(
                bundle, candidate.plan, candidate.runtime.name, engine.threads, stillness=engine.stillness
            )
        finally:
            if risk:
                self._memory.remember(attempt=None)
        stylizer.bundle = replace(bundle, files={})
        return stylizer
