"""Trains a teacher: ReCoNet with normalisation, on pairs of frames."""

from pathlib import Path

import jax
import keras
import numpy as np
from keras import ops

from appliance.engine.exposure import CHROMA_GAINS, COLOUR, CONTRAST, GAINS
from trainer import devices, flow, losses, network, perceptual
from trainer.data import augment, moving_photos, pictures, sintel, video
from trainer.data import source as sources
from trainer.optimise import optimise
from trainer.recipe import Augment, Frame, Motion, Recipe
from trainer.runs import Run

SAMPLES = 4  # held-out frames, stylised now and then for the eye
AS_IT_IS = Augment()


def teacher_run(recipe: Recipe, out: Path, name: str = "teacher") -> Run:
    digest = recipe.digest("data", "mix", "frame", "motion", "network", "perceptual", "teacher")
    return Run(out, name, digest, recipe.teacher.norm, recipe)


def with_norm(recipe: Recipe, norm: str) -> Recipe:
    """The recipe with another normalisation in its teacher."""
    return recipe.model_copy(update={"teacher": recipe.teacher.model_copy(update={"norm": norm})})


def train(recipe: Recipe, data: Path, out: Path, norm: str | None = None) -> keras.Model:
    """Trains the recipe's teacher and saves it to out/teacher.keras; with norm, a network that differs from it in the
    normalisation alone, to compare with, and saves that to out/NORM.keras. Raises Problem.
    """
    recipe = with_norm(recipe, norm) if norm else recipe
    phase = recipe.teacher
    devices.spread(phase.batch)
    ground = Ground(recipe, data)
    keras.utils.set_random_seed(phase.seed)
    model = network.build(recipe.network, phase.norm)
    compute = network.build(recipe.network, phase.norm, phase.precision)
    objective, run = teacher_objective(recipe, ground.sources), teacher_run(recipe, out, norm or "teacher")
    perceptual.save_style(out / "style.npz", ground.constants["grams"])
    return optimise(model, objective, ground.constants, ground.draw(phase.batch), phase, run, ground.samples, compute)


def teacher_objective(recipe: Recipe, pair_sources):
    """What a teacher minimises, as optimise() wants it."""

    def objective(call, constants, draws, key):
        batch = make_batch(pair_sources, constants["stores"], draws, key, recipe)
        return total(picture_terms(call(batch["noisy"]), batch, constants), recipe.teacher.loss)

    return objective


class Ground:
    """What all phases train on: the sources of pairs, the painting's Gram matrices and the perceptual network."""

    def __init__(self, recipe: Recipe, data: Path):
        painting, _ = pictures.painting(data / recipe.data.painting, recipe.data.painting_width)
        weights = perceptual.load(recipe.perceptual, data)
        photos = pictures.photographs(data / recipe.data.photos, recipe.size)
        self.photos, held_out = pictures.split(photos, recipe.data.held_out)
        self.samples = still_frames(held_out[:SAMPLES], recipe)
        self.motion = recipe.motion
        self.sources = _sources(recipe, data, self.photos)
        self.constants = constants(self.sources, weights, painting)

    def draw(self, count: int, colours: Augment = AS_IT_IS):
        """The function that draws what chance decides about count pairs, as optimise() wants it."""
        return lambda rng: draw(self.sources, rng, count, self.motion, colours)


def constants(pair_sources, weights: dict, painting: np.ndarray) -> dict:
    """What stays on the device: the sources' stores, VGG16's weights, and what the painting (1, H, W, 3) asks for."""
    return {
        "stores": [source.store for source in pair_sources],
        "vgg": weights,
        "grams": [losses.gram(f)[0] for f in perceptual.features(weights, painting).values()],
        "colours": losses.colour_moments(painting),
    }


def draw(pair_sources, rng: np.random.Generator, count: int, motion: Motion, colours: Augment = AS_IT_IS) -> dict:
    """All that chance decides about count pairs but the noise's pattern."""
    noise = (motion.noise * rng.uniform(0, 1, count)).astype("float32")
    drawn = {**sources.draw(pair_sources, rng, count), "light": augment.draw_light(rng, count, motion), "noise": noise}
    gamma, hue = augment.draw_colours(rng, count, colours)
    drawn["light"][..., 1] *= gamma[:, None]
    return {**drawn, "hue": hue} if colours.hue else drawn


def _sources(recipe, data, photos):
    mix, where, found = recipe.mix, recipe.data, []
    if mix.photos:
        found.append(moving_photos.source(photos, recipe.size, recipe.motion, mix.photos))
    if mix.sintel:
        found.append(
            sintel.source(data / where.sintel, recipe.size, where.sintel_passes, where.sintel_held_out, mix.sintel)
        )
    if mix.video:
        found.append(video.source(data / where.videos, recipe.size, where.video_frames, mix.video))
    return found


def expose(frames, frame: Frame, pixels: str = "rgb"):
    """Brings frames (B, H, W, 3) in 0..1 to the recipe's exposure, and their chroma to the recipe's RMS where it names
    one, all of them by the same curve.

    The curve is appliance.engine.exposure's, which also allows for noise and smooths it over time; here the two frames
    of a pair share one. It clips "rgb" to 0..1; of "yuv" each of Y, U and V to its own range, which leaves some of RGB
    outside of 0..1.
    """
    y = losses.luma(frames)
    mean, deviation = ops.mean(y), ops.std(y)
    contrast = ops.clip((deviation - CONTRAST[0]) / (CONTRAST[1] - CONTRAST[0]), 0, 1)
    gain = ops.clip(frame.exposure_std / ops.maximum(deviation, 1e-3), *GAINS)
    gain = colour = GAINS[0] + contrast * (gain - GAINS[0])
    if frame.exposure_chroma is not None:
        chroma = losses.chroma(frames)
        share = ops.clip((chroma - COLOUR[0]) / (COLOUR[1] - COLOUR[0]), 0, 1)
        colour = ops.clip(frame.exposure_chroma / ops.maximum(chroma, 1e-3), *CHROMA_GAINS)
        colour = GAINS[0] + share * (1 - GAINS[0]) + contrast * share * (colour - 1)
    differences = colour * (frames - y)
    y = gain * (y - mean) + mean + contrast * (frame.exposure_mean - mean)
    if pixels == "rgb":
        return ops.clip(y + differences, 0, 1)
    red, blue = (
        ops.clip(difference, -most / 2, most / 2)
        for difference, most in ((differences[..., :1], losses.RED), (differences[..., 2:], losses.BLUE))
    )
    return losses.coloured(ops.clip(y, 0, 1), red, blue)


def still_frames(photos: np.ndarray, recipe: Recipe) -> np.ndarray:
    """Photographs, uint8 (N, H, W, 3), as the network sees each of them alone: (N, h, w, 3) in 0..1."""
    frames = pictures.centre(photos, recipe.size).astype("float32") / 255
    return np.concatenate([ops.convert_to_numpy(expose(frame[None], recipe.frame)) for frame in frames])


def make_batch(pair_sources, stores, draws, key, recipe: Recipe, pixels: str = "rgb") -> dict:
    """Renders, lights and exposes B pairs: "clean" and "noisy" frames (2B, H, W, 3), the two of a pair side by side,
    the previous one first; "flow", "mask" and "plain" as in data.source.Pairs. The noisy ones are RGB of `pixels`.
    """
    pairs = sources.render(pair_sources, stores, draws)
    frames = [augment.relight(frame, draws["light"][:, i]) for i, frame in enumerate(pairs[:2])]
    # Pair by pair, so that both frames of one are on one device.
    lit = ops.stack(frames, axis=1)
    if "hue" in draws:
        lit = augment.turn(lit, ops.repeat(draws["hue"][:, None], 2, axis=1))

    def exposed(pixels):
        made = ops.vectorized_map(lambda pair: expose(pair, recipe.frame, pixels), lit)
        return ops.reshape(made, (-1, *made.shape[2:]))

    clean = exposed("rgb")
    sigma = ops.repeat(draws["noise"], 2)[:, None, None, None]
    noise = sigma * jax.random.normal(key, clean.shape)
    noisy = ops.clip(clean + noise, 0, 1) if pixels == "rgb" else exposed(pixels) + noise
    return {"clean": clean, "noisy": noisy, "flow": pairs.flow, "mask": pairs.mask, "plain": pairs.plain}


def halves(frames):
    """(previous, current), each (B, ...), of (2B, ...) as make_batch() orders them."""
    pairs = ops.reshape(frames, (-1, 2, *frames.shape[1:]))
    return pairs[:, 0], pairs[:, 1]


def picture_terms(outputs, batch, constants) -> dict:
    """The loss terms of what the network made of a batch, by name, unweighted."""
    images = (outputs["image"] + 1) / 2
    made = perceptual.features(constants["vgg"], images, "bfloat16")
    shown = perceptual.features(constants["vgg"], batch["clean"], "bfloat16")[perceptual.CONTENT_LAYER]
    drawn = made[perceptual.CONTENT_LAYER]
    previous, current = halves(images)
    before, now = halves(batch["clean"])
    energy = ops.mean(ops.square(ops.cast(shown, "float32")))
    in_features = losses.frame_difference(*halves(drawn)[::-1], *halves(shown)[::-1], batch["plain"]) / energy
    return {
        "content": losses.content(drawn, shown),
        "style": losses.style([losses.gram(made[layer]) for layer in perceptual.STYLE_LAYERS], constants["grams"]),
        "tv": losses.total_variation(images),
        "tone": losses.tone(images, batch["clean"]),
        "palette": losses.palette(losses.colour_moments(_middle(images)), constants["colours"]),
        "feature_temporal": _feature_temporal(outputs["encoded"], batch),
        "output_temporal": losses.output_temporal(
            current, flow.warp(previous, batch["flow"]), now, flow.warp(before, batch["flow"]), batch["mask"]
        ),
        "frame_difference": losses.frame_difference(current, previous, now, before, batch["plain"]) + in_features,
    }


def _middle(images):
    # Near a border the zero padding tells the network where it is, and it would paint all the yellow there, as a frame.
    top, left = images.shape[1] // 4, images.shape[2] // 4
    return images[:, top:-top, left:-left]


def _feature_temporal(encoded, batch):
    """On the encoder's output, a quarter of the frame's size."""
    previous, current = halves(ops.cast(encoded, "float32"))
    motion, mask = flow.downscale(batch["flow"], 4) / 4, ops.floor(flow.downscale(batch["mask"], 4))
    return losses.feature_temporal(current, flow.warp(previous, motion), mask)


def total(terms: dict, weights) -> tuple:
    """(the loss, {term: weighted value}, {term: value})."""
    weighted = {name: getattr(weights, name) * value for name, value in terms.items()}
    return sum(weighted.values()), weighted, terms
