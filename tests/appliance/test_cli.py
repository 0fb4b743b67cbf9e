import os
import re
import signal
import subprocess
import sys
from pathlib import Path

import pytest
from PIL import Image

from appliance.cli import main

ROOT = Path(__file__).parents[2]


@pytest.fixture
def reconet(styles, capfd):
    """Run the command in this process: (exit code, stdout, lines of stderr that are ours)."""

    def run(*arguments):
        try:
            code = main([str(argument) for argument in arguments])
        except SystemExit as leaving:
            code = leaving.code
        out, err = capfd.readouterr()
        return code, out, [line for line in err.splitlines() if not line.startswith(("INFO:", "WARNING:"))]

    return run


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
    assert Image.open(str(tmp_path / "out" / "frame_000001.png")).size == (64, 32)


def test_every_frame_of_the_virtual_camera(reconet, tmp_path):
    sheet = tmp_path / "sheet.png"
    code, out, _ = reconet("run", "--every-frame", "--seconds", "0.5", "--sheet", sheet, "--stats")
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
        (["run", "--sheet", "{tmp}/a.jpg"], "PNG"),
        (["run", "--sheet", "{tmp}/a.png", "--display", "{tmp}/a.png"], "same file"),
        (["run", "--camera", "{tmp}/bad.reconet", "--display", "{tmp}/../{name}/bad.reconet"], "same file"),
    ],
)
def test_bad_input_is_one_line(reconet, tmp_path, arguments, words):
    (tmp_path / "empty").mkdir()
    (tmp_path / "bad.reconet").write_bytes(b"nonsense")
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
    ],
)
def test_wrong_usage_is_one_line_and_code_2(reconet, arguments):
    code, out, err = reconet(*arguments)
    assert code == 2 and out == "" and len(err) == 1 and err[0].startswith("reconet: ")


def test_a_picture_that_breaks_in_the_middle_leaves_nothing(reconet, pictures, tmp_path):
    (pictures / "3.png").write_bytes(b"text")
    code, _, err = reconet("run", "--camera", pictures, "--display", tmp_path / "out", "--sheet", tmp_path / "s.png")
    assert code == 1 and len(err) == 1 and "3.png" in err[0]
    assert sorted(os.listdir(str(tmp_path))) == ["pictures", "styles"]


def test_styles_lists_the_good_and_the_refused(reconet, styles):
    (styles / "bad.reconet").write_bytes(b"nonsense")
    code, out, _ = reconet("styles")
    assert code == 0
    assert re.search(r"^tiny .* 64x32 .*split.* CPU .*tiny\.reconet$", out, re.MULTILINE)
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


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_finishes_the_film(styles, tmp_path, number):
    process = subprocess.Popen(
        [sys.executable, "-m", "appliance", "run", "--display", str(tmp_path / "out"), "--every-frame"],
        cwd=str(ROOT),
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        universal_newlines=True,
    )
    while not any(name.endswith(".part") and os.listdir(str(tmp_path / name)) for name in os.listdir(str(tmp_path))):
        assert process.poll() is None
    process.send_signal(number)
    out, err = process.communicate()
    assert process.returncode == 0, err
    assert re.match(r"\d+ frames", out)
    assert len(os.listdir(str(tmp_path / "out"))) == int(out.split()[0])
