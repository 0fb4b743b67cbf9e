"""What the monitor should show, computed on this machine from what the camera gives. Pictures are uint8 RGB."""

import re
from typing import List

import numpy as np

from appliance.camera.sizes import Offer
from appliance.camera.thin import Thinner
from appliance.camera.yuyv import BT709, yuyv_to_rgb
from appliance.config import Engine
from appliance.display.enlarge import Enlarger
from appliance.display.placing import centred, enlargement
from appliance.display.slate import slate
from appliance.engine.stylizer import Stylizer
from appliance.frames import converted, cover
from appliance.style.bundle import Bundle

from .qemu import SCREEN

# dB. The same style on the guest's runtime reaches more; another style, or none, less.
ALIKE = 24.0
# The same for slates, whose letters differ a little between versions of Pillow. Other words reach 15.
SAID = 20.0


def stylised(bundle: Bundle, yuyv: np.ndarray) -> np.ndarray:
    """`yuyv` (H, W, 2) of a high-definition camera in the style of `bundle`."""
    stylizer = Stylizer(bundle, stillness=Engine().stillness)
    width, height = stylizer.input_size
    if stylizer.input_format == "yuv":
        source = np.empty((height, width, 3), np.uint8)
        Thinner(yuyv.shape[1::-1], stylizer.input_size)(yuyv, source)
    else:
        rgb = np.empty(yuyv.shape[:2] + (3,), np.uint8)
        yuyv_to_rgb(yuyv, rgb, BT709)
        source = cover(rgb, stylizer.input_size)
    width, height = stylizer.output_size
    out = np.empty((height, width, stylizer.channels), np.uint8)
    stylizer.stylize(source, out)
    return converted(out, stylizer.output_format, "rgb")


def enlarged(picture: np.ndarray) -> np.ndarray:
    """`picture` as large as the screen shows it: the virtual card has no plane that scales, so by the CPU."""
    bgrx = converted(picture, "rgb", "bgrx").view(np.uint32)[..., 0]
    size = bgrx.shape[1], bgrx.shape[0]
    enlarger = Enlarger(size, enlargement(size, SCREEN), SCREEN)
    out = np.empty(enlarger.out_size[::-1], np.uint32)
    enlarger(bgrx, out)
    return converted(out.view(np.uint8).reshape(out.shape + (4,)), "bgrx", "rgb")


def picture_on(screen: np.ndarray, picture: np.ndarray) -> np.ndarray:
    """The part of `screen` where a picture as large as `picture` is."""
    place = centred((picture.shape[1], picture.shape[0]), SCREEN)
    return screen[place.top : place.top + place.height, place.left : place.left + place.width]


def offers(listed: str) -> List[Offer]:
    """The sizes of YUYV in what `v4l2-ctl --list-formats-ext` prints."""
    yuyv = re.search(r"'YUYV'.*?(?=\n\s*\[\d+\]:|\Z)", listed, re.DOTALL)
    found = re.findall(r"Size: Discrete (\d+)x(\d+)((?:\s+Interval: .*)*)", yuyv.group()) if yuyv else []
    return [
        Offer((int(width), int(height)), max(map(float, re.findall(r"([\d.]+) fps", intervals)), default=None))
        for width, height, intervals in found
    ]


def likeness(one: np.ndarray, other: np.ndarray) -> float:
    """The peak signal-to-noise ratio in dB: 50 is the same picture, 10 is another one."""
    error = np.square(one.astype(float) - other).mean()
    return float(10 * np.log10(255**2 / max(error, 1e-3)))


def slate_of(title: str, text: str) -> np.ndarray:
    """The whole screen with these words."""
    return converted(slate(SCREEN, title, text), "bgrx", "rgb")
