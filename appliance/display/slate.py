"""Text as pictures: a slate for the whole screen, a caption on a frame."""

import contextlib
import functools
import unicodedata
from typing import Any, List, NamedTuple, Tuple

import numpy as np
from PIL import Image, ImageDraw, ImageFont

from ..errors import Problem

BACKGROUND, ACCENT, TITLE, TEXT = (14, 17, 22), (240, 160, 48), (255, 255, 255), (200, 206, 214)
_FONTS = "/usr/share/fonts/truetype/dejavu/"  # apt: fonts-dejavu-core
_FILES = {True: _FONTS + "DejaVuSans-Bold.ttf", False: _FONTS + "DejaVuSans.ttf"}
_BITMAP = 11  # rows of Pillow's own font before 10.1, which has Latin letters only
_SMALLEST = 9  # rows of the smallest legible letters
_BOX = 0.6  # how dark the box of a caption is


class Block(NamedTuple):
    """Lines of text, `rows` pixels high each, every `step` pixels."""

    lines: List[str]
    rows: int
    step: int
    bold: bool

    @property
    def height(self) -> int:
        return self.step * len(self.lines)


def slate(size: Tuple[int, int], title: str, text: str) -> np.ndarray:
    """`title` above `text`, legible from across a room: uint8 BGRX (H, W, 4) of `size` (width, height).

    Long text is set smaller, and cut off where it does not fit in the smallest letters.
    """
    width, height = size
    image = Image.new("RGB", size, BACKGROUND)
    left, margin = width // 12, height // 12
    scale = 1.0
    while True:
        bar, gap = max(1, int(height * scale / 90)), int(height * scale / 24)
        blocks = [
            block(title, max(_SMALLEST, int(height * scale / 7)), width - 2 * left, bold=True),
            block(text, max(_SMALLEST, int(height * scale / 12.5)), width - 2 * left),
        ]
        total = bar + 2 * gap + sum(each.height for each in blocks)
        if total <= height - 2 * margin or max(each.rows for each in blocks) == _SMALLEST:
            break
        scale *= 0.93
    top = max(margin, (height - total) // 2)
    image.paste(ACCENT, (left, top, left + width // 14, top + bar))
    top += bar + gap
    for each, colour in zip(blocks, (TITLE, TEXT)):
        for line in each.lines:
            if top + each.rows <= height:
                image.paste(colour, (left, top), mask(line, each.rows, each.bold))
            top += each.step
        top += gap
    return np.array(np.frombuffer(image.tobytes("raw", "BGRX"), np.uint8).reshape(height, width, 4))


def caption(pixels: np.ndarray, text: str) -> np.ndarray:
    """Paint `text` on a dark strip into the bottom left corner of `pixels`, uint8 RGB (H, W, 3) or BGRX (H, W, 4).

    Works in place and returns `pixels`.
    """
    height, width = pixels.shape[:2]
    keep, add = _strip(text, width, height)
    bottom = height - min(height - keep.shape[0], height // 16)
    area = pixels[bottom - keep.shape[0] : bottom, : keep.shape[1], :3]
    area[:] = (area * keep >> 8) + add  # the letters are grey, so the order of the colours does not matter
    return pixels


@functools.lru_cache(maxsize=8)
def _strip(text: str, width: int, height: int) -> Tuple[np.ndarray, np.ndarray]:
    """(keep, add), uint16 (h, w, 1): a caption for frames of this size makes each value * keep / 256 + add."""
    rows = max(_SMALLEST, height // 11)
    while rows > _SMALLEST and mask(text, rows, True).width + 2 * rows > width:
        rows -= 1
    letters = mask(text, rows, True)
    box = Image.new("L", (min(width, letters.width + 2 * rows), min(height, rows + rows // 2)))
    box.paste(letters, (rows, rows // 4))
    shape = np.asarray(box, np.uint16)[..., np.newaxis]
    return (256 * (1 - _BOX) * (1 - shape / 255)).astype(np.uint16), (shape * (250 / 255)).astype(np.uint16)


def block(text: str, rows: int, room: int, bold: bool = False) -> Block:
    """`text` broken into lines at most `room` pixels wide."""
    lines: List[str] = []
    for paragraph in text.splitlines():
        line = ""
        for word in str(Problem(paragraph)).split():
            longer = f"{line} {word}" if line else word
            if measure(longer, rows, bold) <= room:
                line = longer
                continue
            lines += [line] if line else []
            while len(word) > 1 and measure(word, rows, bold) > room:
                fits = len(word)
                while fits > 1 and measure(word[:fits], rows, bold) > room:
                    fits = min(fits - 1, 1 + fits * room // measure(word[:fits], rows, bold))
                lines.append(word[:fits])
                word = word[fits:]
            line = word
        lines += [line] if line else []
    return Block(lines, rows, int(rows * 1.2), bold)


def measure(text: str, rows: int, bold: bool) -> int:
    """The width of a line of text in pixels."""
    font, zoom = _font(rows, bold)
    return int(zoom * np.ceil(_ruler().textlength(_letters(text, font), font)))


def mask(text: str, rows: int, bold: bool) -> Image.Image:
    """A line of text, `rows` pixels high: an image of mode "L", 255 in the letters."""
    font, zoom = _font(rows, bold)
    text = _letters(str(Problem(text)), font)
    image = Image.new("L", (max(1, measure(text, rows, bold) // zoom), rows // zoom))
    ImageDraw.Draw(image).text((0, 0), text, 255, font)
    return image.resize((image.width * zoom, image.height * zoom), Image.Resampling.NEAREST)


@functools.lru_cache(maxsize=64)
def _font(rows: int, bold: bool) -> Tuple[Any, int]:
    """A font whose lines are `rows` pixels high, and the factor by which to enlarge it."""
    points = int(rows * 0.85)
    with contextlib.suppress(OSError, ImportError):  # no such file, or Pillow without FreeType
        return ImageFont.truetype(_FILES[bold], points), 1
    with contextlib.suppress(TypeError, ImportError):  # before Pillow 10.1 its own font has one size
        return ImageFont.load_default(points), 1
    return ImageFont.load_default(), max(1, rows // _BITMAP)


@functools.lru_cache(maxsize=1)
def _ruler() -> ImageDraw.ImageDraw:
    return ImageDraw.Draw(Image.new("L", (1, 1)))


def _letters(text: str, font: Any) -> str:
    """`text` with what `font` cannot write replaced."""
    if isinstance(font, ImageFont.FreeTypeFont):
        return text
    return unicodedata.normalize("NFKC", text).encode("latin-1", "replace").decode("latin-1")
