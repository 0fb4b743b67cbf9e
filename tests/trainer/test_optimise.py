"""The training loop goes on where it was stopped, stops at what is not a number, leaves nothing half-written."""

import json

import keras
import numpy as np
import pytest
from keras import ops

from appliance.errors import Problem
from trainer import optimise as loop
from trainer.optimise import Run, optimise
from trainer.recipe import Phase


def tiny_model():
    keras.utils.set_random_seed(0)
    pixels = keras.Input((None, None, 3))
    return keras.Model(pixels, {"image": keras.layers.Conv2D(3, 1)(pixels)})


def towards_grey(call, constants, draws, key):
    loss = ops.mean(ops.square(call(draws["frames"])["image"] - constants["grey"]))
    return loss, {"grey": loss}


def draw(rng, count):
    return {"frames": rng.uniform(size=(count, 4, 4, 3)).astype("float32")}


def train(folder, steps, objective=towards_grey, grey=0.5, draw=draw):
    model = tiny_model()
    samples = np.zeros((1, 4, 4, 3), "float32")
    phase = Phase(steps=steps, batch=2, learning_rate=0.01)
    return optimise(model, objective, {"grey": grey}, draw, phase, Run(folder, "tiny", f"{steps}"), samples)


def losses(folder):
    return [json.loads(line)["loss"] for line in (folder / "tiny.losses.jsonl").read_text().splitlines()]


def test_it_minimises_and_leaves_model_checkpoint_history_and_sample(tmp_path):
    train(tmp_path, 300)
    assert losses(tmp_path)[-1] < 0.5 * losses(tmp_path)[0]
    assert sorted(p.name for p in tmp_path.iterdir()) == [
        "tiny.checkpoint.npz",
        "tiny.json",
        "tiny.keras",
        "tiny.losses.jsonl",
        "tiny.png",
    ]


def test_an_interrupted_run_goes_on_and_ends_as_an_uninterrupted_one(tmp_path, monkeypatch):
    monkeypatch.setattr(loop, "CHECKPOINT", 50)
    (tmp_path / "a").mkdir()
    (tmp_path / "b").mkdir()
    whole = train(tmp_path / "a", 200)

    drawn = []

    def power_cut(rng, count):
        drawn.append(count)
        if len(drawn) == 3:
            raise KeyboardInterrupt
        return draw(rng, count)

    with pytest.raises(KeyboardInterrupt):
        train(tmp_path / "b", 200, draw=power_cut)
    stopped, steps = loop.load_model(Run(tmp_path / "b", "tiny", "200"), 200)
    assert steps == 100 and not np.allclose(stopped.get_weights()[0], whole.get_weights()[0])
    resumed = train(tmp_path / "b", 200)
    assert len(losses(tmp_path / "b")) == 4
    for a, b in zip(whole.get_weights(), resumed.get_weights(), strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-5)


def test_a_finished_run_is_not_run_again(tmp_path):
    first, again = (train(tmp_path, 50).get_weights() for _ in range(2))
    assert len(losses(tmp_path)) == 1
    np.testing.assert_array_equal(first[0], again[0])


def test_another_recipes_checkpoint_and_model_are_not_taken(tmp_path):
    train(tmp_path, 50)
    with pytest.raises(Problem, match="another recipe"):
        loop.load_model(Run(tmp_path, "tiny", "other"), 50)
    train(tmp_path, 100)
    assert len(losses(tmp_path)) == 2


def test_nan_stops_with_the_step_and_the_term(tmp_path):
    def breaks(call, constants, draws, key):
        loss, terms = towards_grey(call, constants, draws, key)
        return loss, {**terms, "style": loss * constants["grey"]}

    with pytest.raises(Problem) as caught:
        train(tmp_path, 50, breaks, grey=float("inf"))
    assert "step 1" in str(caught.value) and "style" in str(caught.value) and "\n" not in str(caught.value)
    assert list(tmp_path.iterdir()) == []
