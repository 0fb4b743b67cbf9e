"""Compiling a bundle, against a stand-in for Google's compiler, which says what it says (stand_in_compiler.py)."""

import json
import stat
from pathlib import Path

import pytest

from appliance.style import bundle
from trainer import compilation
from trainer.cli import main
from trainer.edgetpu import compiler

from .conftest import ROOT


@pytest.fixture
def style(tmp_path):
    path = tmp_path / "tiny.reconet"
    path.write_bytes((ROOT / "tests/data/tiny.reconet").read_bytes())
    return path


@pytest.fixture
def stand_in(tmp_path, monkeypatch):
    """A function that sets what the stand-in does, {segment or "*": behaviour}, and returns the list of its calls."""
    program, log = tmp_path / "edgetpu_compiler", tmp_path / "calls"
    program.write_bytes((Path(__file__).with_name("stand_in_compiler.py")).read_bytes())
    program.chmod(program.stat().st_mode | stat.S_IXUSR)
    log.touch()
    monkeypatch.setenv("EDGETPU_COMPILER", str(program))
    monkeypatch.setenv("STAND_IN_LOG", str(log))

    def behave(**behaviours):
        monkeypatch.setenv("STAND_IN", json.dumps({"*" if k == "rest" else k: v for k, v in behaviours.items()}))
        return lambda: [json.loads(line) for line in log.read_text().splitlines()]

    return behave


def test_the_best_plan_is_compiled_and_put_into_the_bundle(style, stand_in, capsys):
    calls = stand_in(rest="mapped")
    assert main(["compile", str(style)]) == 0
    made = bundle.read(style)
    assert made.manifest.plans[0].name == "fused" and made.manifest.plans[0].compiled
    assert not any(plan.compiled for plan in made.manifest.plans[1:])
    assert made.files["fused_edgetpu.tflite"] == made.files["fused.tflite"]
    assert calls() == [["fused.tflite"]]
    assert made.manifest.provenance["compiled"]["fused.tflite"]["cached_bytes"] == round(1.22 * 2**20)
    assert "all of it on the TPU" in capsys.readouterr().out.replace("\n", " ")


def test_segments_of_a_plan_are_compiled_together(style, stand_in):
    calls = stand_in(fused="large", lowres="internal", rest="mapped")
    assert main(["compile", str(style)]) == 0
    assert calls() == [["fused.tflite"], ["lowres.tflite"], ["encoder.tflite", "decoder1.tflite", "decoder2.tflite"]]
    made = bundle.read(style)
    assert made.manifest.plans[0].name == "split" and made.manifest.plans[0].compiled


def test_a_plan_that_is_not_mapped_whole_is_the_last_resort(style, stand_in, capsys):
    stand_in(fused="partial", lowres="mapped", rest="mapped")
    assert main(["compile", str(style)]) == 0
    assert bundle.read(style).manifest.plans[0].name == "lowres"
    out = capsys.readouterr().out
    assert "TRANSPOSE_CONV" in out and "unspecified limitation" in " ".join(out.split())
    stand_in(fused="partial", rest="large")
    assert main(["compile", str(style)]) == 0
    made = bundle.read(style)
    assert made.manifest.plans[0].name == "fused" and "lowres_edgetpu.tflite" not in made.files


@pytest.mark.parametrize(
    "behaviour, says",
    [
        ("large", "large activation tensors"),
        ("unquantised", "Model not quantized"),
        ("internal", "Internal compiler error"),
        ("crash", "signal 11"),
        ("missing", "left no"),
    ],
)
def test_what_does_not_compile_leaves_the_bundle_untouched(style, stand_in, capsys, behaviour, says):
    stand_in(rest=behaviour)
    before = style.read_bytes()
    assert main(["compile", str(style)]) == 1
    captured = capsys.readouterr()
    assert says in " ".join(captured.out.split())
    assert "no plan compiled" in captured.err and captured.err.count("\n") == 1
    assert style.read_bytes() == before and not list(style.parent.glob(".*"))


def test_a_compiler_that_hangs_is_stopped(style, stand_in, monkeypatch, capsys):
    stand_in(rest="hang")
    before, run = style.read_bytes(), compiler.subprocess.run
    monkeypatch.setattr(compiler.subprocess, "run", lambda *a, timeout, **k: run(*a, timeout=0.5, **k))
    assert main(["compile", str(style), "--timeout", "1"]) == 1
    assert "did not end within" in capsys.readouterr().out and style.read_bytes() == before


def test_without_the_compiler_one_line_says_where_it_is_documented(style, monkeypatch, capsys):
    monkeypatch.setenv("EDGETPU_COMPILER", "no-such-compiler")
    before = style.read_bytes()
    assert main(["compile", str(style)]) == 3
    error = capsys.readouterr().err
    assert error.count("\n") == 1 and "https://coral.ai/docs/edgetpu/compiler/" in error
    assert style.read_bytes() == before


def test_a_sweep_goes_on_with_smaller_frames(style, stand_in, tmp_path):
    calls = stand_in(fused="large", lowres="large", encoder="large", rest="mapped")
    small = tmp_path / "small.reconet"
    fields = json.loads(bundle.read(style).manifest.model_dump_json(exclude_none=True))
    fields["plans"] = [{"name": "lowres", "stages": [{"segment": "small.tflite"}, {"shuffle": "pixels", "factor": 4}]}]
    files = dict(bundle.read(style).files)
    files = {"small.tflite": files["lowres.tflite"], "preview.jpg": files["preview.jpg"]}
    del fields["files"]
    bundle.write(small, fields, files)
    assert compilation.compile_bundle(style, smaller=[("smaller", lambda: small)]) == "lowres"
    assert calls()[-1] == ["small.tflite"] and bundle.read(style).manifest.plans[0].compiled


def test_smaller_sizes_keep_the_shape():
    assert compilation.smaller_sizes((216, 512)) == [(192, 448), (160, 384), (136, 320), (112, 256)]


def test_what_the_real_compiler_prints_is_understood():
    said = """Edge TPU Compiler version 16.0.384591198
Started a compilation timeout timer of 180 seconds.

Model compiled successfully in 2653 ms.

Input model: x.tflite
Input size: 7.31MiB
Output model: x_edgetpu.tflite
Output size: 8.14MiB
On-chip memory used for caching model parameters: 6.89MiB
On-chip memory remaining for caching model parameters: 1.00KiB
Off-chip memory used for streaming uncached model parameters: 175.00KiB
Number of Edge TPU subgraphs: 1
Total number of operations: 229
Operation log: x_edgetpu.log

Operator                       Count      Status

CONV_2D                        80         Mapped to Edge TPU
RESHAPE                        15         More than one subgraph is not supported
Compilation child process completed within timeout period.
Compilation succeeded!
"""
    (report,) = compiler.parse(said)
    assert (report.segment, report.on_tpu, report.on_cpu) == ("x.tflite", 80, 15)
    assert (report.cached, report.streamed) == (round(6.89 * 2**20), 175 * 1024)
