"""The bundles made from recipes: whether one is complete, a contact sheet of several, a table of their figures.

This module imports neither Keras nor JAX.
"""

import io
from collections.abc import Sequence
from pathlib import Path

from PIL import Image, ImageDraw, ImageFont
from pydantic import ValidationError
from rich.table import Table

from appliance.errors import Problem
from appliance.style import bundle
from trainer.recipe import Recipe

WIDTH, GAP, LINE = 480, 12, 30  # pixels
FIGURES = ("style", "content", "e_stab", "snr_db", "blob_share")


def path(recipe: Recipe, out: Path) -> Path:
    """Where the recipe's bundle is in its folder."""
    return out / f"{recipe.name}{bundle.SUFFIX}"


def complete(recipe: Recipe, out: Path) -> bool:
    """Whether out has the bundle of exactly this recipe, trained to its last step."""
    try:
        made = bundle.read(path(recipe, out)).manifest.provenance
        same = Recipe.model_validate(made.get("recipe")) == recipe
    except (Problem, ValidationError):
        return False
    wanted = {"student": recipe.student.steps, **({"lite": recipe.lite.steps} if recipe.lite else {})}
    return same and wanted.items() <= made["steps"].items()


def preview(style: bundle.Bundle) -> Image.Image:
    """The picture that a bundle carries."""
    return Image.open(io.BytesIO(style.files["preview.jpg"]))


def contact_sheet(styles: Sequence[bundle.Bundle], columns: int = 4) -> Image.Image:
    """The styles' pictures in rows, each with its title."""
    pictures = [preview(style) for style in styles]
    pictures = [picture.resize((WIDTH, picture.height * WIDTH // picture.width)) for picture in pictures]
    columns = min(columns, len(pictures))
    height = max(picture.height for picture in pictures) + LINE
    rows = -(-len(pictures) // columns)
    sheet = Image.new("RGB", (columns * (WIDTH + GAP) + GAP, rows * (height + GAP) + GAP), "white")
    draw = ImageDraw.Draw(sheet)
    font = ImageFont.load_default(18)
    for i, (style, picture) in enumerate(zip(styles, pictures, strict=True)):
        left, top = GAP + i % columns * (WIDTH + GAP), GAP + i // columns * (height + GAP)
        sheet.paste(picture, (left, top))
        draw.text((left, top + picture.height + 4), style.manifest.title, "black", font)
    return sheet


def figures(styles: Sequence[bundle.Bundle]) -> Table:
    """The int8 figures that export() measured, a row for each style. Lower is better, except for the SNR."""
    made = Table("style", *FIGURES)
    for style in styles:
        metrics = style.manifest.provenance.get("metrics", {})
        made.add_row(style.manifest.name, *(_shown(metrics.get(name)) for name in FIGURES))
    return made


def _shown(value) -> str:
    """A number, the int8 student's of several networks, or the mean of several scenes."""
    if isinstance(value, dict):
        numbers = [_int8(one) for one in ([value] if "int8" in value else value.values())]
        numbers = [one for one in numbers if one is not None]
        value = sum(numbers) / len(numbers) if numbers else None
    return "" if value is None else f"{value:.4g}"


def _int8(value):
    return value.get("int8") if isinstance(value, dict) else value
