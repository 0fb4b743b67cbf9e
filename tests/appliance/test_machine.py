"""What doctor says about the machine."""

import os

import pytest

from appliance import machine


@pytest.fixture
def pi(tmp_path, monkeypatch):
    """A Raspberry Pi 5 without trouble, in a folder."""
    (tmp_path / "model").write_bytes(b"Raspberry Pi 5 Model B Rev 1.0\0")
    (tmp_path / "os-release").write_text('NAME="x"\nPRETTY_NAME="Debian GNU/Linux 12 (bookworm)"\nID=debian\n')
    monkeypatch.setattr(machine, "_MODELS", (str(tmp_path / "model"),))
    monkeypatch.setattr(machine, "_RELEASE", str(tmp_path / "os-release"))
    monkeypatch.setattr(machine, "_PCI", str(tmp_path / "pci"))
    monkeypatch.setattr(machine, "_HWMON", str(tmp_path / "hwmon"))
    monkeypatch.setattr(machine.shutil, "which", lambda name: None)
    monkeypatch.setattr(machine.os, "sysconf", lambda name: 16384)
    return tmp_path


def test_what_it_is(pi, monkeypatch):
    assert machine.describe().fine
    words = str(machine.describe())
    assert "Raspberry Pi 5 Model B Rev 1.0, Debian GNU/Linux 12 (bookworm), Linux " in words
    assert words.endswith(", 16 KiB pages")
    monkeypatch.setattr(machine, "_MODELS", ())
    monkeypatch.setattr(machine, "_RELEASE", str(pi / "none"))
    assert os.uname().machine in str(machine.describe())


@pytest.mark.parametrize(
    "bits, words",
    [
        ("0x0", []),
        ("0x1", ["under-voltage  -  use its own power supply"]),
        ("0x50000", ["under-voltage at times since boot", "throttled at times since boot  -  use its own power"]),
        ("0x7", ["under-voltage", "clock capped  -  use its own power", "throttled  -  use its own power"]),
        ("0x6", ["clock capped  -  add a fan", "throttled  -  add a fan"]),
        (
            "0x1000a",
            ["under-voltage at times", "clock capped  -  use its own power", "temperature limit  -  add a fan"],
        ),
        ("0x80008", ["at the soft temperature limit  -  add a fan"]),
    ],
)
def test_a_raspberry_pi_that_slows_down(pi, bits, words, monkeypatch):
    tool = pi / "vcgencmd"
    tool.write_text(f'#!/bin/sh\ntest "$1" = get_throttled && echo throttled={bits}\n')
    tool.chmod(0o755)
    monkeypatch.setattr(machine.shutil, "which", lambda name: str(tool))
    found = machine.power()
    assert len(found) == len(words) and all(text in str(one) for text, one in zip(words, found))
    assert all(one.fine for one in found)  # it runs, slowly


def test_without_vcgencmd_the_kernel_knows_about_the_power(pi):
    for name, alarm in (("cpu_thermal", "1"), ("rpi_volt", "0")):
        (pi / "hwmon" / name).mkdir(parents=True)
        (pi / "hwmon" / name / "name").write_text(name + "\n")
        (pi / "hwmon" / name / "in0_lcrit_alarm").write_text(alarm + "\n")
    assert machine.power() == []
    (pi / "hwmon/rpi_volt/in0_lcrit_alarm").write_text("1\n")
    assert "under-voltage" in str(machine.power()[0])


def test_a_card_without_its_driver(pi, bus, monkeypatch):
    (pi / "pci/0000:01:00.0").mkdir(parents=True)
    (pi / "pci/0000:01:00.0/vendor").write_text("0x1ac1\n")
    (pi / "pci/0000:01:00.0/device").write_text("0x089a\n")
    (said,) = map(str, machine.edge_tpu())
    assert said.startswith("problem  Edge TPU on PCIe without") and "kernel=kernel8.img" in said
    monkeypatch.setattr(machine.os, "sysconf", lambda name: 4096)
    assert "kernel8" not in str(machine.edge_tpu()[0])
    (pi / "apex_0").write_text("")
    assert "Edge TPU on PCIe (" in str(machine.edge_tpu()[0])


@pytest.mark.parametrize("build, words", [("max", "500 MHz (max)"), ("std", "250 MHz (std)")])
def test_the_clock_is_that_of_the_installed_build(pi, bus, library, build, words, monkeypatch):
    (pi / f"libedgetpu1-{build}:arm64.list").write_text("")
    monkeypatch.setattr(machine, "_PACKAGES", str(pi))
    bus.plug()
    assert words in "\n".join(map(str, machine.edge_tpu()))
