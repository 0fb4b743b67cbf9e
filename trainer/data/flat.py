"""Pairs of frames without detail: plain walls, gradients, dark rooms. On these a network's own patterns are most
visible, and noise flickers most.
"""

import numpy as np
from keras import ops

from trainer.data import augment
from trainer.data.source import Pairs, Source
from trainer.flow import grid, inside
from trainer.sections import Motion

PLAIN, LINEAR, RADIAL = range(3)
DARKEST = 0.05  # the least light, as a share of a bright scene's


def source(size: tuple[int, int], motion: Motion, share: float) -> Source:
    """Pairs of size (height, width), generated."""
    return Source(
        share, {}, lambda rng, count: random_draws(rng, count, size, motion), lambda _, draws: render(draws, size)
    )


def random_draws(rng: np.random.Generator, count: int, size: tuple[int, int], motion: Motion) -> dict[str, np.ndarray]:
    """What count pairs show: "kind" (count,); the two "colours" (count, 2, 3) of a gradient's ends; its "centre"
    (count, 2) in pixels, "direction" (count, 2), a unit vector, and "length" (count,) in pixels; "back" (count, 2, 3)
    from the current frame's pixels to the previous one's. Half of the cameras are still, half of the scenes dark.
    """
    height, width = size
    light = np.where(rng.uniform(size=count) < 0.5, 1.0, DARKEST ** rng.uniform(size=count))
    grey = rng.uniform(0, 1, (count, 2, 1))
    tint = rng.normal(0, 0.15, (count, 2, 3)) * rng.uniform(size=(count, 1, 1))
    angle = rng.uniform(0, 2 * np.pi, count)
    still = rng.uniform(size=count) < 0.5
    moves = augment.moves(rng, count, motion)
    moves[still] = np.eye(3)
    return {
        "kind": rng.integers(0, 3, count, "int32"),
        "colours": (np.clip(grey + tint, 0, 1) * light[:, None, None]).astype("float32"),
        "centre": (rng.uniform(0, 1, (count, 2)) * [width, height]).astype("float32"),
        "direction": np.stack([np.cos(angle), np.sin(angle)], axis=-1).astype("float32"),
        "length": (np.hypot(height, width) * rng.uniform(0.3, 1.5, count)).astype("float32"),
        "back": augment.centred(moves, size)[:, :2].astype("float32"),
    }


def render(draws, size: tuple[int, int]) -> Pairs:
    """The drawn pairs. The mask is 0 where the flow leads outside the previous frame."""
    points = grid(*size)
    there = augment.project(draws["back"], points)
    here = ops.broadcast_to(points, there.shape)
    unknown = ops.zeros_like(draws["length"])
    return Pairs(_shade(here, draws), _shade(there, draws), there - points, inside(there, *size), unknown)


def _shade(points, draws):
    away = points - draws["centre"][:, None, None]
    along = ops.sum(away * draws["direction"][:, None, None], axis=-1)
    distance = ops.sqrt(ops.sum(ops.square(away), axis=-1) + 1e-6)
    kind, length = (draws[name][:, None, None] for name in ("kind", "length"))
    linear, radial = along / length + 0.5, distance / length
    mix = ops.where(kind == PLAIN, 0.0, ops.where(kind == LINEAR, linear, radial))
    mix = ops.clip(mix, 0, 1)[..., None]
    first, second = (draws["colours"][:, i, None, None] for i in (0, 1))
    return first * (1 - mix) + second * mix
