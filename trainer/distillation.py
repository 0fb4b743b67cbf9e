"""Distils a teacher into a student without normalisation.

Training such a network from nothing does not work; starting from the teacher with each normalisation frozen at its
average statistics, and staying close to what the teacher draws, does.
"""

from pathlib import Path

import keras
from keras import ops

from trainer import devices, losses, network
from trainer.optimise import optimise
from trainer.recipe import Recipe
from trainer.runs import Run, load_model
from trainer.training import Ground, make_batch, picture_terms, still_frames, teacher_run, total

STATISTICS = 24  # frames for the teacher's average statistics


def student_run(recipe: Recipe, out: Path) -> Run:
    digest = recipe.digest("data", "mix", "frame", "motion", "network", "perceptual", "teacher", "student")
    return Run(out, "student", digest, "affine", recipe)


def distill(recipe: Recipe, data: Path, out: Path) -> keras.Model:
    """Trains the recipe's student from out/teacher.keras and saves it to out/student.keras. Raises Problem."""
    phase, norm = recipe.student, recipe.teacher.norm
    teacher, _ = load_model(teacher_run(recipe, out), recipe.teacher.steps)
    devices.spread(phase.batch)
    ground = Ground(recipe, data)
    few = ground.photos[:: max(1, len(ground.photos) // STATISTICS)][:STATISTICS]
    student = network.distilled_start(teacher, recipe.network, still_frames(few, recipe))
    compute = network.build(recipe.network, "affine", phase.precision)
    model = network.build(recipe.network, norm, phase.precision)

    def objective(call, constants, draws, key):
        batch = make_batch(ground.sources, constants["stores"], draws, key, recipe)
        outputs = call(batch["noisy"])
        target, _ = model.stateless_call(constants["teacher"], [], batch["clean"])
        terms = picture_terms(outputs, batch, constants)
        terms["teacher_output"] = losses.content(outputs["image"], target["image"])
        terms["teacher_features"] = losses.content(_centred(outputs["residual"]), _centred(target["residual"]))
        return total(terms, phase.loss)

    constants = ground.constants | {"teacher": [v.value for v in teacher.trainable_variables]}
    run = student_run(recipe, out)
    return optimise(student, objective, constants, ground.draw(phase.batch), phase, run, ground.samples, compute)


def _centred(features):
    # The student's rectifiers start at 0 where the teacher's start at a learned threshold: only the constant differs.
    features = ops.cast(features, "float32")
    return features - ops.mean(features, axis=(1, 2), keepdims=True)
