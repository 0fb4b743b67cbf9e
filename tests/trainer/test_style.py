"""reconet-train style: a painting in, a style out; bad input in words; too little memory; no GPU."""

import re
import shutil
from dataclasses import replace

import jax
import nbclient
import nbformat
import numpy as np
import pytest
from PIL import Image

from appliance.errors import Problem
from appliance.style import bundle
from trainer import making, optimise, prepare, style, training
from trainer.cli import main
from trainer.data import pictures
from trainer.gather import shipped
from trainer.lite import lite_recipe
from trainer.perceptual import LAYERS
from trainer.recipe import load
from trainer.runs import load_model, network_run, student_run

from .conftest import ROOT

NOTEBOOK = ROOT / "notebooks/train_your_style.ipynb"
PHOTO = ROOT / "appliance/camera/photos/raccoon.jpg"


@pytest.fixture(scope="module")
def place(tmp_path_factory, data):
    """A folder with a painting, photographs for frames of 160x88, one of which is too small, and narrow weights."""
    folder = tmp_path_factory.mktemp("style")
    Image.open(PHOTO).resize((300, 260)).save(folder / "my-raccoon.png")
    (folder / "photos").mkdir()
    for path in sorted((data / "photos").glob("*.jpg")):
        Image.open(path).resize((200, 120)).save(folder / "photos" / path.name)
    Image.open(PHOTO).resize((40, 20)).save(folder / "photos/tiny.png")
    with np.load(data / "vgg16.npz") as wide:
        ends = {layer: 3 if layer == LAYERS[0] else 8 for layer in LAYERS}
        kernels = {f"{layer}_kernel": 3 * wide[f"{layer}_kernel"][:, :, : ends[layer], :8] for layer in LAYERS}
        biases = {f"{layer}_bias": wide[f"{layer}_bias"][:8] for layer in LAYERS}
    np.savez(folder / "vgg16.npz", **kernels, **biases)
    return folder


def options(place):
    """Of a style that is made in seconds."""
    small = {
        "perceptual": f'"{place / "vgg16.npz"}"',
        "network.widths": "[4, 8, 8]",
        "network.blocks": "1",
        "style.layers": '["conv1_1", "conv2_1"]',
        "style.scales": "[1]",
        "style.content": "{conv2_2 = 1.0}",
        "motion.layers": "0",
        "student.batch": "1",
    }
    settings = [part for key, value in small.items() for part in ("--set", f"{key}={value}")]
    return ["--photos", str(place / "photos"), "--quality", "draft", "--steps", "2", *settings]


@pytest.fixture(scope="module")
def notebook(place):
    """The notebook once it has run from top to bottom, for the style in place/out."""
    made = nbformat.read(NOTEBOOK, 4)
    (parameters,) = (cell for cell in made.cells if "parameters" in cell.metadata.get("tags", []))
    values = {"PAINTING": str(place / "my-raccoon.png"), "TITLE": "My Raccoon", "OUT": str(place / "out")}
    for name, value in {**values, "OPTIONS": options(place)}.items():
        parameters.source = re.sub(rf"^{name} = .*$", f"{name} = {value!r}", parameters.source, flags=re.M)
    nbclient.NotebookClient(made, timeout=600, resources={"metadata": {"path": str(ROOT)}}).execute()
    return made


@pytest.fixture(scope="module")
def made(notebook, place):
    return place / "out"


def test_the_notebook_shows_painting_progress_before_and_after_and_names_the_bundle(notebook, made):
    outputs = [output for cell in notebook.cells for output in cell.get("outputs", [])]
    assert sum("image/png" in output.get("data", {}) for output in outputs) == 5  # the losses too, and two photographs
    assert str(made / "my_raccoon.reconet") in outputs[-1].text


def test_a_painting_and_photographs_become_a_bundle_a_picture_a_page_and_a_recipe(made, place, capfd):
    manifest = bundle.read(made / "my_raccoon.reconet").manifest
    assert (manifest.title, manifest.input.width, manifest.input.height) == ("My Raccoon", 160, 88)
    assert (manifest.input.pixels, manifest.output.pixels) == ("yuv", "bgrx")
    assert manifest.provenance["steps"]["student"] == 2 and manifest.provenance["steps"]["polish"] > 0
    assert Image.open(made / "my_raccoon.jpg").size == (160, 88)
    assert "My Raccoon" in (made / "report.html").read_text()
    recipe = load(made / "my_raccoon.toml")
    assert making.finished(recipe, made / "data", made) and recipe.data.held_out == 1

    before = {path: path.stat().st_mtime_ns for path in made.rglob("*") if path.is_file()}
    assert main(["style", str(place / "my-raccoon.png"), "--out", str(made), *options(place)]) == 0
    out, error = capfd.readouterr()
    assert out.splitlines() == [str(made / "my_raccoon.reconet"), str(made / "my_raccoon.jpg")]
    assert "photos: left out 1 of 9 pictures, not 160x88 pixels or more, or damaged: tiny.png" in error
    assert "steps at" not in error  # nothing is measured or trained again
    assert before == {path: path.stat().st_mtime_ns for path in before}


def test_other_settings_do_not_overwrite_it(made, place, capfd):
    more = ["--set", "student.loss.content=9"]
    assert main(["style", str(place / "my-raccoon.png"), "--out", str(made), *options(place), *more]) == 1
    assert "student.loss.content 8.0 → 9.0" in capfd.readouterr().err
    assert load(made / "my_raccoon.toml").student.loss.content == 8


def test_a_painting_of_the_same_name_does_not_replace_the_first(made, tmp_path, place, capfd):
    other, before = tmp_path / "my-raccoon.png", (made / "data/painting.png").read_bytes()
    Image.open(PHOTO).resize((320, 280)).save(other)
    assert main(["style", str(other), "--out", str(made), *options(place)]) == 1
    assert "data/painting.png is another painting: choose another --out" in capfd.readouterr().err
    assert (made / "data/painting.png").read_bytes() == before


def test_files_where_the_links_go_are_kept(place, tmp_path, capfd):
    photos = tmp_path / "data/photos"
    shutil.copytree(place / "photos", photos)
    before = sorted(photos.iterdir())
    painting = str(place / "my-raccoon.png")
    assert main(["style", painting, *options(place), "--photos", str(photos), "--out", str(tmp_path)]) == 1
    assert "data/photos holds files, such as 0.jpg" in capfd.readouterr().err
    assert main(["style", painting, *options(place), "--out", str(tmp_path / "a"), "--set", "data.photos=x"]) == 1
    assert "--set data.photos: the painting is the command's argument" in capfd.readouterr().err
    assert sorted(photos.iterdir()) == before and not (tmp_path / "data/painting.png").exists()


def test_a_draft_has_no_lite_student_to_set(place, tmp_path, capfd):
    assert main(["style", str(place / "my-raccoon.png"), *options(place), "--set", "lite.steps=5"]) == 1
    assert "a draft has no lite student" in capfd.readouterr().err


def test_the_notebook_is_kept_without_outputs():
    cells = nbformat.read(NOTEBOOK, 4).cells
    assert not any(cell.get("outputs") or cell.get("execution_count") for cell in cells)


def quick(monkeypatch, seconds=2.0, memory=99):
    """Replaces what takes a device: `memory` pairs fit, and a step takes so many seconds."""

    def measure(recipe):
        if recipe.student.batch > memory:
            raise optimise.OutOfMemory(f"a batch of {recipe.student.batch} is too large")
        return seconds

    monkeypatch.setattr(training, "prepare", lambda recipe, data, out: recipe)
    monkeypatch.setattr(training, "measure", measure)
    monkeypatch.setattr(making, "make", lambda recipe, data, out, made: out / "done")


def test_a_batch_that_does_not_fit_is_halved_and_stays_so(place, tmp_path, monkeypatch, capfd):
    def batch(*more):
        style.style(place / "my-raccoon.png", out=tmp_path, photos=place / "photos", quality="draft", settings=more)
        return load(tmp_path / "my_raccoon.toml").student.batch

    quick(monkeypatch, memory=1)
    assert batch("student.batch=4") == 4 // 2 // 2
    assert "batch reduced to 2" in capfd.readouterr().err
    quick(monkeypatch)
    assert batch() == 1  # the run that is continued has it
    quick(monkeypatch, memory=0)
    with pytest.raises(Problem, match="a batch of 1"):
        batch()


def test_memory_that_runs_out_is_one_line(place, data, recipe, tmp_path, monkeypatch):
    def full(*_):
        raise jax.errors.JaxRuntimeError("RESOURCE_EXHAUSTED: Out of memory while trying to allocate 9 bytes")

    made = training.prepare(recipe, data, tmp_path)
    with pytest.raises(optimise.OutOfMemory, match="memory is too small for a batch of 1; lower batch") as caught:
        training.measure(replace(made, objective=full))
    assert "\n" not in str(caught.value)
    with pytest.raises(optimise.OutOfMemory):
        training.fit(replace(made, objective=full))


def test_without_a_gpu_it_says_how_long_and_offers_a_draft(place, tmp_path, monkeypatch):
    quick(monkeypatch, seconds=2.0)
    with pytest.raises(Problem) as caught:
        style.style(place / "my-raccoon.png", out=tmp_path / "out")
    assert "640x360 would take about 91 hours" in str(caught.value)
    assert "--quality draft makes one at 160x88 in about 33 minutes" in str(caught.value)
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize(
    "seconds, words",
    [(0.2, "about 1 seconds"), (50, "about a minute"), (150, "about 2 minutes"), (9000, "about 2 hours")],
)
def test_durations_are_in_words(seconds, words):
    assert style.duration(seconds) == words


class NoData:
    sources, contents = [], {}

    def __init__(self, *_):
        pass

    def random_draws(self, *_):
        return None


def test_a_shipped_style_is_where_another_starts(place, tmp_path, monkeypatch):
    monkeypatch.setattr(training, "Ground", NoData)
    begun = shipped("hakone")[0].recipe
    painting = place / "my-raccoon.png"
    recipe = prepare.recipe_for(painting, None, prepare.DRAFT_ON_CPU, None, begun, {})
    assert recipe.student.steps == round(1000 / 3) and recipe.network == begun.network
    assert recipe.student.loss.vivid == begun.student.loss.vivid and recipe.style.content == begun.style.content
    assert recipe.style.facets == 2 and recipe.student.loss.border == 0  # 6 at 640x360; too small a frame
    started = training.prepare(recipe, tmp_path, tmp_path).model
    theirs, _ = load_model(student_run(begun, shipped("hakone")[1]), 0)
    for a, b in zip(started.get_weights(), theirs.get_weights(), strict=True):
        np.testing.assert_array_equal(a, b)
    udnie = shipped("udnie")[0].recipe
    full = prepare.recipe_for(painting, None, prepare.DRAFT, None, udnie, {})
    for field in ("crop", "margin", "norm", "optimizer", "learning_rate"):
        assert getattr(full.student, field) == getattr(udnie.student, field)
    assert full.style.palette == 0.9 and full.polish.whole and full.polish.noise == udnie.polish.noise
    small = prepare.recipe_for(painting, None, prepare.DRAFT_ON_CPU, None, udnie, {})
    assert small.student.crop is None and not small.polish.whole and not small.polish.noise
    clear = prepare.recipe_for(painting, None, prepare.DRAFT, None, None, {}).polish
    assert clear.vivid > 1 and clear.levels != (0, 1)
    narrow = recipe.network.model_copy(update={"widths": (16, 32, 64)})
    other = recipe.student.model_copy(update={"start": "udnie"})
    fresh = recipe.model_copy(update={"network": narrow, "student": other})
    with pytest.raises(Problem, match="udnie has another network"):
        training.prepare(fresh, tmp_path, tmp_path)
    with pytest.raises(Problem, match="no student of monet .* there are bayeux_tapestry, composition_vii"):
        shipped("monet")


def test_a_shipped_lite_student_is_where_another_starts(tmp_path, monkeypatch):
    monkeypatch.setattr(training, "Ground", NoData)
    recipe = lite_recipe(load(ROOT / "trainer/recipes/udnie.toml"))
    note, folder = shipped("starry_night", "lite")
    started = training.prepare(recipe, tmp_path, tmp_path, name="lite").model
    theirs, _ = load_model(network_run(note.recipe, "lite", folder), 0)
    for a, b in zip(started.get_weights(), theirs.get_weights(), strict=True):
        np.testing.assert_array_equal(a, b)


def test_a_gallery_style_has_a_lite_student_and_a_draft_has_none(place, tmp_path, capfd):
    def lite(quality, steps=None, painting=place / "my-raccoon.png"):
        return prepare.recipe_for(painting, None, quality, steps, None, {}).lite

    assert lite(prepare.GALLERY) == load(prepare.DEFAULTS).lite and lite(prepare.GALLERY, steps=7).steps == 7
    assert lite(prepare.DRAFT) is lite(prepare.DRAFT_ON_CPU) is None
    capfd.readouterr()
    assert lite(prepare.GALLERY, painting=saved(tmp_path, "RGB", (2600, 300))) is None
    assert "painting.png is too elongated for a lite student" in capfd.readouterr().err


def saved(folder, mode, size=(300, 260), name="painting.png"):
    picture = Image.open(PHOTO).convert("RGB").resize(size)
    picture.convert(mode).save(folder / name)
    return folder / name


@pytest.mark.parametrize(
    "mode, name, says",
    [("L", "a.png", "is grey"), ("CMYK", "a.jpg", ""), ("I;16", "a.png", "is grey"), ("P", "a.gif", "")],
)
def test_a_painting_of_any_kind_is_taken(tmp_path, capfd, mode, name, says):
    if mode == "I;16":
        Image.fromarray(np.asarray(Image.open(PHOTO).convert("L").resize((300, 260)), "uint16") * 257).save(
            tmp_path / name
        )
    else:
        saved(tmp_path, mode, name=name)
    assert prepare.examine(tmp_path / name, 300) == 300
    error = capfd.readouterr().err
    assert says in error and ("grey" in error) == ("grey" in says)
    whole, _ = pictures.painting(tmp_path / name, 300)
    plain = np.asarray(Image.open(PHOTO).convert("RGB").resize((300, 260)), "float32") / 255
    reference = plain if not says else plain.mean(-1, keepdims=True)
    assert np.abs(whole[0] - reference).mean() < 0.06


def test_what_is_transparent_is_white(tmp_path):
    picture = Image.new("RGBA", (300, 260), (255, 0, 0, 0))
    picture.paste((0, 0, 255, 255), (0, 0, 150, 260))
    picture.save(tmp_path / "a.png")
    painted, _ = pictures.painting(tmp_path / "a.png", 300)
    np.testing.assert_array_equal(painted[0, 100, [10, 290]], [[0, 0, 1], [1, 1, 1]])


def test_two_hundred_megapixels_are_taken(tmp_path):
    Image.new("L", (16000, 12500), 99).save(tmp_path / "a.jpg")
    painted, _ = pictures.painting(tmp_path / "a.jpg", 640)
    assert painted.shape == (1, 500, 640, 3) and np.abs(painted - 99 / 255).max() < 0.01


def test_what_a_painting_lacks_is_said(tmp_path, capfd):
    with pytest.raises(Problem, match="50x40 pixels; its shorter side needs 256: find a larger picture"):
        prepare.examine(saved(tmp_path, "RGB", (50, 40)), 640)
    with pytest.raises(Problem, match="no such file"):
        prepare.examine(tmp_path / "none.png", 640)
    (tmp_path / "text.png").write_text("no picture")
    with pytest.raises(Problem, match="not a picture"):
        prepare.examine(tmp_path / "text.png", 640)
    prepare.examine(saved(tmp_path, "RGB"), 640)
    assert "300 pixels wide and will be enlarged to 640" in capfd.readouterr().err
    assert prepare.examine(saved(tmp_path, "RGB", (1200, 260)), 160) == 298  # 64 rows


@pytest.mark.parametrize(
    "file, name, title",
    [
        ("starry-night.jpg", "starry_night", "Starry Night"),
        ("Udnie (1913).jpg", "udnie_1913", "Udnie (1913)"),
        ("Über Straße.png", "uber_strasse", "Über Straße"),
        ("Ω.png", "style_e3c622e5", "Ω"),
    ],
)
def test_a_name_and_a_title_come_from_the_file(tmp_path, file, name, title):
    assert (prepare.name_of(tmp_path / file), prepare.title_of(tmp_path / file)) == (name, title)


def test_photographs_are_chosen_turned_and_counted(place, tmp_path, monkeypatch, capfd):
    for path in (place / "photos").glob("*.jpg"):
        (tmp_path / path.name).write_bytes(path.read_bytes())
    upright = Image.open(PHOTO).resize((120, 200))
    exif = Image.Exif()
    exif[prepare.ORIENTATION] = 6
    upright.save(tmp_path / "turned.jpg", exif=exif)
    upright.save(tmp_path / "upright.jpg")
    (tmp_path / "broken.jpg").write_bytes(b"\xff\xd8")
    (tmp_path / "cut.jpg").write_bytes((place / "photos/0.jpg").read_bytes()[:-999])
    names = [path.name for path in prepare.choose(tmp_path, (88, 160))]
    assert "turned.jpg" in names and "upright.jpg" not in names and len(names) == 9
    assert "left out 3 of 12" in capfd.readouterr().err
    monkeypatch.setattr(prepare, "MOST_PHOTOS", 6)
    chosen = prepare.choose(tmp_path, (88, 160))  # of ten: the sixth is the one that is cut off
    assert [path.name for path in chosen] == ["0.jpg", "1.jpg", "3.jpg", "5.jpg", "6.jpg"]
    with pytest.raises(Problem, match="0 usable; a style needs at least 5, preferably a few hundred, of 640x360"):
        prepare.choose(tmp_path, (360, 640))
    with pytest.raises(Problem, match="nowhere: no such folder"):
        prepare.choose(tmp_path / "nowhere", (88, 160))
