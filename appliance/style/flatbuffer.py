"""Bounds-checked reading of a flatbuffer, the container of a .tflite file.

A flatbuffer is a tree of tables; a table starts with a signed offset back to its vtable, which holds the place of each
field (flatbuffers.dev/internals). Every read raises BundleError where it would leave the file.
"""

import struct
from typing import Any, List, Optional, Tuple

from ..errors import BundleError

# Real segments have at most a few hundred tensors. A hostile file must not take seconds to read.
MOST_TABLES = 512


class Table:
    """A bounds-checked view of one flatbuffer table."""

    def __init__(self, data: bytes, place: int):
        self._data = data
        self._place = place
        self._vtable = place - unpack(data, "i", place)
        self._vtable_size = unpack(data, "H", self._vtable)

    def field(self, number: int) -> Optional[int]:
        entry = 4 + 2 * number
        if entry + 2 > self._vtable_size:
            return None
        offset = unpack(self._data, "H", self._vtable + entry)
        return self._place + offset if offset else None

    def scalar(self, number: int, code: str, default: int) -> int:
        place = self.field(number)
        return default if place is None else unpack(self._data, code, place)

    def table(self, number: int) -> "Optional[Table]":
        place = self.field(number)
        return None if place is None else Table(self._data, place + u32(self._data, place))

    def vector(self, number: int) -> Tuple[int, int]:
        """(length, place of the first element) of the vector in field `number`; length 0 when absent."""
        place = self.field(number)
        if place is None:
            return 0, 0
        start = place + u32(self._data, place)
        return u32(self._data, start), start + 4

    def numbers(self, number: int, code: str, most: int) -> Tuple[Any, ...]:
        """The vector in field `number`; () when absent."""
        count, first = self.vector(number)
        if count > most or first + count * struct.calcsize("<" + code) > len(self._data):
            raise malformed()
        return struct.unpack_from("<%d%s" % (count, code), self._data, first)

    def hold(self, number: int, code: str) -> None:
        """Raise BundleError unless the vector in field `number` lies within the file."""
        count, first = self.vector(number)
        if first + count * struct.calcsize("<" + code) > len(self._data):
            raise malformed()

    def only(self, number: int, code: str) -> Any:
        """The element of a vector of length one; else None."""
        count, first = self.vector(number)
        return unpack(self._data, code, first) if count == 1 else None

    def tables(self, number: int) -> "List[Table]":
        _, first = self.vector(number)
        return [
            Table(self._data, first + 4 * i + offset) for i, offset in enumerate(self.numbers(number, "I", MOST_TABLES))
        ]


def u32(data: bytes, place: int) -> int:
    number: int = unpack(data, "I", place)
    return number


def unpack(data: bytes, code: str, place: int) -> Any:
    # unpack_from counts a negative offset from the end, so it has to be checked here.
    if not 0 <= place <= len(data) - struct.calcsize("<" + code):
        raise malformed()
    return struct.unpack_from("<" + code, data, place)[0]


def malformed() -> BundleError:
    return BundleError("a damaged TensorFlow Lite file")
