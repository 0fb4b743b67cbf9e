"""What all sources of pairs share: camera views, mirroring, changing light, other colours."""

import numpy as np
from keras import ops

from appliance.colour import BLUE, RED
from trainer import losses
from trainer.sections import Augment, Motion


def similarity(scale, degrees, shift) -> np.ndarray:
    """Matrices (..., 3, 3) that scale, rotate by degrees, then shift by (..., 2)."""
    c, s = scale * np.cos(np.radians(degrees)), scale * np.sin(np.radians(degrees))
    matrices = np.zeros((*np.shape(shift)[:-1], 3, 3))
    matrices[..., 0, 0] = matrices[..., 1, 1] = c
    matrices[..., 0, 1], matrices[..., 1, 0] = -s, s
    matrices[..., :2, 2], matrices[..., 2, 2] = shift, 1
    return matrices


def centred(matrices: np.ndarray, size: tuple[int, int]) -> np.ndarray:
    """The same maps, applied about the centre of a frame of size (height, width), in the frame's pixels."""
    to_centre = similarity(1, 0, (np.array(size[::-1]) - 1) / -2.0)
    return np.linalg.inv(to_centre) @ matrices @ to_centre


def views(
    rng: np.random.Generator,
    count: int,
    picture: tuple[int, int],
    size: tuple[int, int],
    crops: tuple[float, float] = (0.7, 1.0),
) -> np.ndarray:
    """Maps (count, 3, 3) from pixels of a frame of size (height, width) to those of a picture (rows, columns): random
    crops, slightly rotated, half of them mirrored. crops is the range of their sides, as shares of the largest crop's.
    """
    (rows, columns), (height, width) = picture, size
    zoom = min(columns / width, rows / height) * rng.uniform(*crops, count)
    room = (np.array([columns, rows]) - np.array([width, height]) * zoom[:, None]) / 2
    centre = np.array([columns - 1, rows - 1]) / 2 + rng.uniform(-1, 1, (count, 2)) * room
    mirror = np.zeros((count, 3, 3))
    mirror[:, 0, 0], mirror[:, 1, 1], mirror[:, 2, 2] = rng.choice([-1.0, 1.0], count), 1, 1
    return (
        similarity(zoom, rng.normal(0, 2, count), centre)
        @ mirror
        @ similarity(1, 0, [(1 - width) / 2, (1 - height) / 2])
    )


def moves(rng: np.random.Generator, count: int, motion: Motion) -> np.ndarray:
    """Changes of view (count, 3, 3) between two frames, heavy-tailed: most are small."""
    strength = rng.uniform(size=count) ** 2
    return similarity(
        1 + motion.zoom * rng.uniform(-1, 1, count) * strength,
        motion.rotation * rng.uniform(-1, 1, count) * strength,
        motion.pan * rng.uniform(-1, 1, (count, 2)) * strength[:, None],
    )


def project(matrices, points):
    """Points (h, w, 2) or (B, h, w, 2) through affine maps (B, 2, 3): (B, h, w, 2)."""
    # Written out, because a matrix product may run in TF32, whose 10-bit mantissa is too short for a coordinate.
    m = matrices[:, :, :, None, None]
    x, y = points[..., 0], points[..., 1]
    return ops.stack([m[:, i, 0] * x + m[:, i, 1] * y + m[:, i, 2] for i in (0, 1)], axis=-1)


def random_light(rng: np.random.Generator, count: int, motion: Motion) -> np.ndarray:
    """Gain and gamma (count, 2 frames, 2)."""
    largest = np.array([motion.drift, motion.gamma])
    return np.exp(rng.normal(0, largest / 2, (count, 2, 2)).clip(-largest, largest)).astype("float32")


def relight(frames, light):
    """Frames (B, h, w, 3) in 0..1 under light (B, 2): gain x frame ^ gamma, clipped."""
    gain, gamma = light[:, 0, None, None, None], light[:, 1, None, None, None]
    return ops.clip(gain * ops.power(ops.maximum(frames, 1e-6), gamma), 0, 1)


def random_colours(rng: np.random.Generator, count: int, augment: Augment) -> tuple[np.ndarray, np.ndarray]:
    """Gamma (count,) and hue (count,) in radians."""
    gamma, hue = rng.uniform(-1, 1, (2, count)) * np.array([[augment.gamma], [np.radians(augment.hue)]])
    return np.exp(gamma).astype("float32"), hue.astype("float32")


def turn(frames, hue):
    """Frames (..., h, w, 3) in 0..1 with the colour differences U and V (BT.601) rotated by hue, clipped.

    hue (...) has an angle in radians for each frame.
    """
    c, s = ops.cos(hue)[..., None, None, None], ops.sin(hue)[..., None, None, None]
    y = losses.luma(frames)
    u, v = (frames[..., 2:] - y) / BLUE, (frames[..., :1] - y) / RED
    return ops.clip(losses.coloured(y, RED * (s * u + c * v), BLUE * (c * u - s * v)), 0, 1)
