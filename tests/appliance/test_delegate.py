"""An Edge TPU by libedgetpu alone, without pycoral. The library is a stand-in, the runtime is real."""

import os

import numpy as np
import pytest

from appliance import machine, options
from appliance.config import Engine
from appliance.engine import delegate, devices, interpreter
from appliance.engine.interpreter import Runtime, edge_tpu, runtimes
from appliance.engine.stylizer import Stylizer
from appliance.errors import DeviceError, Problem

from .edgetpu import SEGMENT
from .engines import frame, stylised


def test_what_is_on_the_bus(bus, tmp_path):
    assert devices.found() == []
    bus.plug("1-1", vendor="046d")
    bus.plug("2-1", "1a6e", "089a", speed=480)
    node = bus.plug("2-2.4")
    new, started = devices.found()
    assert (new.link, new.mbits, new.started) == ("USB 2", 480, False)
    assert (started.kind, started.link, started.node, started.started) == ("usb", "USB 3", node, True)
    (tmp_path / "apex_0").write_text("")
    assert [tpu.link for tpu in devices.found()] == ["PCIe", "USB 2", "USB 3"]
    bus.unplug("2-2.4")
    again = bus.plug("2-2.4")
    assert again != node and devices.found()[-1].identity != started.identity
    (bus.sysfs / "2-2.4" / "devnum").unlink()  # it is just leaving
    assert len(devices.found()) == 2


def test_a_compiled_segment_runs_on_a_stick(library, bus, compiled, tmp_path):
    bus.plug("2-1", "1a6e", "089a")
    style = compiled(tmp_path / "a.reconet")
    engine = Stylizer(style)
    assert engine.runtime.device == "TPU" and str(engine.runtime).startswith("libedgetpu 14 with ")
    assert str(engine.runtime).endswith(" on USB 3") and engine.plan == "fused"
    prepared, out = engine.prepare(frame()), np.empty((32, 64, 3), np.uint8)
    engine.finish(engine.run(prepared), out)
    assert np.array_equal(out, ~prepared.pixels ^ 0x80)


def test_the_first_segment_is_rehearsed_in_a_process_of_its_own(library, bus, compiled, tmp_path):
    bus.plug()
    style = compiled(tmp_path / "a.reconet")
    Stylizer(style)
    Stylizer(style)
    (child, device), *mine = library.opened()
    assert child != str(os.getpid()) and device == "usb" and mine == [[str(os.getpid()), "usb"]] * 2
    bus.unplug()
    bus.plug()
    Stylizer(style)
    assert len(library.opened()) == 5  # rehearsed again


def test_beside_pycoral_libedgetpu_can_be_chosen(library, bus, compiled, tmp_path, monkeypatch):
    bus.plug()
    monkeypatch.setattr(
        interpreter, "_pycoral", lambda: Runtime("pycoral", "2.0.0", "TPU", lambda data, height=0: None)
    )
    assert [one.name for one in runtimes()[:2]] == ["pycoral", "libedgetpu"] and edge_tpu()[0].name == "pycoral"
    style = compiled(tmp_path / "a.reconet")
    assert Stylizer(style, runtime="libedgetpu").runtime.name == "libedgetpu"

    def allowed(runtime):
        return [one.name for one in options.runtimes_for(style, Engine(runtime=runtime), "TPU")]

    assert [allowed(name) for name in ("libedgetpu", "pycoral", "auto")] == [["libedgetpu"], ["pycoral"], ["pycoral"]]


def test_one_of_two_sticks(library, bus, compiled, tmp_path, monkeypatch):
    """libedgetpu, in the rehearsal and after it, is asked for the stick that was chosen."""
    monkeypatch.setenv("STAND_IN_STICKS", "2")
    bus.plug("1-1", speed=480)
    bus.plug("2-1")
    devices.choose("usb:1")
    assert [(tpu.option, tpu.link) for tpu in devices.found()] == [("usb:1", "USB 3")]
    assert str(Stylizer(compiled(tmp_path / "a.reconet")).runtime).endswith(" on USB 3")
    assert {device for _, device in library.opened()} == {"usb:1"} and len(library.opened()) == 2


@pytest.mark.parametrize("wanted, options", [("auto", ["pci", "pci", "usb"]), ("usb", ["usb"]), ("pci:1", ["pci:1"])])
def test_the_devices_of_a_kind(bus, tmp_path, wanted, options):
    for name in ("apex_0", "apex_1"):
        (tmp_path / name).write_text("")
    bus.plug()
    devices.choose(wanted)
    assert [tpu.option for tpu in devices.found()] == options
    assert wanted != "pci:1" or devices.found()[0].node == tmp_path / "apex_1"


def test_a_device_that_is_not_there_is_one_line(library, bus, compiled, tmp_path):
    bus.plug()
    devices.choose("usb:9")
    said = "no Edge TPU usb:9: this machine has usb:0: see engine.device in the configuration"
    assert edge_tpu() == (None, said)
    assert [str(one) for one in machine.edge_tpu()] == [f"problem  Edge TPU not usable  -  {said}"]
    assert Stylizer(compiled(tmp_path / "a.reconet")).runtime.device == "CPU"
    bus.unplug()
    assert edge_tpu() == (None, None)


def test_a_device_that_only_the_kernel_sees_is_one_line(library, bus):
    """Nothing that libedgetpu can open, as when a stick is in use by another user."""
    bus.plug("1-1")
    bus.plug("2-1")
    devices.choose("usb:1")
    with pytest.raises(DeviceError, match="the Edge TPU USB 3 .* was found but could not be opened"):
        runtimes()[0].load(SEGMENT)


@pytest.mark.parametrize(
    "behaviour, kind, words",
    [
        (
            "fail",
            DeviceError,
            "was found but could not be opened: end the program that uses it, or unplug it for a moment",
        ),
        (
            "segfault",
            DeviceError,
            r"libedgetpu crashed in \w+ \(signal 11\): Google's own 16.0 does so with TensorFlow Lite",
        ),
        ("abort", DeviceError, "libedgetpu aborted on the Edge TPU USB 3 .*: unplug it for a moment"),
        ("hang", DeviceError, "did not answer within 1 s: unplug it for a moment"),
        (
            "newer",
            Problem,
            "a segment was compiled for Edge TPU runtime 15, this machine has 14: install a newer libedgetpu",
        ),
        ("gone", Problem, "Edge TPU USB 3 .* failed: Failed to execute request. Deadline exceeded: USB transfer error"),
    ],
)
def test_trouble_ends_the_rehearsal_and_is_one_line(library, bus, behaviour, kind, words, monkeypatch):
    monkeypatch.setattr(delegate, "REHEARSAL_S", 1.0 if behaviour == "hang" else 30.0)
    bus.plug()
    library(behaviour)
    with pytest.raises(kind, match=words) as caught:
        runtimes()[0].load(SEGMENT)
    assert type(caught.value) is kind and not delegate._rehearsed


@pytest.mark.parametrize("behaviour", ["fail", "abort", "hang"])
def test_a_card_is_not_to_be_unplugged(library, bus, behaviour, tmp_path, monkeypatch):
    monkeypatch.setattr(delegate, "REHEARSAL_S", 1.0 if behaviour == "hang" else 30.0)
    (tmp_path / "apex_0").write_text("")
    library(behaviour)
    with pytest.raises(DeviceError, match="the Edge TPU PCIe .* switch the machine off and on") as caught:
        runtimes()[0].load(SEGMENT)
    assert "plug" not in str(caught.value)


def test_a_stick_that_does_not_open_gives_way_to_the_cpu(library, bus, compiled, tmp_path):
    bus.plug()
    library("fail")
    engine = Stylizer(compiled(tmp_path / "a.reconet"))
    assert engine.runtime.device == "CPU"
    assert stylised(engine, frame()).std() > 1


def test_a_stick_that_was_pulled_meanwhile(library, bus):
    bus.plug()
    runtime, _ = edge_tpu()
    bus.unplug()
    library("fail")
    with pytest.raises(DeviceError, match=r"the Edge TPU USB 3 \(.*\) is gone: plug it in again"):
        runtime.load(SEGMENT)


@pytest.mark.parametrize(
    "name, words",
    [
        ("libedgetpu-none.so.1", "no libedgetpu: install libedgetpu1-std"),
        (__file__, "libedgetpu does not load .* it was built for another system"),
        ("libm.so.6", "libm.so.6 does not report its Edge TPU runtime version"),
    ],
)
def test_without_a_good_libedgetpu(bus, name, words, monkeypatch):
    bus.plug()
    monkeypatch.setattr(delegate, "LIBRARY", name)
    runtime, why = edge_tpu()
    assert runtime is None and runtimes()[0].device == "CPU"
    with pytest.raises(Problem, match=words):
        raise Problem(why)


def test_an_old_libedgetpu_and_one_without_permission(library, bus, monkeypatch):
    bus.plug()
    monkeypatch.setenv("STAND_IN_RUNTIME", "12")
    assert edge_tpu() == (None, f"libedgetpu has runtime 12; segments need 13 or newer: {delegate.INSTALL}")
    monkeypatch.setenv("STAND_IN_RUNTIME", "13")
    assert edge_tpu()[0] and machine.edge_tpu_runtime() == 13
    monkeypatch.setattr(devices.os, "access", lambda *_: False)  # root may use everything
    assert "no permission to use the Edge TPU USB 3" in edge_tpu()[1] and "group plugdev" in edge_tpu()[1]


def test_what_doctor_says_of_sticks(library, bus, monkeypatch):
    def said():
        return "\n".join(map(str, machine.edge_tpu()))

    assert "missing  Edge TPU" in said()
    bus.plug("2-1", "1a6e", "089a")
    assert "ok       Edge TPU on USB 3" in said() and "firmware loads on first use" in said()
    assert "ok       Edge TPU runtime libedgetpu 14 with" in said()
    bus.unplug()
    bus.plug(speed=480)
    assert "problem  Edge TPU on USB 2" in said() and "plug it into a USB 3 port" in said()
    monkeypatch.setattr(delegate, "LIBRARY", "libedgetpu-none.so.1")
    assert "problem  Edge TPU not usable  -  no libedgetpu" in said()
    assert library.opened() == []
