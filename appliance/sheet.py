"""A contact sheet: source frames above their stylised frames."""

from typing import List, Tuple

import numpy as np
from PIL import Image

from .errors import Problem
from .files import FilePath, replacing

_GAP = 8
_KEEP = 24


class ContactSheet:
    """Collects pairs of pictures over a run of any length and shows `columns` of them, evenly spread."""

    def __init__(self, columns: int = 3):
        self.columns = columns
        self._pairs: List[Tuple[np.ndarray, np.ndarray]] = []
        self._seen = 0
        self._every = 1

    def add(self, source: np.ndarray, stylised: np.ndarray) -> None:
        """Add a pair, uint8 RGB (H, W, 3) each. The arrays are not copied, so they must not change later."""
        if self._seen % self._every == 0:
            self._pairs.append((source, stylised))
            if len(self._pairs) > _KEEP:
                # Drop every other pair, and take half as many from now on: memory stays bounded.
                self._pairs = self._pairs[::2]
                self._every *= 2
        self._seen += 1

    def save(self, path: FilePath) -> None:
        """Write the sheet as PNG, whole or not at all. Raises Problem."""
        if not self._pairs:
            raise Problem(f"cannot write {path}: there was no frame to show")
        count = min(self.columns, len(self._pairs))
        chosen = [self._pairs[int((2 * i + 1) * len(self._pairs) / (2 * count))] for i in range(count)]
        height, width = (max(picture.shape[axis] for pair in chosen for picture in pair) for axis in (0, 1))
        sheet = Image.new("RGB", (count * (width + _GAP) - _GAP, 2 * height + _GAP), "white")
        for column, pair in enumerate(chosen):
            for row, picture in enumerate(pair):
                sheet.paste(Image.fromarray(picture), (column * (width + _GAP), row * (height + _GAP)))
        with replacing(path) as temporary:
            sheet.save(str(temporary), "PNG")
