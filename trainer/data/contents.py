"""Identifies training data by its content, so that renaming or moving a folder does not count as a change.

Keras is imported only for films, which gallery.py relies on.
"""

import hashlib
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from trainer.data import pictures
from trainer.recipe import Recipe

FIELDS = {  # the setting that locates each kind of data
    "painting": "data.painting",
    "photos": "data.photos",
    "sintel": "data.sintel",
    "videos": "data.videos",
    "perceptual": "perceptual",
}


def contents(recipe: Recipe, data: Path) -> dict[str, str]:
    """SHA-256 of everything that the recipe trains on, by the keys of FIELDS. Missing and unused data is left out."""
    where, used = recipe.data, {}
    used["painting"] = [data / where.painting]
    used["photos"] = pictures.paths(data / where.photos)[0]
    if recipe.mix.sintel:
        from trainer.data import sintel

        used["sintel"] = sintel.paths(data / where.sintel)
    if recipe.mix.video:
        from trainer.data import video

        used["videos"] = video.files(data / where.videos)
    used["perceptual"] = [data / recipe.perceptual]
    return {name: digest(paths) for name, paths in used.items() if paths and all(path.is_file() for path in paths)}


def digest(paths: list[Path]) -> str:
    """SHA-256 over the files' own SHA-256, in order; their names do not count."""
    with ThreadPoolExecutor() as pool:
        return hashlib.sha256(b"".join(pool.map(_digest, paths))).hexdigest()


def _digest(path):
    return hashlib.sha256(path.read_bytes()).digest()
