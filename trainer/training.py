"""Trains a teacher: ReCoNet with normalisation, on moving photographs."""

from pathlib import Path

import jax
import keras
import numpy as np
from keras import ops

from trainer import flow, losses, network, perceptual
from trainer.data import moving_photos, pictures
from trainer.optimise import Run, optimise
from trainer.recipe import Frame, Recipe

SAMPLES = 4  # held-out frames, stylised now and then for the eye


def teacher_run(recipe: Recipe, out: Path) -> Run:
    return Run(out, "teacher", recipe.digest("data", "frame", "motion", "network", "perceptual", "teacher"))


def train(recipe: Recipe, data: Path, out: Path) -> keras.Model:
    """Trains the recipe's teacher and saves it to out/teacher.keras. Raises Problem."""
    ground = Ground(recipe, data)
    model = network.build(recipe.network, recipe.teacher.norm)
    weights = recipe.teacher.loss

    def objective(call, constants, draws, key):
        batch = make_batch(constants["photos"], draws, key, recipe)
        outputs = call(batch["noisy"])
        terms = picture_terms(outputs, batch, constants)
        terms["feature_temporal"] = feature_temporal(outputs["encoded"], batch)
        return weighted(terms, weights), terms

    run = teacher_run(recipe, out)
    return optimise(model, objective, ground.constants, ground.draw, recipe.teacher, run, ground.samples)


class Ground:
    """What both phases train on: photographs, the painting's Gram matrices and the perceptual network."""

    def __init__(self, recipe: Recipe, data: Path):
        painting, _ = pictures.painting(data / recipe.data.painting, recipe.data.painting_width)
        weights = perceptual.load(recipe.perceptual, data)
        photos = pictures.photographs(data / recipe.data.photos, recipe.size)
        self.photos, held_out = pictures.split(photos, recipe.data.held_out)
        self.samples = still_frames(held_out[:SAMPLES], recipe)
        grams = [losses.gram(f)[0] for f in perceptual.features(weights, painting).values()]
        self.recipe = recipe
        weights = {name: ops.convert_to_tensor(array) for name, array in weights.items()}
        self.constants = {
            "photos": ops.convert_to_tensor(self.photos),
            "vgg": weights,
            "grams": grams,
            "colours": losses.colour_moments(painting),
        }

    def draw(self, rng, count):
        return moving_photos.draw(rng, count, self.photos.shape[:3], self.recipe.size, self.recipe.motion)


def expose(frames, frame: Frame):
    """Brings frames (B, H, W, 3) in 0..1 to the recipe's exposure, all of them by the same gain and offset.

    The curve is appliance.exposure's, which smooths it over time; here the two frames of a pair share one.
    """
    y = losses.luma(frames)
    mean, deviation = ops.mean(y), ops.std(y)
    gain = ops.clip(frame.exposure_std / ops.maximum(deviation, 1e-3), 0.5, 3.0)
    return ops.clip(gain * (frames - mean) + frame.exposure_mean, 0, 1)


def still_frames(photos: np.ndarray, recipe: Recipe) -> np.ndarray:
    """Photographs, uint8 (N, H, W, 3), as the network sees each of them alone: (N, h, w, 3) in 0..1."""
    frames = pictures.centre(photos, recipe.size).astype("float32") / 255
    return np.concatenate([ops.convert_to_numpy(expose(frame[None], recipe.frame)) for frame in frames])


def make_batch(photos, draws, key, recipe: Recipe) -> dict:
    """Renders and exposes B pairs: "clean" and "noisy" frames (2B, H, W, 3), previous ones first; "flow"; "mask"."""
    previous, current, motion, mask = moving_photos.render(photos, draws, recipe.size)
    pairs = ops.vectorized_map(lambda pair: expose(pair, recipe.frame), ops.stack([previous, current], axis=1))
    clean = ops.concatenate([pairs[:, 0], pairs[:, 1]])
    sigma = ops.tile(draws["noise"], 2)[:, None, None, None]
    noisy = ops.clip(clean + sigma * jax.random.normal(key, clean.shape), 0, 1)
    return {"clean": clean, "noisy": noisy, "flow": motion, "mask": mask}


def picture_terms(outputs, batch, constants) -> dict:
    """Content, style, total variation and output-level temporal terms of the network's outputs."""
    images = (outputs["image"] + 1) / 2
    made = perceptual.features(constants["vgg"], images, "bfloat16")
    wanted = perceptual.features(constants["vgg"], batch["clean"], "bfloat16")[perceptual.CONTENT_LAYER]
    previous, current = ops.split(images, 2)
    before, now = ops.split(batch["clean"], 2)
    return {
        "content": losses.content(made[perceptual.CONTENT_LAYER], wanted),
        "style": losses.style([losses.gram(made[layer]) for layer in perceptual.STYLE_LAYERS], constants["grams"]),
        "tv": losses.total_variation(images),
        "tone": losses.tone(images, batch["clean"]),
        "palette": losses.palette(losses.colour_moments(_middle(images)), constants["colours"]),
        "output_temporal": losses.output_temporal(
            current, flow.warp(previous, batch["flow"]), now, flow.warp(before, batch["flow"]), batch["mask"]
        ),
    }


def _middle(images):
    # Near a border the zero padding tells the network where it is, and it would paint all the yellow there, as a frame.
    top, left = images.shape[1] // 4, images.shape[2] // 4
    return images[:, top:-top, left:-left]


def feature_temporal(encoded, batch):
    """The feature-level temporal term on the encoder's output, a quarter of the frame's size."""
    previous, current = ops.split(encoded, 2)
    motion, mask = flow.downscale(batch["flow"], 4) / 4, ops.floor(flow.downscale(batch["mask"], 4))
    return losses.feature_temporal(current, flow.warp(previous, motion), mask)


def weighted(terms: dict, weights) -> object:
    """The sum of the terms by the recipe's weights."""
    return sum(getattr(weights, name) * value for name, value in terms.items())
