"""The loop that both trainings share: jitted steps in a scan, checkpoints, history, samples and a progress display."""

import json
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import jax
import jax.numpy as jnp
import keras
import numpy as np
from PIL import Image
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

from appliance.errors import Problem
from appliance.files import replacing
from trainer.recipe import Phase

SCAN = 50  # steps in one compiled call: long enough to hide the host, short enough to report from
CHECKPOINT = 1000
SAMPLES = 2000


@dataclass
class Run:
    """Where one phase of a recipe keeps its files: NAME.keras and NAME.json (what made it), NAME.checkpoint.npz,
    NAME.losses.jsonl, NAME.png.
    """

    folder: Path
    name: str
    digest: str

    def path(self, suffix: str) -> Path:
        return self.folder / f"{self.name}.{suffix}"


def optimise(
    model: keras.Model, objective: Callable, constants, draw: Callable, phase: Phase, run: Run, samples: np.ndarray
) -> keras.Model:
    """Minimises objective over the model's weights and saves the model.

    objective(call, constants, draws, key) returns (loss, {term: value}); call(frames) runs the model. draw(rng, count)
    returns a dict of arrays with count leading rows. samples (N, H, W, 3) in 0..1 are stylised now and then for the
    eye. A run that was cut short goes on from its last checkpoint. Raises Problem when a term stops being finite.
    """
    schedule = keras.optimizers.schedules.CosineDecay(
        phase.learning_rate * 0.05,
        phase.steps,
        alpha=0.2,
        warmup_target=phase.learning_rate,
        warmup_steps=min(200, phase.steps),
    )
    optimizer = keras.optimizers.Adam(schedule, global_clipnorm=10.0)
    optimizer.build(model.trainable_variables)
    fixed = [variable.value for variable in model.non_trainable_variables]
    key = jax.random.key(phase.seed)

    def step(state, inputs):
        constants, (weights, slots) = state
        draws, index = inputs

        def loss(weights):
            def call(frames):
                return model.stateless_call(weights, fixed, frames)[0]

            return objective(call, constants, draws, jax.random.fold_in(key, index))

        (total, terms), gradients = jax.value_and_grad(loss, has_aux=True)(weights)
        return (constants, optimizer.stateless_apply(slots, gradients, weights)), {"loss": total, **terms}

    @jax.jit
    def scan(constants, state, draws, indices):
        (_, state), terms = jax.lax.scan(step, (constants, state), (draws, indices))
        return state, terms

    state = ([v.value for v in model.trainable_variables], [v.value for v in optimizer.variables])
    done, state, history = _resume(run, state)
    columns = (
        TextColumn(run.name),
        BarColumn(),
        MofNCompleteColumn(),
        TimeRemainingColumn(),
        TextColumn("{task.fields[report]}"),
    )
    with Progress(*columns, console=Console(stderr=True)) as progress:
        task = progress.add_task(run.name, total=phase.steps, completed=done, report="compiling")
        while done < phase.steps:
            began, count = time.monotonic(), min(SCAN, phase.steps - done)
            draws = draw(np.random.default_rng([phase.seed, done]), count * phase.batch)
            draws = {name: array.reshape(count, phase.batch, *array.shape[1:]) for name, array in draws.items()}
            state, terms = scan(constants, state, draws, jnp.arange(done, done + count))
            terms = {name: np.asarray(values) for name, values in terms.items()}
            _check_finite(terms, done, run.name)
            done += count
            means = {name: float(values.mean()) for name, values in terms.items()}
            history.append({"step": done, **means, "seconds": round(time.monotonic() - began, 3)})
            progress.update(task, completed=done, report=f"loss {means['loss']:.3f}")
            if done % CHECKPOINT == 0 or done == phase.steps:
                _assign(model, state)
                _save(run, model, done, state, history)
            if done % SAMPLES == 0 or done == phase.steps:
                with replacing(run.path("png")) as path:
                    contact_sheet(model, samples).save(path)
    _assign(model, state)
    return model


def contact_sheet(model: keras.Model, frames: np.ndarray) -> Image.Image:
    """Frames (N, H, W, 3) in 0..1 to the left of what the model makes of them."""
    images = (np.asarray(model(frames)["image"]) + 1) / 2
    rows = np.concatenate([frames, images], axis=2)
    return Image.fromarray((rows.reshape(-1, *rows.shape[2:]) * 255).round().astype("uint8"))


def load_model(run: Run, steps: int) -> tuple[keras.Model, int]:
    """The model that an earlier phase saved, and the steps that made it: fewer than `steps` when it was stopped.

    Raises Problem when there is none, or when another recipe made it.
    """
    if not (run.path("keras").exists() and run.path("json").exists()):
        raise Problem(f"{run.name} {run.path('keras')}: not trained yet; run the step before this one first")
    made = json.loads(run.path("json").read_text())
    if made["digest"] != run.digest:
        raise Problem(f"{run.name} {run.path('keras')}: made by another recipe; run the step before this one again")
    if made["steps"] < steps:
        Console(stderr=True).print(f"{run.name}: stopped at step {made['steps']} of {steps}; taken as it is")
    return keras.saving.load_model(run.path("keras"), compile=False), made["steps"]


def _assign(model, state):
    for variable, value in zip(model.trainable_variables, state[0], strict=True):
        variable.assign(value)


def _check_finite(terms, first, name):
    bad = {term: int(np.argmin(np.isfinite(values))) for term, values in terms.items() if not np.isfinite(values).all()}
    if bad:
        step = min(bad.values())
        broke = [term for term, at in bad.items() if at == step and term != "loss"] or ["loss"]
        raise Problem(
            f"{name}: {' and '.join(broke)} is not a number at step {first + step + 1}; "
            "lower learning_rate or that term's weight in the recipe"
        )


def _save(run, model, done, state, history):
    arrays = {f"{part}{i}": np.asarray(a) for part, values in zip("ws", state) for i, a in enumerate(values)}
    with replacing(run.path("losses.jsonl")) as path:
        path.write_text("".join(json.dumps(entry) + "\n" for entry in history))
    with replacing(run.path("checkpoint.npz")) as path:
        np.savez(path, digest=run.digest, done=done, **arrays)
    with replacing(run.path("keras")) as path:
        model.save(path)
    with replacing(run.path("json")) as path:
        path.write_text(json.dumps({"steps": done, "digest": run.digest}))


def _resume(run, state):
    path = run.path("checkpoint.npz")
    if not path.exists():
        return 0, state, []
    with np.load(path) as file:
        if str(file["digest"]) != run.digest:
            return 0, state, []
        done = int(file["done"])
        state = tuple(
            [jnp.asarray(file[f"{part}{i}"]) for i in range(len(values))] for part, values in zip("ws", state)
        )
    history = [json.loads(line) for line in run.path("losses.jsonl").read_text().splitlines()]
    return done, state, [entry for entry in history if entry["step"] <= done]
