"""What `reconet doctor` reports on a simulated board."""

import json
import os
import shlex
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

from appliance import doctor, findings, machine
from appliance.camera import v4l2
from appliance.choice import Measured
from appliance.engine import devices, interpreter
from appliance.errors import Problem
from appliance.host import status, tpu
from appliance.style import bundle, state

from .test_trial import RUNTIME

ROOT = Path(__file__).parents[2]


class Stream:
    path, size, fps, pixels = "/dev/video0", (1280, 720), 30.0, "YUYV"

    def close(self):
        pass


@pytest.fixture
def board(styles, tmp_path, monkeypatch):
    """A board on which all is well: (the path of its configuration, the nodes in /dev)."""
    for name in ("video0", "card0"):
        (tmp_path / name).write_text("")
    (tmp_path / "status").write_text("connected\n")
    nodes = {
        "/dev/video*": [str(tmp_path / "video0")],
        "/dev/dri/card*": [str(tmp_path / "card0")],
        "/sys/class/drm/card*-*/status": [str(tmp_path / "status")],
    }
    monkeypatch.setattr(doctor.glob, "glob", lambda pattern, **_: nodes[pattern])
    monkeypatch.setattr(v4l2, "open_first", lambda *_: Stream())
    monkeypatch.setattr(doctor.ctypes.util, "find_library", lambda name: f"lib{name}.so")
    monkeypatch.setattr(tpu, "read", lambda: None)
    path = tmp_path / "config.toml"
    path.write_text(f'[style]\nfolder = "{styles}"\n[host]\nstatus = "{tmp_path}/status.json"\n')
    return str(path), nodes


def said(path):
    found = doctor.examine(path)
    return all(finding.fine for finding in found), "\n".join(map(str, found))


def test_all_is_well(board):
    fine, text = said(board[0])
    assert fine, text
    assert "ok       camera /dev/video0 gives 1280x720 at 30 fps" in text and "ok       monitor on" in text
    assert f"ok       configuration {board[0]}" in text and "MB free" in text


@pytest.mark.parametrize(
    "pattern, words",
    [
        ("/dev/video*", "missing  camera"),
        ("/dev/dri/card*", "missing  display"),
        ("/sys/class/drm/card*-*/status", "missing  monitor"),
    ],
)
def test_what_the_appliance_cannot_do_without(board, pattern, words):
    board[1][pattern] = []
    fine, text = said(board[0])
    assert not fine and words in text


def test_a_camera_that_does_not_work(board, monkeypatch):
    def refuse(*_):
        raise Problem("/dev/video0 offers MJPG, not YUYV: use a camera that offers YUYV")

    monkeypatch.setattr(v4l2, "open_first", refuse)
    fine, text = said(board[0])
    assert not fine and "problem  camera  -  /dev/video0 offers MJPG" in text


def test_the_virtual_camera_needs_no_node(board):
    with open(board[0], "a") as file:
        file.write('[camera]\ndevice = "virtual"\n')
    board[1]["/dev/video*"] = []
    assert "ok       camera: the virtual one" in said(board[0])[1]


def test_a_bad_configuration(board):
    with open(board[0], "a") as file:
        file.write("[camera]\nfsp = 3\n")
    fine, text = said(board[0])
    assert not fine and "camera.fsp = 3: unknown key" in text


def test_a_node_that_may_not_be_used_names_user_and_group(board, monkeypatch):
    node = board[1]["/dev/video*"][0]
    monkeypatch.setattr(findings.os, "access", lambda path, mode: path != node)  # root may use everything
    fine, text = said(board[0])
    assert not fine and "has no permission to use it: usermod -aG" in text


def test_a_group_without_a_name_is_a_number(board, monkeypatch):
    def unknown(number):
        raise KeyError(f"getgrgid(): gid not found: {number}")

    node = board[1]["/dev/video*"][0]
    monkeypatch.setattr(findings.os, "access", lambda path, mode: path != node)
    monkeypatch.setattr(findings.grp, "getgrgid", unknown)
    assert f"its group {os.stat(node).st_gid} has no name here: groupadd -g " in said(board[0])[1]


def test_a_style_that_crashes_the_runtime_does_not_crash_doctor(styles, tmp_path):
    for package in ("ai_edge_litert", "tflite_runtime"):
        (tmp_path / package).mkdir()
        (tmp_path / package / "__init__.py").write_text("")
        (tmp_path / package / "interpreter.py").write_text(RUNTIME.format("os.kill(os.getpid(), signal.SIGSEGV)"))
    done = subprocess.run(
        [sys.executable, "-m", "appliance", "doctor"],
        cwd=str(ROOT),
        env=dict(os.environ, PYTHONPATH=str(tmp_path)),
        stdout=subprocess.PIPE,
        universal_newlines=True,
    )
    assert done.returncode == 1
    assert "problem  running style tiny" in done.stdout and "crashed the interpreter (signal 11)" in done.stdout


def test_an_old_edge_tpu_runtime(board, styles, tiny, tmp_path, monkeypatch):
    fields = json.loads(tiny.manifest.model_dump_json(exclude_none=True))
    fields["provenance"]["compiled"] = {"fused.tflite": {"compiler": "16.0.384591198"}}
    bundle.write(styles / "tiny.reconet", fields, tiny.files)
    monkeypatch.setattr(machine, "edge_tpu_runtime", lambda: 13)
    monkeypatch.setattr(machine, "_RELEASE", str(tmp_path / "os-release"))
    for system, advice in (("debian", "docs/hosts.md says which build"), ("mendel", "apt install libedgetpu1-std")):
        (tmp_path / "os-release").write_text(f"NAME=Linux\nID={system}\n")
        (line,) = [line for line in said(board[0])[1].splitlines() if "tiny needs Edge TPU runtime 14" in line]
        assert "this machine has 13" in line and advice in line
    monkeypatch.setattr(machine, "edge_tpu_runtime", lambda: 14)
    assert "needs Edge TPU runtime" not in said(board[0])[1]


def test_a_hot_edge_tpu(board, tmp_path, monkeypatch):
    monkeypatch.setattr(devices, "APEX", tmp_path / "apex_0")
    (tmp_path / "apex_0").write_text("")
    monkeypatch.setattr(tpu, "read", lambda: tpu.Tpu(91.0, (85.0, 90.0, 95.0), owner=7, owner_name="frigate"))
    fine, text = said(board[0])
    assert fine and "problem  Edge TPU at 91 degC" in text and "used by frigate (process 7)" in text


def test_an_edge_tpu_that_is_not_there(board, bus):
    bus.plug()
    with open(board[0], "a") as file:
        file.write('[engine]\ndevice = "usb:1"\n')
    fine, text = said(board[0])
    assert fine and "problem  Edge TPU not usable  -  no Edge TPU usb:1: this machine has usb:0" in text


def test_no_display_is_needed_where_none_is_configured(board):
    board[1]["/dev/dri/card*"] = []
    with open(board[0], "a") as file:
        file.write('[display]\nconnector = "none"\n')
    fine, text = said(board[0])
    assert fine and "ok       display: none, as configured" in text


@pytest.mark.parametrize("connector, there", [("HDMI-A-1", True), ("HDMI-A-2", False)])
def test_the_monitor_is_on_the_connector_that_is_configured(board, tmp_path, connector, there):
    (tmp_path / "card0-HDMI-A-1").mkdir()
    (tmp_path / "card0-HDMI-A-1/status").write_text("connected\n")
    board[1]["/sys/class/drm/card*-*/status"] = [str(tmp_path / "card0-HDMI-A-1/status")]
    with open(board[0], "a") as file:
        file.write(f'[display]\nconnector = "{connector}"\n')
    fine, text = said(board[0])
    assert fine == there and f"{'ok     ' if there else 'missing'}  monitor on " in text


@pytest.mark.parametrize(
    "line, fine, words",
    [
        ('plan = "nope"', True, "there is no plan nope as configured"),
        ('size = "641x361"', True, "641x361 as configured cannot be had"),
        ('runtime = "pycoral"', False, "it has no plan for the runtime 'pycoral'"),
    ],
)
def test_what_is_configured_but_not_here_is_said_as_the_daemon_says_it(board, line, fine, words):
    with open(board[0], "a") as file:
        file.write(f"[engine]\n{line}\n")
    found, text = said(board[0])
    assert found == fine and words in text and "ok       style tiny runs on the CPU" in text


HIDE = """
import importlib.util, os, sys

class Hidden:
    def find_spec(self, name, path=None, target=None):
        if name in os.environ["HIDDEN"].split() and not any(
            os.path.exists(os.path.join(os.environ["PIP_TARGET"], name + end)) for end in ("", ".py")
        ):
            raise ModuleNotFoundError(name, name=name)

sys.meta_path.insert(0, Hidden())
"""


def wheel_of(name, folder):
    """The installed distribution `name` as a wheel again, for a pip that may not use the network."""
    try:
        from importlib import metadata
    except ImportError:
        metadata = pytest.importorskip("importlib_metadata")
    found = metadata.distribution(name)
    stem = f"{found.metadata['Name'].replace('-', '_')}-{found.version}-py3-none-any.whl"
    with zipfile.ZipFile(str(folder / stem), "w") as wheel:
        for path in found.files:
            if ".." not in path.parts and not str(path).endswith(".pyc") and path.locate().exists():
                wheel.write(str(path.locate()), str(path))


@pytest.mark.parametrize("module, package", [("v4l2", "v4l2-python3"), ("inotify_simple", "inotify-simple")])
def test_its_advice_helps_who_follows_it(styles, tmp_path, module, package):
    pytest.importorskip(module)
    pytest.importorskip("pip")
    for name in ("site", "wheels", "target"):
        (tmp_path / name).mkdir()
    (tmp_path / "site/sitecustomize.py").write_text(HIDE)
    wheel_of(package, tmp_path / "wheels")
    environment = {
        **{name: value for name, value in os.environ.items() if not name.startswith("PIP_")},
        "HIDDEN": module,
        "PYTHONPATH": os.pathsep.join(map(str, (tmp_path / "site", tmp_path / "target", ROOT))),
        "PIP_TARGET": str(tmp_path / "target"),
        "PIP_NO_INDEX": "1",
        "PIP_FIND_LINKS": str(tmp_path / "wheels"),
        "PIP_NO_DEPS": "1",
    }

    def finding():
        done = subprocess.run(
            [sys.executable, "-m", "appliance", "doctor"],
            env=environment,
            stdout=subprocess.PIPE,
            universal_newlines=True,
        )
        return next(line for line in done.stdout.splitlines() if line[9:].startswith((package, module)))

    before = finding()
    assert before.startswith("missing ")
    advice = before.split("  -  ")[1]
    subprocess.run(advice, shell=True, check=True, env=environment, stdout=subprocess.DEVNULL)
    assert finding().startswith("ok ")


@pytest.mark.parametrize(
    "system, advice",
    [("debian", "install the package reconet again"), ("mendel", "apt install python3-tflite-runtime")],
)
def test_a_missing_runtime_comes_from_where_the_host_has_it(tmp_path, monkeypatch, system, advice):
    def none(*_):
        raise Problem("no TensorFlow Lite runtime")

    (tmp_path / "os-release").write_text(f"NAME=Linux\nID={system}\n")
    monkeypatch.setattr(machine, "_RELEASE", str(tmp_path / "os-release"))
    monkeypatch.setattr(interpreter, "runtimes", none)
    assert list(map(str, doctor._runtimes(True))) == [f"missing  TensorFlow Lite runtime  -  {advice}"]


def test_what_a_workstation_lacks_is_installed_by_name(styles, monkeypatch):
    def none(*_):
        raise Problem("no TensorFlow Lite runtime")

    monkeypatch.setattr(interpreter, "runtimes", none)
    monkeypatch.setitem(sys.modules, "av", None)
    text = "\n".join(map(str, doctor.examine(None)))
    for package in ("av>=14,<20", "ai-edge-litert>=2.0,<3" if sys.version_info >= (3, 10) else "tflite-runtime"):
        assert f"{sys.executable} -m pip install {shlex.quote(package)}" in text


def test_the_size_that_is_chosen(board, styles, tiny, monkeypatch):
    monkeypatch.setattr(status, "STALE_S", 600.0)  # a doctor on a busy machine takes longer than the usual 5
    assert "ok       style tiny: its size is measured when it first runs" in said(board[0])[1]
    runtime = interpreter.runtimes()[0]
    rows = [Measured("fused", (64, 32), 41.25), Measured("split", (64, 32), 12.0)]
    state.note(styles, tiny.digest, state.device(str(runtime), "CPU", 0), rows)
    words = "64x32 by plan fused, measured at 41.2 fps of 30 wanted: the largest measured that holds 30 fps"
    assert f"ok       style tiny will run at {words}" in said(board[0])[1]
    now = status.Status(digest=tiny.digest, plan="fused", size="64x32", why="stepped down from 96x48: too hot")
    status.write(os.path.join(os.path.dirname(board[0]), "status.json"), now)
    assert "ok       style tiny runs at 64x32 by plan fused: stepped down from 96x48" in said(board[0])[1]
