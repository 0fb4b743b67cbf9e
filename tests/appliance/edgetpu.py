"""A stand-in for libedgetpu, sticks on a simulated USB bus, and a style that is compiled for them."""

import os
import shutil
import subprocess
from pathlib import Path

import pytest

from appliance.engine import delegate, devices
from appliance.style import bundle

SOURCE = Path(__file__).with_name("stand_in_delegate.c")
SEGMENT = (Path(__file__).parents[1] / "data/custom_op.tflite").read_bytes()  # see custom_op.py


class Bus:
    """The USB bus in `folder`, with the fields of an EdgeTpu's files in sysfs."""

    def __init__(self, folder):
        self.sysfs, self.nodes, self._number = folder / "sysfs", folder / "nodes", 3
        self.sysfs.mkdir()

    def plug(self, name="2-1", vendor="18d1", product="9302", speed=5000):
        self._number += 1
        (self.sysfs / name).mkdir()
        fields = {"idVendor": vendor, "idProduct": product, "busnum": 2, "devnum": self._number, "speed": speed}
        for field, value in fields.items():
            (self.sysfs / name / field).write_text(f"{value}\n")
        node = self.nodes / "002" / f"{self._number:03}"
        node.parent.mkdir(parents=True, exist_ok=True)
        node.write_text("")
        return node

    def unplug(self, name="2-1"):
        shutil.rmtree(str(self.sysfs / name))


@pytest.fixture
def bus(tmp_path, monkeypatch):
    """An empty bus, and no card."""
    (tmp_path / "usb").mkdir()
    one = Bus(tmp_path / "usb")
    monkeypatch.setattr(devices, "APEX", tmp_path / "apex_0")
    monkeypatch.setattr(devices, "USB", one.sysfs)
    monkeypatch.setattr(devices, "NODES", one.nodes)
    monkeypatch.setattr(devices, "_wanted", devices.AUTO)
    return one


@pytest.fixture(scope="session")
def built(tmp_path_factory):
    """The path of the stand-in library."""
    compiler = shutil.which("cc")
    if not compiler:
        pytest.skip("no C compiler is on this machine (cc), to build the stand-in for libedgetpu")
    path = tmp_path_factory.mktemp("library") / "libstand_in_edgetpu.so"
    subprocess.check_call([compiler, "-O1", "-shared", "-fPIC", "-Wall", "-Werror", "-o", str(path), str(SOURCE)])
    return path


@pytest.fixture
def library(built, bus, tmp_path, monkeypatch):
    """The stand-in installed; `library(behaviour)` says what it does, `library.opened()` who opened a device."""

    class Library:
        log = tmp_path / "opened"

        def __call__(self, behaviour):
            monkeypatch.setenv("STAND_IN_EDGETPU", behaviour)

        def opened(self):
            return [line.split() for line in self.log.read_text().splitlines()] if self.log.exists() else []

    one = Library()
    monkeypatch.setattr(delegate, "LIBRARY", str(built))
    monkeypatch.setattr(delegate, "_rehearsed", set())
    monkeypatch.setenv("STAND_IN_LOG", str(one.log))
    one("run")
    assert os.environ["STAND_IN_EDGETPU"] == "run"
    return one


@pytest.fixture
def compiled(tiny):
    """Writes the small style to a path, its plan "fused" for the CPU and, as one operation, for the Edge TPU."""

    def write(path):
        fields = tiny.manifest.model_dump(exclude_none=True)
        del fields["files"]
        fields["plans"] = [{"name": "fused", "stages": [{"segment": "fused.tflite", "edgetpu": "tpu.tflite"}]}]
        fields["name"] = path.stem
        files = {name: tiny.files[name] for name in ("fused.tflite", "preview.jpg")}
        return bundle.write(path, fields, {**files, "tpu.tflite": SEGMENT})

    return write
