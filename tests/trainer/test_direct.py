"""Students trained from nothing, without a teacher, by sliced distances; and what they are trained on."""

import json

import jax
import keras
import numpy as np
import pytest
from keras import ops

from appliance.errors import Problem
from trainer import batches, losses, objectives, optimise, perceptual
from trainer.data import flat
from trainer.data.source import Pairs, Source
from trainer.distillation import distill
from trainer.flow import warp
from trainer.recipe import Recipe
from trainer.runs import Note, differences, load_model, student_run
from trainer.sections import Motion, Network, Style, Weights
from trainer.sweep import changed
from trainer.training import prepare, train

SIZE = (24, 32)


@pytest.fixture
def direct(fields):
    """A recipe without a teacher, with every new term."""
    terms = {"high_pass": 1.0, "lattice": 1.0, "colour": 1.0, "tone": 1.0}
    return Recipe.model_validate(
        {
            **{name: value for name, value in fields.items() if name != "teacher"},
            "frame": {"width": 64, "height": 48},
            "mix": {"photos": 0.5, "flat": 0.5},
            "motion": {"noise_before_exposure": True, "crops": [0.5, 1.0]},
            "network": {"widths": [4, 4, 8], "strides": [2, 2, 2], "blocks": 1, "first_kernel": 5},
            "style": {
                "loss": "sliced",
                "layers": ["conv1_1", "conv2_1"],
                "weights": [1, 2],
                "scales": [1, 2],
                "points": 32,
                "directions": 4,
                "content": {"conv2_2": 1.0},
            },
            "student": {"steps": 2, "batch": 1, "pixels": "yuv", "loss": terms},
        }
    )


def test_a_student_is_trained_without_a_teacher(direct, data, tmp_path):
    train(direct, data, tmp_path)
    assert not (tmp_path / "teacher.keras").exists()
    model, steps = load_model(student_run(direct, tmp_path), direct.student.steps)
    assert steps == 2 and np.isfinite(model(np.zeros((1, 32, 32, 3), "float32"))["image"]).all()
    last = json.loads((tmp_path / "student.losses.jsonl").read_text().splitlines()[-1])
    assert {"content", "style", "high_pass", "lattice", "colour", "tone", "output_temporal"} < last.keys()
    assert np.isfinite([last[name] for name in last]).all()


def test_a_sweep_of_weights_compiles_once(direct, data, tmp_path):
    def program(recipe):
        made = prepare(recipe, data, tmp_path)
        optimizer = keras.optimizers.Adam(1e-3)
        optimizer.build(made.model.trainable_variables)
        state = [[v.value for v in owner] for owner in (made.model.trainable_variables, optimizer.variables)]
        draws = jax.tree.map(lambda array: array[None], made.random_draws(np.random.default_rng(0)))
        scan = jax.jit(optimise.steps(made.compute, optimizer, made.objective, 0))
        return scan.lower(made.constants, tuple(state), draws, np.arange(1)).as_text()

    weights = {"student.loss.content": 9.0, "style.weights": [3, 1], "style.content": {"conv2_2": 4.0}}
    without = {"student.loss.lattice": 0.0}
    first, second, third = (program(changed(direct, values)) for values in ({}, weights, without))
    assert first == second != third  # of a term without weight there is no gradient


def test_distilling_needs_a_teacher_and_so_does_a_norm(direct, data, tmp_path):
    with pytest.raises(Problem, match="\\[teacher\\]"):
        distill(direct, data, tmp_path)
    with pytest.raises(Problem, match="--norm compares teachers"):
        train(direct, data, tmp_path, "none")


def test_the_border_term_needs_no_teacher_but_a_middle(direct, data, tmp_path):
    student = direct.student.model_copy(update={"steps": 1, "loss": Weights(border=1, style=0, content=0)})
    small = direct.model_copy(update={"student": student})
    with pytest.raises(Problem, match="student.loss.border needs frames of more than 64 x 64 pixels"):
        train(small, data, tmp_path)
    seed = small.model_copy(update={"network": Network(widths=(4, 4, 8), blocks=1)})
    train(seed, data, tmp_path)
    assert json.loads((tmp_path / "student.losses.jsonl").read_text())["border"] > 0


def test_the_run_belongs_to_its_style(direct, tmp_path):
    other = direct.model_copy(update={"style": Style(layers=("conv1_1",))})
    note = Note(steps=1, recipe=direct)
    assert not differences(note, student_run(direct, tmp_path))
    assert any("style.layers" in line for line in differences(note, student_run(other, tmp_path)))


def test_a_painting_is_near_itself_and_far_from_others(data, rng):
    style = Style(loss="sliced", layers=("conv1_1", "conv2_1"))
    weights = perceptual.load("vgg16.npz", data, style)
    painting = rng.uniform(size=(1, 32, 32, 3)).astype("float32")
    given = objectives.weights(style, Weights())
    constants = {"vgg": weights, **batches.constants([], weights, painting, style), "weights": given}

    def distance(images, seed=0):
        made = perceptual.features(weights, images, style.layers)
        return float(objectives._style(made, images, constants, style, jax.random.key(seed)))

    assert distance(painting) < 0.01 < 0.1 < distance(painting / 3)
    assert distance(painting) != distance(painting, 1)  # other places, other directions
    targets = perceptual.style_targets(weights, painting, style)
    assert perceptual.style_distance(weights, painting, targets, style) == pytest.approx(0, abs=1e-6)


def test_gram_matrices_are_compared_at_each_scale_and_layer_by_its_weight(data, rng):
    style = Style(loss="gram", layers=("conv1_1", "conv2_1"), weights=(1.0, 3.0), scales=(1, 2))
    weights = perceptual.load("vgg16.npz", data, style)
    painting, images = rng.uniform(size=(2, 1, 32, 48, 3)).astype("float32")
    given = objectives.weights(style, Weights())
    constants = {"vgg": weights, **batches.constants([], weights, painting, style), "weights": given}

    def grams(pictures):
        made = perceptual.features(weights, pictures, style.layers, "bfloat16")
        return [np.asarray(losses.gram(made[layer])) for layer in style.layers]

    halved = images.reshape(1, 16, 2, 24, 2, 3).mean((2, 4))
    slow = [
        share * ((mine - theirs) ** 2).sum() / (theirs**2).sum()
        for made in (grams(images), grams(halved))
        for share, mine, theirs in zip(style.weights, made, grams(painting))
    ]
    made = perceptual.features(weights, images, style.layers, "bfloat16")
    ours = float(objectives._style(made, images, constants, style, jax.random.key(0)))
    assert ours == pytest.approx(np.mean(slow), rel=0.02)


def test_flat_frames_move_by_their_flow(rng):
    draws = flat.random_draws(rng, 24, SIZE, Motion())
    pairs = Pairs(*(np.asarray(part) for part in flat.render(draws, SIZE)))
    assert pairs.current.min() >= 0 and pairs.current.max() <= 1 and set(draws["kind"]) == {0, 1, 2}
    assert pairs.mask.mean() > 0.8 and not pairs.plain.any()
    warped = np.asarray(warp(pairs.previous, pairs.flow))
    inner = (slice(None), slice(2, -2), slice(2, -2))
    # Bilinear samples of a smooth shade: a radial gradient's tip is the least smooth.
    assert np.abs((warped - pairs.current) * pairs.mask)[inner].max() < 0.03
    plain = draws["kind"] == flat.PLAIN
    assert (pairs.current[plain].std((1, 2)) < 1e-5).all()
    assert (pairs.flow[(pairs.flow**2).max((1, 2, 3)) < 1e-8].shape[0]) > 4  # some cameras rest


def noise_of(brightness, before, recipe):
    """Standard deviation of the noise that the network sees on a plain frame with a brighter half."""
    frame = np.full((1, 32, 64, 3), brightness, "float32")
    frame[:, :, 32:] *= 1.5
    source = Source(1.0, {}, None, lambda *_: Pairs(frame, frame, 0 * frame[..., :2], frame[..., :1], np.zeros(1)))
    motion = recipe.motion.model_copy(update={"noise_before_exposure": before})
    draws = {"draws": [{}], "light": np.ones((1, 2, 2), "float32"), "noise": np.float32([0.01])}
    recipe = recipe.model_copy(update={"motion": motion})
    batch = batches.make_batch([source], [{}], draws, jax.random.key(0), recipe)
    return float(ops.std(batch["noisy"] - batch["clean"]))


def test_a_cameras_noise_grows_with_the_gain(recipe):
    assert noise_of(0.2, False, recipe) == pytest.approx(0.01, rel=0.1)
    assert noise_of(0.2, True, recipe) > 2 * noise_of(0.2, False, recipe)
