"""Pairs of frames with exact flow, from photographs: a moving camera, with cut-outs of other photographs that move
independently in front of it and cause true occlusions.
"""

import numpy as np
from keras import ops

from trainer.data import augment
from trainer.data.augment import project
from trainer.data.source import Pairs, Source
from trainer.flow import grid, inside, sample
from trainer.sections import Motion

MARGIN = 2.0  # pixels on each side of an outline, where a pixel may blend two layers
HARMONICS = (2, 3, 4)


def source(photos: np.ndarray, size: tuple[int, int], motion: Motion, share: float) -> Source:
    """Pairs of size (height, width) from photos, uint8 (N, H, W, 3)."""
    return Source(
        share=share,
        store={"photos": photos},
        random_draws=lambda rng, count: random_draws(rng, count, photos.shape[:3], size, motion),
        render=lambda store, draws: render(store["photos"], draws, size),
    )


def random_draws(
    rng: np.random.Generator, count: int, photos: tuple[int, int, int], size: tuple[int, int], motion: Motion
) -> dict[str, np.ndarray]:
    """What count pairs show of photos (N, H, W), each frame of size (height, width).

    For the background: indices "photo" (count,) and affine maps (count, 2, 3) "previous" and "current" from frame to
    photo pixels, "back" from the current frame's pixels to the previous one's. "layers" holds the same of L cut-outs,
    (count, L, ...), the lowest first; there "previous" and "current" map to the cut-out's own pixels about its centre,
    "texture" from those to the photo's. Outlines have a mean "radius", negative for no cut-out, and the "amplitude" and
    "phase" of their harmonics.
    """
    number, rows, columns = photos
    picture = rows, columns
    previous = augment.views(rng, count, picture, size, motion.crops)
    back = augment.centred(augment.moves(rng, count, motion), size)
    layers = count * motion.layers
    away = augment.similarity(1, 0, -rng.uniform(0, 1, (layers, 2)) * (np.array(size[::-1]) - 1))
    moved = np.linalg.inv(away) @ augment.moves(rng, layers, motion) @ away
    there = (rng.uniform(size=layers) < 0.7) & np.repeat(rng.uniform(size=count) < motion.layered, motion.layers)
    middle = augment.similarity(1, 0, [(size[1] - 1) / 2, (size[0] - 1) / 2])
    cutouts = {
        "photo": rng.integers(0, number, layers),
        "previous": (away @ np.linalg.inv(moved))[:, :2],
        "current": away[:, :2],
        "back": moved[:, :2],
        "texture": (augment.views(rng, layers, picture, size, motion.crops) @ middle)[:, :2],
        "radius": np.where(there, rng.uniform(0.1, 0.4, layers) * min(size), -1e3),
        "amplitude": rng.uniform(0, 0.1, (layers, len(HARMONICS))),
        "phase": rng.uniform(0, 2 * np.pi, (layers, len(HARMONICS))),
    }
    background = {
        "photo": rng.integers(0, number, count),
        "previous": previous[:, :2],
        "current": (previous @ back)[:, :2],
        "back": back[:, :2],
    }
    cutouts = {name: array.reshape(count, motion.layers, *array.shape[1:]) for name, array in cutouts.items()}
    return {**_narrow(background), "layers": _narrow(cutouts)}


def _narrow(arrays):
    return {name: array.astype("int32" if array.dtype.kind == "i" else "float32") for name, array in arrays.items()}


def render(photos, draws, size: tuple[int, int]) -> Pairs:
    """The drawn pairs, from photos, uint8 (N, H, W, 3). The mask is 0 where the flow leads outside the previous frame,
    to a place hidden by a cut-out, or within MARGIN of an outline.
    """
    points = grid(*size)
    chosen = _take(photos, draws["photo"])
    previous, current = (sample(chosen, project(draws[name], points)) for name in ("previous", "current"))
    there = project(draws["back"], points)
    mask = inside(there, *size)  # of the topmost layer in the current frame so far
    for i in range(draws["layers"]["radius"].shape[1]):
        layer = {name: array[:, i] for name, array in draws["layers"].items()}
        texture = _take(photos, layer["photo"])
        before, now = (project(layer[name], points) for name in ("previous", "current"))
        depth = _depth(now, layer)
        covered = _depth(
            project(layer["previous"], there), layer
        )  # the layer below, at its place in the previous frame
        previous = _over(previous, sample(texture, project(layer["texture"], before)), _depth(before, layer))
        current = _over(current, sample(texture, project(layer["texture"], now)), depth)
        path = project(layer["back"], points)
        below = mask * ops.cast((depth < -MARGIN) & (covered < -MARGIN), "float32")
        above = inside(path, *size) * ops.cast(depth > MARGIN, "float32")
        there, mask = ops.where(depth > 0, path, there), ops.where(depth > 0, above, below)
    return Pairs(previous, current, there - points, mask, ops.zeros_like(draws["photo"], dtype="float32"))


def _take(photos, indices):
    return ops.cast(ops.take(photos, indices, axis=0), "float32") / 255.0


def _depth(points, layer):
    """Pixels from the cut-out's outline along the ray to its centre, positive inside: (B, h, w, 1)."""
    angle = ops.arctan2(points[..., 1], points[..., 0])
    radius = ops.ones_like(angle)
    for i, k in enumerate(HARMONICS):
        wave = ops.cos(k * angle + layer["phase"][:, i, None, None])
        radius = radius + layer["amplitude"][:, i, None, None] * wave
    distance = ops.sqrt(ops.sum(ops.square(points), axis=-1))
    return (layer["radius"][:, None, None] * radius - distance)[..., None]


def _over(below, texture, depth):
    cover = ops.clip(depth + 0.5, 0, 1)
    return cover * texture + (1 - cover) * below
