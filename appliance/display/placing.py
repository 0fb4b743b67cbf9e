"""Where a picture goes on the screen, and how it is cropped and rotated before. Sizes are (width, height) in pixels."""

from fractions import Fraction
from typing import NamedTuple

import numpy as np
from PIL import Image

from ..frames import Size

_FINEST = 32  # the largest denominator of an enlargement, which is also the least rows in a band


class Place(NamedTuple):
    """A part of the screen, in pixels."""

    left: int
    top: int
    width: int
    height: int


class Showing(NamedTuple):
    """How pictures fill the screen.

    They are rotated clockwise by `rotate`: 0, 90, 180 or 270 degrees. Where the aspect ratios differ, `cover` crops
    them to fill the screen; otherwise they are shown whole, with bars.
    """

    rotate: int = 0
    cover: bool = False

    def upright(self, size: Size) -> Size:
        """`size` with its sides exchanged where pictures are rotated by a quarter turn."""
        return (size[1], size[0]) if self.rotate % 180 else size


UPRIGHT = Showing()


class Placing:
    """Where pictures of `size` go on a screen of size `screen`.

    The attribute `size` is that of what `prepared` returns. `place` is where it goes once scaled, in even numbers of
    pixels: not every card takes odd ones.
    """

    def __init__(self, size: Size, screen: Size, showing: Showing = UPRIGHT):
        self._rotate, self._whole = showing.rotate, size
        self._part = covering(size, showing.upright(screen)) if showing.cover else size
        self.size = showing.upright(self._part)
        self.place = Place(0, 0, *screen) if showing.cover else fitted(self.size, screen)

    @property
    def unchanged(self) -> bool:
        """Whether `prepared` returns pictures as they are."""
        return not self._rotate and self._part == self._whole

    def prepared(self, picture: np.ndarray) -> np.ndarray:
        """A view of the part of `picture`, uint32 (H, W), that is shown, rotated for the screen."""
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
    """The largest part of a picture of `size` with the aspect ratio of `screen`, to the nearest pixel."""
    (width, height), (across, down) = size, screen
    if across * height < down * width:
        return max(1, (height * across + down // 2) // down), height
    return width, max(1, (width * down + across // 2) // across)


def centred(size: Size, screen: Size) -> Place:
    """The place in the middle of the screen; one that is larger extends beyond it."""
    return Place((screen[0] - size[0]) // 2, (screen[1] - size[1]) // 2, *size)


def enlargement(size: Size, screen: Size, cover: bool = False) -> Fraction:
    """The largest zoom, a ratio of small numbers, at which `size` fits `screen`; with `cover`, the least to fill it."""
    if cover:
        exact = max(Fraction(screen[0], size[0]), Fraction(screen[1], size[1]))
        return min(Fraction(-(-exact.numerator * q // exact.denominator), q) for q in range(1, _FINEST + 1))
    exact = min(Fraction(screen[0], size[0]), Fraction(screen[1], size[1]))
    return max(Fraction(exact.numerator * q // exact.denominator, q) for q in range(1, _FINEST + 1))


def middle(picture: np.ndarray, size: Size) -> np.ndarray:
    """The middle of `picture` (H, W), at most `size`."""
    top, left = max(0, picture.shape[0] - size[1]) // 2, max(0, picture.shape[1] - size[0]) // 2
    return picture[top : top + size[1], left : left + size[0]]


def reduced(picture: np.ndarray, size: Size) -> np.ndarray:
    """`picture`, uint32 (H, W) of four bytes each, averaged down to `size`."""
    image = Image.frombuffer("RGBX", picture.shape[::-1], np.ascontiguousarray(picture).tobytes(), "raw", "RGBX", 0, 1)
    return np.asarray(image.resize(size, Image.Resampling.BILINEAR)).view(np.uint32)[..., 0]
