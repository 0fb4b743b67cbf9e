"""A folder of pictures (or a single one) as a camera: each picture is one frame."""

import os
import re
import threading
from pathlib import Path
from typing import Generator, List, Optional, Tuple

import numpy as np
from PIL import Image, ImageOps

from ..errors import Problem
from ..files import FilePath
from ..frames import Frame, Size

SUFFIXES = (".bmp", ".jpeg", ".jpg", ".png", ".ppm", ".tif", ".tiff", ".webp")


def is_picture(path: FilePath) -> bool:
    return str(path).lower().endswith(SUFFIXES)


def natural_key(name: str) -> List[Tuple[int, str]]:
    """Sort key that puts frame2 before frame10."""
    return [(int(part), "") if part.isdigit() else (-1, part) for part in re.split(r"([0-9]+)", name.lower())]


def read_picture(path: FilePath) -> np.ndarray:
    """The picture as uint8 RGB (H, W, 3), turned as its EXIF says. Raises Problem."""
    try:
        with Image.open(str(path)) as file:
            picture = ImageOps.exif_transpose(file)
            if picture.mode.startswith("I"):  # grey of 16 bits, which convert would clip to white
                picture = Image.fromarray((np.asarray(picture) // 257).clip(0, 255).astype(np.uint8))
            elif picture.mode == "F":
                raise Problem(f"cannot read the picture {path}: its pixels are real numbers: save it with 8 bits")
            return np.asarray(picture.convert("RGB"))
    except (OSError, SyntaxError, ValueError, Image.DecompressionBombError) as error:
        why = getattr(error, "strerror", None) or "not a picture, or damaged"
        raise Problem(f"cannot read the picture {path}: {why.lower()}: repair or remove it") from error


class PictureCamera:
    """The pictures of `path`, a folder or one file, in natural order of their names."""

    live = monotonic = False
    fps = 30.0

    def __init__(self, path: FilePath):
        self.yuv_size: Optional[Size] = None
        try:
            self._paths = (
                [Path(path)]
                if not os.path.isdir(str(path))
                else sorted(
                    (p for p in Path(path).iterdir() if is_picture(p) and not p.name.startswith(".")),
                    key=lambda p: natural_key(p.name),
                )
            )
        except OSError as error:
            raise Problem(f"cannot read the folder {path}: {(error.strerror or str(error)).lower()}") from error
        if not self._paths:
            raise Problem(f"no pictures in {path}: put some there ({' '.join(SUFFIXES)})")

    def frames(self, stop: threading.Event) -> Generator[Frame, None, None]:
        for index, path in enumerate(self._paths):
            if stop.is_set():
                return
            yield Frame(read_picture(path), index / self.fps, index)
