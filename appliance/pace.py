"""When a picture misses its rate: step down to a smaller one, and up again, without going back and forth.

Causes are heat (an Edge TPU halves its clock from 85 degC on) and load. It steps down after ten seconds below 85 % of
the rate, one size at a time. It steps up after a minute at its rate, not while the Edge TPU is hot. That is a try:
nobody knows whether the larger picture holds its rate again. Each try doubles the time before the next one, up to an
hour. Only an hour at the largest picture brings the minute back.

A rate far above what was measured, for a minute, says that the measurement was disturbed: `surpassed`.
"""

import time
from typing import Callable, Optional, Sequence

from .choice import Measured

_MISSES = 0.85  # of the rate
_SURPASSES = 1.5  # times what was measured
_DOWN_S = 10.0
_UP_S, _LONGEST_S = 60.0, 3600.0


class Pace:
    """Which of `rungs` runs, the largest picture first; `rung` is its number. `target` is the wanted frames a second.

    `clock` gives seconds. `why` says why the last step was made, for people; "" before the first.
    """

    def __init__(self, rungs: Sequence[Measured], target: float, clock: Callable[[], float] = time.monotonic):
        self.rungs, self.rung, self.why = list(rungs), 0, ""
        self._target, self._clock, self._pause = target, clock, _UP_S
        self._since = clock()  # since when the rate is missed, or held
        self._missing = False
        self._slower = self._since  # when the picture was last no faster than it was measured

    @property
    def now(self) -> Measured:
        return self.rungs[self.rung]

    @property
    def surpassed(self) -> bool:
        """Whether the chosen picture has been far faster than it was measured for a minute."""
        return self._clock() - self._slower >= _UP_S and not self.rung

    def update(self, rate: Optional[float], hot: bool = False) -> bool:
        """Look at the frames a second that the picture could have now. None: too few frames to say. `hot`: the Edge TPU
        is. Returns whether to run another rung from now on.
        """
        now = self._clock()
        if rate is None or rate < _SURPASSES * self.now.fps:
            self._slower = now
        if rate is None:
            self._since = now
            return False
        wanted = min(self._target, self.now.fps)
        if (rate < _MISSES * wanted) != self._missing:
            self._missing, self._since = not self._missing, now
        lasted = now - self._since
        if self._missing and lasted >= _DOWN_S and self.rung + 1 < len(self.rungs):
            heat = ", the Edge TPU is too hot" if hot else ""
            self._step(1, f"{self.now.text} made {rate:.1f} fps of {wanted:.1f}{heat}")
            return True
        if not self._missing and self.rung and not hot and lasted >= self._pause:
            self._step(-1, f"{self.now.text} held {wanted:.1f} fps for {lasted:.0f} s")
            self._pause = min(2 * self._pause, _LONGEST_S)
            return True
        if not self._missing and not self.rung and lasted >= _LONGEST_S:
            self._pause = _UP_S
        return False

    def _step(self, by: int, why: str) -> None:
        self.rung += by
        self.why, self._missing = why, False
        self._since = self._slower = self._clock()
