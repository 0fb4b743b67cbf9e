"""What the monitor should show, computed on this machine from what the camera gives. Pictures are uint8 RGB."""

from typing import Tuple

import numpy as np

from appliance.camera.yuyv import BT709, yuyv_to_rgb, yuyv_to_yuv
from appliance.display.slate import slate
from appliance.engine.stylizer import Stylizer
from appliance.frames import converted, cover
from appliance.style.bundle import Bundle

from .qemu import SCREEN

# dB. The same style on the guest's runtime comes to more, another style, or none, to less.
ALIKE = 24.0
# The same of slates, whose letters two versions of Pillow draw a little differently. Other words come to 15.
SAID = 20.0


def stylised(bundle: Bundle, yuyv: np.ndarray) -> np.ndarray:
    """`yuyv` (H, W, 2) of a high-definition camera in the style of `bundle`."""
    stylizer = Stylizer(bundle)
    width, height = stylizer.input_size
    if stylizer.input_format == "yuv":
        source = np.empty((height, width, 3), np.uint8)
        yuyv_to_yuv(yuyv, source)
    else:
        rgb = np.empty(yuyv.shape[:2] + (3,), np.uint8)
        yuyv_to_rgb(yuyv, rgb, BT709)
        source = cover(rgb, stylizer.input_size)
    width, height = stylizer.output_size
    out = np.empty((height, width, stylizer.channels), np.uint8)
    stylizer.stylize(source, out)
    return converted(out, stylizer.output_format, "rgb")


def picture_on(screen: np.ndarray, size: Tuple[int, int]) -> np.ndarray:
    """The picture of `size` (width, height) that `screen` shows: enlarged by a whole number, in the middle."""
    (down, across), (width, height) = screen.shape[:2], size
    zoom = min(across // width, down // height)
    top, left = (down - zoom * height) // 2, (across - zoom * width) // 2
    return screen[top : top + zoom * height : zoom, left : left + zoom * width : zoom]


def likeness(one: np.ndarray, other: np.ndarray) -> float:
    """The peak signal-to-noise ratio in dB: 50 is the same picture, 10 is another one."""
    error = np.square(one.astype(float) - other).mean()
    return float(10 * np.log10(255**2 / max(error, 1e-3)))


def slate_of(title: str, text: str) -> np.ndarray:
    """The whole screen with these words."""
    return converted(slate(SCREEN, title, text), "bgrx", "rgb")
