"""Tells when files are put into the styles' folder, as soon as they are whole."""

import os
import stat
import time
from pathlib import Path
from typing import Dict, Optional, Set, Tuple

from ..errors import Problem

_LOOK_S = 1.0  # between looks where the kernel does not tell


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
        self._look()

    def wait(self, seconds: float) -> Tuple[Set[str], Set[str]]:
        """The names of files that were closed after writing, moved here or taken away meanwhile, "" being the folder;
        and those of files that were given other rights.

        Returns as soon as there is one, at the latest after `seconds`.
        """
        names, allowed = self._look(), set()
        if self._watched is None:
            time.sleep(0 if names else min(seconds, _LOOK_S))
            return names, allowed
        flags = self._api.flags
        for event in self._inotify.read(timeout=0 if names else int(1000 * seconds)):
            if event.mask & (flags.IGNORED | flags.DELETE_SELF | flags.MOVE_SELF | flags.UNMOUNT):
                self._forget()
            if event.mask & flags.CREATE and not self._is_whole(event.name):
                continue  # until it is closed
            if event.mask & flags.ATTRIB:
                allowed.add(event.name)
            else:
                names.add("" if event.mask & flags.Q_OVERFLOW else event.name)
        return names, allowed

    def close(self) -> None:
        self._inotify.close()

    def _look(self) -> Set[str]:
        """Begin to watch the folder when it is there; then it counts as changed."""
        if self._watched is not None:
            return set()
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
        except OSError:  # not there, or not allowed
            return set()
        return {""}

    def _is_whole(self, name: str) -> bool:
        """Whether a new name stands for something that nobody writes to: a folder, a link of either kind ..."""
        try:
            status = os.lstat(os.path.join(self._folder, name))
        except OSError:
            return False
        return not stat.S_ISREG(status.st_mode) or status.st_nlink > 1

    def _forget(self) -> None:
        try:
            self._inotify.rm_watch(self._watched)
        except (OSError, TypeError):  # it is gone already
            pass
        self._watched = None


def signature(path: Path) -> str:
    """What changes when another file is put in the place of the one at `path`; "" when there is none."""
    try:
        status = os.lstat(str(path))
    except OSError:
        return ""
    return f"{status.st_size} {status.st_mtime_ns} {status.st_ino}"


def signatures(paths) -> Dict[str, str]:
    return {path.name: signature(path) for path in paths}
