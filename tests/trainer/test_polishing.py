"""Polishing: flat parts lose their grid, all else stays."""

import numpy as np
import pytest

from appliance.colour import LUMA
from appliance.errors import Problem
from trainer import polishing, runs
from trainer.data import pictures
from trainer.polishing import coloured, graded, polish, recoloured, sharpened, smoothed
from trainer.recipe import Recipe
from trainer.sections import Polish
from trainer.training import train

GRID = np.indices((48, 64)).sum(0)[..., None] % 2 * np.ones(3)  # a chessboard of pixels


def test_flat_parts_are_smoothed_and_detail_is_not():
    frame = np.full((48, 64, 3), 0.5)
    frame[:, 40:] = np.random.default_rng(0).uniform(size=(48, 24, 3))
    drawn = 0.4 * GRID
    made = smoothed(drawn, frame, 0.12)
    assert made[:, 2:20].std() < 0.01 and made[:, :20].mean() == pytest.approx(0.2, abs=0.02)
    assert np.allclose(made[:, 52:], drawn[:, 52:], atol=0.01)


def test_what_counts_as_detail_can_be_set():
    frame = np.full((48, 64, 3), 0.5)
    frame[:, ::8] += 0.3  # deviates by 0.1
    drawn = 0.4 * GRID
    assert smoothed(drawn, frame, 0.5).std() < 0.5 * smoothed(drawn, frame, 0.1).std()


def test_edges_are_sharpened_and_flat_areas_and_colours_stay():
    drawn = np.full((40, 60, 3), -0.2)
    drawn[:, 30:] = 0.2, 0.3, 0.1
    made = sharpened(drawn, 1.0)
    assert made[20, 30, 1] > 0.35 and made[20, 29, 1] < -0.25
    assert np.allclose(made[:, :20], drawn[:, :20], atol=1e-3)
    assert np.allclose(made[..., 0] - made[..., 1], drawn[..., 0] - drawn[..., 1])
    assert np.abs(sharpened(np.sign(drawn), 3.0)).max() == 1


def test_levels_and_saturation():
    drawn = np.random.default_rng(0).uniform(-0.4, 0.4, (20, 30, 3))
    assert graded(drawn, 1.0, (0.0, 1.0)) is drawn
    made = graded(drawn, 1.5, (0.1, 0.9))  # -0.8..0.8 becomes -1..1
    assert np.allclose(made @ np.array(LUMA), drawn @ np.array(LUMA) / 0.8)
    assert np.allclose(made[..., 0] - made[..., 2], 1.5 * (drawn[..., 0] - drawn[..., 2]))
    assert np.abs(graded(2.5 * drawn, 3.0, (0.4, 0.6))).max() == 1


def test_lights_and_darks_keep_their_shades():
    ramp = np.repeat(np.linspace(-1, 1, 101), 3).reshape(1, 101, 3)
    made = graded(ramp, 1.0, (0.1, 0.9))[0, :, 0]
    assert np.all(np.diff(made) > 0) and np.allclose(made, -made[::-1])
    assert 0.94 < made[-1] < 0.97  # 248 to 250 of 255: no blob


def test_colours_get_the_mean_and_covariance_of_the_paintings():
    rng = np.random.default_rng(0)
    drawn = rng.normal(0.1, 0.1, (2, 40, 50, 3))
    painting = rng.normal(size=(60, 30, 3)) @ rng.normal(0, 0.1, (3, 3)) + (0.2, -0.1, 0.0)
    made, half = recoloured(drawn, painting), recoloured(drawn, painting, 0.5)
    flat = made.reshape(-1, 3)
    assert np.allclose(flat.mean(0), painting.mean((0, 1)), atol=0.01)
    assert np.allclose(np.cov(flat.T), np.cov(painting.reshape(-1, 3).T), atol=0.003)
    assert np.allclose(half, (drawn + made) / 2)
    assert flat.min() > painting.min() and flat.max() < painting.max()


def test_things_get_their_colours_back_and_fringes_go():
    frame = np.full((60, 80, 3), 0.7)
    frame[:, 40:] = 0.2  # an edge, right of which
    frame[20:40, 50:70] = (0.6, 0.0, 0.0)  # is something red
    drawn = 2 * np.repeat(frame @ np.array(LUMA), 3).reshape(frame.shape) - 1
    drawn[:, 38:42, 1] += 0.2
    clean, red = coloured(drawn, frame, 0.0), coloured(drawn, frame, 0.5)
    for made in (clean, red):
        assert np.allclose(made @ np.array(LUMA), drawn @ np.array(LUMA))
    fringe, before = (image[5:15, 38:42, 1] - image[5:15, 38:42, 0] for image in (clean, drawn))
    assert np.abs(fringe).max() < 0.3 * np.abs(before).max()
    assert red[30, 60, 0] - red[30, 60, 1] > 0.05 and abs(clean[30, 60, 0] - clean[30, 60, 1]) < 0.02
    assert abs(red[30, 10, 0] - red[30, 10, 1]) < 0.02


@pytest.fixture(params=[False, True], ids=["plain", "skips"])
def trained(request, fields, data, tmp_path):
    """A run whose student draws a grid everywhere."""
    recipe = Recipe.model_validate(
        {
            **{name: value for name, value in fields.items() if name != "teacher"},
            "frame": {"width": 64, "height": 48},
            "network": {"widths": [4, 4, 8], "strides": [2, 2, 2], "blocks": 1, "skips": request.param},
            "student": {"steps": 1, "batch": 1},
        }
    )
    model = train(recipe, data, tmp_path)
    run = runs.student_run(recipe, tmp_path)
    model.get_layer("image").bias.assign(np.repeat([0.01, -0.01, -0.01, 0.01], 3))
    runs.save_model(run, model, 1)
    return recipe, tmp_path


def test_a_polished_student_draws_no_grid_on_a_wall(trained, data, monkeypatch):
    recipe, out = trained
    run = runs.student_run(recipe, out)
    walls = np.repeat(np.arange(60, 180, 10, "uint8"), 48 * 64 * 3).reshape(-1, 48, 64, 3)
    monkeypatch.setattr(pictures, "photographs", lambda *_: walls)
    wall = np.full((1, 48, 64, 3), 0.4, "float32")
    before, _ = runs.load_model(run, 1)
    after = polish(recipe, data, out)
    grids = [float((np.asarray(model(wall)["image"])[0] * (GRID - 0.5)).mean()) for model in (before, after)]
    assert abs(grids[1]) < 0.5 * abs(grids[0]), grids
    saved, steps = runs.load_model(run, 1)
    assert np.array_equal(saved(wall)["image"], after(wall)["image"]) and steps == 1
    assert runs.read_note(run.path("json")).polished > 0


@pytest.fixture
def barred(fields, data, tmp_path, monkeypatch):
    """A run whose student draws bars along the border, where its last kernel meets the padding."""
    recipe = Recipe.model_validate(
        {
            **{name: value for name, value in fields.items() if name != "teacher"},
            "frame": {"width": 128, "height": 112},
            "network": {"widths": [4, 4, 8], "strides": [2, 2, 2], "blocks": 1},
            "student": {"steps": 1, "batch": 1, "loss": {"border": 0.0}},
            "polish": {"whole": True},
        }
    )
    photos = np.tile(np.random.default_rng(0).integers(60, 190, (64, 1, 1, 3), "uint8"), (1, 140, 160, 1))
    monkeypatch.setattr(pictures, "photographs", lambda *_: photos)
    model = train(recipe, data, tmp_path)
    layer = model.get_layer("decoder2")
    layer.kernel.assign(layer.kernel * 4.0)
    runs.save_model(runs.student_run(recipe, tmp_path), model, 1)
    return recipe, tmp_path


def bars(model):
    """How much the picture of a wall differs along the border from its middle, relative to the middle's size."""
    drawn = np.asarray(model(np.full((1, 112, 128, 3), 0.45, "float32"))["image"])[0]
    return np.abs(drawn - drawn[56:64, 64:72].mean((0, 1))).mean() / np.abs(drawn[56:64, 64:72]).mean()


def test_bars_along_the_border_go_when_all_layers_learn(barred, data):
    recipe, out = barred
    run = runs.student_run(recipe, out)
    before, _ = runs.load_model(run, 1)
    after = polish(recipe, data, out)
    assert bars(after) < 0.6 * bars(before)
    assert runs.read_note(run.path("json")).polished % polishing.WHOLE_EPOCHS == 0


def crawl(model):
    """How much noise changes the picture of a wall."""
    wall = np.full((1, 112, 128, 3), 0.45, "float32")
    noisy = wall + np.random.default_rng(1).normal(0, 0.05, wall.shape).astype("float32")
    still, moved = (np.asarray(model(frame)["image"])[0] for frame in (wall, noisy))
    return np.abs(moved - still).mean()


def test_noise_changes_the_picture_less_when_all_layers_saw_it(barred, data, monkeypatch):
    monkeypatch.setattr(polishing, "WHOLE_EPOCHS", 5)
    monkeypatch.setattr(polishing, "WHOLE_RATE", 4e-4)
    recipe, out = barred
    kept = (out / "student.keras").read_bytes(), (out / "student.json").read_bytes()
    made = []
    for noise in (0.0, 0.2):
        for name, file in zip(("student.keras", "student.json"), kept):
            (out / name).write_bytes(file)
        made.append(polish(recipe.model_copy(update={"polish": Polish(whole=True, noise=noise)}), data, out))
    assert crawl(made[1]) < 0.8 * crawl(made[0]), [crawl(one) for one in made]


def test_noise_needs_all_layers():
    with pytest.raises(ValueError, match="noise needs whole = true"):
        Polish(noise=0.1)


def test_all_layers_need_frames_with_a_middle(barred, data):
    recipe, out = barred
    with pytest.raises(Problem, match=r"polish.whole needs frames of more than .* pixels; enlarge \[frame\] or turn"):
        train(recipe.sized(48, 64), data, out, restart=True)
    assert (out / "student.keras").exists()


def test_it_is_done_once_and_training_again_leaves_it(trained, data):
    recipe, out = trained
    polish(recipe, data, out)
    before = (out / "student.keras").read_bytes()
    polish(recipe, data, out)
    train(recipe, data, out)
    assert (out / "student.keras").read_bytes() == before


def test_another_palette_is_refused_once_it_is_polished(trained, data):
    recipe, out = trained
    polish(recipe, data, out)
    other = recipe.model_copy(update={"polish": Polish(palette=0.5)})
    with pytest.raises(Problem, match=r'polished with .*"palette":0.0.*, not .*"palette":0.5.*; restore \[polish\]'):
        polish(other, data, out)
