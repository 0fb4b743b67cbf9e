"""Reads what Google's compiler wrote into a compiled file: the DarwiNN packages of its Edge TPU operations.

A compiled file holds its program as a flatbuffer with the identifier DWN1 in the options of each `edgetpu-custom-op`.
Field numbers are those of executable/executable.fbs in github.com/google-coral/libedgetpu. Every offset is checked
against the file's size, so that a damaged file raises Problem.
"""

import struct
from collections.abc import Iterator
from dataclasses import dataclass

from appliance.errors import Problem

IDENTIFIER = b"DWN1"
KINDS = "stand-alone", "parameter caching", "execution"
CACHING = KINDS[1]


@dataclass(frozen=True)
class Layer:
    """An input or output of a program: its shape (y, x, z), and bytes over the link, padding included.

    `tiles` is the number of pieces of an output, which the host assembles; 1 for an input.
    """

    name: str
    shape: tuple[int, int, int]
    bytes: int
    tiles: int


@dataclass(frozen=True)
class Executable:
    """One program. `cycles` is the compiler's own estimate, 0 where it wrote none.

    `parameters` are cached on the chip once where `kind` is CACHING, and cross the link with every call otherwise.
    `narrow_memory` is the activation memory used, bytes per tile.
    """

    kind: str
    cycles: int
    narrow_memory: int
    parameters: int
    inputs: tuple[Layer, ...]
    outputs: tuple[Layer, ...]


@dataclass(frozen=True)
class Package:
    """The programs of one Edge TPU operation, and the oldest runtime that loads them."""

    runtime: int
    executables: tuple[Executable, ...]

    @property
    def cycles(self) -> int:
        return sum(one.cycles for one in self.executables)

    @property
    def narrow_memory(self) -> int:
        return max((one.narrow_memory for one in self.executables), default=0)

    @property
    def cached(self) -> int:
        return sum(one.parameters for one in self.executables if one.kind == CACHING)

    @property
    def streamed(self) -> int:
        return sum(one.parameters for one in self.executables if one.kind != CACHING)


def read(options: bytes) -> Package:
    """The package in the options of an `edgetpu-custom-op`. Raises Problem when there is none or it is damaged."""
    at = options.find(IDENTIFIER)
    if at < 4:
        raise Problem("the Edge TPU operation holds no DarwiNN package (no DWN1 identifier)")
    try:
        return _package(_root(options[at - 4 :]))
    except (struct.error, IndexError, UnicodeDecodeError):
        raise Problem("a damaged DarwiNN package") from None


class _Table:
    """A flatbuffer table at `at` in `data`; an absent field gives its default."""

    def __init__(self, data: bytes, at: int):
        self._data, self._at = data, at
        self._fields = at - _unpack("<i", data, at)
        self._size = _unpack("<H", data, self._fields)

    def number(self, field: int, form: str) -> int:
        place = self._place(field)
        return _unpack(form, self._data, place) if place else 0

    def blob(self, field: int) -> bytes:
        place = self._place(field)
        return _vector(self._data, _follow(self._data, place)) if place else b""

    def table(self, field: int) -> "_Table | None":
        place = self._place(field)
        return _Table(self._data, _follow(self._data, place)) if place else None

    def tables(self, field: int) -> Iterator["_Table"]:
        for place in self._elements(field):
            yield _Table(self._data, _follow(self._data, place))

    def strings(self, field: int) -> Iterator[bytes]:
        for place in self._elements(field):
            yield _vector(self._data, _follow(self._data, place))

    def count(self, field: int) -> int:
        return len(self._elements(field))

    def _elements(self, field: int) -> range:
        place = self._place(field)
        if not place:
            return range(0)
        start = _follow(self._data, place)
        count = _unpack("<I", self._data, start)
        if start + 4 + 4 * count > len(self._data):
            raise IndexError("a vector that ends after the end of the file")
        return range(start + 4, start + 4 + 4 * count, 4)

    def _place(self, field: int) -> int:
        entry = 4 + 2 * field
        offset = _unpack("<H", self._data, self._fields + entry) if entry + 2 <= self._size else 0
        return self._at + offset if offset else 0


def _unpack(form: str, data: bytes, at: int) -> int:
    if at < 0:
        raise IndexError("an offset before the start of the file")
    return struct.unpack_from(form, data, at)[0]


def _follow(data: bytes, place: int) -> int:
    return place + _unpack("<I", data, place)


def _vector(data: bytes, start: int) -> bytes:
    count = _unpack("<I", data, start)
    found = data[start + 4 : start + 4 + count]
    if len(found) < count:
        raise IndexError("a vector that ends after the end of the file")
    return found


def _root(data: bytes) -> _Table:
    return _Table(data, _unpack("<I", data, 0))


def _package(package: _Table) -> Package:
    programs = _root(package.blob(1)).strings(0)
    return Package(package.number(0, "<i"), tuple(_executable(_root(program)) for program in programs))


def _executable(program: _Table) -> Executable:
    kind = program.number(13, "<h")
    return Executable(
        KINDS[kind] if 0 <= kind < len(KINDS) else f"kind {kind}",
        program.number(16, "<q") or program.number(11, "<i"),
        program.number(12, "<i"),
        len(program.blob(6)),
        tuple(_layer(layer) for layer in program.tables(8)),
        tuple(_layer(layer) for layer in program.tables(9)),
    )


def _layer(layer: _Table) -> Layer:
    y, x, z = (layer.number(field, "<i") for field in (2, 3, 4))
    return Layer(layer.blob(0).decode(), (y, x, z), layer.number(1, "<i"), _tiles(layer))


def _tiles(layer: _Table) -> int:
    """The tiles or slices in which an output leaves the chip."""
    output = layer.table(8) if layer.number(7, "<B") == 1 else None  # a union: its type, then its table
    layout, slices = (output.table(0), output.table(2)) if output else (None, None)
    return (layout and layout.count(2)) or (slices and slices.count(1)) or 1
