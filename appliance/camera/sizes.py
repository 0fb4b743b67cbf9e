"""Which size a camera is asked for, and how a network's input comes from it. Sizes are (width, height) in pixels."""

from functools import lru_cache
from typing import List, NamedTuple, Optional, Sequence, Tuple

from ..frames import Size

WHOLE = 0.98  # of the view: what is cut beyond that is said
_FAST = 0.8  # of the rate that is wanted: 24 and 25 fps do for 30
_MOST = 16  # pixels averaged in a row: more would not fit the sums
_BEST = (2, 1, 3, 4)  # factors by preference: averaging takes noise away, and large pictures take time to read

# Sizes for a network that come by a whole step, without a crop, from sizes that cameras have: 1280x720 by 4, 3, 2 and
# 1, 1024x576 by 2, 1920x1080 by 3 and 2, 848x480 as it is.
LADDER = ((320, 180), (424, 240), (512, 288), (640, 360), (848, 480), (960, 540), (1280, 720))


class Offer(NamedTuple):
    """A size that a camera has, and its frames per second there; None where the camera does not say."""

    size: Size
    fps: Optional[float] = None


class Way(NamedTuple):
    """How a picture of the camera becomes the network's input: `factor` x `factor` pixels are averaged into one, of the
    part of `taken` (width, height) in its middle. `resampled`: what is left has to be scaled to the network's size, by
    a ratio that is no whole number.
    """

    factor: int
    taken: Size
    resampled: bool


def way(camera: Size, network: Size) -> Way:
    """The cheapest way that keeps the whole view, as far as the network's aspect ratio lets it."""
    factor = min(camera[0] // network[0], camera[1] // network[1], _MOST)
    taken = factor * network[0], factor * network[1]
    across, down = fitting(camera, network)
    if taken[0] % 2 == 0 and taken[0] * taken[1] >= WHOLE * across * down * camera[0] * camera[1]:
        return Way(factor, taken, False)
    factor = max(1, factor)
    # One row or pair more than the part that has the network's shape: scaling looks at the pixels around it.
    width = min(camera[0], across * camera[0] + 2 * factor) // (2 * factor) * 2 * factor
    height = min(camera[1], down * camera[1] + factor) // factor * factor
    return Way(factor, (int(width), int(height)), True)


def fitting(camera: Size, network: Size) -> Tuple[float, float]:
    """The shares of the camera's width and height in the largest part of its picture that has the network's shape."""
    wide = camera[0] * network[1] / (camera[1] * network[0])
    return (1 / wide, 1.0) if wide > 1 else (1.0, wide)


def shown(camera: Size, network: Size) -> Tuple[float, float]:
    """The shares of the camera's width and height that the network sees."""
    chosen = way(camera, network)
    if chosen.resampled:
        return fitting(camera, network)
    return chosen.taken[0] / camera[0], chosen.taken[1] / camera[1]


@lru_cache(maxsize=8)
def described(camera: Size, network: Size) -> str:
    """How much of the camera's view is seen, for people: "75 % of the camera's view (cuts 25 % top and bottom)"; and
    that it is scaled, where the camera has no size from which a whole step leads to the network's."""
    across, down = shown(camera, network)
    text = f"{round(100 * across * down)} % of the camera's view"
    cuts = [
        f"{round(100 * (1 - share))} % {where}"
        for share, where in ((across, "left and right"), (down, "top and bottom"))
        if share < WHOLE
    ]
    text += f" (cuts {' and '.join(cuts)})" if cuts else ""
    return text + (", scaled: no whole step leads to {}x{}".format(*network) if way(camera, network).resampled else "")


def choose_size(offered: Sequence[Offer], network: Size, fps: float = 30) -> Size:
    """The size of those offered that suits the network's input best.

    In this order: it is fast enough; the input comes by whole steps without a crop; more of the view; no smaller than
    the input; whole steps; the cheapest step; the rate. `offered` is not empty.
    """

    def merit(offer: Offer) -> Tuple[float, ...]:
        rate = fps if offer.fps is None else offer.fps
        chosen, (across, down) = way(offer.size, network), shown(offer.size, network)
        share = min(across * down, WHOLE)
        scale = min(1.0, offer.size[0] / network[0], offer.size[1] / network[1])
        preference = _BEST.index(chosen.factor) if chosen.factor in _BEST else chosen.factor
        return (
            min(rate, _FAST * fps),
            not chosen.resampled and share >= WHOLE,
            round(share, 2),
            scale,
            not chosen.resampled,
            -preference,
            min(rate, fps),
            -offer.size[0] * offer.size[1],
        )

    return max(offered, key=merit).size


def steps(least: Size, most: Size, step: Size, network: Size) -> List[Size]:
    """The sizes that suit `network` of a camera that has all from `least` to `most` in steps of `step`."""
    found = []
    for factor in _BEST:
        size = factor * network[0], factor * network[1]
        if all(
            low <= length <= high and (length - low) % max(1, each) == 0
            for low, length, high, each in zip(least, size, most, step)
        ):
            found.append(size)
    return found or [most]
