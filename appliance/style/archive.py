"""A strict uncompressed zip: only what `write` makes.

Any zip tool opens it. `read` takes the local headers in order, then checks that the central directory matches them, so
nothing can hide before, between or behind the members.
"""

import struct
import zipfile
import zlib
from typing import Any, BinaryIO, Dict, List, Tuple

from ..errors import BundleError

MAX_MEMBERS = 64
_LOCAL = struct.Struct("<4s5H3I2H")
_CENTRAL = struct.Struct("<4s6H3I5H2I")
_END = struct.Struct("<4s4H2IH")
_UTF8 = 0x800
_NAMES = frozenset("abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_.-")


def write(file: BinaryIO, members: Dict[str, bytes]) -> None:
    """Write `members` (name -> content) in order. The same members give the same bytes."""
    with zipfile.ZipFile(file, "w", zipfile.ZIP_STORED) as archive:
        for name, content in members.items():
            info = zipfile.ZipInfo(name, (1980, 1, 1, 0, 0, 0))
            info.create_system = 3
            info.external_attr = 0o100644 << 16
            archive.writestr(info, content)


def read(file: BinaryIO, size: int) -> Dict[str, bytes]:
    """The members (name -> content), in order, of the archive in `file`, `size` bytes long.

    Raises BundleError. Reads each byte once and holds no more than the contents.
    """
    if file.read(4) != b"PK\x03\x04":
        raise BundleError("not a style bundle (not a zip, or empty)")
    file.seek(max(0, size - _END.size))
    tail = file.read(_END.size)
    if len(tail) < _END.size or tail[:4] != b"PK\x05\x06":
        raise BundleError("truncated, or something follows the archive: copy it again")
    _, _, _, _, count, directory_size, directory, comment = _END.unpack(tail)
    if comment or directory + directory_size + _END.size != size:
        raise BundleError("truncated, or something was put before or behind the archive: copy it again")
    if not 0 < count <= MAX_MEMBERS:
        raise BundleError(f"{count} members in the archive: at most {MAX_MEMBERS} are allowed")

    file.seek(0)
    members: Dict[str, bytes] = {}
    entries: List[Tuple[Any, ...]] = []
    for _ in range(count):
        place = file.tell()
        signature, _, flags, method, _, _, crc, stored, length, name_size, extra_size = _LOCAL.unpack(
            _exactly(file, _LOCAL.size)
        )
        if signature != b"PK\x03\x04":
            raise BundleError("damaged: a member is not where the archive says: copy it again")
        name = _checked_name(_exactly(file, name_size), members)
        _exactly(file, extra_size)
        if flags & 1:
            raise BundleError(f"{name} is encrypted: bundles are plain archives")
        if method or stored != length:
            raise BundleError(f"{name} is compressed: bundles are uncompressed archives")
        if flags & ~_UTF8:
            raise BundleError(f"{name} is stored in a way that bundles do not use (flags {flags:#x})")
        if file.tell() + length > directory:
            raise BundleError(f"{name} is truncated: copy the bundle again")
        members[name] = _exactly(file, length)
        if zlib.crc32(members[name]) != crc:
            raise BundleError(f"{name} is damaged (checksum differs): copy the bundle again")
        entries.append((name.encode(), flags, method, crc, stored, length, place))
    if file.tell() != directory or _directory(file, count) != entries or file.tell() != directory + directory_size:
        raise BundleError("damaged: the archive's directory does not match its members: copy it again")
    return members


def _directory(file: BinaryIO, count: int) -> List[Tuple[Any, ...]]:
    entries = []
    for _ in range(count):
        (
            signature,
            _,
            _,
            flags,
            method,
            _,
            _,
            crc,
            stored,
            length,
            name_size,
            extra_size,
            comment_size,
            _,
            _,
            _,
            place,
        ) = _CENTRAL.unpack(_exactly(file, _CENTRAL.size))
        name = _exactly(file, name_size)
        _exactly(file, extra_size + comment_size)
        entries.append((name, flags, method, crc, stored, length, place))
        if signature != b"PK\x01\x02":
            return []
    return entries


def _checked_name(raw: bytes, seen: Dict[str, bytes]) -> str:
    name = raw.decode("ascii", "replace")
    if not name or not set(name) <= _NAMES or name[0] in ".-" or ".." in name or len(name) > 100:
        raise BundleError(f"a member has the name {name[:100]!r}: only letters, digits, '_', '-' and '.' are allowed")
    if name in seen:
        raise BundleError(f"{name} is in the archive twice")
    return name


def _exactly(file: BinaryIO, count: int) -> bytes:
    data = file.read(count)
    if len(data) != count:
        raise BundleError("truncated: copy it again")
    return data
