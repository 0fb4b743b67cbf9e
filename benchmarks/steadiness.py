"""How steady the styles are, and what stillness costs on this machine's CPU. See docs/steadiness.md.

Prints a table of every scene of trainer/steadiness.py for each bundle, by default those that ship. A value above its
bound is marked with "!". `--cost` only times; `--sheet FILE` draws a sheet of consecutive frames of the first bundle.
"""

import argparse
import time
from pathlib import Path

import numpy as np
from PIL import Image, ImageDraw
from rich.console import Console

from appliance.config import Engine
from appliance.engine.stillness import Stillness
from trainer import steadiness

SHIPPED = Path(__file__).parents[1] / "firmware_overlay/var/lib/reconet"
SIZE = (640, 360)
ON_SHEET = {  # a part of the scene's name, and the frames to show
    "lamp on, x4 at once": (5, 6, 7, 8),
    "figure crossing": (5, 10, 14, 25),
    "covered lens, middle": (14, 15, 16, 17),
    "empty road, middle": (20, 21, 22, 23),
    "moving edge, middle": (18, 19, 20, 21),
}


def main(argv=None) -> None:
    parser = argparse.ArgumentParser(prog="benchmarks.steadiness", description=__doc__.split("\n")[0])
    parser.add_argument("bundles", nargs="*", type=Path, metavar="BUNDLE", help="default: those that ship")
    parser.add_argument("--stillness", type=float, default=Engine().stillness)
    parser.add_argument("--only", default="", metavar="TEXT", help="scenes with this in their name")
    parser.add_argument("--cost", action="store_true", help="only time it")
    parser.add_argument("--sheet", type=Path, metavar="FILE", help="only draw consecutive frames")
    arguments = parser.parse_args(argv)
    bundles = arguments.bundles or sorted(SHIPPED.glob("*.reconet"))
    if arguments.sheet:
        sheet(bundles[0], arguments.stillness).save(arguments.sheet, quality=72)
        return
    cost(arguments.stillness)
    if not arguments.cost:
        run = {path.stem: list(steadiness.evaluate(path, arguments.stillness, arguments.only)) for path in bundles}
        Console(width=140).print(steadiness.table(run))


def cost(stillness: float, repeats: int = 300) -> None:
    """CPU time a frame of 640x360, in and out, when nothing moves and when someone does."""
    rng, (width, height) = np.random.default_rng(0), SIZE
    room = rng.integers(60, 180, (height, width, 3)).astype(np.int16)
    frames = [(room + rng.integers(-3, 4, room.shape)).astype(np.uint8) for _ in range(8)]
    pictures = [rng.integers(0, 256, (height, width, 4), np.uint8) for _ in range(8)]
    for name, share in (("nothing moves", 0.0), ("a quarter of the view moves", 0.25)):
        still, times = Stillness(stillness), []
        columns = np.s_[:, width // 3 : width // 3 + int(share * width)]
        for number in range(repeats):
            frame = frames[number % 8].copy()
            frame[columns] = np.roll(frame[columns], 20 * number, axis=0) // 2 + number % 3 * 40
            began = time.process_time()
            _, judged = still.before(frame)
            still.behind(pictures[number % 8], judged)
            times.append(1000 * (time.process_time() - began))
        times = sorted(times[30:])
        print(f"stillness, {name}: {times[0]:.2f} ms of CPU a frame at the best, {times[len(times) // 2]:.2f} median")


def sheet(path: Path, stillness: float) -> Image.Image:
    """For each scene of ON_SHEET, frames in a row above what is drawn of them, without stillness and with it."""
    rows = []
    for text, numbers in ON_SHEET.items():
        (live,), (plain,) = (list(steadiness.evaluate(path, share, text)) for share in (stillness, 0.0))
        for label, film in (
            ("camera", live.frames),
            ("stillness 0", plain.drawn),
            (f"stillness {stillness}", live.drawn),
        ):
            row = Image.fromarray(np.hstack([film[number] for number in numbers])).reduce(2)
            ImageDraw.Draw(row).text(
                (4, 2), f"{live.scene.name}: {label}", (255, 255, 255), stroke_width=1, stroke_fill=0
            )
            rows.append(np.asarray(row))
    return Image.fromarray(np.vstack(rows))


if __name__ == "__main__":
    main()
