"""Distils a teacher into a student without normalisation.

It starts from the teacher, with each normalisation frozen at its average statistics, and is kept close to the teacher's
output.
"""

from pathlib import Path

import keras

from appliance.errors import Problem
from trainer import devices, folding, network
from trainer.batches import Ground
from trainer.data.contents import contents
from trainer.objectives import student_objective, weights
from trainer.optimise import optimise
from trainer.recipe import Recipe
from trainer.runs import forget, load_model, student_run, teacher_run
from trainer.training import check_border


def distill(recipe: Recipe, data: Path, out: Path, restart: bool = False) -> keras.Model:
    """Trains the recipe's student from out/teacher.keras and saves it to out/student.keras. An interrupted run is
    continued; with restart, it is discarded. Raises Problem.
    """
    if recipe.teacher is None:
        raise Problem(f"{recipe.name}: has no [teacher] to distil; reconet-train train trains its student directly")
    check_border(recipe)
    phase = recipe.student
    digests = contents(recipe, data)
    teacher, _ = load_model(teacher_run(recipe, out, contents=digests), recipe.teacher.steps)
    devices.spread(phase.batch)
    ground = Ground(recipe, data)
    student = folding.folded(teacher, recipe.network, ground.few(folding.STATISTICS))
    compute = network.build(recipe.network, "affine", phase.precision)
    model = network.build(recipe.network, recipe.teacher.norm, phase.precision)
    constants = ground.constants | {
        "teacher": [v.value for v in teacher.trainable_variables],
        "weights": weights(recipe.style, phase.loss),
    }
    objective = student_objective(recipe, ground.sources, model)
    draw = ground.random_draws(phase.batch, phase.augment)
    run = student_run(recipe, out, digests)
    if restart:
        forget(run)
    return optimise(student, objective, constants, draw, phase, run, ground.samples, compute)
