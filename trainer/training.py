"""Trains a style's networks from scratch: a teacher with normalisation, or directly a student without."""

import random
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path

import keras

from appliance.errors import Problem
from trainer import devices, folding, network, perceptual, runs
from trainer.batches import Ground
from trainer.data import pictures
from trainer.gather import shipped
from trainer.lite import lite_recipe
from trainer.objectives import student_objective, teacher_objective, weights
from trainer.optimise import optimise, seconds_per_step
from trainer.recipe import Recipe
from trainer.runs import Run, load_model, student_run, teacher_run, with_norm
from trainer.sections import Phase


@dataclass(frozen=True)
class Prepared:
    """All that optimise() takes."""

    model: keras.Model
    objective: Callable
    ground: Ground
    random_draws: Callable
    phase: Phase
    run: Run
    compute: keras.Model

    @property
    def constants(self) -> dict:
        """What the objective takes besides the drawn parameters: the data's constants and the recipe's weights."""
        return self.ground.constants | {"weights": weights(self.run.recipe.style, self.phase.loss)}


def prepare(recipe: Recipe, data: Path, out: Path, norm: str | None = None, name: str = "student") -> Prepared:
    """Reads the recipe's data and builds its network with the weights that it starts from. With name "lite", recipe is
    that of a lite student. Raises Problem.
    """
    if recipe.teacher is None and norm:
        raise Problem(f"{recipe.name}: --norm compares teachers, and this recipe has no [teacher]")
    recipe = with_norm(recipe, norm) if norm else recipe
    check_border(recipe)
    phase = recipe.teacher or recipe.student
    start = _start(recipe, name)
    if recipe.lite:  # refused now, rather than after the student's training
        check_border(lite_recipe(recipe))
        _start(lite_recipe(recipe), "lite")
    devices.spread(phase.batch)
    ground = Ground(recipe, data)
    if recipe.lite:
        pictures.painting(data / recipe.data.painting, lite_recipe(recipe).data.painting_width)
    if recipe.teacher:
        run = teacher_run(recipe, out, norm or "teacher", ground.contents)
        objective, draw = teacher_objective(recipe, ground.sources), ground.random_draws(phase.batch)
    else:
        run = replace(student_run(recipe, out, ground.contents), name=name)
        objective = student_objective(recipe, ground.sources)
        draw = ground.random_draws(phase.batch, recipe.student.augment)
    random.seed(phase.seed)  # Keras draws the seeds of initial weights from it; its own function imports TensorFlow
    model = network.build(recipe.network, recipe.learns_with)
    if start and recipe.learns_with == "batch":
        model.set_weights(folding.unfolded(start, recipe.network, ground.few(folding.STATISTICS)))
    elif start:
        model.set_weights(start.get_weights())
    compute = network.build(recipe.network, recipe.learns_with, phase.precision)
    return Prepared(model, objective, ground, draw, phase, run, compute)


def train(
    recipe: Recipe,
    data: Path,
    out: Path,
    norm: str | None = None,
    restart: bool = False,
    made: Prepared | None = None,
) -> keras.Model:
    """Trains the recipe's teacher and saves it to out/teacher.keras; of a recipe without one, its student, to
    out/student.keras. Then its lite student, if it has one. With norm, only a teacher that differs in its
    normalisation, for comparison, to out/NORM.keras. An interrupted run is continued; with restart, it is discarded.
    made is what prepare() gave, if it was called. Raises Problem.
    """
    made = made or prepare(recipe, data, out, norm)
    if restart:
        runs.forget(made.run)
    trained = fit(made)
    perceptual.save_style(out / "style.npz", made.ground.targets, recipe.style)
    if recipe.lite and not norm:
        train_lite(recipe, data, out, restart)
    return trained


def train_lite(recipe: Recipe, data: Path, out: Path, restart: bool = False) -> keras.Model:
    """Trains the recipe's lite student alone, as train() does, and saves it to out/lite.keras. Raises Problem."""
    if not recipe.lite:
        raise Problem(f"{recipe.name}: the recipe has no [lite], so there is no lite student to train")
    made = prepare(lite_recipe(recipe), data, out, name="lite")
    if restart:
        runs.forget(made.run)
    return fit(made)


def fit(made: Prepared) -> keras.Model:
    """Trains what prepare() made, and saves the network."""
    constants, samples = made.constants, made.ground.samples

    def finished(model):
        recipe = made.run.recipe
        if recipe.student.norm == "none":
            return model
        return folding.folded(model, recipe.network, made.ground.few(folding.STATISTICS))

    return optimise(
        made.model, made.objective, constants, made.random_draws, made.phase, made.run, samples, made.compute, finished
    )


def measure(made: Prepared) -> float:
    """Seconds that a step of fit() takes on this machine, compilation left out. Changes nothing. Raises OutOfMemory."""
    return seconds_per_step(made.compute, made.model, made.objective, made.constants, made.random_draws, made.phase)


def _start(recipe, name):
    """The shipped network `name` from which the recipe's student starts; None for nothing."""
    start = recipe.student.start
    if not start:
        return None
    note, folder = shipped(start, name)
    if note.recipe.network != recipe.network:
        raise Problem(f"{recipe.name}: {name}.start {start} has another network; take its [network] and widths over")
    return load_model(runs.network_run(note.recipe, name, folder), 0)[0]


def check_border(recipe: Recipe) -> None:
    """Raises Problem when the frame is too small for the student's border term, or for polish.whole."""
    reach, student = network.reach(recipe.network), recipe.student
    uses = (
        ("student.loss.border", student.loss.border, student.crop or recipe.size, "[frame] or student.crop"),
        ("polish.whole", recipe.polish.whole, recipe.size, "[frame]"),
    )
    for key, wanted, size, where in uses:
        if wanted and min(size) <= 2 * reach:
            raise Problem(
                f"{recipe.name}: {key} needs frames of more than {2 * reach} x {2 * reach} pixels; "
                f"enlarge {where} or turn it off"
            )
