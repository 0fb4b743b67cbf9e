"""Distils a teacher into a student without normalisation.

Training such a network from nothing does not work; starting from the teacher with each normalisation frozen at its
average statistics, and staying close to what the teacher draws, does.
"""

from pathlib import Path

import keras
from keras import ops

from appliance.errors import Problem
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
    phase, norm, reach = recipe.student, recipe.teacher.norm, network.reach(recipe.network)
    if phase.loss.border and min(recipe.size) <= 2 * reach:
        raise Problem(
            f"{recipe.name}: student.loss.border needs frames of more than {2 * reach} x {2 * reach} pixels; "
            "enlarge [frame] or set it to 0"
        )
    teacher, _ = load_model(teacher_run(recipe, out), recipe.teacher.steps)
    devices.spread(phase.batch)
    ground = Ground(recipe, data)
    few = ground.photos[:: max(1, len(ground.photos) // STATISTICS)][:STATISTICS]
    student = network.distilled_start(teacher, recipe.network, still_frames(few, recipe))
    compute = network.build(recipe.network, "affine", phase.precision)
    model = network.build(recipe.network, norm, phase.precision)

    def objective(call, constants, draws, key):
        batch = make_batch(ground.sources, constants["stores"], draws, key, recipe, phase.pixels)
        outputs = call(batch["noisy"])
        target, _ = model.stateless_call(constants["teacher"], [], batch["clean"])
        terms = picture_terms(outputs, batch, constants)
        terms["teacher_output"] = losses.content(outputs["image"], target["image"])
        terms["teacher_features"] = losses.content(_centred(outputs["residual"]), _centred(target["residual"]))
        if phase.loss.border:
            terms["border"] = border(call, batch["noisy"], outputs["image"], reach)
        return total(terms, phase.loss)

    constants = ground.constants | {"teacher": [v.value for v in teacher.trainable_variables]}
    run = student_run(recipe, out)
    draw = ground.draw(phase.batch, phase.augment)
    return optimise(student, objective, constants, draw, phase, run, ground.samples, compute)


def border(call, frames, images, reach: int):
    """How far what is drawn along a border is from what is drawn there when the frame goes on, over its energy.

    call(frames) draws {"image": ...}; images (B, H, W, 3) is what it drew of all frames. Not in the paper: near a
    border, whose zero padding tells it where it is, a student pleases Gram matrices with bands of their own.
    """
    # The middle of every second frame, and there what the frame's own border cannot have touched.
    middle = (slice(1, None, 2), slice(reach, -reach), slice(reach, -reach))
    return losses.content(call(frames[middle])["image"], ops.stop_gradient(images[middle]))


def _centred(features):
    # The student's rectifiers start at 0 where the teacher's start at a learned threshold: only the constant differs.
    features = ops.cast(features, "float32")
    return features - ops.mean(features, axis=(1, 2), keepdims=True)
