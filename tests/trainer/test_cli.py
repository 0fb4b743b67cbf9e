"""The reconet-train command, end to end on a style that trains in seconds."""

import json
import re
import shutil

import numpy as np
import pytest
from PIL import Image

from appliance.engine.stylizer import Stylizer
from appliance.style import bundle
from trainer import optimise
from trainer.cli import main

from .conftest import ROOT


def toml(fields, prefix=""):
    lines = [f"{key} = {json.dumps(value)}" for key, value in fields.items() if not isinstance(value, dict)]
    for key, value in fields.items():
        if isinstance(value, dict):
            lines += [f"[{prefix}{key}]", toml(value, f"{prefix}{key}.")]
    return "\n".join(lines)


@pytest.fixture(scope="module")
def trained(data, fields, tmp_path_factory):
    """(recipe file, folder with all that train, distill and export leave)."""
    folder = tmp_path_factory.mktemp("run")
    recipe = folder / "small.toml"
    recipe.write_text(toml(fields))
    for command in ("train", "distill", "export"):
        assert main([command, str(recipe), "--data", str(data), "--out", str(folder / "out")]) == 0
    return recipe, folder / "out"


def test_a_painting_becomes_a_bundle_that_the_appliance_runs(trained):
    _, out = trained
    style = bundle.read(out / "small.reconet")
    assert [plan.name for plan in style.manifest.plans] == ["split", "fused", "lowres"]
    frame, made = np.full((32, 64, 3), 90, "uint8"), np.empty((32, 64, 3), "uint8")
    for plan in style.manifest.plans:
        Stylizer(style, plan=plan.name).stylize(frame, made)
        assert made.std() > 0
    snr = style.manifest.provenance["metrics"]["plan_snr_db"]
    assert all(abs(snr[plan] - snr["split"]) < 1 for plan in snr)


def test_plans_size_and_pixels_can_be_chosen(trained, data, tmp_path):
    recipe, out = trained
    again = tmp_path / "again"
    again.mkdir()
    for path in out.glob("*.[kj]*"):
        (again / path.name).write_bytes(path.read_bytes())
    (again / ".reconet-0123456789ab.part.reconet").write_bytes(b"left by an export that was killed")
    chosen = ["--plans", "lowres,split", "--size", "72x40", "--pixels", "yuv:bgrx"]
    assert main(["export", str(recipe), "--data", str(data), "--out", str(again), *chosen]) == 0
    assert not list(again.glob(".reconet-*"))
    style = bundle.read(again / "small.reconet")
    assert [plan.name for plan in style.manifest.plans] == ["lowres", "split"]
    assert (style.manifest.input.width, style.manifest.input.height) == (72, 40)
    assert (style.manifest.input.pixels, style.manifest.output.pixels) == ("yuv", "bgrx")
    metrics = style.manifest.provenance["metrics"]
    assert abs(metrics["plan_snr_db"]["lowres"] - metrics["plan_snr_db"]["split"]) < 1


@pytest.mark.parametrize(
    "option",
    [["--plans", "fast"], ["--plans", "split,split"], ["--size", "70x40"], ["--size", "x"], ["--pixels", "bgrx:yuv"]],
)
def test_wrong_plans_and_sizes_are_wrong_usage(trained, option, capsys):
    with pytest.raises(SystemExit) as caught:
        main(["export", str(trained[0]), *option])
    assert caught.value.code == 2 and option[1] in capsys.readouterr().err


def test_the_bundle_says_where_it_comes_from(trained, fields):
    provenance = bundle.read(trained[1] / "small.reconet").manifest.provenance
    assert provenance["steps"] == {"teacher": 3, "student": 3}
    assert len(provenance["painting_sha256"]) == 64
    assert provenance["recipe"]["data"]["painting"] == fields["data"]["painting"]
    assert {"style_ratio", "content_ratio", "snr_db", "blob_share"} <= set(provenance["metrics"])


def test_nothing_unfinished_is_left(trained):
    assert not [path for path in trained[1].iterdir() if path.name.startswith(".")]


@pytest.mark.parametrize(
    "change, names",
    [
        ({"data": {"painting": "none.jpg", "held_out": 2}}, "none.jpg: no such file"),
        ({"data": {"painting": "vgg16.npz", "held_out": 2}}, "not a picture"),
        ({"data": {"painting": "painting.jpg", "photos": "nowhere"}}, "nowhere"),
        ({"data": {"painting": "painting.jpg", "held_out": 8}}, "held_out"),
        ({"perceptual": "gone.npz"}, "gone.npz"),
        ({"teacher": {"steps": 2, "batch": 1, "learning_rate": 1e30}}, "is not a number at step"),
    ],
)
def test_bad_input_is_one_line_and_leaves_no_model(data, fields, tmp_path, capfd, monkeypatch, change, names):
    monkeypatch.setattr(optimise, "CHECKPOINT", np.inf)  # however long the first step takes to compile
    recipe = tmp_path / "bad.toml"
    recipe.write_text(toml({**fields, **change}))
    assert main(["train", str(recipe), "--data", str(data), "--out", str(tmp_path / "out")]) == 1
    message = [line for line in capfd.readouterr().err.splitlines() if line.startswith("reconet-train:")]
    assert len(message) == 1 and names in message[0]
    assert not [path for path in (tmp_path / "out").glob("*") if path.name.startswith(("teacher", "."))]


def messages(error):
    return [line for line in error.splitlines() if line.startswith("reconet-train:")]


def test_all_faults_of_a_training_set_are_named_in_one_run_and_nothing_is_left(data, fields, tmp_path, capfd):
    own = tmp_path / "data"
    shutil.copytree(data, own)
    (own / "painting.jpg").unlink()
    (own / "photos/README.txt").write_text("where these are from")
    (own / "photos/Thumbs.db").write_bytes(bytes(512))
    (own / "photos/3.jpg").write_bytes(b"\xff\xd8\xff\xe0")
    Image.new("RGB", (20, 10)).save(own / "photos/tiny.png")
    (own / "videos").mkdir()
    (own / "videos/notes.txt").write_text("none yet")
    recipe = tmp_path / "faulty.toml"
    recipe.write_text(toml({**fields, "mix": {"photos": 1.0, "video": 0.5, "sintel": 0.5}}))
    assert main(["train", str(recipe), "--data", str(own), "--out", str(tmp_path / "out")]) == 1
    error = capfd.readouterr().err
    named = messages(error)
    for fault in ("painting.jpg", "photos/3.jpg", "tiny.png: 20x10 is smaller", "videos: no clips", "mpi_sintel"):
        assert len([line for line in named if fault in line]) == 1, fault
    assert len(named) == 5
    assert "photos: skipped README.txt, Thumbs.db" in error and "videos: skipped notes.txt" in error
    assert not (tmp_path / "out").exists()


def test_foreign_files_do_not_stop_a_training_and_are_no_change(data, fields, tmp_path, capfd):
    own = tmp_path / "data"
    shutil.copytree(data, own)
    recipe = tmp_path / "small.toml"
    recipe.write_text(toml(fields))

    def train(*more):
        return main(["train", str(recipe), "--data", str(own), "--out", str(tmp_path / "out"), *more])

    assert train() == 0
    (own / "photos/README.txt").write_text("where these are from")
    (own / "photos").rename(own / "pictures")
    recipe.write_text(toml({**fields, "data": {**fields["data"], "photos": "pictures"}}))
    assert train() == 0  # renamed, and otherwise the same
    shutil.move(own, tmp_path / "moved")
    own = tmp_path / "moved"
    assert train() == 0
    capfd.readouterr()

    Image.open(own / "pictures/0.jpg").rotate(180).save(own / "pictures/0.jpg")
    made = (tmp_path / "out/teacher.checkpoint.npz").read_bytes()
    assert train() == 1
    (line,) = messages(capfd.readouterr().err)
    assert "content of data.photos" in line and "--restart" in line
    assert (tmp_path / "out/teacher.checkpoint.npz").read_bytes() == made
    assert train("--restart") == 0
    assert (tmp_path / "out/teacher.checkpoint.npz").read_bytes() != made


@pytest.mark.parametrize("command", ["distill", "export", "pack", "evaluate", "report"])
def test_a_damaged_note_is_one_line(trained, data, tmp_path, capfd, command):
    recipe, out = trained
    broken = tmp_path / "broken"
    shutil.copytree(out, broken)
    (broken / "student.json").write_text("[]")
    (broken / "student.checkpoint.npz").unlink()
    arguments = {
        "pack": [recipe, "--out", broken, "--to", tmp_path / "kept"],
        "evaluate": [broken / "student.keras", "--photos", data / "photos"],
        "report": [broken / "student.keras", "--out", tmp_path / "page.html"],
    }.get(command, [recipe, "--out", broken])
    assert main([command, *map(str, arguments), "--data", str(data)]) == 1
    (line,) = messages(capfd.readouterr().err)
    assert "student.json: missing or damaged" in line and "--restart" in line


def test_steps_out_of_order_name_what_to_run_first(data, trained, tmp_path, capfd):
    recipe, _ = trained
    for command in ("distill", "export"):
        assert main([command, str(recipe), "--data", str(data), "--out", str(tmp_path)]) == 1
        assert "not trained yet" in capfd.readouterr().err


@pytest.fixture(scope="module")
def sintel_root(tmp_path_factory):
    """Two scenes in Sintel's layout, one pair each: a photograph that moves 4 pixels to the right."""
    top = tmp_path_factory.mktemp("sintel")
    photo = Image.open(ROOT / "appliance/camera/photos/raccoon.jpg").resize((140, 80))
    header = np.array([202021.25], "<f4").tobytes() + np.array([128, 72], "<i4").tobytes()
    for scene in ("alley_9", "cave_9"):
        for kind in ("clean", "final", "flow", "occlusions", "invalid"):
            (top / "training" / kind / scene).mkdir(parents=True)
        for n in (1, 2):
            for kind in ("clean", "final"):
                photo.crop((8 - 4 * n, 0, 136 - 4 * n, 72)).save(top / "training" / kind / scene / f"frame_{n:04d}.png")
        motion = np.broadcast_to(np.float32([4, 0]), (72, 128, 2)).astype("<f4")
        (top / "training/flow" / scene / "frame_0001.flo").write_bytes(header + motion.tobytes())
        for kind in ("occlusions", "invalid"):
            Image.new("L", (128, 72)).save(top / "training" / kind / scene / "frame_0001.png")
    return top


def evaluated(arguments, capsys):
    assert main(["evaluate", *map(str, arguments)]) == 0
    return json.loads(capsys.readouterr().out)


def test_evaluate_tells_all_figures_of_a_bundle(trained, data, sintel_root, capsys):
    _, out = trained
    where = ["--photos", data / "photos", "--sintel", sintel_root, "--data", data, "--most", "3", "--json"]
    report = evaluated([out / "small.reconet", *where], capsys)
    assert report["name"] == "small" and report["photos"] == 3 and report["missing"] == []
    names = {"teacher", "student", "int8"}
    assert report["fine_ratio"] == pytest.approx(report["fine"]["int8"] / report["fine"].pop("painting"), rel=1e-3)
    for figure in ("style", "content", "blobs", "fine"):
        assert report[figure].keys() == names and all(np.isfinite(v) and v >= 0 for v in report[figure].values())
    for figure in ("ssim", "snr_teacher_db"):
        assert report[figure].keys() == names - {"teacher"}
    assert report["e_stab"].keys() == {"alley_9", "cave_9"} and report["e_stab"]["cave_9"].keys() == names
    assert report["snr_db"] == report["snr_student_db"]["int8"] > 10
    assert report["style_ratio"] == pytest.approx(report["style"]["int8"] / report["style"]["teacher"], rel=1e-3)
    # The same of the float student's file, which finds its bundle; and without the painting, from what train() left.
    again = evaluated([out / "student.keras", *where], capsys)
    assert again["style"] == report["style"] and again["e_stab"] == report["e_stab"]


def test_evaluate_measures_what_it_can_and_says_what_is_missing(trained, data, tmp_path, capsys):
    _, out = trained
    alone = tmp_path / "small.reconet"
    alone.write_bytes((out / "small.reconet").read_bytes())
    (tmp_path / "vgg16.npz").write_bytes((data / "vgg16.npz").read_bytes())
    arguments = ["evaluate", str(alone), "--photos", str(data / "photos"), "--data", str(tmp_path), "--json"]
    assert main(arguments) == 0
    captured = capsys.readouterr()
    report = json.loads(captured.out)
    assert report["content"].keys() == {"int8"} and "style" not in report and "style_ratio" not in report
    assert [line for line in report["missing"] if "teacher" in line] and "painting" in captured.err
    # With the folder of the run nothing is missing.
    assert main([*arguments, "--run", str(out)]) == 0
    report = json.loads(capsys.readouterr().out)
    assert report["missing"] == [] and report["style"].keys() == {"teacher", "student", "int8"}


def test_evaluate_prints_a_table(trained, data, capsys):
    assert (
        main(["evaluate", str(trained[1] / "teacher.keras"), "--photos", str(data / "photos"), "--data", str(data)])
        == 0
    )
    out = capsys.readouterr().out
    assert "content loss" in out and "teacher" in out and "int8" not in out


@pytest.mark.parametrize(
    "arguments, names",
    [
        (["{out}/small.reconet"], "nothing to measure on"),
        (["{out}/none.reconet", "--photos", "{data}/photos"], "none.reconet"),
        (["{out}/none.keras", "--photos", "{data}/photos"], "none.json"),
        (["{data}/painting.jpg", "--photos", "{data}/photos"], "painting.json"),
        (["{out}/small.reconet", "--photos", "{data}/nowhere"], "nowhere"),
        (["{out}/small.reconet", "--sintel", "{data}"], "training"),
    ],
)
def test_evaluate_refuses_in_one_line(trained, data, capsys, arguments, names):
    arguments = [text.format(out=trained[1], data=data) for text in arguments]
    assert main(["evaluate", *arguments, "--data", str(data)]) == 1
    error = [line for line in capsys.readouterr().err.splitlines() if line.startswith("reconet-train:")]
    assert len(error) == 1 and names in error[0]


def test_packed_networks_take_half_the_room_and_measure_the_same(trained, data, tmp_path, capsys):
    recipe, out = trained
    assert main(["pack", str(recipe), "--out", str(out), "--to", str(tmp_path / "kept")]) == 0
    kept = {path.name for path in (tmp_path / "kept").iterdir()}
    assert {"teacher.npz", "student.npz", "teacher.json", "student.json", "style.npz"} <= kept
    where = ["--photos", data / "photos", "--data", data, "--most", "2", "--json"]
    whole, half = (
        evaluated([path, *where], capsys)["style"]["student"]
        for path in (out / "student.keras", tmp_path / "kept/student.npz")
    )
    assert half == pytest.approx(whole, rel=1e-2)


def test_a_report_is_one_page_with_everything_in_it(trained, data, fields, tmp_path):
    recipe, out = trained
    for norm in ("instance", "none"):
        assert main(["train", str(recipe), "--data", str(data), "--out", str(out), "--norm", norm]) == 0
    page = tmp_path / "report.html"
    assert main(["report", str(out / "small.reconet"), "--data", str(data), "--out", str(page)]) == 0
    text = page.read_text()
    for title in (
        "the painting",
        "the frame",
        "no normalisation",
        "instance norm, int8",
        "instance norm, float",
        "our student, int8",
    ):
        assert title in text
    for plan in ("split", "fused", "lowres"):
        assert f"<td>{plan}</td>" in text
    assert text.count("<svg") == 2 and text.count("style 0") + text.count("style 1") > 0
    sources = re.findall(r"(?:src|href)=\"([^\"#]{5})", text)
    assert sources and set(sources) == {"data:"}  # it opens without a network
    assert "<script" not in text and "@import" not in text and "url(http" not in text


def test_all_three_sources_train_together(data, fields, sintel_root, tmp_path):
    (tmp_path / "clips/one").mkdir(parents=True)
    for i in range(4):
        photo = Image.open(ROOT / "appliance/camera/photos/cat.jpg").resize((100, 60))
        photo.crop((i, 0, 90 + i, 60)).save(tmp_path / f"clips/one/{i}.png")
    for name in ("photos", "painting.jpg", "vgg16.npz"):
        (tmp_path / name).symlink_to(data / name)
    (tmp_path / "mpi_sintel").symlink_to(sintel_root)
    mixed = {
        **fields,
        "data": {**fields["data"], "videos": "clips", "sintel_passes": ["final"]},
        "mix": {"photos": 1.0, "sintel": 1.0, "video": 1.0},
        "teacher": {"steps": 12, "batch": 1, "loss": {"output_temporal": 5.0, "frame_difference": 5.0}},
    }
    recipe = tmp_path / "mixed.toml"
    recipe.write_text(toml(mixed))
    assert main(["train", str(recipe), "--data", str(tmp_path), "--out", str(tmp_path / "out")]) == 0
    history = [json.loads(line) for line in (tmp_path / "out/teacher.losses.jsonl").read_text().splitlines()]
    plain = [entry["frame_difference"] > 0 for entry in history]
    flowing = [entry["output_temporal"] > 0 for entry in history]
    assert any(plain) and any(flowing) and not any(a and b for a, b in zip(plain, flowing))
