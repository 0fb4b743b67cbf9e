"""A simulated card and its monitors behind libdrm's interface, pictures to show on it, and the expected result."""

import contextlib
import ctypes
import errno
import os
import struct
from fractions import Fraction
from types import SimpleNamespace

import numpy as np

from appliance.display import buffer, drm, holders, kms, libdrm
from appliance.display.enlarge import Enlarger
from appliance.display.kms import KmsDisplay
from appliance.frames import Frame

PROPERTIES = "type FB_ID CRTC_ID SRC_X SRC_Y SRC_W SRC_H CRTC_X CRTC_Y CRTC_W CRTC_H zpos".split()
ENCODER, CRTC, CONSOLE, PRIMARY, OVERLAY = 20, 30, 40, 50, 51


def mode(width, height, preferred=False, flags=0):
    return libdrm.Mode(
        clock=(width + 10) * (height + 10) * 60 // 1000,
        hdisplay=width,
        htotal=width + 10,
        vdisplay=height,
        vtotal=height + 10,
        flags=flags,
        type=drm.PREFERRED if preferred else 0,
    )


def words(*numbers):
    return (ctypes.c_uint32 * len(numbers))(*numbers)


class Request(dict):
    """A pointer to an atomic request: not null, even when nothing is in it yet."""

    def __bool__(self):
        return True


class Memory(bytearray):
    def close(self):
        pass


class FakeDrm:
    """libdrm and one card. A console is on its screen at first; `picture` is what the screen shows.

    `faults` maps a function to the errors, or None, of its next calls, `dead` makes all of them fail. Time passes when
    a test says so. An event comes with every flip unless `late`, then with `flipped`.
    """

    def __init__(self, tmp_path):
        self.cards, self.proc = ["/dev/dri/card0"], tmp_path
        self.connectors = {"HDMI-A-1": [mode(64, 36, preferred=True), mode(32, 20)]}
        self.atomic, self.scales, self.primary_floats, self.zpos = False, False, False, {PRIMARY: 0, OVERLAY: 1}
        self.dead = self.late = False
        self.bits, self.bare, self.paths = {32}, {}, {}  # of pixels; other connectors of a card; of what is open
        self.others, self.padding = 0, 64  # masters; bytes at the end of each row of a buffer
        self.faults, self.calls, self.tries, self.now = {}, [], [], 1000.0
        self.uevents = []
        self.lit = None
        self.opened, self.buffers, self.framebuffers, self.ids = {}, {}, {}, 100
        self.framebuffers[CONSOLE] = np.full((36, 64), 0x123456, np.uint32)
        self.planes = {PRIMARY: {}, OVERLAY: {}}
        self._drive(CONSOLE, mode(64, 36))
        self.pending = []

    # The system around the card

    def open(self, path, flags):
        if path not in self.cards:
            raise OSError(errno.ENOENT, os.strerror(errno.ENOENT), path)
        self._fault("open")
        reading, self.events = os.pipe()
        self.opened[reading], self.paths[reading] = self.events, path
        return reading

    def close(self, fd):
        os.close(self.opened.pop(fd))
        os.close(fd)

    def glob(self, pattern):
        assert pattern.startswith("/dev/dri/card")
        self.tries.append(self.now)
        return list(self.cards)

    def mmap(self, fd, size, offset):
        return self.buffers[offset][2]

    def happened(self):
        return bool(self.uevents and self.uevents.pop())

    # What a test sees

    def picture(self):
        """The screen, uint32 (H, W); None when it is off."""
        if not self.lit:
            return None
        out = np.zeros(self.lit.size[::-1], np.uint32)
        for plane in self.planes.values():
            if plane.get("FB_ID"):
                pixels = self.framebuffers[plane["FB_ID"]]
                if pixels.dtype == np.uint16:
                    wide = pixels.astype(np.uint32)
                    pixels = (wide & 0xF800) << 8 | (wide & 0x07E0) << 5 | (wide & 0x001F) << 3
                assert pixels.shape == (plane["SRC_H"] >> 16, plane["SRC_W"] >> 16)
                rows = np.arange(plane["CRTC_H"]) * pixels.shape[0] // plane["CRTC_H"]
                columns = np.arange(plane["CRTC_W"]) * pixels.shape[1] // plane["CRTC_W"]
                there = out[plane["CRTC_Y"] :, plane["CRTC_X"] :]
                there = there[: plane["CRTC_H"], : plane["CRTC_W"]]
                there[:] = pixels[np.ix_(rows, columns)][: there.shape[0], : there.shape[1]]
        return out & 0xFFFFFF

    def flipped(self):
        """The refresh: the screen shows the buffer of the last flip from now on."""
        for state, data in self.pending:
            for plane, values in state.items():
                self.planes[plane].update(values)
            self.now += 0.016
            self.shown = self.picture()
            os.write(self.events, struct.pack("=IIQIIII", 2, 32, data, int(self.now), int(self.now % 1 * 1e6), 0, 0))
        self.pending.clear()

    # libdrm

    def __getattr__(self, name):
        if name not in libdrm.SIGNATURES:
            raise AttributeError(name)
        if "Free" in name:
            return lambda *_: None
        function = getattr(FakeDrm, name[3:])

        def call(*arguments):
            try:
                self.calls.append(name)
                self._fault(name)
                result = function(self, *arguments)
                return 0 if result is None else result
            except OSError as error:
                ctypes.set_errno(0 if name == "drmModeAtomicAddProperty" else error.errno)
                if libdrm.SIGNATURES[name][0] != ctypes.c_int:
                    return None
                return -error.errno if name.startswith("drmMode") else -1

        return call

    def _fault(self, name):
        if self.dead:
            raise OSError(errno.ENODEV, "")
        number = self.faults[name].pop(0) if self.faults.get(name) else None
        self._need(not number, number)

    def _need(self, condition, number=errno.EINVAL):
        if not condition:
            raise OSError(number, "")

    def _new(self):
        self.ids += 1
        return self.ids

    def _drive(self, framebuffer, wanted):
        self.lit = wanted
        self.planes[PRIMARY] = self._full(framebuffer) if wanted else {}
        self.shown = self.picture()

    def _full(self, framebuffer):
        height, width = self.framebuffers[framebuffer].shape
        return dict(
            FB_ID=framebuffer,
            CRTC_ID=CRTC,
            SRC_W=width << 16,
            SRC_H=height << 16,
            CRTC_X=0,
            CRTC_Y=0,
            CRTC_W=width,
            CRTC_H=height,
        )

    def SetMaster(self, fd):
        self._need(not self.others, errno.EBUSY)

    def DropMaster(self, fd):
        pass

    def AuthMagic(self, fd, magic):
        self._need(False, errno.EACCES if self.others else errno.EINVAL)

    def GetCap(self, fd, capability, value):
        value.value = 1

    def SetClientCap(self, fd, capability, value):
        self._need(self.atomic)

    def ModeGetResources(self, fd):
        found = libdrm.Resources(
            count_crtcs=1,
            crtcs=words(CRTC),
            count_connectors=len(self._connectors(fd)),
            connectors=words(*range(len(self._connectors(fd)))),
        )
        return ctypes.pointer(found)

    def _connectors(self, fd):
        return self.bare.get(self.paths[fd], self.connectors)

    def ModeGetConnector(self, fd, number):
        name, modes = list(self._connectors(fd).items())[number]
        kind, _, count = name.rpartition("-")
        found = libdrm.ConnectorInfo(
            connector_id=number,
            connector_type=drm._CONNECTORS.index(kind),
            connector_type_id=int(count),
            connection=1 if modes else 2,
            count_modes=len(modes),
            modes=(libdrm.Mode * len(modes))(*modes),
            count_encoders=1,
            encoders=words(ENCODER),
        )
        return ctypes.pointer(found)

    ModeGetConnectorCurrent = ModeGetConnector

    def ModeGetEncoder(self, fd, number):
        return ctypes.pointer(libdrm.Encoder(encoder_id=ENCODER, possible_crtcs=1))

    def ModeGetCrtc(self, fd, number):
        found = libdrm.Crtc(crtc_id=CRTC, buffer_id=self.planes[PRIMARY].get("FB_ID", 0), mode_valid=bool(self.lit))
        if self.lit:
            found.mode = self.lit
        return ctypes.pointer(found)

    def ModeSetCrtc(self, fd, crtc, framebuffer, x, y, connectors, count, wanted):
        self._need(not self.others, errno.EACCES)
        self._need(not framebuffer or framebuffer in self.framebuffers, errno.ENOENT)
        self.pending.clear()
        self._drive(framebuffer, libdrm.Mode.from_buffer_copy(wanted.contents) if wanted else None)

    def Ioctl(self, fd, request, argument):
        argument, kind = argument._obj, request & 0xFF
        if kind == 0xB2:
            pitch = argument.bpp // 8 * argument.width + self.padding
            number = argument.handle = self._new()
            argument.pitch, argument.size = pitch, pitch * argument.height
            self.buffers[number] = argument.width, pitch, Memory(b"\x55" * argument.size)
        elif kind == 0xB3:
            argument.offset = argument.handle
        else:
            del self.buffers[argument.value]

    def ModeAddFB(self, fd, width, height, depth, bits, pitch, handle, out):
        assert (depth, bits) in ((24, 32), (16, 16))
        self._need(bits in self.bits)
        out.value = self._new()
        self.framebuffers[out.value] = np.ndarray(
            (height, width), np.uint32 if bits == 32 else np.uint16, self.buffers[handle][2], strides=(pitch, bits // 8)
        )

    def ModeRmFB(self, fd, framebuffer):
        for plane in self.planes.values():
            if plane.get("FB_ID") == framebuffer:
                plane.clear()
        del self.framebuffers[framebuffer]

    def ModePageFlip(self, fd, crtc, framebuffer, flags, data):
        self._need(self.framebuffers[framebuffer].shape == self.lit.size[::-1])
        self._flip({PRIMARY: dict(FB_ID=framebuffer)}, flags, data)

    def ModeGetPlaneResources(self, fd):
        return ctypes.pointer(libdrm.PlaneResources(count_planes=len(self.planes), planes=words(*self.planes)))

    def ModeGetPlane(self, fd, number):
        return ctypes.pointer(
            libdrm.PlaneInfo(
                plane_id=number,
                crtc_id=self.planes[number].get("CRTC_ID", 0),
                possible_crtcs=1,
                count_formats=1,
                formats=words(drm.XRGB8888 if 32 in self.bits else 0x36314752),
            )
        )

    def ModeObjectGetProperties(self, fd, number, kind):
        assert kind == 0xEEEEEEEE
        values = [0] * len(PROPERTIES)
        values[0], values[-1] = int(number == PRIMARY), self.zpos[number]
        return ctypes.pointer(
            libdrm.Properties(
                count_props=len(values), props=words(*range(len(values))), prop_values=(ctypes.c_uint64 * 12)(*values)
            )
        )

    def ModeGetProperty(self, fd, number):
        return ctypes.pointer(libdrm.Property(prop_id=number, name=PROPERTIES[number].encode()))

    def ModeAtomicAlloc(self):
        return Request()

    def ModeAtomicAddProperty(self, request, owner, number, value):
        request.setdefault(owner, {})[PROPERTIES[number]] = value
        return 1

    def ModeAtomicCommit(self, fd, request, flags, data):
        for number, changed in request.items():
            values = {**self.planes[number], **changed}
            scaled = values["FB_ID"] and (values["SRC_W"] >> 16, values["SRC_H"] >> 16) != (
                values["CRTC_W"],
                values["CRTC_H"],
            )
            self._need(not scaled or self.scales, errno.ERANGE)
            whole = not values["FB_ID"] or (values["CRTC_W"], values["CRTC_H"]) == self.lit.size
            self._need(number == OVERLAY or whole or self.primary_floats)
        if not flags & 0x100:
            assert flags & 0x200
            self._flip(request, flags, data)

    def _flip(self, state, flags, data):
        assert flags & 1
        self._need(not self.others, errno.EACCES)
        self._need(not self.pending, errno.EBUSY)
        assert np.array_equal(self.picture(), self.shown), "drew into a buffer that is on the screen"
        self.pending.append((state, data))
        if not self.late:
            self.flipped()


@contextlib.contextmanager
def installed(folder, monkeypatch):
    """A FakeDrm in place of libdrm. Fails when any of its resources is left at the end."""
    fake = FakeDrm(folder)
    system = SimpleNamespace(**{name: getattr(os, name) for name in dir(os) if not name.startswith("__")})
    system.open, system.close = fake.open, fake.close
    monkeypatch.setattr(libdrm, "load", lambda: fake)
    monkeypatch.setattr(drm, "os", system)
    monkeypatch.setattr(buffer, "mmap", SimpleNamespace(mmap=fake.mmap))
    monkeypatch.setattr(kms, "glob", SimpleNamespace(glob=fake.glob))
    monkeypatch.setattr(kms, "time", SimpleNamespace(monotonic=lambda: fake.now))
    monkeypatch.setattr(kms, "Hotplug", lambda: SimpleNamespace(happened=fake.happened, close=lambda: None))
    monkeypatch.setattr(holders, "PROC", str(folder))
    yield fake
    assert not fake.opened and not fake.buffers and list(fake.framebuffers) == [CONSOLE], "something was left behind"


@contextlib.contextmanager
def opened(*arguments, **settings):
    display = KmsDisplay(*arguments, **settings)
    try:
        yield display
    finally:
        display.finish()


def frame(width=16, height=6, seed=0):
    return Frame(np.random.RandomState(seed).randint(0, 256, (height, width, 3)).astype(np.uint8), 0.0, 0)


def as_bgrx(shown):
    padding = np.zeros(shown.pixels.shape[:2] + (1,), np.uint8)
    return Frame(np.concatenate([shown.pixels[..., ::-1], padding], axis=-1), 0.0, 0, "bgrx")


def as_shown(shown, zoom=1):
    """The pixels of a frame as 0x00RRGGBB, `zoom` times as large."""
    red, green, blue = (shown.pixels[..., channel].astype(np.uint32) for channel in range(3))
    return np.repeat(np.repeat(red << 16 | green << 8 | blue, zoom, axis=0), zoom, axis=1)


def enlarged(shown, zoom):
    """The pixels of a frame as 0x00RRGGBB, enlarged by the CPU; test_enlarge.py tests how well."""
    picture = as_shown(shown)
    enlarger = Enlarger(picture.shape[::-1], Fraction(zoom))
    out = np.zeros(enlarger.out_size[::-1], np.uint32)
    enlarger(picture, out)
    return out


def framed(picture, width=64, height=36):
    """`picture` in the middle of a black screen."""
    out = np.zeros((height, width), np.uint32)
    top, left = (height - picture.shape[0]) // 2, (width - picture.shape[1]) // 2
    out[top : top + picture.shape[0], left : left + picture.shape[1]] = picture
    return out
