"""Pairs of frames with exact flow: two views of one photograph through a moving camera."""

import numpy as np
from keras import ops

from trainer.flow import grid, inside, sample
from trainer.recipe import Motion


def draw(
    rng: np.random.Generator, count: int, photos: tuple[int, int, int], size: tuple[int, int], motion: Motion
) -> dict[str, np.ndarray]:
    """Camera views and light for count pairs out of photos (N, H, W), each frame of size (height, width).

    Returns "photo" (count,) indices; affine maps (count, 2, 3) "previous" and "current" from frame to photo pixels and
    "back" from the current frame's pixels to the previous one's; "light" (count, 2) brightness factors; and "noise"
    (count,) standard deviations. Motions are heavy-tailed: most pairs move little.
    """
    number, rows, columns = photos
    height, width = size
    to_centre = _similarity(1, 0, ((1 - width) / 2, (1 - height) / 2))
    views = {"previous": [], "current": [], "back": []}
    for _ in range(count):
        zoom = min(columns / width, rows / height) * rng.uniform(0.7, 1.0)
        room = (np.array([columns, rows]) - np.array([width, height]) * zoom) / 2
        centre = np.array([columns - 1, rows - 1]) / 2 + rng.uniform(-1, 1, 2) * room
        mirror = np.diag([rng.choice([-1.0, 1.0]), 1, 1])
        previous = _similarity(zoom, rng.normal(0, 2), centre) @ mirror @ to_centre
        strength = rng.uniform() ** 2
        move = _similarity(
            1 + motion.zoom * rng.uniform(-1, 1) * strength,
            motion.rotation * rng.uniform(-1, 1) * strength,
            motion.pan * rng.uniform(-1, 1, 2) * strength,
        )
        back = np.linalg.inv(to_centre) @ move @ to_centre
        for name, matrix in (("previous", previous), ("current", previous @ back), ("back", back)):
            views[name].append(matrix[:2])
    light = np.exp(rng.normal(0, motion.drift / 2, (count, 2)).clip(-motion.drift, motion.drift))
    draws = {
        "photo": rng.integers(0, number, count).astype("int32"),
        "light": light.astype("float32"),
        "noise": (motion.noise * rng.uniform(0, 1, count)).astype("float32"),
    }
    return draws | {name: np.array(matrices, "float32") for name, matrices in views.items()}


def _similarity(scale, degrees, shift):
    c, s = scale * np.cos(np.radians(degrees)), scale * np.sin(np.radians(degrees))
    return np.array([[c, -s, shift[0]], [s, c, shift[1]], [0, 0, 1]])


def project(matrices, points):
    """Points (h, w, 2) through affine maps (B, 2, 3): (B, h, w, 2)."""
    # Written out, because a matrix product may run in TF32, whose 10 bits are too few for a coordinate.
    m = matrices[:, :, :, None, None]
    x, y = points[..., 0], points[..., 1]
    return ops.stack([m[:, i, 0] * x + m[:, i, 1] * y + m[:, i, 2] for i in (0, 1)], axis=-1)


def render(photos, draws, size: tuple[int, int]):
    """Frames of the drawn pairs: (previous, current, flow, mask).

    photos is uint8 (N, H, W, 3) and stays on the device. Frames are (B, h, w, 3) in 0..1; flow (B, h, w, 2) leads from
    a pixel of the current frame to its place in the previous one; mask (B, h, w, 1) is 0 where that place is outside.
    """
    height, width = size
    chosen = ops.cast(ops.take(photos, draws["photo"], axis=0), "float32") / 255.0
    points = grid(height, width)

    def view(name, i):
        return ops.clip(sample(chosen, project(draws[name], points)) * draws["light"][:, i, None, None, None], 0, 1)

    there = project(draws["back"], points)
    return view("previous", 0), view("current", 1), there - points, inside(there, height, width)
