import contextlib
import ctypes
import errno
import os
import signal
import struct
from types import SimpleNamespace

import numpy as np
import pytest

from appliance.display import drm, holders, kms, libdrm, screen
from appliance.display.kms import KmsDisplay
from appliance.errors import Problem
from appliance.frames import Frame

PROPERTIES = "type FB_ID CRTC_ID SRC_X SRC_Y SRC_W SRC_H CRTC_X CRTC_Y CRTC_W CRTC_H zpos".split()
ENCODER, CRTC, CONSOLE, PRIMARY, OVERLAY = 20, 30, 40, 50, 51


def mode(width, height, preferred=False, flags=0):
    return libdrm.Mode(clock=(width + 10) * (height + 10) * 60 // 1000, hdisplay=width, htotal=width + 10,
                       vdisplay=height, vtotal=height + 10, flags=flags, type=drm.PREFERRED if preferred else 0)


def words(*numbers):
    return (ctypes.c_uint32 * len(numbers))(*numbers)


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
        self.others = 0  # masters
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
        self.opened[reading] = self.events
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
                assert pixels.shape == (plane["SRC_H"] >> 16, plane["SRC_W"] >> 16)
                rows = np.arange(plane["CRTC_H"]) * pixels.shape[0] // plane["CRTC_H"]
                columns = np.arange(plane["CRTC_W"]) * pixels.shape[1] // plane["CRTC_W"]
                out[plane["CRTC_Y"]:plane["CRTC_Y"] + plane["CRTC_H"],
                    plane["CRTC_X"]:plane["CRTC_X"] + plane["CRTC_W"]] = pixels[np.ix_(rows, columns)]
        return out & 0xffffff

    def flipped(self):
        """The refresh: what was flipped to is on the screen from now on."""
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
                ctypes.set_errno(error.errno)
                return None if libdrm.SIGNATURES[name][0] != ctypes.c_int else -error.errno
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
        return dict(FB_ID=framebuffer, CRTC_ID=CRTC, SRC_W=width << 16, SRC_H=height << 16, CRTC_X=0, CRTC_Y=0,
                    CRTC_W=width, CRTC_H=height)

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
        found = libdrm.Resources(count_crtcs=1, crtcs=words(CRTC), count_connectors=len(self.connectors),
                                 connectors=words(*range(len(self.connectors))))
        return ctypes.pointer(found)

    def ModeGetConnector(self, fd, number):
        name, modes = list(self.connectors.items())[number]
        kind, _, count = name.rpartition("-")
        found = libdrm.ConnectorInfo(
            connector_id=number, connector_type=drm._CONNECTORS.index(kind), connector_type_id=int(count),
            connection=1 if modes else 2, count_modes=len(modes), modes=(libdrm.Mode * len(modes))(*modes),
            count_encoders=1, encoders=words(ENCODER))
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
        argument, kind = argument._obj, request & 0xff
        if kind == 0xb2:
            pitch = 4 * argument.width + 64
            number = argument.handle = self._new()
            argument.pitch, argument.size = pitch, pitch * argument.height
            self.buffers[number] = argument.width, pitch, Memory(b"\x55" * argument.size)
        elif kind == 0xb3:
            argument.offset = argument.handle
        else:
            del self.buffers[argument.value]

    def ModeAddFB(self, fd, width, height, depth, bits, pitch, handle, out):
        assert (depth, bits) == (24, 32)
        out.value = self._new()
        self.framebuffers[out.value] = np.ndarray((height, width), np.uint32, self.buffers[handle][2],
                                                  strides=(pitch, 4))

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
        return ctypes.pointer(libdrm.PlaneInfo(
            plane_id=number, crtc_id=self.planes[number].get("CRTC_ID", 0), possible_crtcs=1, count_formats=1,
            formats=words(drm.XRGB8888)))

    def ModeObjectGetProperties(self, fd, number, kind):
        assert kind == 0xeeeeeeee
        values = [0] * len(PROPERTIES)
        values[0], values[-1] = int(number == PRIMARY), self.zpos[number]
        return ctypes.pointer(libdrm.Properties(
            count_props=len(values), props=words(*range(len(values))), prop_values=(ctypes.c_uint64 * 12)(*values)))

    def ModeGetProperty(self, fd, number):
        return ctypes.pointer(libdrm.Property(prop_id=number, name=PROPERTIES[number].encode()))

    def ModeAtomicAlloc(self):
        return {}

    def ModeAtomicAddProperty(self, request, owner, number, value):
        request.setdefault(owner, {})[PROPERTIES[number]] = value
        return 1

    def ModeAtomicCommit(self, fd, request, flags, data):
        for number, changed in request.items():
            values = {**self.planes[number], **changed}
            scaled = values["FB_ID"] and (values["SRC_W"] >> 16, values["SRC_H"] >> 16) != (
                values["CRTC_W"], values["CRTC_H"])
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


@pytest.fixture
def card(tmp_path, monkeypatch):
    fake = FakeDrm(tmp_path)
    system = SimpleNamespace(**{name: getattr(os, name) for name in dir(os) if not name.startswith("__")})
    system.open, system.close = fake.open, fake.close
    monkeypatch.setattr(libdrm, "load", lambda: fake)
    monkeypatch.setattr(drm, "os", system)
    monkeypatch.setattr(drm, "mmap", SimpleNamespace(mmap=fake.mmap))
    monkeypatch.setattr(kms, "glob", SimpleNamespace(glob=fake.glob))
    monkeypatch.setattr(kms, "time", SimpleNamespace(monotonic=lambda: fake.now))
    monkeypatch.setattr(kms, "Hotplug", lambda: SimpleNamespace(happened=fake.happened, close=lambda: None))
    monkeypatch.setattr(holders, "PROC", str(tmp_path))
    yield fake
    assert not fake.opened and not fake.buffers and list(fake.framebuffers) == [CONSOLE], "something was left behind"


@pytest.fixture
def display(card):
    with opened() as display:
        yield display


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


def framed(picture, width=64, height=36):
    """`picture` in the middle of a black screen."""
    out = np.zeros((height, width), np.uint32)
    top, left = (height - picture.shape[0]) // 2, (width - picture.shape[1]) // 2
    out[top:top + picture.shape[0], left:left + picture.shape[1]] = picture
    return out


# Finding the display

def test_the_first_monitor_in_the_mode_that_it_asks_for(card, display):
    card.connectors = {"HDMI-A-1": [], "DP-1": [mode(32, 20), mode(64, 36, preferred=True)], "DP-2": [mode(8, 8)]}
    assert display.size is None and display.mode is None
    assert display.show(frame()) and display.fault is None
    assert display.size == (64, 36) and display.mode == "DP-1 64x36 60 Hz, enlarged 4x"


def test_it_connects_without_a_frame(card, display):
    assert display.connect() and display.size == (64, 36)
    assert not card.picture().any()


def test_a_configured_connector_and_mode(card):
    card.connectors["DP-1"] = [mode(64, 36, preferred=True), mode(32, 20, flags=drm.INTERLACED), mode(32, 20)]
    with opened("DP-1", (32, 20)) as display:
        assert display.show(frame()) and display.size == (32, 20) and display.mode.startswith("DP-1")
        assert not card.lit.flags and display.fault is None


def test_a_mode_that_the_monitor_does_not_have(card):
    with opened(size=(1024, 600)) as display:
        assert display.show(frame()) and display.size == (64, 36)
        assert display.fault == ("the monitor on HDMI-A-1 has no mode 1024x600, so it shows 64x36: "
                                 "set display.mode to 64x36, 32x20")


def test_a_connector_that_is_not_there(card):
    with opened("HDMI-A-9") as display:
        assert not display.show(frame())
        assert display.fault == "/dev/dri/card0 has no connector HDMI-A-9: set display.connector to HDMI-A-1"


def test_no_card(card, display):
    card.cards = []
    assert not display.show(frame()) and "no /dev/dri/card*" in display.fault


def test_a_card_that_may_not_be_used(card, display):
    card.faults["open"] = [errno.EACCES]
    assert not display.show(frame())
    assert display.fault == ("cannot use the display /dev/dri/card0: permission denied: "
                             "add the user to the group video")


def test_a_card_that_only_computes_is_passed_over(card, display):
    card.cards = ["/dev/dri/card0", "/dev/dri/card1"]
    card.faults["drmGetCap"] = [errno.EINVAL]
    assert display.show(frame())


def test_without_libdrm(monkeypatch):
    def missing(*_, **__):
        raise OSError("libdrm.so.2: cannot open shared object file")

    monkeypatch.setattr(libdrm, "_loaded", None)
    monkeypatch.setattr(libdrm.ctypes, "CDLL", missing)
    with pytest.raises(Problem, match="apt install libdrm2"):
        KmsDisplay()


def test_the_functions_are_in_libdrm():
    try:
        ctypes.CDLL("libdrm.so.2")
    except OSError:
        pytest.skip("libdrm is not installed")
    libdrm.load()
    assert ctypes.sizeof(libdrm.Mode) == 68 and ctypes.sizeof(libdrm.Crtc) == 100
    assert {libdrm.free(name) for name in libdrm.SIGNATURES if "Get" in name and name != "drmGetCap"} == {
        name for name in libdrm.SIGNATURES if "Free" in name and name != "drmModeAtomicFree"}


# The picture

@pytest.mark.parametrize("pixels", ["rgb", "bgrx"])
@pytest.mark.parametrize("width, height, zoom", [(16, 6, 4), (17, 7, 3), (40, 30, 1), (64, 36, 1), (1, 1, 36)])
def test_it_is_enlarged_and_in_the_middle(card, display, width, height, zoom, pixels):
    for seed in range(3):
        shown = frame(width, height, seed)
        assert display.show(as_bgrx(shown) if pixels == "bgrx" else shown)
        assert np.array_equal(card.picture(), framed(as_shown(shown, zoom)))


def test_frames_are_left_as_they_are(card, display):
    shown = as_bgrx(frame(seed=1))
    before = shown.pixels.copy()
    assert display.show(shown) and display.show(frame(seed=2)) and np.array_equal(shown.pixels, before)


def test_of_a_larger_frame_the_middle_is_shown(card, display):
    shown = frame(80, 50)
    assert display.show(shown) and np.array_equal(card.picture(), as_shown(shown)[7:43, 8:72])
    shown = frame(80, 10)
    assert display.show(shown) and np.array_equal(card.picture(), framed(as_shown(shown)[:, 8:72]))


def test_frames_of_changing_sizes(card, display):
    for number, size in enumerate([(16, 6), (64, 36), (64, 36), (16, 6), (6, 16), (16, 6)]):
        shown = frame(*size, seed=number)
        assert display.show(shown)
        assert np.array_equal(card.picture(), framed(as_shown(shown, min(64 // size[0], 36 // size[1]))))


@pytest.mark.parametrize("atomic", [False, True])
def test_what_is_on_the_screen_is_never_drawn_into(card, display, atomic):
    card.atomic = card.scales = atomic
    for number in range(6):  # the card checks at every flip
        assert display.show(frame(seed=number))
    assert card.calls.count("drmModeAtomicCommit" if atomic else "drmModePageFlip") >= 6


def test_the_time_of_the_flip(card, display):
    display.show(frame())
    first = display.flipped_at
    assert first == pytest.approx(card.now, abs=1e-5)
    display.show(frame())
    assert display.flipped_at == pytest.approx(first + 0.016, abs=1e-5)


def test_a_signal_does_not_end_the_wait(card, display):
    card.late = True
    before = signal.signal(signal.SIGALRM, lambda *_: card.flipped())
    signal.setitimer(signal.ITIMER_REAL, 0.01, 0.01)
    try:
        assert display.show(frame()) and display.show(frame(seed=1))
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)
    assert np.array_equal(card.picture(), framed(as_shown(frame(seed=1), 4)))


# Scaling

@pytest.fixture
def scaling(card):
    card.atomic = card.scales = True
    return card


def test_an_overlay_scales_over_black(scaling, display):
    for number in range(3):
        shown = frame(16, 6, seed=number)
        assert display.show(shown) and np.array_equal(scaling.picture(), framed(as_shown(shown, 4)))
    assert display.mode == "HDMI-A-1 64x36 60 Hz, scaled by plane 51"
    assert display.show(frame(40, 36)) and scaling.planes[OVERLAY]["CRTC_W"] == 40
    assert display.show(frame(30, 20)) and scaling.planes[OVERLAY]["CRTC_W"] == 54


def test_a_frame_of_the_screens_size_needs_no_scaling(scaling, display):
    for number, size in enumerate([(16, 6), (64, 36), (16, 6), (64, 36), (64, 36)]):
        shown = frame(*size, seed=number)
        assert display.show(shown)
        assert np.array_equal(scaling.picture(), framed(as_shown(shown, 64 // size[0])))


@pytest.mark.parametrize("zpos", [{PRIMARY: 1, OVERLAY: 0}, {PRIMARY: 0, OVERLAY: 0}])
def test_an_overlay_below_is_of_no_use(scaling, display, zpos):
    scaling.zpos, scaling.primary_floats = zpos, True
    shown = frame()
    assert display.show(shown) and display.mode.endswith("scaled by plane 50")
    assert np.array_equal(scaling.picture(), framed(as_shown(shown, 4)))
    assert display.show(frame(64, 36)) and np.array_equal(scaling.picture(), as_shown(frame(64, 36)))


def test_a_card_that_does_not_scale(card, display):
    card.atomic = True
    shown = frame()
    assert display.show(shown) and display.mode.endswith("enlarged 4x")
    assert np.array_equal(card.picture(), framed(as_shown(shown, 4)))


def test_a_card_that_scales_in_tests_only(scaling, display):
    assert display.show(frame(64, 36))
    scaling.faults["drmModeAtomicCommit"] = [None, errno.ERANGE]
    shown = frame()
    assert display.show(shown) and display.mode.endswith("enlarged 4x")
    assert np.array_equal(scaling.picture(), framed(as_shown(shown, 4))) and not scaling.planes[OVERLAY]
    assert display.show(frame(8, 8)) and scaling.calls[-2:].count("drmModeAtomicCommit") == 0


# Trouble

def test_no_monitor_and_then_one(card, display):
    card.connectors, monitor = {"HDMI-A-1": [], "DP-1": []}, card.connectors
    card._drive(0, None)
    assert not display.show(frame()) and not display.connect()
    assert display.fault == "no monitor on HDMI-A-1, DP-1 of /dev/dri/card0: plug one in and turn it on"
    card.connectors = monitor
    card.now += 0.4
    assert not display.show(frame())
    card.now += 0.2
    assert display.show(frame()) and display.fault is None


def test_a_monitor_that_is_plugged_in_is_used_at_once(card, display):
    card.connectors, monitor = {"HDMI-A-1": []}, card.connectors
    assert not display.show(frame())
    card.connectors, card.uevents = monitor, [True]
    assert display.show(frame())


def test_it_tries_less_and_less_often(card, display):
    card.cards = []
    for _ in range(200):
        assert not display.show(frame()) and display.fault
        card.now += 0.125
    assert [time - 1000 for time in card.tries] == [0, 0.5, 1.5, 3.5, 7.5, 12.5, 17.5, 22.5]


def holder(card, pid, name, cgroup):
    folder = card.proc / str(pid)
    (folder / "fd").mkdir(parents=True)
    os.symlink("/dev/dri/card0", str(folder / "fd" / "7"))
    (folder / "comm").write_text(name + "\n")
    (folder / "cgroup").write_text(cgroup)


@pytest.mark.parametrize("cgroup, advice", [
    ("0::/system.slice/weston.service\n", "systemctl stop weston"),
    ("2:cpu:/\n1:name=systemd:/user.slice/user-1000.slice/session-c1.scope\n", "systemctl stop weston")])
def test_another_program_has_the_card_and_then_ends(card, display, cgroup, advice):
    card.others = 1
    holder(card, 210, "systemd-logind", "0::/system.slice/systemd-logind.service\n")
    holder(card, 312, "weston", cgroup)
    assert not display.show(frame())
    assert display.fault == "another program (weston, process 312) holds /dev/dri/card0: " + advice
    card.others = 0
    card.now += 0.6
    assert display.show(frame()) and display.fault is None


def test_another_program_that_cannot_be_seen(card, display):
    card.others = 1
    assert not display.show(frame())
    assert display.fault == "another program (root sees which) holds /dev/dri/card0: end it"
    (card.proc / "312").mkdir()
    for name, text in [("comm", "weston"), ("cgroup", "0::/user.slice/user-1000.slice/session-c1.scope"), ("fd", "")]:
        (card.proc / "312" / name).write_text(text)
    card.now += 0.6
    assert not display.show(frame())
    assert display.fault == "another program (weston, process 312) holds /dev/dri/card0: systemctl stop weston"


def test_another_program_takes_the_card(card, display):
    assert display.show(frame())
    card.others = 1
    holder(card, 400, "game", "0::/user.slice/user-1000.slice/session-2.scope\n")
    assert not display.show(frame())
    assert display.fault == "another program (game, process 400) holds /dev/dri/card0: end it"


def test_old_kernels_let_only_root_ask_to_be_master(card, display):
    card.faults["drmSetMaster"] = [errno.EACCES]
    assert display.show(frame())


@pytest.mark.parametrize("atomic", [False, True])
def test_a_flip_that_never_comes(card, display, monkeypatch, atomic):
    card.atomic = card.scales = atomic
    assert display.show(frame())
    card.late = True
    monkeypatch.setattr(screen, "PATIENCE", 0.0)
    assert not display.show(frame())
    assert "/dev/dri/card0 showed nothing for 1 s" in display.fault
    card.late = False
    card.now += 0.6
    monkeypatch.undo()


def test_a_dead_card_comes_back(card, display):
    assert display.show(frame())
    card.dead, card.cards = True, []
    card.buffers.clear()
    for number in [number for number in card.framebuffers if number != CONSOLE]:
        del card.framebuffers[number]
    assert not display.show(frame()) and "/dev/dri/card0: it is gone" in display.fault
    assert display.size is None and display.mode is None
    card.now += 0.6
    assert not display.show(frame()) and "no /dev/dri/card*" in display.fault
    card.dead, card.cards = False, ["/dev/dri/card0"]
    card.now += 1.1
    assert display.show(frame()) and display.fault is None and display.size == (64, 36)


def test_a_monitor_is_unplugged_and_another_one_plugged_in(card, display):
    assert display.show(frame())
    card.connectors["HDMI-A-1"] = []
    assert display.show(frame())  # seen within a second
    card.now += 1
    assert not display.show(frame()) and "no monitor on HDMI-A-1" in display.fault
    assert card.picture() is None
    card.connectors["HDMI-A-1"], card.uevents = [mode(32, 20, preferred=True)], [True]
    assert display.show(frame()) and display.size == (32, 20)
    assert np.array_equal(card.picture(), framed(as_shown(frame(), 2), 32, 20))


def test_a_quick_change_of_monitors(card, display):
    assert display.show(frame())
    card.connectors["HDMI-A-1"], card.uevents = [mode(32, 20, preferred=True), mode(64, 36)], [True]
    assert display.show(frame()) and display.size == (32, 20) and display.fault is None


# Ways out

def test_the_console_is_put_back(card):
    before = card.picture()
    with opened() as display:
        display.show(frame())
        assert not np.array_equal(card.picture(), before)
        display.finish()
        assert np.array_equal(card.picture(), before) and card.lit.timings == mode(64, 36).timings
        display.discard()
    assert np.array_equal(card.picture(), before)


def test_a_screen_that_was_off_is_switched_off(card, display):
    card._drive(0, None)
    assert display.show(frame())
    display.finish()
    assert card.picture() is None


def test_a_picture_that_is_gone_cannot_be_put_back(card, display):
    assert display.show(frame())
    console = card.framebuffers.pop(CONSOLE)
    display.finish()
    assert card.picture() is None
    card.framebuffers[CONSOLE] = console


def test_nothing_to_put_back(card, display):
    display.finish()
    assert not card.calls


@pytest.mark.parametrize("name", ["drmModeGetResources", "drmModeGetConnector", "drmModeGetEncoder", "drmModeGetCrtc",
                                  "drmIoctl", "drmModeAddFB", "drmModeSetCrtc", "drmModeGetPlane", "drmModePageFlip",
                                  "drmModeAtomicCommit"])
def test_a_failure_at_any_point_puts_everything_back(scaling, display, name):
    before = scaling.picture()
    scaling.atomic = "PageFlip" not in name
    scaling.faults[name] = [errno.EIO]
    assert not display.show(frame())
    assert "/dev/dri/card0: input/output error: see" in display.fault
    assert np.array_equal(scaling.picture(), before)
    scaling.now += 0.6
    assert display.show(frame())


def test_an_exception_while_showing_puts_everything_back(card, display, monkeypatch):
    before = card.picture()
    assert display.show(frame())

    def interrupted(*_):
        raise KeyboardInterrupt

    monkeypatch.setattr(drm.Card, "wait", interrupted)
    with pytest.raises(KeyboardInterrupt):
        display.show(frame())
    display.discard()
    assert np.array_equal(card.picture(), before)
