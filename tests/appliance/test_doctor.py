"""What `reconet doctor` reports on a simulated board."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from appliance import doctor, findings
from appliance.camera import v4l2
from appliance.choice import Measured
from appliance.engine import interpreter
from appliance.errors import Problem
from appliance.host import status, tpu
from appliance.style import bundle, state

from .test_trial import RUNTIME

ROOT = Path(__file__).parents[2]


class Stream:
    path, size, fps = "/dev/video0", (1280, 720), 30.0

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


def test_a_bad_configuration(board):
    with open(board[0], "a") as file:
        file.write("[camera]\nfsp = 3\n")
    fine, text = said(board[0])
    assert not fine and "camera.fsp = 3: unknown key" in text


def test_a_node_that_may_not_be_used_names_user_and_group(board, monkeypatch):
    node = board[1]["/dev/video*"][0]
    monkeypatch.setattr(findings.os, "access", lambda path, mode: path != node)  # root may use everything
    fine, text = said(board[0])
    assert not fine and "may not use it: usermod -aG" in text


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


def test_an_old_edge_tpu_runtime(board, styles, tiny, monkeypatch):
    fields = json.loads(tiny.manifest.model_dump_json(exclude_none=True))
    fields["provenance"]["compiled"] = {"fused.tflite": {"compiler": "16.0.384591198"}}
    bundle.write(styles / "tiny.reconet", fields, tiny.files)
    monkeypatch.setattr(interpreter, "edge_tpu_runtime", lambda: 13)
    assert "tiny needs Edge TPU runtime 14, here is 13" in said(board[0])[1]
    monkeypatch.setattr(interpreter, "edge_tpu_runtime", lambda: 14)
    assert "needs Edge TPU runtime" not in said(board[0])[1]


def test_a_hot_edge_tpu(board, monkeypatch):
    monkeypatch.setattr(tpu, "read", lambda: tpu.Tpu(91.0, (85.0, 90.0, 95.0), owner=7, owner_name="frigate"))
    fine, text = said(board[0])
    assert fine and "problem  Edge TPU at 91 degC" in text and "used by frigate (process 7)" in text


def test_the_size_that_is_chosen(board, styles, tiny):
    assert "ok       style tiny: its size is measured when it first runs" in said(board[0])[1]
    runtime = interpreter.runtimes()[0]
    rows = [Measured("fused", (64, 32), 41.25), Measured("split", (64, 32), 12.0)]
    state.note(styles, tiny.digest, state.device(str(runtime), "CPU", 0), rows)
    words = "64x32 by plan fused, measured at 41.2 fps of 30 wanted: the largest measured that holds 30 fps"
    assert f"ok       style tiny is to run at {words}" in said(board[0])[1]
    now = status.Status(digest=tiny.digest, plan="fused", size="64x32", why="stepped down from 96x48: too hot")
    status.write(os.path.join(os.path.dirname(board[0]), "status.json"), now)
    assert "ok       style tiny runs at 64x32 by plan fused: stepped down from 96x48" in said(board[0])[1]
