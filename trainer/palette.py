"""The world in the painting's colours: a table from each colour of the training frames to one of the painting's.

Not in the paper. A network that is asked for the frame's content and the painting's features at once mixes their
colours to a muddy brown. With the table, what it is compared with has the painting's colours already.
"""

import numpy as np
from jaxtyping import Float
from keras import ops
from scipy.optimize import linear_sum_assignment

from appliance.colour import TO_YUV
from trainer.shapes import Array, Images

EDGE = 17  # entries of the table along R, G and B
SAMPLES = 2500  # colours of either side that are paired
LIGHTNESS = 2.0  # what a difference of Y costs, relative to one of U or V: light things stay light
OWN = 0.5  # share of its own Y that a colour keeps: a painting can have less contrast than a frame needs
SPREAD = 0.05  # how far a pair counts around its colour, 0..1


def table(
    frames: Float[np.ndarray, "count rows columns 3"], painting: Float[np.ndarray, "height width 3"]
) -> Float[np.ndarray, "{EDGE} {EDGE} {EDGE} 3"]:
    """The painting's colour for each (R, G, B) of an even grid, all in 0..1.

    A sample of the frames' colours is paired with one of the painting's by optimal transport (Villani, 2003), about
    their means: the frames as a whole get the painting's colours in the painting's proportions. The pairs are then
    smoothed, so that near colours stay near, and U and V get back the variety that smoothing took.
    """
    rng = np.random.default_rng(0)
    mine, theirs = (_drawn(pictures, rng) @ TO_YUV.T for pictures in (frames, painting))
    scale = np.array([LIGHTNESS, 1, 1])
    a, b = ((colours - colours.mean(0)) * scale for colours in (mine, theirs))
    pairs = linear_sum_assignment(_distances(a, b))
    axis = np.linspace(0, 1, EDGE)
    grid = np.stack(np.meshgrid(axis, axis, axis, indexing="ij"), axis=-1).reshape(-1, 3) @ TO_YUV.T
    mapped, known = (_smoothed(colours, mine[pairs[0]], theirs[pairs[1]]) for colours in (grid, mine))
    gain = theirs[:, 1:].std(0) / known[:, 1:].std(0).clip(1e-3)
    mapped[:, 1:] = theirs[:, 1:].mean(0) + gain * (mapped[:, 1:] - known[:, 1:].mean(0))
    mapped[:, 0] += OWN * (grid[:, 0] - mapped[:, 0])
    return np.clip(mapped @ np.linalg.inv(TO_YUV).T, 0, 1).reshape(EDGE, EDGE, EDGE, 3).astype("float32")


def _smoothed(colours, mine, theirs):
    """The mean of `theirs`, weighted by how near the colours are to `mine`."""
    far = _distances(colours, mine)
    near = np.exp((far.min(1, keepdims=True) - far) / (2 * SPREAD**2))
    return near @ theirs / near.sum(1, keepdims=True)


def _drawn(pictures, rng):
    colours = pictures.reshape(-1, 3)
    return colours[rng.choice(len(colours), SAMPLES, replace=len(colours) < SAMPLES)]


def _distances(a, b):
    """Squared distances of points (N, 3) and (M, 3)."""
    return np.maximum((a**2).sum(1)[:, None] + (b**2).sum(1) - 2 * a @ b.T, 0)


def recoloured(frames: Images, colours: Float[Array, "edge edge edge 3"], share: float) -> Images:
    """Frames in 0..1, moved by `share` of the way to their colours in the table, which is interpolated linearly."""
    edge = colours.shape[0]
    place = ops.clip(frames, 0.0, 1.0) * (edge - 1)
    low = ops.clip(ops.floor(place), 0, edge - 2)
    over, corner = place - low, ops.cast(low, "int32")
    flat = ops.reshape(colours, (edge**3, 3))
    found = ops.zeros_like(frames)
    for offset in np.ndindex(2, 2, 2):
        index = [corner[..., channel] + offset[channel] for channel in range(3)]
        parts = [over[..., channel] if offset[channel] else 1 - over[..., channel] for channel in range(3)]
        entry = ops.take(flat, (index[0] * edge + index[1]) * edge + index[2], axis=0)
        found = found + (parts[0] * parts[1] * parts[2])[..., None] * entry
    return frames + share * (found - frames)
