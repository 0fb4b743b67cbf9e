"""Keyboards, buttons and the like: they are opened when they appear, read, and closed when they are gone."""

import errno
import os
import select
import threading
from typing import Callable, Dict, Iterable, List

from ..errors import Problem
from . import systemd

_LOOK_S = 1.0  # until new devices are noticed
_MOST_BYTES = 64 * 48


class Inputs:
    """Calls `press(action)` for each press on the devices that `names()` lists.

    `open(name)` returns a descriptor or raises OSError. `actions(name, data)` says what the bytes read from it ask for.
    `kind` is what the journal calls them, such as "keys".
    """

    def __init__(
        self,
        kind: str,
        names: Callable[[], List[str]],
        open: Callable[[str], int],
        actions: Callable[[str, bytes], Iterable[str]],
        press: Callable[[str], object],
    ):
        self.kind = kind
        self._names, self._opened, self._actions, self._press = names, open, actions, press
        self._open: Dict[str, int] = {}  # descriptors by name
        self._said: Dict[str, str] = {}

    def run(self, stop: threading.Event) -> None:
        """Until `stop` is set."""
        try:
            while not stop.is_set():
                self._follow()
                if not self._open:
                    stop.wait(_LOOK_S)
                    continue
                ready = select.poll()
                for descriptor in self._open.values():
                    ready.register(descriptor, select.POLLIN)
                for descriptor, _ in ready.poll(1000 * _LOOK_S):
                    self._read(descriptor)
        finally:
            for name in list(self._open):
                self._close(name)

    def _follow(self) -> None:
        """Open new devices, and close those that are no longer wanted."""
        names = self._names()
        for name in set(self._open) - set(names):
            self._close(name)
        for name in names:
            if name in self._open:
                continue
            try:
                self._open[name] = self._opened(name)
                self._said.pop(name, None)
            except OSError as error:
                why = (error.strerror or str(error)).lower()
                if self._said.get(name) != why:
                    self._said[name] = why
                    systemd.log(f"{self.kind}: cannot open {name}: {why}", systemd.WARNING)

    def _read(self, descriptor: int) -> None:
        name = next(name for name, one in self._open.items() if one == descriptor)
        try:
            data = os.read(descriptor, _MOST_BYTES)
        except OSError as error:
            if error.errno != errno.EAGAIN:
                self._close(name)  # it was unplugged
            return
        if not data:
            self._close(name)
        for action in self._actions(name, data):
            try:
                self._press(action)
                systemd.log(f"{action}, asked for by {self.kind}", systemd.NOTICE)
            except Problem as problem:
                systemd.log(f"{self.kind}: {action}: {problem}", systemd.WARNING)

    def _close(self, name: str) -> None:
        os.close(self._open.pop(name))
