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
    assert made.files["fused_64x32_edgetpu.tflite"] == made.files["fused.tflite"]
    assert calls() == [["fused_64x32.tflite"]]
    assert made.manifest.provenance["compiled"]["fused_64x32.tflite"]["cached_bytes"] == round(1.22 * 2**20)
    assert "all operations on the TPU" in capsys.readouterr().out.replace("\n", " ")


def test_the_lite_plan_is_for_the_cpu(style, stand_in):
    whole = bundle.read(style)
    fields = whole.manifest.model_dump(exclude_none=True, exclude={"files"})
    fields["plans"] = [{**fields["plans"][1], "name": "lite"}]
    bundle.write(style, fields, {name: whole.files[name] for name in ("fused.tflite", "preview.jpg")})
    calls = stand_in(rest="mapped")
    assert main(["compile", str(style), "--sizes", "64x32"]) == 1 and calls() == []


def test_segments_of_a_plan_are_compiled_together(style, stand_in):
    calls = stand_in(fused="large", lowres="internal", rest="mapped")
    assert main(["compile", str(style)]) == 0
    split = ["split_encoder_64x32.tflite", "split_decoder1_64x32.tflite", "split_decoder2_64x32.tflite"]
    assert calls() == [["fused_64x32.tflite"], ["lowres_64x32.tflite"], split]
    made = bundle.read(style)
    assert made.manifest.plans[0].name == "split" and made.manifest.plans[0].compiled


def test_segments_that_keep_planes_are_compiled_for_each_size(style, stand_in):
    style.write_bytes((ROOT / "tests/data/tiny_kept.reconet").read_bytes())
    stand_in(rest="mapped")
    assert main(["compile", str(style), "--sizes", "64x32,96x64"]) == 0
    made = bundle.read(style)
    (plan,) = made.manifest.plans
    assert made.manifest.format == 3 and set(made.manifest.compiled(plan)) == {(64, 32), (96, 64)}
    for size in made.manifest.compiled(plan):
        assert made.compiled(plan, size) == made.build(plan, size)  # what the stand-in makes


def test_a_plan_that_is_not_mapped_whole_is_the_last_resort(style, stand_in, capsys):
    stand_in(fused="partial", lowres="mapped", rest="mapped")
    assert main(["compile", str(style)]) == 0
    assert bundle.read(style).manifest.plans[0].name == "lowres"
    out = capsys.readouterr().out
    assert "TRANSPOSE_CONV" in out and "unspecified limitation" in " ".join(out.split())
    stand_in(fused="partial", rest="large")
    assert main(["compile", str(style)]) == 0
    made = bundle.read(style)
    assert made.manifest.plans[0].name == "fused" and "lowres_64x32_edgetpu.tflite" not in made.files


@pytest.mark.parametrize(
    "behaviour, says",
    [
        ("large", "large activation tensors"),
        ("unquantised", "Model not quantized"),
        ("internal", "Internal compiler error"),
        ("crash", "signal 11"),
        ("missing", "wrote no"),
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
    assert "did not finish within" in capsys.readouterr().out and style.read_bytes() == before


def test_without_the_compiler_one_line_says_where_it_is_documented(style, monkeypatch, capsys):
    monkeypatch.setenv("EDGETPU_COMPILER", "no-such-compiler")
    before = style.read_bytes()
    assert main(["compile", str(style)]) == 3
    error = capsys.readouterr().err
    assert error.count("\n") == 1 and "https://coral.ai/docs/edgetpu/compiler/" in error
    assert style.read_bytes() == before


def test_each_plan_is_compiled_for_each_size(style, stand_in, capsys):
    calls = stand_in(split_decoder2_128x96="large", rest="mapped")
    assert main(["compile", str(style), "--sizes", "128x96,64x32"]) == 0
    made = bundle.read(style)
    sets = {plan.name: sorted(made.manifest.compiled(plan)) for plan in made.manifest.plans}
    assert sets == {"fused": [(64, 32), (128, 96)], "lowres": [(64, 32), (128, 96)], "split": [(64, 32)]}
    assert made.manifest.format == 2 and made.manifest.sizes.stride == 4
    assert len(calls()) == 6 and [f"split_{n}_128x96.tflite" for n in ("encoder", "decoder1", "decoder2")] in calls()
    assert "split at 128x96: edgetpu_compiler: Compilation failed due to large" in " ".join(
        capsys.readouterr().out.split()
    )
    for plan in made.manifest.plans:
        for size in made.manifest.compiled(plan):
            assert made.compiled(plan, size) == made.build(plan, size)  # what the stand-in makes


def test_another_size_is_added_and_the_same_one_replaced(style, stand_in):
    stand_in(rest="mapped")
    assert main(["compile", str(style), "--sizes", "128x96,64x32"]) == 0
    stand_in(fused="mapped", rest="large")
    assert main(["compile", str(style), "--sizes", "128x96"]) == 0
    made = bundle.read(style)
    sets = {plan.name: sorted(made.manifest.compiled(plan)) for plan in made.manifest.plans}
    assert sets == {"fused": [(64, 32), (128, 96)], "lowres": [(64, 32)], "split": [(64, 32)]}
    compiled = {name for name in made.files if "_edgetpu" in name}
    assert len(compiled) == 6
    assert {compiler.compiled_name(name) for name in made.manifest.provenance["compiled"]} == compiled


def test_sets_that_a_bundle_has_no_room_for_are_left_out(style, stand_in, monkeypatch, capsys):
    stand_in(rest="mapped")
    monkeypatch.setattr(compilation.archive, "MAX_MEMBERS", len(bundle.read(style).files) + 1 + 5 + 2)
    assert main(["compile", str(style), "--sizes", "64x32,128x96"]) == 0
    made = bundle.read(style)
    sets = {plan.name: sorted(made.manifest.compiled(plan)) for plan in made.manifest.plans}
    assert sets == {"fused": [(64, 32), (128, 96)], "lowres": [(64, 32), (128, 96)], "split": [(64, 32)]}
    out = capsys.readouterr().out
    assert "no room for 128x96 (split): a bundle holds 64 MiB unpacked and" in out


def test_the_bytes_of_a_bundle_are_counted_before_it_is_written(style, stand_in, monkeypatch, capsys):
    stand_in(rest="mapped")
    before = style.read_bytes()
    monkeypatch.setattr(compilation, "_MANIFEST", bundle.MAX_BYTES)
    assert main(["compile", str(style), "--sizes", "128x96,64x32"]) == 1
    says = "no room for 128x96 (fused, lowres, split) and 64x32 (fused, lowres, split): a bundle holds 64 MiB"
    assert says in capsys.readouterr().err and style.read_bytes() == before


def test_a_size_that_is_named_twice_is_compiled_once(style, stand_in):
    calls = stand_in(rest="mapped")
    assert main(["compile", str(style), "--sizes", "64x32,64x32"]) == 0
    assert len(calls()) == 3


@pytest.mark.parametrize("sizes, says", [("130x97", "take 128x96"), ("64", "such as 640x360")])
def test_a_size_that_is_none_changes_nothing(style, stand_in, capsys, sizes, says):
    stand_in(rest="mapped")
    before = style.read_bytes()
    try:
        assert main(["compile", str(style), "--sizes", sizes]) == 1
    except SystemExit:
        pass
    assert says in capsys.readouterr().err and style.read_bytes() == before


def test_a_sweep_goes_on_with_smaller_pictures(style, stand_in, capsys):
    calls = stand_in(fused_56x32="mapped", rest="large")
    assert main(["compile", str(style), "--sweep"]) == 0
    made = bundle.read(style)
    assert made.manifest.size == (64, 32) and list(made.manifest.compiled(made.manifest.plans[0])) == [(56, 32)]
    assert len(calls()) == 4 and calls()[-1] == ["fused_56x32.tflite"]
    assert "fused compiled for 56x32" in " ".join(capsys.readouterr().out.split())


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
