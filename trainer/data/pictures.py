"""Pictures from disk: the painting and the training photographs."""

import hashlib
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
from PIL import Image, ImageOps
from rich.console import Console

from appliance.camera.pictures import is_picture, read_picture, without_limit
from appliance.errors import Problem
from trainer.faults import Collector

ROWS = 64  # that a painting needs


def painting(path: Path, width: int) -> tuple[np.ndarray, str]:
    """The painting (1, H, W, 3) in 0..1 scaled to width, and its file's SHA-256."""
    if not path.exists():
        raise Problem(f"painting {path}: no such file; put it there or set data.painting in the recipe")
    image = on_white(path)
    height = round(image.height * width / image.width)
    if height < ROWS:
        raise Problem(f"painting {path}: {width}x{height} once scaled; it needs {ROWS} rows; use a less elongated one")
    scaled = image.resize((width, height), Image.Resampling.LANCZOS)
    return np.asarray(scaled, "float32")[None] / 255, hashlib.sha256(path.read_bytes()).hexdigest()


def on_white(path: Path) -> Image.Image:
    """The picture in RGB, rotated by its EXIF orientation, with white where it is transparent. Raises Problem."""
    opaque = Image.fromarray(read_picture(path))
    with without_limit(), Image.open(path) as file:
        if not file.has_transparency_data:
            return opaque
        picture = ImageOps.exif_transpose(file).convert("RGBA").resize(opaque.size)
    picture = Image.alpha_composite(Image.new("RGBA", picture.size, "white"), picture)
    return picture.convert("RGB")


def paths(folder: Path) -> tuple[list[Path], list[Path]]:
    """(the photographs of a folder, its other files), each sorted by name, without hidden files."""
    found = sorted(path for path in folder.glob("*") if path.is_file() and not path.name.startswith("."))
    return [path for path in found if is_picture(path)], [path for path in found if not is_picture(path)]


def photographs(folder: Path, size: tuple[int, int]) -> np.ndarray:
    """All photographs of a folder, sorted by name: uint8 (N, H, W, 3).

    Each is scaled to cover 5/4 of size (height, width), so that the camera has room to move, and cropped at the centre.
    Files that are not pictures are skipped and listed on stderr. Raises Problem when there are no photographs, and
    Faults, with one line for each that is unreadable or smaller than size.
    """
    if not folder.is_dir():
        raise Problem(f"photos {folder}: no such folder; put photographs there or set data.photos in the recipe")
    found, foreign = paths(folder)
    report_skipped(folder, foreign)
    if not found:
        raise Problem(f"photos {folder}: no pictures in it; put JPEG or PNG photographs there")
    height, width = size[0] * 5 // 4, size[1] * 5 // 4
    faults = Collector()

    def one(path):
        with faults:
            image = Image.fromarray(read_picture(path))
            if image.height < size[0] or image.width < size[1]:
                raise Problem(
                    f"photo {path}: {image.width}x{image.height} is smaller than the frame, {size[1]}x{size[0]}; "
                    "remove it"
                )
            scale = min(image.width / width, image.height / height)
            left, top = (image.width - width * scale) / 2, (image.height - height * scale) / 2
            box = (left, top, left + width * scale, top + height * scale)
            return np.asarray(image.resize((width, height), Image.Resampling.BICUBIC, box=box))

    with ThreadPoolExecutor() as pool:
        photos = list(pool.map(one, found))
    faults.check()
    return np.stack(photos)


def report_skipped(folder: Path, foreign: list[Path]) -> None:
    """Lists the skipped files, if any, in one line on stderr."""
    if foreign:
        names = ", ".join(path.name for path in foreign)
        Console(stderr=True).print(f"{folder}: skipped {names}", highlight=False, markup=False, soft_wrap=True)


def split(photos: np.ndarray, held_out: int) -> tuple[np.ndarray, np.ndarray]:
    """(photos to train on, the last held_out to measure on). Raises Problem when none is left to train on."""
    if len(photos) <= held_out:
        raise Problem(
            f"photos: {len(photos)} found, {held_out} held out for measuring; add some or lower data.held_out"
        )
    return photos[:-held_out], photos[-held_out:]


def centre(photos: np.ndarray, size: tuple[int, int]) -> np.ndarray:
    """The middle of photos (N, H, W, 3), of size (height, width)."""
    top, left = (photos.shape[1] - size[0]) // 2, (photos.shape[2] - size[1]) // 2
    return photos[:, top : top + size[0], left : left + size[1]]
