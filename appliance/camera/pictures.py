"""A folder of pictures, or a single picture, as a camera: each picture is one frame."""

import contextlib
import os
import re
import threading
from functools import lru_cache
from pathlib import Path
from typing import Callable, Generator, Iterator, List, Optional, Tuple

import numpy as np
from PIL import Image, ImageOps

from ..errors import Problem
from ..files import FilePath
from ..frames import Frame, Size

SUFFIXES = (".bmp", ".jfif", ".jpe", ".jpeg", ".jpg", ".pgm", ".png", ".pnm", ".ppm", ".tga", ".tif", ".tiff", ".webp")
HEIF = (".heic", ".heif")
MOVING = (".avif", ".gif") + HEIF  # may be animated, so camera.video reads them
_MOST = 50_000_000  # pixels: larger pictures are halved until they fit
_REFUSED = 1_000_000_000  # pixels
_FPS = 30.0
_ORIENTATION = 0x0112  # EXIF
_reading = threading.Lock()


def is_picture(path: FilePath) -> bool:
    """Whether Pillow reads the file, by its name."""
    name = str(path).lower()
    return name.endswith(SUFFIXES) or name.endswith(HEIF) and _opens_heif()


@lru_cache(maxsize=None)
def _opens_heif() -> bool:
    """Whether pillow-heif is installed. It also joins the tiles of phones' pictures."""
    try:
        import pillow_heif
    except ImportError:
        return False
    pillow_heif.register_heif_opener()
    return True


def natural_key(name: str) -> List[Tuple[int, str]]:
    """Sort key that puts frame2 before frame10."""
    return [(int(part), "") if part.isdigit() else (-1, part) for part in re.split(r"([0-9]+)", name.lower())]


def read_picture(path: FilePath, most: int = _MOST) -> np.ndarray:
    """The picture as uint8 RGB (H, W, 3), rotated according to its EXIF, and halved until it has at most `most` pixels.
    A JPEG is halved by its decoder. Raises Problem."""
    try:
        with without_limit(), Image.open(str(path)) as file:
            pixels = file.width * file.height
            if pixels > _REFUSED:
                raise Problem(f"cannot read the picture {path}: it has {pixels // 1_000_000} megapixels: reduce it")
            factor = 1
            while pixels > most * factor * factor:
                factor *= 2
            file.draft(None, (file.width // factor, file.height // factor))
            factor = max(1, round(factor * (file.width * file.height / pixels) ** 0.5))
            turned = file.getexif().get(_ORIENTATION, 1) != 1  # exif_transpose would copy it
            picture = ImageOps.exif_transpose(file) if turned else file
            if picture.mode.startswith("I"):  # 16-bit grey, which convert would clip to white
                picture = Image.fromarray((np.asarray(picture) // 257).clip(0, 255).astype(np.uint8))
            elif picture.mode == "F":
                raise Problem(f"cannot read the picture {path}: its pixels are floating-point: save it with 8 bits")
            if factor > 1:
                picture = (picture.convert("RGB") if picture.mode in ("1", "P", "PA") else picture).reduce(factor)
            return np.asarray(picture.convert("RGB"))
    except (OSError, SyntaxError, ValueError, MemoryError) as error:
        why = getattr(error, "strerror", None) or "not a picture, or damaged"
        if isinstance(error, MemoryError):
            why = "there is not enough memory for it"
        raise Problem(f"cannot read the picture {path}: {why.lower()}: repair or remove it") from error


@contextlib.contextmanager
def without_limit() -> Iterator[None]:
    """Lets Pillow open pictures of any size. By default it warns above 89 megapixels and refuses above twice that."""
    with _reading:
        limit, Image.MAX_IMAGE_PIXELS = Image.MAX_IMAGE_PIXELS, None
        try:
            yield
        finally:
            Image.MAX_IMAGE_PIXELS = limit


class PictureCamera:
    """The pictures of `path`, a folder or one file, in natural order of their names.

    An unreadable picture raises Problem. With `skip`, it is skipped and `skip` is called with the Problem; Problem is
    raised only if no picture can be read. `seconds` is the duration at `fps`, counting an animation as one frame.
    """

    live = monotonic = False
    fps = _FPS

    def __init__(self, path: FilePath, skip: Optional[Callable[[Problem], None]] = None):
        self.yuv_size: Optional[Size] = None
        self._skip = skip
        try:
            self._paths = (
                [Path(path)]
                if not os.path.isdir(str(path))
                else sorted(
                    (p for p in Path(path).iterdir() if _belongs(p)),
                    key=lambda p: natural_key(p.name),
                )
            )
        except OSError as error:
            raise Problem(f"cannot read the folder {path}: {(error.strerror or str(error)).lower()}") from error
        if not self._paths:
            raise Problem(f"no pictures in {path}: put some there ({' '.join(sorted(SUFFIXES + MOVING))})")
        self.seconds = len(self._paths) / self.fps

    def frames(self, stop: threading.Event) -> Generator[Frame, None, None]:
        index = 0
        problem: Optional[Problem] = None
        for path in self._paths:
            try:
                for pixels in _pictures(path, stop):
                    if stop.is_set():
                        return
                    yield Frame(pixels, index / self.fps, index, duration=1 / self.fps)
                    index += 1
            except Problem as found:
                if self._skip is None or len(self._paths) == 1:
                    raise
                problem = found
                self._skip(found)
        if problem and not index:
            raise Problem("none of the pictures can be read") from problem


def _belongs(path: Path) -> bool:
    return path.name.lower().endswith(SUFFIXES + MOVING) and not path.name.startswith(".")


def _pictures(path: Path, stop: threading.Event) -> Generator[np.ndarray, None, None]:
    """uint8 RGB (H, W, 3) of the picture, or of each frame of an animation. Raises Problem."""
    if stop.is_set():
        return
    if is_picture(path):
        yield read_picture(path)
        return
    from .video import VideoCamera

    for frame in VideoCamera(path).frames(stop):
        yield frame.pixels
