"""A gate that one thread passes again and again, and that another one may shut."""

import contextlib
import threading
from typing import Iterator


class Gate:
    """`passing` is for one thread, `shut` for one other."""

    def __init__(self) -> None:
        self._changed = threading.Condition()
        self._shut = self._inside = False

    @contextlib.contextmanager
    def passing(self) -> Iterator[None]:
        """Waits as long as the gate is shut."""
        with self._changed:
            self._changed.wait_for(lambda: not self._shut)
            self._inside = True
        try:
            yield
        finally:
            with self._changed:
                self._inside = False
                self._changed.notify_all()

    @contextlib.contextmanager
    def shut(self, patience: float) -> Iterator[None]:
        """Nobody is inside meanwhile, but for one who takes longer than `patience` seconds to come out."""
        with self._changed:
            self._shut = True
            self._changed.wait_for(lambda: not self._inside, patience)
        try:
            yield
        finally:
            with self._changed:
                self._shut = False
                self._changed.notify_all()
