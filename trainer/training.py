"""Trains a style's networks from scratch: a teacher with normalisation, or directly a student without."""

from pathlib import Path

import keras

from appliance.errors import Problem
from trainer import devices, network, perceptual, runs
from trainer.batches import Ground
from trainer.objectives import student_objective, teacher_objective
from trainer.optimise import optimise
from trainer.recipe import Recipe
from trainer.runs import student_run, teacher_run, with_norm


def train(recipe: Recipe, data: Path, out: Path, norm: str | None = None, restart: bool = False) -> keras.Model:
    """Trains the recipe's teacher and saves it to out/teacher.keras; of a recipe without one, its student, to
    out/student.keras. With norm, a teacher that differs only in its normalisation, for comparison, to out/NORM.keras.
    An interrupted run is continued; with restart, it is discarded. Raises Problem.
    """
    if recipe.teacher is None and norm:
        raise Problem(f"{recipe.name}: --norm compares teachers, and this recipe has no [teacher]")
    recipe = with_norm(recipe, norm) if norm else recipe
    check_border(recipe)
    phase = recipe.teacher or recipe.student
    devices.spread(phase.batch)
    ground = Ground(recipe, data)
    if recipe.teacher:
        run = teacher_run(recipe, out, norm or "teacher", ground.contents)
        objective, draw = teacher_objective(recipe, ground.sources), ground.random_draws(phase.batch)
    else:
        run = student_run(recipe, out, ground.contents)
        objective = student_objective(recipe, ground.sources)
        draw = ground.random_draws(phase.batch, recipe.student.augment)
    keras.utils.set_random_seed(phase.seed)
    model = network.build(recipe.network, run.norm)
    compute = network.build(recipe.network, run.norm, phase.precision)
    if restart:
        runs.forget(run)
    trained = optimise(model, objective, ground.constants, draw, phase, run, ground.samples, compute)
    perceptual.save_style(out / "style.npz", ground.targets, recipe.style)
    return trained


def check_border(recipe: Recipe) -> None:
    """Raises Problem when the frame is too small for the student's border term."""
    reach = network.reach(recipe.network)
    if recipe.student.loss.border and min(recipe.size) <= 2 * reach:
        raise Problem(
            f"{recipe.name}: student.loss.border needs frames of more than {2 * reach} x {2 * reach} pixels; "
            "enlarge [frame] or set it to 0"
        )
