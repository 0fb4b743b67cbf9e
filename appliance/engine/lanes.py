"""Several frames in the network at once, each in a lane: interpreters of its own, and a share of the CPU's threads.

Threads that share a frame wait for each other in every layer, and all of them for one that another program holds up.
Threads that have a frame each do not. For films: a live picture would only be late.
"""

from concurrent.futures import Future, ThreadPoolExecutor
from queue import Queue
from typing import Any, Callable, List, Sequence

from .steps import Step


class Lanes:
    """Runs work that needs the steps of a network, as many at once as there are `lanes`."""

    def __init__(self, lanes: Sequence[List[Step]]):
        self._free: "Queue[List[Step]]" = Queue()
        for steps in lanes:
            self._free.put(steps)
        self._threads = ThreadPoolExecutor(len(lanes), "lane")

    def start(self, work: Callable[..., Any], *arguments: Any) -> "Future[Any]":
        """Wait until a lane is free, and begin work(steps, *arguments) in it."""
        return self._threads.submit(self._work, self._free.get(), work, arguments)

    def _work(self, steps: List[Step], work: Callable[..., Any], arguments: Sequence[Any]) -> Any:
        try:
            return work(steps, *arguments)
        finally:
            self._free.put(steps)
