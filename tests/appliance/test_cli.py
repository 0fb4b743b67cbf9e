import errno
import json
import os
import re
import signal
import subprocess
import sys
from pathlib import Path

import pytest
from PIL import Image

from .fake_v4l2 import Device

ROOT = Path(__file__).parents[2]


@pytest.fixture
def pictures(tmp_path):
    folder = tmp_path / "pictures"
    folder.mkdir()
    for number in range(6):
        Image.new("RGB", (100, 60), (40 * number, 80, 120)).save(str(folder / f"{number}.png"))
    return folder


def test_run_ends_with_one_line(reconet, pictures, tmp_path):
    code, out, err = reconet("run", "--camera", pictures, "--display", tmp_path / "out", "--style", "tiny")
    assert code == 0 and err == []
    assert re.match(r"6 frames, [\d.]+ fps, style tiny, plan \w+, runtime \w+ [\d.]+\w* \(CPU\)\n$", out)
    assert len(os.listdir(str(tmp_path / "out"))) == 6
    assert Image.open(str(tmp_path / "out" / "frame_000001.png")).size == (60, 36)


def test_every_frame_of_the_virtual_camera(reconet, tmp_path):
    sheet = tmp_path / "sheet.png"
    code, out, _ = reconet("run", "--every-frame", "--seconds", "0.5", "--sheet", sheet, "--stats", "--fit", "crop")
    assert code == 0 and out.startswith("15 frames")
    assert "captured 15, stylised 15, shown 15, dropped 0" in out and " ms  input" in out
    assert Image.open(str(sheet)).size == (3 * 64 + 2 * 8, 2 * 32 + 8)


def test_a_video_in_and_out(reconet, tmp_path):
    pytest.importorskip("av", reason="PyAV is not installed")
    first, second = tmp_path / "a.mp4", tmp_path / "b.mp4"
    assert reconet("run", "--every-frame", "--seconds", "1", "--display", first)[0] == 0
    code, out, _ = reconet("run", "--camera", first, "--display", second, "--seconds", "0.5")
    assert code == 0 and out.startswith("15 frames")


@pytest.mark.parametrize(
    "arguments, words",
    [
        (["run", "--camera", "none.mp4"], "no video or folder of pictures"),
        (["run", "--camera", "{tmp}/empty"], "no pictures"),
        (["run", "--style", "guernica"], "there is tiny"),
        (["run", "--style", "{tmp}/none.reconet"], "No such file"),
        (["run", "--style", "{tmp}/bad.reconet"], "not a style bundle"),
        (["run", "--plan", "fast"], "no plan 'fast'"),
        (["run", "--display", "a.gif"], "unknown kind '.gif'"),
        (["run", "--display", "{tmp}/none/out"], "create the folder"),
        (["run", "--display", "{tmp}"], "not empty"),
        (["run", "--sheet", "{tmp}/none/a.png"], "create the folder"),
        (["run", "--display", "{tmp}/bad"], "it is a file: name a new folder"),
        (["run", "--display", "{tmp}/bad/"], "it is a file: name a new folder"),
        (["run", "--camera", "/dev/video999"], "it is not there"),
        (["run", "--camera", "/dev/null"], "it is not a camera"),
        (["run", "--camera", "/dev/zero", "--seconds", "1"], "cannot use the camera /dev/zero"),
        (["run", "--camera", "/dev/full"], "cannot use the camera /dev/full"),
        (["run", "--size", "63x47", "--fit", "crop"], "multiples of 4"),
        (["run", "--sheet", "{tmp}/a.jpg"], "PNG"),
        (["run", "--sheet", "{tmp}/a.png", "--display", "{tmp}/a.png"], "same file"),
        (["run", "--camera", "{tmp}/bad.reconet", "--display", "{tmp}/../{name}/bad.reconet"], "same file"),
    ],
)
def test_bad_input_is_one_line(reconet, tmp_path, arguments, words):
    (tmp_path / "empty").mkdir()
    (tmp_path / "bad.reconet").write_bytes(b"nonsense")
    (tmp_path / "bad").write_bytes(b"nonsense")
    before = sorted(os.listdir(str(tmp_path)))
    code, out, err = reconet(*(argument.format(tmp=tmp_path, name=tmp_path.name) for argument in arguments))
    assert code == 1 and out == "" and len(err) == 1
    assert err[0].startswith("reconet: ") and words in err[0]
    assert sorted(os.listdir(str(tmp_path))) == before


@pytest.mark.parametrize(
    "arguments",
    [
        [],
        ["paint"],
        ["run", "--seconds", "0"],
        ["run", "--seconds", "-1"],
        ["run", "--seconds", "nan"],
        ["run", "--seconds", "soon"],
        ["run", "--threads", "0"],
        ["run", "--colour"],
        ["run", "--camera", ""],
        ["run", "--display", ""],
        ["run", "--style", ""],
        ["run", "--plan", ""],
        ["run", "--sheet", ""],
        ["run", "--config", ""],
        ["run", "--fit", "wide"],
    ],
)
def test_wrong_usage_is_one_line_and_code_2(reconet, arguments):
    code, out, err = reconet(*arguments)
    assert code == 2 and out == "" and len(err) == 1 and err[0].startswith("reconet: ")


def test_a_picture_that_breaks_in_the_middle_leaves_nothing(reconet, pictures, tmp_path):
    (pictures / "3.png").write_bytes(b"text")
    outputs = "--display", tmp_path / "out", "--sheet", tmp_path / "s.png"
    code, _, err = reconet("run", "--camera", pictures, *outputs, "--strict")
    assert code == 1 and len(err) == 1 and "3.png" in err[0]
    assert sorted(os.listdir(str(tmp_path))) == ["pictures", "styles"]


def test_broken_pictures_among_others_are_named_and_left_out(reconet, pictures, tmp_path):
    for name in ("0.png", "3.png"):
        (pictures / name).write_bytes(b"text")
    code, out, err = reconet("run", "--camera", pictures, "--display", tmp_path / "out", "--json")
    assert code == 1 and len(os.listdir(str(tmp_path / "out"))) == 4
    assert "0.png" in err[0] and "3.png" in err[1] and "2 pictures could not be read" in err[2] and len(err) == 3
    document = json.loads(out)
    assert document["frames"] == 4 and len(document["skipped"]) == 2 and document["style"] == "tiny"


def test_pictures_of_which_none_can_be_read(reconet, tmp_path):
    (tmp_path / "in").mkdir()
    for name in ("0.png", "1.jpg"):
        (tmp_path / "in" / name).write_bytes(b"text")
    code, out, err = reconet("run", "--camera", tmp_path / "in", "--display", tmp_path / "out")
    assert code == 1 and out == "" and "none of the pictures" in err[-1]
    assert sorted(os.listdir(str(tmp_path))) == ["in", "styles"]


def test_styles_lists_the_good_and_the_refused(reconet, styles):
    (styles / "bad.reconet").write_bytes(b"nonsense")
    code, out, _ = reconet("styles")
    assert code == 0
    assert re.search(r"^tiny .* 64x32 .*split.* CPU .*tiny\.reconet$", out, re.MULTILINE)
    assert re.search(r"^default: tiny, which reconet run takes", out, re.MULTILINE)
    assert re.search(r"^refused: .*bad\.reconet: not a style bundle", out, re.MULTILINE)


def test_no_styles_is_an_error_with_advice(reconet, styles):
    (styles / "tiny.reconet").unlink()
    code, _, err = reconet("styles")
    assert code == 1 and len(err) == 1 and "RECONET_STYLES" in err[0]


def test_doctor_is_content_when_run_would_work(reconet):
    code, out, err = reconet("doctor")
    assert code == 0 and err == []
    assert all(re.match(r"(ok|missing|problem) +\S", line) for line in out.splitlines())
    assert re.search(r"^ok +style tiny runs on the CPU", out, re.MULTILINE)


def test_doctor_is_not_content_without_a_style(reconet, styles):
    (styles / "tiny.reconet").write_bytes(b"nonsense")
    code, out, _ = reconet("doctor")
    assert code == 1 and "missing  style" in out and "problem  style refused" in out


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
def test_a_signal_finishes_the_film(styles, tmp_path, number):
    process = subprocess.Popen(
        [sys.executable, "-m", "appliance", "run", "--display", str(tmp_path / "out"), "--every-frame"],
        cwd=str(ROOT),
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        universal_newlines=True,
        # These tests may themselves run under nohup or in the background, where it is ignored.
        preexec_fn=lambda: signal.signal(number, signal.SIG_DFL),
    )
    while not any(name.endswith(".part") and os.listdir(str(tmp_path / name)) for name in os.listdir(str(tmp_path))):
        assert process.poll() is None
    process.send_signal(number)
    out, err = process.communicate()
    assert process.returncode == 0, err
    assert re.match(r"\d+ frames", out)
    assert len(os.listdir(str(tmp_path / "out"))) == int(out.split()[0])


@pytest.mark.parametrize(
    "arguments", [["styles"], ["doctor"], ["--help"], ["run", "--every-frame", "--seconds", "0.1"]]
)
def test_a_stdout_that_takes_no_more_is_one_line(styles, arguments):
    with open("/dev/full", "w") as full:
        done = subprocess.run(
            [sys.executable, "-m", "appliance", *arguments],
            cwd=str(ROOT),
            stdout=full,
            stderr=subprocess.PIPE,
            universal_newlines=True,
        )
    lines = [line for line in done.stderr.splitlines() if not line.startswith("INFO:")]
    assert done.returncode == 1 and lines == ["reconet: cannot write to stdout: no space left on device"]


def test_a_camera_that_goes_away_says_so_while_it_waits(reconet, kernel):
    device = kernel.devices["/dev/video999"] = Device(size=(64, 32))
    device.faults = {"poll": [0, 0, 0, errno.ENODEV], "open": [0, 0] + [errno.ENODEV] * 1000}
    code, out, err = reconet("run", "--camera", "/dev/video999", "--seconds", "1")
    assert code == 0 and re.match("[1-3] frame", out)
    assert err == ["reconet: cannot use the camera /dev/video999: it was unplugged: plug it in again"]


def test_a_camera_that_gives_no_picture_is_an_error(reconet, kernel):
    device = kernel.devices["/dev/video999"] = Device(size=(64, 32))
    device.faults = {"poll": [errno.EIO] * 1000}
    code, out, err = reconet("run", "--camera", "/dev/video999", "--seconds", "0.1")
    assert code == 1 and out == "" and "input/output error" in err[-1]


def test_a_monitor_that_is_not_there(reconet, card, pictures, tmp_path):
    card.connectors.clear()
    code, out, err = reconet("run", "--camera", pictures, "--display", "monitor")
    assert code == 1 and out == "" and len(err) == 1 and err[0].startswith("reconet: ")
