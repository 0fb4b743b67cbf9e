"""libdrm through ctypes: the functions and structures of xf86drmMode.h that a full-screen picture needs.

Nothing here is newer than libdrm 2.4.62. Its functions retry after EINTR, and leave errno set.
"""

import ctypes
from ctypes import POINTER, c_char, c_int, c_uint8, c_uint16, c_uint32, c_uint64, c_void_p
from typing import Any, Dict, Tuple

from ..errors import Problem


class Mode(ctypes.Structure):
    """What a monitor is driven with: drmModeModeInfo."""

    _fields_ = [
        ("clock", c_uint32),
        *(
            (name, c_uint16)
            for name in (
                "hdisplay hsync_start hsync_end htotal hskew vdisplay vsync_start vsync_end vtotal vscan"
            ).split()
        ),
        ("vrefresh", c_uint32),
        ("flags", c_uint32),
        ("type", c_uint32),
        ("name", c_char * 32),
    ]

    @property
    def size(self) -> Tuple[int, int]:
        """(width, height) in pixels."""
        return self.hdisplay, self.vdisplay

    @property
    def timings(self) -> bytes:
        """The bytes by which two modes differ: all but the refresh rate, flags and name."""
        return bytes(self)[: Mode.vrefresh.offset]


class Resources(ctypes.Structure):
    _fields_ = [
        ("count_fbs", c_int),
        ("fbs", POINTER(c_uint32)),
        ("count_crtcs", c_int),
        ("crtcs", POINTER(c_uint32)),
        ("count_connectors", c_int),
        ("connectors", POINTER(c_uint32)),
        ("count_encoders", c_int),
        ("encoders", POINTER(c_uint32)),
        ("min_width", c_uint32),
        ("max_width", c_uint32),
        ("min_height", c_uint32),
        ("max_height", c_uint32),
    ]


class ConnectorInfo(ctypes.Structure):
    _fields_ = [
        ("connector_id", c_uint32),
        ("encoder_id", c_uint32),
        ("connector_type", c_uint32),
        ("connector_type_id", c_uint32),
        ("connection", c_int),
        ("mmWidth", c_uint32),
        ("mmHeight", c_uint32),
        ("subpixel", c_int),
        ("count_modes", c_int),
        ("modes", POINTER(Mode)),
        ("count_props", c_int),
        ("props", POINTER(c_uint32)),
        ("prop_values", POINTER(c_uint64)),
        ("count_encoders", c_int),
        ("encoders", POINTER(c_uint32)),
    ]


class Encoder(ctypes.Structure):
    _fields_ = [(name, c_uint32) for name in "encoder_id encoder_type crtc_id possible_crtcs possible_clones".split()]


class Crtc(ctypes.Structure):
    _fields_ = [
        *((name, c_uint32) for name in "crtc_id buffer_id x y width height".split()),
        ("mode_valid", c_int),
        ("mode", Mode),
        ("gamma_size", c_int),
    ]


class PlaneResources(ctypes.Structure):
    _fields_ = [("count_planes", c_uint32), ("planes", POINTER(c_uint32))]


class PlaneInfo(ctypes.Structure):
    _fields_ = [
        ("count_formats", c_uint32),
        ("formats", POINTER(c_uint32)),
        *((name, c_uint32) for name in ("plane_id crtc_id fb_id crtc_x crtc_y x y possible_crtcs gamma_size").split()),
    ]


class Properties(ctypes.Structure):
    _fields_ = [("count_props", c_uint32), ("props", POINTER(c_uint32)), ("prop_values", POINTER(c_uint64))]


class Property(ctypes.Structure):  # its first fields; libdrm allocates it
    _fields_ = [("prop_id", c_uint32), ("flags", c_uint32), ("name", c_char * 32)]


class CreateDumb(ctypes.Structure):
    _fields_ = [*((name, c_uint32) for name in "height width bpp flags handle pitch".split()), ("size", c_uint64)]


class MapDumb(ctypes.Structure):
    _fields_ = [("handle", c_uint32), ("pad", c_uint32), ("offset", c_uint64)]


SIGNATURES: Dict[str, Tuple[Any, ...]] = {  # the result, then the arguments
    "drmSetMaster": (c_int, c_int),
    "drmDropMaster": (c_int, c_int),
    "drmAuthMagic": (c_int, c_int, c_uint32),
    "drmGetCap": (c_int, c_int, c_uint64, POINTER(c_uint64)),
    "drmSetClientCap": (c_int, c_int, c_uint64, c_uint64),
    "drmIoctl": (c_int, c_int, ctypes.c_ulong, c_void_p),
    "drmModeGetResources": (POINTER(Resources), c_int),
    "drmModeFreeResources": (None, POINTER(Resources)),
    "drmModeGetConnector": (POINTER(ConnectorInfo), c_int, c_uint32),
    "drmModeGetConnectorCurrent": (POINTER(ConnectorInfo), c_int, c_uint32),
    "drmModeFreeConnector": (None, POINTER(ConnectorInfo)),
    "drmModeGetEncoder": (POINTER(Encoder), c_int, c_uint32),
    "drmModeFreeEncoder": (None, POINTER(Encoder)),
    "drmModeGetCrtc": (POINTER(Crtc), c_int, c_uint32),
    "drmModeFreeCrtc": (None, POINTER(Crtc)),
    "drmModeSetCrtc": (c_int, c_int, c_uint32, c_uint32, c_uint32, c_uint32, POINTER(c_uint32), c_int, POINTER(Mode)),
    "drmModeAddFB": (c_int, c_int, c_uint32, c_uint32, c_uint8, c_uint8, c_uint32, c_uint32, POINTER(c_uint32)),
    "drmModeRmFB": (c_int, c_int, c_uint32),
    "drmModePageFlip": (c_int, c_int, c_uint32, c_uint32, c_uint32, c_void_p),
    "drmModeGetPlaneResources": (POINTER(PlaneResources), c_int),
    "drmModeFreePlaneResources": (None, POINTER(PlaneResources)),
    "drmModeGetPlane": (POINTER(PlaneInfo), c_int, c_uint32),
    "drmModeFreePlane": (None, POINTER(PlaneInfo)),
    "drmModeObjectGetProperties": (POINTER(Properties), c_int, c_uint32, c_uint32),
    "drmModeFreeObjectProperties": (None, POINTER(Properties)),
    "drmModeGetProperty": (POINTER(Property), c_int, c_uint32),
    "drmModeFreeProperty": (None, POINTER(Property)),
    "drmModeAtomicAlloc": (c_void_p,),
    "drmModeAtomicFree": (None, c_void_p),
    "drmModeAtomicAddProperty": (c_int, c_void_p, c_uint32, c_uint32, c_uint64),
    "drmModeAtomicCommit": (c_int, c_int, c_void_p, c_uint32, c_void_p),
}

_loaded: Any = None


def load() -> Any:
    """libdrm. Raises Problem when it is not installed."""
    global _loaded
    if _loaded is None:
        try:
            library = ctypes.CDLL("libdrm.so.2", use_errno=True)
        except OSError as error:
            raise Problem("the display needs libdrm: apt install libdrm2, or use --display none") from error
        for name, (result, *arguments) in SIGNATURES.items():
            function = getattr(library, name)
            function.restype, function.argtypes = result, arguments
        _loaded = library
    return _loaded


def free(get: str) -> str:
    """The name of the function that frees what the function `get` returns."""
    result = SIGNATURES[get][0]
    return next(name for name, signature in SIGNATURES.items() if signature == (None, result))
