"""What follows when a style goes live: the rest of its plans and sizes are measured, and a rate that is missed is met.

One step at each look, so that new files and commands wait for a second or two, not for all.
"""

from pathlib import Path
from typing import NamedTuple, Optional

from . import config
from .choice import Measured
from .engine.stylizer import Stylizer
from .loader import Loader, Surroundings
from .options import Decision
from .pace import Pace
from .style import store
from .style.bundle import Bundle


class Change(NamedTuple):
    """What runs from now on and why. `stylizer`: None where the running one stays. `journal`: a line about it."""

    stylizer: Optional[Stylizer]
    row: Measured
    why: str
    journal: str


class Tuner:
    """Tunes the style in the file `path`, which runs on `device`, "CPU" or "TPU", as `decision` says.

    `target` is the wanted rate in frames a second.
    """

    def __init__(
        self,
        loader: Loader,
        around: Surroundings,
        path: Path,
        digest: str,
        engine: config.Engine,
        device: str,
        target: float,
        decision: Decision,
    ):
        self._loader, self._around, self._path, self._digest = loader, around, path, digest
        self._engine, self._device, self._target = engine, device, target
        self._row, self._complete = decision.row, decision.complete
        self._fits, self._again = around.fits(), True
        self._pace = Pace(decision.rungs, target)

    def look(self, target: float) -> Optional[Change]:
        """Do what is next; None when nothing changes. Raises Problem. `target` is the wanted rate from now on."""
        fits = self._around.fits()
        if (target, fits) != (self._target, self._fits):
            self._target, self._fits, self._complete = target, fits, False
        if not self._complete:
            return self._measure()
        if self._pace.update(self._around.rate(), self._around.hot()):
            return self._step()
        if self._pace.surpassed and self._again:  # once: it may be wrong about that
            self._again = self._complete = False
            self._loader.forget(self._digest, self._engine, self._device)
        return None

    def _measure(self) -> Optional[Change]:
        bundle = self._bundle()
        if bundle is None:  # there is an event to come
            return None
        if self._loader.measure_next(bundle, self._engine, self._target, self._device):
            return None
        self._complete = True
        decision = self._loader.decide(bundle, self._engine, self._target, self._device)
        if decision is None:
            return None
        row, before = decision.row, self._row
        same = row[:2] == before[:2]
        stylizer = None if same else self._loader.open(bundle, self._engine, row, self._device)
        self._row, self._pace = row, Pace(decision.rungs, self._target)
        return Change(stylizer, row, decision.why, f"plan {row.plan} at {row.text}: {decision.why}")

    def _step(self) -> Optional[Change]:
        bundle = self._bundle()
        if bundle is None:
            return None
        row, why = self._pace.now, self._pace.why
        self._row, stylizer = row, self._loader.open(bundle, self._engine, row, self._device)
        top = self._pace.rungs[0]
        status = f"stepped down from {top.text}: {why}" if self._pace.rung else f"back at {row.text}: {why}"
        return Change(stylizer, row, status, f"plan {row.plan} at {row.text} from now on: {why}")

    def _bundle(self) -> Optional[Bundle]:
        bundle = store.load(self._path)
        return bundle if bundle.digest == self._digest else None
