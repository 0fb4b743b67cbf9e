"""Draw the pictures of docs/gallery.md: python examples/gallery.py STYLE|BUNDLE FOLDER

FOLDER/STYLE.jpg shows each of FOLDER/photographs in the style, at full size. FOLDER/STYLE.webp is a short film, played
forwards and backwards.
"""

import sys
from pathlib import Path

import numpy as np
from PIL import Image

from appliance import Style
from appliance.camera.virtual import VirtualCamera

COLUMNS = 2
FILM = range(108, 180, 4)  # frames of the virtual camera, which gives 30 a second
SMALL = 384, 216


def sheet(style: Style, photographs: list) -> Image.Image:
    """The photographs, RGB arrays of one shape, in the style, in rows of COLUMNS."""
    pictures = [style(photograph) for photograph in photographs]
    rows = [np.hstack(pictures[start : start + COLUMNS]) for start in range(0, len(pictures), COLUMNS)]
    return Image.fromarray(np.vstack(rows))


def film(style: Style) -> list:
    """Images of the virtual camera's film in the style."""
    camera = VirtualCamera(paced=False)
    return [Image.fromarray(style(camera.picture(index))).resize(SMALL) for index in FILM]


def main(name: str, folder: Path) -> None:
    style = Style(name)
    photographs = [np.asarray(Image.open(path).convert("RGB")) for path in sorted(folder.glob("photographs/*.jpg"))]
    sheet(style, photographs).save(folder / f"{style.name}.jpg", quality=85)
    first, *others = film(style)
    loop = [*others, *others[-2::-1]]
    first.save(
        folder / f"{style.name}.webp", save_all=True, append_images=loop, duration=133, loop=0, quality=50, method=6
    )


if __name__ == "__main__":
    main(sys.argv[1], Path(sys.argv[2]))
