"""Sources of frame pairs: decoded in advance, rendered on the device, mixed by weight."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from keras import ops


class Pairs(NamedTuple):
    """B pairs. Frames (B, h, w, 3) in 0..1; flow (B, h, w, 2), in pixels, points from a pixel of the current frame to
    its place in the previous one; mask (B, h, w, 1) is 1 where the flow is valid; plain (B,) is 1 for a pair of
    consecutive frames of unknown flow (its mask is 0).
    """

    previous: object
    current: object
    flow: object
    mask: object
    plain: object


@dataclass(frozen=True)
class Source:
    """One source of pairs, and its share of the training.

    random_draws(rng, count) returns {name: array of count rows}; these are small and made on the host. render(store,
    draws) returns Pairs, computed on the device. store, {name: array}, stays on the device.
    """

    share: float
    store: dict[str, np.ndarray]
    random_draws: Callable[[np.random.Generator, int], dict[str, np.ndarray]]
    render: Callable[[dict, dict], Pairs]


def random_draws(sources: list[Source], rng: np.random.Generator, count: int) -> dict:
    """Draws for count pairs, all from one source, which is chosen at random by the shares."""
    shares = np.array([source.share for source in sources])
    chosen = rng.choice(len(sources), p=shares / shares.sum())
    return {"source": np.int32(chosen), "draws": [source.random_draws(rng, count) for source in sources]}


def render(sources: list[Source], stores: list[dict], drawn: dict) -> Pairs:
    """The pairs of random_draws(). Only the chosen source is computed."""
    if len(sources) == 1:
        return sources[0].render(stores[0], drawn["draws"][0])

    def branch(i):
        return lambda stores, draws: sources[i].render(stores[i], draws[i])

    return Pairs(*ops.switch(drawn["source"], [branch(i) for i in range(len(sources))], stores, drawn["draws"]))
