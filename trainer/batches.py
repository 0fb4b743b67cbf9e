"""Batches of frame pairs: parameters drawn at random on the host; rendered, lit and exposed on the device."""

from pathlib import Path

import jax
import numpy as np
from jaxtyping import Float, UInt8
from keras import ops

from appliance.colour import BLUE, RED
from appliance.engine.exposure import CHROMA_GAINS, COLOUR, CONTRAST, GAINS
from trainer import losses, palette, perceptual
from trainer.data import augment, flat, moving_photos, pictures, sintel, video
from trainer.data import source as sources
from trainer.data.contents import contents
from trainer.faults import Collector
from trainer.flow import grid, inside
from trainer.recipe import Recipe
from trainer.sections import Augment, Frame, Motion, Style
from trainer.shapes import Array, Images

SAMPLES = 4  # held-out frames that are stylised during training, to look at
COLOURS = 200  # photographs whose colours the palette's table is learned from
AS_IT_IS = Augment()


class Ground:
    """The data of all phases: the sources of pairs, the painting's style, and the perceptual network."""

    def __init__(self, recipe: Recipe, data: Path):
        """Raises Problem, or Faults that names all that is missing or cannot be read."""
        faults = Collector()
        with faults:
            painting, _ = pictures.painting(data / recipe.data.painting, recipe.data.painting_width)
        with faults:
            weights = perceptual.load(recipe.perceptual, data, recipe.style)
        with faults:
            photos = pictures.photographs(data / recipe.data.photos, recipe.size)
            self.photos, held_out = pictures.split(photos, recipe.data.held_out)
        self.sources = _sources(recipe, data, faults)
        faults.check()
        if recipe.mix.photos:
            self.sources.insert(0, moving_photos.source(self.photos, recipe.size, recipe.motion, recipe.mix.photos))
        self.recipe, self.contents = recipe, contents(recipe, data)
        self.samples = still_frames(held_out[:SAMPLES], recipe)
        self.motion = recipe.motion
        self.constants = constants(self.sources, weights, painting, recipe.style)
        if recipe.style.palette:
            self.constants["palette"] = palette.table(self.few(COLOURS)[:, ::4, ::4], painting[0])
        self.targets = perceptual.style_targets(weights, painting, recipe.style)

    def few(self, count: int) -> Float[np.ndarray, "few height width 3"]:
        """Up to `count` training photographs from all of them, as the network sees them, in 0..1."""
        return still_frames(self.photos[:: max(1, len(self.photos) // count)][:count], self.recipe)

    def random_draws(self, count: int, colours: Augment = AS_IT_IS):
        """The function that draws the random parameters of count pairs, in the form that optimise() takes."""
        return lambda rng: random_draws(self.sources, rng, count, self.motion, colours)


def constants(pair_sources, weights: dict, painting: Float[Array, "1 height width 3"], style: Style) -> dict:
    """What stays on the device: the sources' stores, VGG16's weights, and the painting's style."""
    made = perceptual.features(weights, painting, style.layers)
    if style.loss == "gram":
        targets = {layer: losses.gram(maps)[0] for layer, maps in made.items()}
    else:
        targets = {layer: ops.reshape(maps, (-1, maps.shape[-1])) for layer, maps in made.items()}
    return {
        "stores": [source.store for source in pair_sources],
        "vgg": weights,
        "style": targets,
        "colours": losses.colour_moments(painting),
    }


def random_draws(
    pair_sources, rng: np.random.Generator, count: int, motion: Motion, colours: Augment = AS_IT_IS
) -> dict:
    """The random parameters of count pairs, except for the noise itself."""
    noise = (motion.noise * rng.uniform(0, 1, count)).astype("float32")
    drawn = {
        **sources.random_draws(pair_sources, rng, count),
        "light": augment.random_light(rng, count, motion),
        "noise": noise,
    }
    gamma, hue = augment.random_colours(rng, count, colours)
    drawn["light"][..., 1] *= gamma[:, None]
    return {**drawn, "hue": hue} if colours.hue else drawn


def _sources(recipe, data, faults):
    """All sources but the photographs."""
    mix, where, found = recipe.mix, recipe.data, []
    if mix.sintel:
        with faults:
            root, passes = data / where.sintel, where.sintel_passes
            found.append(sintel.source(root, recipe.size, passes, where.sintel_held_out, mix.sintel))
    if mix.video:
        with faults:
            found.append(video.source(data / where.videos, recipe.size, where.video_frames, mix.video))
    if mix.flat:
        found.append(flat.source(recipe.size, recipe.motion, mix.flat))
    return found


def normalise_exposure(frames: Images, frame: Frame, pixels: str = "rgb") -> Images:
    """Brings frames in 0..1 to the recipe's exposure, and their chroma to the recipe's RMS if it has one,
    all by the same curve.

    The curve is appliance.engine.exposure's, which also allows for noise and smooths it over time; here the two frames
    of a pair share one. It clips "rgb" to 0..1; of "yuv" each of Y, U and V to its own range, which leaves some RGB
    values outside 0..1.
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
        for difference, most in ((differences[..., :1], RED), (differences[..., 2:], BLUE))
    )
    return losses.coloured(ops.clip(y, 0, 1), red, blue)


def still_frames(
    photos: UInt8[np.ndarray, "count _ _ 3"], recipe: Recipe
) -> Float[np.ndarray, "count {recipe.frame.height} {recipe.frame.width} 3"]:
    """Photographs as the network sees each of them alone, in 0..1."""
    frames = pictures.centre(photos, recipe.size).astype("float32") / 255
    return np.concatenate([ops.convert_to_numpy(normalise_exposure(frame[None], recipe.frame)) for frame in frames])


def make_batch(
    pair_sources, stores, draws, key, recipe: Recipe, pixels: str = "rgb", crop: tuple[int, int] | None = None
) -> dict:
    """Renders, lights and exposes B pairs, then cuts `crop` (width, height) from each: "clean" and "noisy" frames
    (2B, H, W, 3), the two of a pair side by side, the previous one first; "flow", "mask" and "plain" as in
    data.source.Pairs. The noisy ones are RGB of `pixels`.
    """
    pairs = sources.render(pair_sources, stores, draws)
    frames = [augment.relight(frame, draws["light"][:, i]) for i, frame in enumerate(pairs[:2])]
    # Pair by pair, so that both frames of a pair are on the same device.
    lit = ops.stack(frames, axis=1)
    if "hue" in draws:
        lit = augment.turn(lit, ops.repeat(draws["hue"][:, None], 2, axis=1))

    sigma = ops.repeat(draws["noise"], 2)[:, None, None, None]
    noise = sigma * jax.random.normal(key, (lit.shape[0] * 2, *lit.shape[2:]))
    exact = normalise_pairs(lit, recipe.frame, "rgb")
    if recipe.motion.noise_before_exposure:
        noisy = normalise_pairs(ops.clip(lit + ops.reshape(noise, lit.shape), 0, 1), recipe.frame, pixels)
    else:
        noisy = ops.clip(exact + noise, 0, 1) if pixels == "rgb" else normalise_pairs(lit, recipe.frame, pixels) + noise
    batch = {"clean": exact, "noisy": noisy, "flow": pairs.flow, "mask": pairs.mask, "plain": pairs.plain}
    return cropped(batch, key, *crop) if crop else batch


def cropped(batch: dict, key, width: int, height: int) -> dict:
    """What make_batch() returns, with width x height pixels of each pair, at random places. The mask is 0 where the
    flow leads out of them.
    """
    pairs, rows, columns, _ = batch["flow"].shape
    down, right = jax.random.split(jax.random.fold_in(key, 1))
    top = jax.random.randint(down, (pairs,), 0, rows - height + 1)
    left = jax.random.randint(right, (pairs,), 0, columns - width + 1)

    def cut(name, times):
        arrays, corners = batch[name], (ops.repeat(corner, times) for corner in (top, left))
        size = height, width, arrays.shape[-1]
        return jax.vmap(lambda array, y, x: jax.lax.dynamic_slice(array, (y, x, 0), size))(arrays, *corners)

    clean, noisy, flow, mask = cut("clean", 2), cut("noisy", 2), cut("flow", 1), cut("mask", 1)
    mask = mask * inside(grid(height, width) + flow, height, width)
    return {"clean": clean, "noisy": noisy, "flow": flow, "mask": mask, "plain": batch["plain"]}


def normalise_pairs(
    lit: Float[Array, "batch 2 height width 3"], frame: Frame, pixels: str
) -> Float[Array, "2*batch height width 3"]:
    """Pairs of frames, one after the other, the two of each brought to the exposure by one curve."""
    made = ops.vectorized_map(lambda pair: normalise_exposure(pair, frame, pixels), lit)
    return ops.reshape(made, (-1, *made.shape[2:]))


def halves(
    frames: Float[Array, "frames ..."],
) -> tuple[Float[Array, "frames//2 ..."], Float[Array, "frames//2 ..."]]:
    """(previous, current) of frames as make_batch() orders them."""
    pairs = ops.reshape(frames, (-1, 2, *frames.shape[1:]))
    return pairs[:, 0], pairs[:, 1]
