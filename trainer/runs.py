"""The files of a run: models, checkpoints, histories. Each is written beside and renamed, so none is half there."""

import json
from dataclasses import dataclass, replace
from pathlib import Path
from zipfile import BadZipFile

import jax.numpy as jnp
import keras
import numpy as np
from rich.console import Console

from appliance.errors import Problem
from appliance.files import remove_leftovers, replacing
from trainer import network
from trainer.recipe import Recipe


@dataclass(frozen=True)
class Run:
    """Where one phase of a recipe keeps its files: NAME.keras (or NAME.npz, see pack()) and NAME.json, what made it;
    NAME.checkpoint.npz, NAME.losses.jsonl, NAME.png, and tensorboard/NAME. `norm` is that of the network.
    """

    folder: Path
    name: str
    digest: str
    norm: str = "affine"
    recipe: Recipe | None = None

    def path(self, suffix: str) -> Path:
        return self.folder / f"{self.name}.{suffix}"


def save(run: Run, model: keras.Model, done: int, state, history: list[dict]) -> None:
    """Writes all that a phase needs to go on from step `done`, and the model as it is then.

    The checkpoint comes last but for the model, which resume() can write again from it.
    """
    arrays = {f"{part}{i}": np.asarray(a) for part, values in zip("ws", state) for i, a in enumerate(values)}
    with replacing(run.path("losses.jsonl")) as path:
        path.write_text("".join(json.dumps(entry) + "\n" for entry in history))
    with replacing(run.path("checkpoint.npz")) as path:
        np.savez(path, digest=run.digest, done=done, **arrays)
    save_model(run, model, done)


def save_model(run: Run, model: keras.Model, done: int) -> None:
    with replacing(run.path("keras")) as path:
        model.save(path)
    _write_note(run, done)


def _write_note(run, done):
    recipe = run.recipe and run.recipe.model_dump(mode="json", exclude_defaults=True)
    with replacing(run.path("json")) as path:
        path.write_text(json.dumps({"steps": done, "digest": run.digest, "norm": run.norm, "recipe": recipe}))


def resume(run: Run, state) -> tuple[int, tuple, list[dict]]:
    """(steps done, state, history) of the run's checkpoint; (0, the given state, []) when there is none of its recipe.

    What a crash left half-written in the run's folder is removed. Raises Problem when the checkpoint cannot be read.
    """
    remove_leftovers(run.folder)
    path = run.path("checkpoint.npz")
    if not path.exists():
        return 0, state, []
    try:
        with np.load(path) as file:
            if str(file["digest"]) != run.digest:
                return 0, state, []
            done = int(file["done"])
            state = tuple(
                [jnp.asarray(file[f"{part}{i}"]) for i in range(len(values))] for part, values in zip("ws", state)
            )
        history = [json.loads(line) for line in run.path("losses.jsonl").read_text().splitlines()]
    except (OSError, ValueError, KeyError, BadZipFile) as error:
        raise Problem(f"{run.name} {path}: damaged; remove it to start again") from error
    return done, state, [entry for entry in history if entry["step"] <= done]


def steps_saved(run: Run) -> int:
    """The steps that made the saved model; 0 when there is none of this recipe."""
    try:
        made = json.loads(run.path("json").read_text())
    except (OSError, ValueError):
        return 0
    return made["steps"] if made["digest"] == run.digest and run.path("keras").exists() else 0


def load_model(run: Run, steps: int) -> tuple[keras.Model, int]:
    """The model that an earlier phase saved, and the steps that made it: fewer than `steps` when it was stopped.

    Raises Problem when there is none, when another recipe made it, or when it cannot be read.
    """
    path = next((p for p in (run.path("keras"), run.path("npz")) if p.exists()), None)
    if path is None or not run.path("json").exists():
        raise Problem(f"{run.name} {run.path('keras')}: not trained yet; run the step before this one first")
    try:
        made = json.loads(run.path("json").read_text())
        if made["digest"] != run.digest:
            raise Problem(f"{run.name} {path}: made by another recipe; run the step before this one again")
        model = keras.saving.load_model(path, compile=False) if path.suffix == ".keras" else _unpack(path, run)
    except (OSError, ValueError, KeyError, BadZipFile) as error:
        raise Problem(f"{run.name} {path}: damaged; run the step that makes it again") from error
    if made["steps"] < steps:
        Console(stderr=True).print(f"{run.name}: stopped at step {made['steps']} of {steps}; taken as it is")
    return model, made["steps"]


def pack(run: Run, folder: Path) -> None:
    """Keeps a run's model in another folder in half the bytes, NAME.npz with weights in float16, and its history."""
    model, done = load_model(run, 0)
    kept = replace(run, folder=folder)
    with replacing(kept.path("npz")) as path:
        np.savez(path, *(np.asarray(v.value).astype("float16") for v in model.weights))
    if run.path("losses.jsonl").exists():
        with replacing(kept.path("losses.jsonl")) as path:
            path.write_bytes(run.path("losses.jsonl").read_bytes())
    _write_note(kept, done)


def _unpack(path, run):
    model = network.build(run.recipe.network, run.norm)
    with np.load(path) as arrays:
        model.set_weights([arrays[name].astype("float32") for name in arrays.files])
    return model
