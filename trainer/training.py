"""Trains a style's networks from nothing: a teacher with normalisation, or a student without one directly."""

from pathlib import Path

import keras

from appliance.errors import Problem
from trainer import devices, network, perceptual
from trainer.batches import Ground
from trainer.objectives import student_objective, teacher_objective
from trainer.optimise import optimise
from trainer.recipe import Recipe, Teacher
from trainer.runs import Run


def teacher_run(recipe: Recipe, out: Path, name: str = "teacher") -> Run:
    digest = recipe.digest("data", "mix", "frame", "motion", "network", "style", "perceptual", "teacher")
    return Run(out, name, digest, recipe.teacher.norm, recipe)


def student_run(recipe: Recipe, out: Path) -> Run:
    digest = recipe.digest("data", "mix", "frame", "motion", "network", "style", "perceptual", "teacher", "student")
    return Run(out, "student", digest, "affine", recipe)


def with_norm(recipe: Recipe, norm: str) -> Recipe:
    """The recipe with another normalisation in its teacher."""
    return recipe.model_copy(update={"teacher": recipe.teacher.model_copy(update={"norm": norm})})


def train(recipe: Recipe, data: Path, out: Path, norm: str | None = None) -> keras.Model:
    """Trains the recipe's teacher and saves it to out/teacher.keras; of a recipe without one, its student, and saves
    that to out/student.keras. With norm, a teacher that differs in the normalisation alone, to compare with, saved to
    out/NORM.keras. Raises Problem.
    """
    if recipe.teacher is None:
        if norm:
            raise Problem(f"{recipe.name}: --norm compares teachers, and this recipe has no [teacher]")
        return _train(recipe, data, out, recipe.student, "affine", student_run(recipe, out), student_objective)
    recipe = with_norm(recipe, norm) if norm else recipe
    run = teacher_run(recipe, out, norm or "teacher")
    return _train(recipe, data, out, recipe.teacher, recipe.teacher.norm, run, teacher_objective)


def _train(recipe, data, out, phase, norm, run, objective):
    check_border(recipe)
    devices.spread(phase.batch)
    ground = Ground(recipe, data)
    keras.utils.set_random_seed(phase.seed)
    model = network.build(recipe.network, norm)
    compute = network.build(recipe.network, norm, phase.precision)
    draw = ground.draw(phase.batch) if isinstance(phase, Teacher) else ground.draw(phase.batch, phase.augment)
    trained = optimise(
        model, objective(recipe, ground.sources), ground.constants, draw, phase, run, ground.samples, compute
    )
    perceptual.save_style(out / "style.npz", ground.targets, recipe.style)
    return trained


def check_border(recipe: Recipe) -> None:
    """Raises Problem where the frame is too small for the student's border term."""
    reach = network.reach(recipe.network)
    if recipe.student.loss.border and min(recipe.size) <= 2 * reach:
        raise Problem(
            f"{recipe.name}: student.loss.border needs frames of more than {2 * reach} x {2 * reach} pixels; "
            "enlarge [frame] or set it to 0"
        )
