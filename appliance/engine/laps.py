"""A stopwatch for the stages of a frame."""

import time
from typing import Dict


class Laps:
    """Milliseconds between laps, summed by their names."""

    def __init__(self) -> None:
        self.laps: Dict[str, float] = {}
        self._last = time.perf_counter()

    def lap(self, name: str) -> None:
        now = time.perf_counter()
        self.laps[name] = self.laps.get(name, 0.0) + 1000 * (now - self._last)
        self._last = now
