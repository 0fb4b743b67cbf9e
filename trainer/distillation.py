"""Distils a teacher into a student without normalisation.

Training such a network from nothing does not work; starting from the teacher with each normalisation frozen at its
average statistics, and staying close to what the teacher draws, does.
"""

from pathlib import Path

import keras
from keras import ops

from trainer import losses, network
from trainer.optimise import Run, load_model, optimise
from trainer.recipe import Recipe
from trainer.training import Ground, feature_temporal, make_batch, picture_terms, still_frames, teacher_run, weighted

STATISTICS = 24  # frames for the teacher's average statistics


def student_run(recipe: Recipe, out: Path) -> Run:
    return Run(out, "student", recipe.digest("data", "frame", "motion", "network", "perceptual", "teacher", "student"))


def distill(recipe: Recipe, data: Path, out: Path) -> keras.Model:
    """Trains the recipe's student from out/teacher.keras and saves it to out/student.keras. Raises Problem."""
    ground = Ground(recipe, data)
    teacher, _ = load_model(teacher_run(recipe, out), recipe.teacher.steps)
    few = ground.photos[:: max(1, len(ground.photos) // STATISTICS)][:STATISTICS]
    student = network.distilled_start(teacher, recipe.network, still_frames(few, recipe))
    weights = recipe.student.loss

    def objective(call, constants, draws, key):
        batch = make_batch(constants["photos"], draws, key, recipe)
        outputs = call(batch["noisy"])
        target, _ = teacher.stateless_call(constants["teacher"], constants["teacher_fixed"], batch["clean"])
        terms = picture_terms(outputs, batch, constants)
        terms["feature_temporal"] = feature_temporal(outputs["encoded"], batch)
        terms["teacher_output"] = losses.content(outputs["image"], target["image"])
        terms["teacher_features"] = losses.content(_centred(outputs["residual"]), _centred(target["residual"]))
        return weighted(terms, weights), terms

    constants = ground.constants | {
        "teacher": [v.value for v in teacher.trainable_variables],
        "teacher_fixed": [v.value for v in teacher.non_trainable_variables],
    }
    run = student_run(recipe, out)
    return optimise(student, objective, constants, ground.draw, recipe.student, run, ground.samples)


def _centred(features):
    # The student's rectifiers start at 0 where the teacher's start at a learned threshold: only the constant differs.
    return features - ops.mean(features, axis=(1, 2), keepdims=True)
