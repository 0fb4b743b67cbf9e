"""The files of a run: models, checkpoints, histories. Each is written to a temporary file and renamed."""

import json
import shutil
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any
from zipfile import BadZipFile

import jax.numpy as jnp
import keras
import numpy as np
from pydantic import BaseModel, ValidationError
from rich.console import Console

from appliance.errors import Problem
from appliance.files import remove_leftovers, replacing
from trainer import network
from trainer.data.contents import FIELDS
from trainer.lite import lite_recipe
from trainer.recipe import Recipe

SHOWN = 6  # differences named in one message


@dataclass(frozen=True)
class Run:
    """Where one phase of a recipe keeps its files, and what identifies it.

    The files: NAME.keras (or NAME.npz, see pack()) and NAME.json, the Note of what made it; NAME.checkpoint.npz,
    NAME.losses.jsonl, NAME.png, and tensorboard/NAME. A run is the same as an earlier one when the `sections` of their
    recipes agree and `contents`, the training data's digests (data.contents.contents()), do too. `norm` is the
    network's normalisation.
    """

    folder: Path
    name: str
    recipe: Recipe
    sections: tuple[str, ...]
    norm: str = "affine"
    contents: Mapping[str, str] = field(default_factory=dict)

    def path(self, suffix: str) -> Path:
        return self.folder / f"{self.name}.{suffix}"


_TEACHER = ("data", "mix", "frame", "motion", "network", "style", "perceptual", "teacher")
NETWORKS = ("teacher", "instance", "none", "frn", "student", "lite")


def teacher_run(recipe: Recipe, out: Path, name: str = "teacher", contents: Mapping[str, str] | None = None) -> Run:
    """The run that makes the teacher of a recipe that has one."""
    assert recipe.teacher
    return Run(out, name, recipe, _TEACHER, recipe.teacher.norm, contents or {})


def student_run(recipe: Recipe, out: Path, contents: Mapping[str, str] | None = None) -> Run:
    return Run(out, "student", recipe, (*_TEACHER, "student"), "affine", contents or {})


def lite_run(recipe: Recipe, out: Path, contents: Mapping[str, str] | None = None) -> Run:
    """The run that makes the lite student of a recipe that has one. Its Note has the recipe of lite_recipe()."""
    return replace(student_run(lite_recipe(recipe), out, contents), name="lite")


def with_norm(recipe: Recipe, norm: str) -> Recipe:
    """The recipe with another normalisation in its teacher."""
    assert recipe.teacher
    return recipe.model_copy(update={"teacher": recipe.teacher.model_copy(update={"norm": norm})})


def network_run(recipe: Recipe, name: str, folder: Path) -> Run:
    """The run that makes one of NETWORKS: teacher, student, lite, or a normalisation to compare with."""
    if name == "lite":
        return lite_run(recipe, folder) if recipe.lite else replace(student_run(recipe, folder), name=name)
    if name == "student":
        return student_run(recipe, folder)
    return teacher_run(recipe, folder) if name == "teacher" else teacher_run(with_norm(recipe, name), folder, name)


class Note(BaseModel):
    """What made a network: NAME.json. The recipe is whole, so that a default that changes later is noticed."""

    steps: int
    recipe: Recipe
    contents: dict[str, str] = {}
    polished: int = 0  # steps, see trainer/polishing.py


def read_note(path: Path) -> Note:
    """The note at path. Raises Problem."""
    try:
        return Note.model_validate_json(path.read_bytes())
    except (OSError, ValidationError) as error:
        raise Problem(f"{path}: missing or damaged; run the step that makes it again with --restart") from error


def differences(note: Note, run: Run, of_data: bool = True) -> list[str]:
    """What differs between the network that the note describes and the run's, as "teacher.steps 8000 → 9000".

    Data is compared by content where both know it, else by its setting. Without of_data, data of the same setting or
    the same content is not compared further: a network is used on other data than it was trained on.
    """
    old, new = (recipe.settings(*run.sections) for recipe in (note.recipe, run.recipe))
    found = []
    for name in FIELDS.keys() & note.contents.keys() & run.contents.keys():
        field = FIELDS[name]
        before, now = note.contents[name], run.contents[name]
        if of_data and before != now:
            found.append(f"content of {field} {before[:8]} → {now[:8]}")
        if of_data or before == now:
            old.pop(field, None), new.pop(field, None)
    for name in {**new, **old}:
        before, now = (_shown(settings.get(name)) for settings in (old, new))
        if before != now:
            found.append(f"{name} {before} → {now}")
    return sorted(found)


def _shown(value) -> str:
    return "unset" if value is None else json.dumps(value, ensure_ascii=False)


def _refuse(found: list[str], path: Path, advice: str) -> None:
    if found:
        more = f" and {len(found) - SHOWN} more" if len(found) > SHOWN else ""
        raise Problem(f"{path}: made by other settings: {', '.join(found[:SHOWN])}{more}; {advice}")


def save(run: Run, model: keras.Model, done: int, state, history: list[dict]) -> None:
    """Writes all that a phase needs to continue from step `done`, and the model as it is then.

    The checkpoint comes last but for the model, which optimise() can write again from it.
    """
    arrays: dict[str, Any] = {
        f"{part}{i}": np.asarray(a) for part, values in zip("ws", state) for i, a in enumerate(values)
    }
    with replacing(run.path("losses.jsonl")) as path:
        path.write_text("".join(json.dumps(entry) + "\n" for entry in history))
    with replacing(run.path("checkpoint.npz")) as path:
        np.savez(path, note=_note(run, done).model_dump_json(), done=done, **arrays)
    save_model(run, model, done)


def save_model(run: Run, model: keras.Model, done: int, polished: int = 0) -> None:
    with replacing(run.path("keras")) as path:
        model.save(path)
    _write_note(run, _note(run, done, polished))


def _note(run, done, polished=0) -> Note:
    return Note(steps=done, recipe=run.recipe, contents=dict(run.contents), polished=polished)


def _write_note(run, note):
    with replacing(run.path("json")) as path:
        path.write_text(note.model_dump_json())


def resume(run: Run, state) -> tuple[int, tuple, list[dict]]:
    """(steps done, state, history) of the run's checkpoint; (0, the given state, []) when the run is new.

    Temporary files that a crash left in the run's folder are removed. Raises Problem when the checkpoint cannot be
    read, and when other settings or other data made what is there, which a restart would overwrite: see forget().
    """
    remove_leftovers(run.folder)
    path = run.path("checkpoint.npz")
    advice = "restore them, choose another --out, or start again with --restart"
    if not path.exists():
        if _model_path(run):
            _refuse(differences(read_note(run.path("json")), run), run.path("json"), advice)
            raise Problem(f"{_model_path(run)}: trained already, and there is no checkpoint to continue; see --restart")
        return 0, state, []
    try:
        with np.load(path) as file:
            note = Note.model_validate_json(str(file["note"])) if "note" in file else read_note(run.path("json"))
            _refuse(differences(note, run), path, advice)
            done = int(file["done"])
            state = tuple(
                [jnp.asarray(file[f"{part}{i}"]) for i in range(len(values))] for part, values in zip("ws", state)
            )
        history = [json.loads(line) for line in run.path("losses.jsonl").read_text().splitlines()]
        return done, state, [entry for entry in history if entry["step"] <= done]
    except (OSError, ValueError, KeyError, TypeError, BadZipFile) as error:
        raise Problem(f"{path}: the checkpoint or its losses.jsonl is damaged; start again with --restart") from error


def forget(run: Run) -> None:
    """Removes all that an earlier run of this name left in its folder."""
    for suffix in ("checkpoint.npz", "json", "keras", "npz", "losses.jsonl", "png"):
        run.path(suffix).unlink(missing_ok=True)
    shutil.rmtree(run.folder / "tensorboard" / run.name, ignore_errors=True)


def steps_saved(run: Run) -> int:
    """The steps that made the saved model; 0 when there is none of this run."""
    return read_note(run.path("json")).steps if run.path("keras").exists() and made_here(run) else 0


def made_here(run: Run) -> bool:
    """Whether the run's folder has a readable note of these settings."""
    try:
        return not differences(read_note(run.path("json")), run, of_data=False)
    except Problem:
        return False


def is_saved(run: Run) -> bool:
    """Whether there is a model of the run's name, whatever made it."""
    return _model_path(run) is not None


def load_model(run: Run, steps: int) -> tuple[keras.Model, int]:
    """The model that an earlier phase saved, and the steps that made it: fewer than `steps` when it was stopped.

    Raises Problem when there is none, when other settings made it, or when it cannot be read.
    """
    path = _model_path(run)
    if path is None:
        raise Problem(f"{run.path('keras')}: not trained yet; run the step before this one first")
    note = read_note(run.path("json"))
    _refuse(
        differences(note, run, of_data=False), path, "restore them, or run the step that makes it again with --restart"
    )
    try:
        model = keras.saving.load_model(path, compile=False) if path.suffix == ".keras" else _unpack(path, run)
    except (OSError, ValueError, KeyError, BadZipFile) as error:
        raise Problem(f"{path}: damaged; run the step that makes it again with --restart") from error
    if note.steps < steps:
        Console(stderr=True).print(f"{run.name}: stopped at step {note.steps} of {steps}; used as it is")
    return model, note.steps


def _model_path(run: Run) -> Path | None:
    return next((path for path in (run.path("keras"), run.path("npz")) if path.exists()), None)


def pack(run: Run, folder: Path) -> None:
    """Copies a run's model to another folder in half the bytes, NAME.npz with float16 weights, and its history."""
    model, _ = load_model(run, 0)
    kept = replace(run, folder=folder)
    with replacing(kept.path("npz")) as path:
        np.savez_compressed(path, *(np.asarray(v.value).astype("float16") for v in model.weights))
    if run.path("losses.jsonl").exists():
        with replacing(kept.path("losses.jsonl")) as path:
            path.write_bytes(run.path("losses.jsonl").read_bytes())
    _write_note(kept, read_note(run.path("json")))


def _unpack(path, run):
    model = network.build(run.recipe.network, run.norm)
    with np.load(path) as arrays:
        model.set_weights([arrays[name].astype("float32") for name in arrays.files])
    return model
