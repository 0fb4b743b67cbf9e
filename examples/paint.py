"""A photograph and a film, painted in Python: python examples/paint.py PHOTO.jpg FILM.mp4 OUT (a new folder)."""

import sys
from pathlib import Path

import numpy as np
from PIL import Image

from appliance import Style

photo, film, out = sys.argv[1:4]
Path(out).mkdir()
paint = Style("starry_night")
Image.fromarray(paint(np.asarray(Image.open(photo).convert("RGB")))).save(f"{out}/photo.png")
for frame in paint.film(film, seconds=2):
    Image.fromarray(frame.pixels).save(f"{out}/{frame.index:04}.png")
    print(f"{frame.timestamp:.2f} s: {frame.pixels.shape[1]}x{frame.pixels.shape[0]}")
