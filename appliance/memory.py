"""Frames without allocation: memory that is used again. And freed memory that is returned to the system."""

import contextlib
import ctypes
import weakref
from typing import List, Tuple

import numpy as np

_TRIM_THRESHOLD, _MMAP_THRESHOLD = -1, -3  # malloc.h


def return_large_blocks() -> None:
    """From now on return large blocks of this process's memory to the system as soon as they are freed.

    By itself glibc serves blocks of up to 32 MB from its heaps, one a thread, as soon as one such block has been freed
    once, and there they stay: a bundle's files while it is checked, a network's buffers before its first run.
    """
    _libc("mallopt", _MMAP_THRESHOLD, 1 << 20)
    _libc("mallopt", _TRIM_THRESHOLD, 2 << 20)


def return_the_rest() -> None:
    """Return free heap pages to the system. Takes some milliseconds."""
    _libc("malloc_trim", 0)


def _libc(name: str, *arguments: int) -> None:
    with contextlib.suppress(AttributeError):  # another C library than glibc
        getattr(ctypes.CDLL(None), name)(*arguments)


class Memory:
    """uint8 arrays whose memory is used again once nobody holds them or a view of them."""

    def __init__(self) -> None:
        self._free: List[bytearray] = []
        self._bytes = 0

    def array(self, shape: Tuple[int, ...]) -> np.ndarray:
        size = int(np.prod(shape))
        if size != self._bytes:
            self._free, self._bytes = [], size
        memory = self._free.pop() if self._free else bytearray(size)
        # NumPy lets views of an array keep alive the array, not the bytearray, so its end is the end of all of them.
        array = np.frombuffer(memory, np.uint8)
        weakref.finalize(array, self._free.append, memory).atexit = False
        return array.reshape(shape)
