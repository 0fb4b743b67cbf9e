"""Memory that a card can scan out, in XRGB8888 or, for cards that take nothing else, RGB565."""

import contextlib
import ctypes
import errno
import mmap
from ctypes import c_uint32
from typing import Optional, Tuple

import numpy as np

from . import libdrm
from .drm import Card

# libdrm has functions for these only since 2.4.114.
_CREATE_DUMB, _MAP_DUMB, _DESTROY_DUMB = 0xC02064B2, 0xC01064B3, 0xC00464B4
_NO_FORMAT = (errno.EINVAL, errno.ENOTSUP)
_RGB565 = tuple((np.uint32(shift), np.uint32(mask)) for shift, mask in ((8, 0xF800), (5, 0x07E0), (3, 0x001F)))


class Buffer:
    """A dumb buffer: memory that a card can scan out. Raises OSError.

    `pixels`: uint32 (height, width) of 0x00RRGGBB, black at first; the CPU may be slow to read them. `id`: its
    framebuffer's. `size` is (width, height). For a card that does not take XRGB8888 the buffer is in RGB565, and
    `pixels` are converted into it by `finish`.
    """

    def __init__(self, card: Card, size: Tuple[int, int]):
        self._card, self._lib, self.id, self._handle = card, card._lib, 0, 0
        self._map: Optional[mmap.mmap] = None
        self._small: Optional[np.ndarray] = None  # the pixels in RGB565
        self.pixels = np.empty((0, 0), np.uint32)
        try:
            try:
                dumb = self._create(size, 24, 32) if card.deep else self._create(size, 16, 16)
            except OSError as error:
                if not card.deep or error.errno not in _NO_FORMAT:
                    raise
                self._destroy()
                dumb = self._create(size, 16, 16)
                card.deep = False
            place = libdrm.MapDumb(handle=dumb.handle)
            card._check(self._lib.drmIoctl(card._fd, _MAP_DUMB, ctypes.byref(place)))
            self._map = mmap.mmap(card._fd, dumb.size, offset=place.offset)
            if card.deep:
                self.pixels = np.ndarray(size[::-1], np.uint32, self._map, strides=(dumb.pitch, 4))
            else:
                self.pixels = np.empty(size[::-1], np.uint32)
                self._small = np.ndarray(size[::-1], np.uint16, self._map, strides=(dumb.pitch, 2))
            self.pixels[:] = 0
            self.finish()
        except BaseException:
            self.close()
            raise

    def finish(self) -> None:
        """Make what was written into `pixels` ready to be scanned out."""
        if self._small is not None:
            red, green, blue = (self.pixels >> shift & mask for shift, mask in _RGB565)
            self._small[:] = red | green | blue

    def _create(self, size: Tuple[int, int], depth: int, bits: int) -> libdrm.CreateDumb:
        dumb = libdrm.CreateDumb(width=size[0], height=size[1], bpp=bits)
        self._card._check(self._lib.drmIoctl(self._card._fd, _CREATE_DUMB, ctypes.byref(dumb)))
        self._handle, framebuffer = dumb.handle, c_uint32()
        self._card._check(
            self._lib.drmModeAddFB(self._card._fd, *size, depth, bits, dumb.pitch, dumb.handle, framebuffer)
        )
        self.id = framebuffer.value
        return dumb

    def _destroy(self) -> None:
        if self._handle:
            self._lib.drmIoctl(self._card._fd, _DESTROY_DUMB, ctypes.byref(c_uint32(self._handle)))
        self._handle = 0

    def close(self) -> None:
        """Free it. A plane that shows it goes dark."""
        if self.id:
            self._lib.drmModeRmFB(self._card._fd, self.id)
        self.pixels, self._small = np.empty((0, 0), np.uint32), None
        if self._map is not None:
            with contextlib.suppress(BufferError):  # a view of it is alive: it is unmapped with the last one
                self._map.close()
        self._destroy()
