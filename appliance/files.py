"""Writing files completely or not at all: write beside the target, fsync, rename."""

import contextlib
import errno
import fcntl
import os
import re
import shutil
import stat
import uuid
from pathlib import Path
from typing import Iterator, Union

from .errors import Problem

FilePath = Union[str, Path]

_HINTS = {
    errno.ENOSPC: "free some space and try again",
    errno.EDQUOT: "free some space and try again",
    errno.EACCES: "choose a place you may write to",
    errno.EPERM: "choose a place you may write to",
    errno.EROFS: "choose a place you may write to",
    errno.ENOENT: "create the folder first",
    errno.ENOTDIR: "choose another place",
    errno.EISDIR: "name a file, not a folder",
    errno.ENAMETOOLONG: "choose a shorter name",
}

_FULL = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)
_ROOM = 64 << 10  # bytes: less than any film takes
_LEFTOVER = re.compile(r"\.reconet-[0-9a-f]{12}\.part(\.[^.]{1,15})?")


def read_small(path: FilePath, most: int) -> bytes:
    """The first `most` bytes of a file that anyone may have put there. Follows no link and never blocks.

    Raises OSError.
    """
    descriptor = os.open(str(path), os.O_RDONLY | os.O_NONBLOCK | os.O_NOFOLLOW | os.O_CLOEXEC)
    with os.fdopen(descriptor, "rb") as file:
        return file.read(most)


def cannot_write(path: FilePath, error: OSError) -> Problem:
    """The Problem for an OSError while writing `path`."""
    why = os.strerror(error.errno) if error.errno else str(error)
    hint = _HINTS.get(error.errno or 0)
    return Problem(f"cannot write {path}: {why.lower()}" + (f": {hint}" if hint else ""))


class Pending:
    """A hidden temporary file or folder beside `target` that replaces it, or is removed.

    Write to `path`, which has the target's suffix. Call `commit` when it is complete, `discard` otherwise; both may be
    called twice. A folder replaces only an empty folder or nothing. Until then a lock keeps `remove_leftovers` away.
    Raises Problem when the target cannot be written.
    """

    def __init__(self, target: FilePath, folder: bool = False):
        self.target = Path(os.path.abspath(str(target)))
        self.folder = folder
        self.path = self.target.with_name(f".reconet-{uuid.uuid4().hex[:12]}.part{self.target.suffix[:16]}")
        self._done = False
        try:
            if folder and self.target.exists() and not self.target.is_dir():
                raise Problem(f"cannot write {target}: it is a file: name a new folder")
            if self.target.is_dir() and (not folder or any(self.target.iterdir())):
                raise Problem(
                    f"cannot write {target}: "
                    + ("the folder is not empty: name a new one" if folder else "it is a folder: name a file")
                )
            if folder:
                self.path.mkdir()
                self._descriptor = os.open(str(self.path), os.O_RDONLY)
            else:  # not for writing: closing it after the rename would be an event, and the file be read twice
                self._descriptor = os.open(str(self.path), os.O_CREAT | os.O_EXCL | os.O_RDONLY, 0o666)
            with contextlib.suppress(OSError):  # a file system without locks
                fcntl.flock(self._descriptor, fcntl.LOCK_SH | fcntl.LOCK_NB)
        except OSError as error:
            raise cannot_write(target, error) from error

    def check_room(self) -> None:
        """Raise Problem, and leave nothing behind, when there is no room on the disk for even a little."""
        try:
            descriptor = os.open(str(self.target.parent), os.O_TMPFILE | os.O_WRONLY, 0o600)  # it never has a name
            with os.fdopen(descriptor, "wb") as file:
                file.write(bytes(_ROOM))
                file.flush()
                os.fsync(file.fileno())
        except (OSError, AttributeError) as error:  # a file system, or a system, without such files
            if isinstance(error, OSError) and error.errno in _FULL:
                self.discard()
                raise cannot_write(self.target, error) from error

    def commit(self) -> None:
        """Flush to disk, then rename into place. Raises Problem, and leaves nothing behind, when that fails."""
        if self._done:
            return
        try:
            for path in (sorted(self.path.iterdir()) if self.folder else []) + [self.path]:
                _fsync(path)
            os.replace(str(self.path), str(self.target))
        except OSError as error:
            self.discard()
            raise cannot_write(self.target, error) from error
        self._done = True
        # The target is complete. Syncing its folder may fail: without read permission, and on some file systems.
        with contextlib.suppress(OSError):
            _fsync(self.target.parent)
        os.close(self._descriptor)

    def discard(self) -> None:
        """Remove what has been written."""
        if self._done:
            return
        self._done = True
        _remove(self.path)
        os.close(self._descriptor)


@contextlib.contextmanager
def replacing(target: FilePath) -> Iterator[Path]:
    """`with replacing(path) as temporary:` write to `temporary`; `path` is then replaced, or on an error unchanged.

    An OSError inside becomes a Problem that names `target`.
    """
    pending = Pending(target)
    try:
        yield pending.path
        pending.commit()
    except OSError as error:
        raise cannot_write(target, error) from error
    finally:
        pending.discard()


def remove_leftovers(folder: FilePath) -> None:
    """Remove the temporary files and folders in `folder` that a crash or a power cut left behind."""
    for path in Path(folder).glob(".reconet-*"):
        if not _LEFTOVER.fullmatch(path.name):
            continue
        with contextlib.suppress(OSError):
            descriptor = os.open(str(path), os.O_RDONLY | os.O_NONBLOCK | os.O_NOFOLLOW)
            try:
                fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)  # fails while its writer is alive
                _remove(path)
            finally:
                os.close(descriptor)


def _remove(path: Path) -> None:
    with contextlib.suppress(OSError):
        if stat.S_ISDIR(path.lstat().st_mode):
            shutil.rmtree(str(path), ignore_errors=True)
        else:
            path.unlink()


def _fsync(path: Path) -> None:
    descriptor = os.open(str(path), os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
