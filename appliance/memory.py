"""Memory: arrays for frames that are reused, and freed blocks that are returned to the system."""

import contextlib
import ctypes
import weakref
from typing import List, Tuple

import numpy as np

_TRIM_THRESHOLD, _MMAP_THRESHOLD, _ARENA_MAX = -1, -3, -8  # malloc.h


def return_large_blocks() -> None:
    """From now on return large blocks to the system as soon as they are freed.

    By default glibc raises its mmap threshold, up to 32 MB, whenever such a block is freed. Later blocks then come from
    its heaps, one per thread, and stay there: the files of a bundle being checked, the buffers of a network.
    """
    _libc("mallopt", _MMAP_THRESHOLD, 1 << 20)
    _libc("mallopt", _TRIM_THRESHOLD, 2 << 20)


def share_heaps() -> None:
    """All threads allocate from two heaps. By default glibc makes one for nearly every thread, and each has gaps."""
    _libc("mallopt", _ARENA_MAX, 2)


def return_the_rest() -> None:
    """Return free heap pages to the system (malloc_trim). Takes some milliseconds."""
    _libc("malloc_trim", 0)


def _libc(name: str, *arguments: int) -> None:
    with contextlib.suppress(AttributeError):  # another C library than glibc
        getattr(ctypes.CDLL(None), name)(*arguments)


class Memory:
    """uint8 arrays whose memory is reused once no reference to them or to a view of them is left. For any thread."""

    def __init__(self) -> None:
        self._free: List[bytearray] = []
        self._bytes = 0

    def array(self, shape: Tuple[int, ...]) -> np.ndarray:
        size = int(np.prod(shape))
        if size != self._bytes:
            self._free, self._bytes = [], size
        try:
            memory = self._free.pop()
        except IndexError:  # asked for, not looked up: another thread may take the last one
            memory = bytearray(size)
        # A view keeps this array alive, not the bytearray, so the array is finalised after the last view.
        array = np.frombuffer(memory, np.uint8)
        weakref.finalize(array, self._free.append, memory).atexit = False
        return array.reshape(shape)
