"""Which size to ask a camera for, and how to reduce it to a network's input. Sizes are (width, height) in pixels."""

from functools import lru_cache
from typing import List, NamedTuple, Optional, Sequence, Tuple

from ..frames import Size

FORMATS = ("YUYV", "UYVY", "NV12", "YU12", "MJPG")  # by preference: decoding costs the most

WHOLE = 0.98  # share of the view that counts as the whole view
_FAST = 0.8  # share of the wanted rate that is fast enough: 24 and 25 fps count as 30
_MOST = 16  # the largest factor: a larger one would overflow the sums
_BEST = (2, 1, 3, 4)  # factors by preference: averaging reduces noise, but large pictures take time to read

# Network sizes that are a common camera size divided by an integer factor, without a crop: 1280x720 by 4, 3, 2 and 1,
# 1024x576 by 2, 1920x1080 by 5, 3 and 2, 848x480 by 1.
LADDER = ((320, 180), (384, 216), (424, 240), (512, 288), (640, 360), (848, 480), (960, 540), (1280, 720))


class Offer(NamedTuple):
    """A size that a camera offers, its frames per second there, None where the camera does not report it, and the
    format of its pixels, one of FORMATS."""

    size: Size
    fps: Optional[float] = None
    format: str = FORMATS[0]


class Way(NamedTuple):
    """How a camera's picture becomes the network's input.

    `taken` (width, height) is cut out of its middle, and `factor` x `factor` pixels are averaged into one. `resampled`:
    the result is then scaled to the network's size, by a non-integer ratio.
    """

    factor: int
    taken: Size
    resampled: bool


def way(camera: Size, network: Size) -> Way:
    """The cheapest way that keeps as much of the view as the network's aspect ratio allows."""
    factor = min(camera[0] // network[0], camera[1] // network[1], _MOST)
    taken = factor * network[0], factor * network[1]
    across, down = fitting(camera, network)
    if taken[0] % 2 == 0 and taken[0] * taken[1] >= WHOLE * across * down * camera[0] * camera[1]:
        return Way(factor, taken, False)
    factor = max(1, factor)
    # One row or pair more than the network's aspect ratio needs, because scaling reads neighbouring pixels.
    width = min(camera[0], across * camera[0] + 2 * factor) // (2 * factor) * 2 * factor
    height = min(camera[1], down * camera[1] + factor) // factor * factor
    return Way(factor, (int(width), int(height)), True)


def fitting(camera: Size, network: Size) -> Tuple[float, float]:
    """The shares of the camera's width and height in the largest part of it with the network's aspect ratio."""
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
    """How much of the camera's view the network sees, in words: "75 % of the camera's view (cuts 25 % top and bottom)";
    and whether it is scaled, because no integer factor gives the network's size."""
    across, down = shown(camera, network)
    text = f"{round(100 * across * down)} % of the camera's view"
    cuts = [
        f"{round(100 * (1 - share))} % {where}"
        for share, where in ((across, "left and right"), (down, "top and bottom"))
        if share < WHOLE
    ]
    text += f" (cuts {' and '.join(cuts)})" if cuts else ""
    return text + (", scaled: no integer factor gives {}x{}".format(*network) if way(camera, network).resampled else "")


def choose_size(offered: Sequence[Offer], network: Size, fps: float = 30) -> Size:
    """The size of the offer that `choose` takes."""
    return choose(offered, network, fps).size


def choose(offered: Sequence[Offer], network: Size, fps: float = 30) -> Offer:
    """The offer that suits the network's input best. `offered` is not empty.

    Criteria in order: fast enough; an integer factor without a crop; more of the view; no smaller than the input; an
    integer factor; the cheapest factor; the rate; the cheapest format.
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
            -FORMATS.index(offer.format),
        )

    return max(offered, key=merit)


def steps(least: Size, most: Size, step: Size, network: Size) -> List[Size]:
    """The sizes that suit `network`, for a camera that offers all sizes from `least` to `most` in steps of `step`."""
    found = []
    for factor in _BEST:
        size = factor * network[0], factor * network[1]
        if all(
            low <= length <= high and (length - low) % max(1, each) == 0
            for low, length, high, each in zip(least, size, most, step)
        ):
            found.append(size)
    return found or [most]
