"""Where on the screen a picture goes, and what is done to it before it is enlarged. Sizes are (width, height)."""

from fractions import Fraction
from typing import NamedTuple

import numpy as np
from PIL import Image

from ..frames import Size

_FINEST = 32  # the largest denominator of an enlargement: its rows come in bands of as many


class Place(NamedTuple):
    """A part of the screen, in pixels."""

    left: int
    top: int
    width: int
    height: int


class Showing(NamedTuple):
    """How pictures are shown: on a monitor that stands turned, so that they have to be turned `rotate` degrees
    clockwise, 0, 90, 180 or 270; and whole, with bars where the shapes differ, or so that they `cover` the screen."""

    rotate: int = 0
    cover: bool = False

    def upright(self, size: Size) -> Size:
        """`size` of a screen as its viewer has it, or of a picture as it is drawn."""
        return (size[1], size[0]) if self.rotate % 180 else size


UPRIGHT = Showing()


class Placing:
    """Where pictures of `size` go on a screen of `screen`, and what is done to them before they are scaled.

    `size` is that of what `prepared` returns, `place` where on the screen it goes once scaled, in even numbers of
    pixels: not every card does others.
    """

    def __init__(self, size: Size, screen: Size, showing: Showing = UPRIGHT):
        self._rotate = showing.rotate
        self._part = covering(size, showing.upright(screen)) if showing.cover else size
        self.size = showing.upright(self._part)
        self.place = Place(0, 0, *screen) if showing.cover else fitted(self.size, screen)

    def prepared(self, picture: np.ndarray) -> np.ndarray:
        """A view of what of `picture`, uint32 (H, W), is shown, turned as the screen needs it."""
        return np.rot90(middle(picture, self._part), -self._rotate // 90)


def fitted(size: Size, screen: Size) -> Place:
    """The largest place for a picture of `size`, in even numbers of pixels."""
    (width, height), (across, down) = size, screen
    if across * height <= down * width:
        down = max(2, across * height // width)
    else:
        across = max(2, down * width // height)
    return centred((across // 2 * 2, down // 2 * 2), screen)


def covering(size: Size, screen: Size) -> Size:
    """The largest part of a picture of `size` that has the shape of `screen`, to the next whole pixel."""
    (width, height), (across, down) = size, screen
    if across * height < down * width:
        return max(1, (height * across + down // 2) // down), height
    return width, max(1, (width * down + across // 2) // across)


def centred(size: Size, screen: Size) -> Place:
    """The place in the middle; what is larger than the screen sticks out of it."""
    return Place((screen[0] - size[0]) // 2, (screen[1] - size[1]) // 2, *size)


def enlargement(size: Size, screen: Size, cover: bool = False) -> Fraction:
    """The largest zoom of a ratio of small numbers by which `size` fits on `screen`; or the smallest that covers it."""
    if cover:
        exact = max(Fraction(screen[0], size[0]), Fraction(screen[1], size[1]))
        return min(Fraction(-(-exact.numerator * q // exact.denominator), q) for q in range(1, _FINEST + 1))
    exact = min(Fraction(screen[0], size[0]), Fraction(screen[1], size[1]))
    return max(Fraction(exact.numerator * q // exact.denominator, q) for q in range(1, _FINEST + 1))


def middle(picture: np.ndarray, size: Size) -> np.ndarray:
    """As much of the middle of `picture` (H, W) as there is room for in `size`."""
    top, left = max(0, picture.shape[0] - size[1]) // 2, max(0, picture.shape[1] - size[0]) // 2
    return picture[top : top + size[1], left : left + size[0]]


def reduced(picture: np.ndarray, size: Size) -> np.ndarray:
    """`picture`, uint32 (H, W) of four bytes each, averaged down to `size`."""
    image = Image.frombuffer("RGBX", picture.shape[::-1], np.ascontiguousarray(picture).tobytes(), "raw", "RGBX", 0, 1)
    return np.asarray(image.resize(size, Image.Resampling.BILINEAR)).view(np.uint32)[..., 0]
