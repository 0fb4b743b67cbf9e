"""Reports files that are put into the styles' folder, as soon as they are complete."""

import contextlib
import os
import stat
import time
from pathlib import Path
from typing import Dict, FrozenSet, Iterable, NamedTuple, Optional

from ..errors import Problem

_LOOK_S = 1.0  # between checks while there is no folder to watch


class Events(NamedTuple):
    """What happened in the folder.

    `names`: files that were closed after writing, moved in, or removed. `allowed`: files whose permissions changed.
    `folder`: the whole folder has to be read, because it is watched only from now on or events were lost.
    """

    names: FrozenSet[str] = frozenset()
    allowed: FrozenSet[str] = frozenset()
    folder: bool = False


class Watch:
    """Watches `folder`, which may come and go. Needs the package inotify_simple."""

    def __init__(self, folder: Path):
        try:
            import inotify_simple
        except ImportError as error:
            raise Problem("watching for styles needs inotify_simple: pip install inotify_simple") from error
        self._api = inotify_simple
        self._folder = str(folder)
        self._inotify = inotify_simple.INotify()
        self._watched: Optional[int] = None
        self._begin()

    def __enter__(self) -> "Watch":
        return self

    def __exit__(self, *_: object) -> None:
        self._inotify.close()

    def wait(self, seconds: float) -> Events:
        """The events since the last call. Returns as soon as there are any, at the latest after `seconds`."""
        if self._watched is None:
            if self._begin():
                return Events(folder=True)
            time.sleep(min(seconds, _LOOK_S))
            return Events()
        flags, names, allowed, folder = self._api.flags, set(), set(), False
        for event in self._inotify.read(timeout=int(1000 * seconds)):
            if event.mask & flags.Q_OVERFLOW:
                folder = True
            elif event.wd != self._watched:
                continue  # a late event of an earlier watch
            elif event.mask & (flags.IGNORED | flags.DELETE_SELF | flags.MOVE_SELF | flags.UNMOUNT):
                self._forget()
            elif event.mask & flags.ATTRIB:
                allowed.add(event.name)
            elif not event.mask & flags.CREATE or self._is_whole(event.name):  # else: until it is closed
                names.add(event.name)
        return Events(frozenset(names), frozenset(allowed), folder)

    def _begin(self) -> bool:
        """Begin to watch the folder. Returns False when it does not exist or may not be read."""
        flags = self._api.flags
        try:
            self._watched = self._inotify.add_watch(
                self._folder,
                flags.CREATE
                | flags.CLOSE_WRITE
                | flags.ATTRIB
                | flags.MOVED_TO
                | flags.MOVED_FROM
                | flags.DELETE
                | flags.DELETE_SELF
                | flags.MOVE_SELF
                | flags.ONLYDIR,
            )
        except OSError:
            return False
        return True

    def _is_whole(self, name: str) -> bool:
        """Whether a new name needs no close after writing: a folder, a symbolic or hard link, and so on."""
        try:
            status = os.lstat(os.path.join(self._folder, name))
        except OSError:
            return False
        return not stat.S_ISREG(status.st_mode) or status.st_nlink > 1

    def _forget(self) -> None:
        with contextlib.suppress(OSError):  # the kernel has removed it
            self._inotify.rm_watch(self._watched)
        self._watched = None


def signature(path: Path) -> str:
    """A text that changes when the file at `path` is replaced; "" when there is none."""
    try:
        status = os.lstat(str(path))
    except OSError:
        return ""
    return f"{status.st_size} {status.st_mtime_ns} {status.st_ino}"


def signatures(paths: Iterable[Path]) -> Dict[str, str]:
    return {path.name: signature(path) for path in paths}
