"""Kernel mode setting: connectors, modes, planes, page flips. Constants are from drm.h and drm_mode.h."""

import ctypes
import errno
import os
import select
import struct
import time
from ctypes import c_uint32, c_uint64
from typing import Any, Callable, Dict, List, NamedTuple, Optional, Tuple, TypeVar

from . import libdrm
from .libdrm import Mode

T = TypeVar("T")

XRGB8888 = 0x34325258  # the bytes B, G, R, X
PREFERRED, INTERLACED = 1 << 3, 1 << 4  # of Mode.type, of Mode.flags
OVERLAY, PRIMARY = 0, 1

_CONNECTORS = (
    "Unknown VGA DVI-I DVI-D DVI-A Composite SVIDEO LVDS Component DIN DP HDMI-A HDMI-B TV eDP Virtual DSI "
    "DPI Writeback SPI USB"
).split()
_CONNECTED = 1
_OBJECT_PLANE = 0xEEEEEEEE
_CAP_DUMB_BUFFER, _CLIENT_CAP_ATOMIC = 1, 3
_PAGE_FLIP_EVENT, _TEST_ONLY, _NONBLOCK = 0x1, 0x100, 0x200
_EVENT = struct.Struct("=IIQIIII")  # struct drm_event_vblank: type, length, user_data, tv_sec, tv_usec, ...
_FLIP_COMPLETE = 2


class Connector(NamedTuple):
    """A socket for a monitor, such as "HDMI-A-1". `crtcs`: ids of those that can drive it, the current one first."""

    id: int
    name: str
    connected: bool
    modes: Tuple[Mode, ...]
    crtcs: Tuple[int, ...]


class Plane(NamedTuple):
    """A layer that a CRTC blends into its picture. `kind`: OVERLAY, PRIMARY or another. `crtc`: the one that uses it, 0
    for none. `properties` maps a name to (id, value)."""

    id: int
    kind: int
    crtc: int
    properties: Dict[str, Tuple[int, int]]


class Card:
    """The graphics card at `path`, open. Every method may raise OSError."""

    def __init__(self, path: str):
        self.path = path
        self._lib = libdrm.load()
        self._fd = os.open(path, os.O_RDWR | os.O_CLOEXEC | os.O_NONBLOCK)
        self._poll = select.poll()
        self._poll.register(self._fd, select.POLLIN)
        self._flips = 0
        self.deep = True  # whether it takes buffers of XRGB8888: found out with the first one

    def close(self) -> None:
        self._lib.drmDropMaster(self._fd)
        os.close(self._fd)

    def shows(self) -> bool:
        """Whether it can show pictures from the CPU. Cards that only compute have device nodes too."""
        value = c_uint64()
        return not self._lib.drmGetCap(self._fd, _CAP_DUMB_BUFFER, value) and bool(value.value and self._crtcs())

    def become_master(self) -> bool:
        """Become DRM master, which alone may change what is shown. Returns whether this program is master."""
        # The first to open a card is its master. Before Linux 5.8 only root may ask for that, and libdrm before 2.4.98
        # has no drmIsMaster. But a wrong cookie is EINVAL for the master and EACCES for everyone else.
        if self._lib.drmSetMaster(self._fd) == 0:
            return True
        return not (self._lib.drmAuthMagic(self._fd, 0) and ctypes.get_errno() == errno.EACCES)

    def connectors(self) -> List[Connector]:
        """All of them. The kernel probes the monitors again, which can take a tenth of a second."""
        ids = self._read("drmModeGetResources", lambda found: found.connectors[: found.count_connectors])
        return [self.connector(number, "drmModeGetConnector") for number in ids]

    def connector(self, number: int, call: str = "drmModeGetConnectorCurrent") -> Connector:
        """The connector with the id `number`, as the kernel knows it: no probe, so this is quick."""

        def parse(found: Any) -> Connector:
            kind = found.connector_type
            name = f"{_CONNECTORS[kind] if kind < len(_CONNECTORS) else 'Unknown'}-{found.connector_type_id}"
            modes = tuple(Mode.from_buffer_copy(mode) for mode in found.modes[: found.count_modes])
            return Connector(found.connector_id, name, found.connection == _CONNECTED, modes, self._crtcs_for(found))

        return self._read(call, parse, number)

    def crtc(self, number: int) -> libdrm.Crtc:
        return self._read("drmModeGetCrtc", libdrm.Crtc.from_buffer_copy, number)

    def set_crtc(
        self, crtc: int, framebuffer: int, connector: int, mode: Optional[Mode], offset: Tuple[int, int] = (0, 0)
    ) -> None:
        """Drive `connector` with `mode` and scan out `framebuffer` from `offset` (x, y). Without a mode, switch off."""
        connectors = (c_uint32 * 1)(connector) if mode else None
        self._check(
            self._lib.drmModeSetCrtc(
                self._fd,
                crtc,
                framebuffer,
                *offset,
                connectors,
                1 if mode else 0,
                ctypes.pointer(mode) if mode else None,
            )
        )

    def planes(self, crtc: int) -> List[Plane]:
        """The planes that `crtc` may use and that take XRGB8888; [] when the card has no atomic commits."""
        if self._lib.drmSetClientCap(self._fd, _CLIENT_CAP_ATOMIC, 1):
            return []
        position = self._crtcs().index(crtc)
        ids = self._read("drmModeGetPlaneResources", lambda found: found.planes[: found.count_planes])
        found = [self._plane(number, position) for number in ids]
        return [plane for plane in found if plane and plane.crtc in (0, crtc)]

    def page_flip(self, crtc: int, framebuffer: int) -> int:
        """Show `framebuffer` from the next refresh on. Returns the ticket for `wait`."""
        self._flips += 1
        self._check(self._lib.drmModePageFlip(self._fd, crtc, framebuffer, _PAGE_FLIP_EVENT, self._flips))
        return self._flips

    def commit(self, state: Dict[Tuple[int, int], int], test: bool = False) -> int:
        """Set all of `state`, (object id, property id) to value, at the next refresh. Returns the ticket for `wait`.

        With `test` nothing changes. Raises OSError when the change is, or would be, refused.
        """
        self._flips += 1
        request = self._lib.drmModeAtomicAlloc()
        if not request:
            raise OSError(errno.ENOMEM, os.strerror(errno.ENOMEM))
        try:
            for (owner, name), value in state.items():
                self._check(self._lib.drmModeAtomicAddProperty(request, owner, name, value & 0xFFFFFFFFFFFFFFFF))
            flags = _TEST_ONLY if test else _NONBLOCK | _PAGE_FLIP_EVENT
            self._check(self._lib.drmModeAtomicCommit(self._fd, request, flags, self._flips))
        finally:
            self._lib.drmModeAtomicFree(request)
        return self._flips

    def wait(self, ticket: int, timeout: float) -> float:
        """Wait for the flip with this `ticket`. Returns its time on the clock of time.monotonic.

        Raises TimeoutError after `timeout` seconds.
        """
        deadline = time.monotonic() + timeout
        while True:
            ready = self._poll.poll(max(0, 1000 * (deadline - time.monotonic())))
            if not ready:
                raise TimeoutError(errno.ETIMEDOUT, os.strerror(errno.ETIMEDOUT))
            if ready[0][1] & (select.POLLERR | select.POLLHUP | select.POLLNVAL):
                raise OSError(errno.ENODEV, os.strerror(errno.ENODEV))
            data, start = os.read(self._fd, 4096), 0
            while start + _EVENT.size <= len(data):
                kind, length, user_data, seconds, microseconds, _, _ = _EVENT.unpack_from(data, start)
                if kind == _FLIP_COMPLETE and user_data == ticket:
                    return float(seconds + 1e-6 * microseconds)
                start += max(length, 8)

    def _crtcs(self) -> List[int]:
        return self._read("drmModeGetResources", lambda found: found.crtcs[: found.count_crtcs])

    def _crtcs_for(self, connector: libdrm.ConnectorInfo) -> Tuple[int, ...]:
        encoders = [
            self._read("drmModeGetEncoder", libdrm.Encoder.from_buffer_copy, number)
            for number in connector.encoders[: connector.count_encoders]
        ]
        current = [encoder.crtc_id for encoder in encoders if encoder.encoder_id == connector.encoder_id]
        possible = [
            crtc
            for position, crtc in enumerate(self._crtcs())
            if any(encoder.possible_crtcs >> position & 1 for encoder in encoders)
        ]
        return tuple([crtc for crtc in current if crtc] + [crtc for crtc in possible if crtc not in current])

    def _plane(self, number: int, position: int) -> Optional[Plane]:
        """The plane with the id `number`, if it takes XRGB8888 and the CRTC at `position` may use it."""
        usable, crtc = self._read(
            "drmModeGetPlane",
            lambda found: (
                found.possible_crtcs >> position & 1 and XRGB8888 in found.formats[: found.count_formats],
                found.crtc_id,
            ),
            number,
        )
        if not usable:
            return None
        values = self._read(
            "drmModeObjectGetProperties",
            lambda found: list(zip(found.props[: found.count_props], found.prop_values[: found.count_props])),
            number,
            _OBJECT_PLANE,
        )
        properties = {
            self._read("drmModeGetProperty", lambda found: found.name.decode(), key): (key, value)
            for key, value in values
        }
        return Plane(number, properties["type"][1], crtc, properties)

    def _read(self, get: str, parse: Callable[[Any], T], *arguments: int) -> T:
        """What `parse` makes of a structure that libdrm allocates and frees."""
        found = getattr(self._lib, get)(self._fd, *arguments)
        if not found:
            self._check(-1)
        try:
            return parse(found.contents)
        finally:
            getattr(self._lib, libdrm.free(get))(found)

    def _check(self, result: int) -> None:
        """Raise OSError for a negative `result`: -1 with errno set, or, as most of xf86drmMode.h return it, -errno."""
        if result < 0:
            number = ctypes.get_errno() if result == -1 else -result
            raise OSError(number, os.strerror(number))
