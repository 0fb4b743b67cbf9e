"""Frames without allocation: memory that goes round."""

import weakref
from typing import List, Tuple

import numpy as np


class Memory:
    """uint8 arrays whose memory is used again once nobody holds them or a view of them."""

    def __init__(self):
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
