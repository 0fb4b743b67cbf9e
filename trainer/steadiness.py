"""Measures how steady a style is, on synthetic films made from fixed seeds.

They have changing light, a person who steps into view, and scenes that are still but for sensor noise. Frames are uint8
RGB (H, W, 3); noise has the standard deviation sqrt(read ** 2 + shot ** 2 * level / 255) of 255.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from PIL import Image, ImageDraw, ImageFilter
from rich.table import Table

from appliance.camera.virtual import VirtualCamera
from appliance.engine.stylizer import Stylizer
from appliance.frames import cover
from appliance.style import bundle

SETTLED = 8.0  # of 255: pictures this close count as the same
NOISES = {"low": (0.7, 1.5), "middle": (1.5, 4.0), "high": (3.0, 8.0)}  # read and shot
BOUNDS = {"settled": 3, "flicker": 1.5, "wall": 8.0, "ghost": 4.0}


@dataclass(frozen=True)
class Scene:
    """A film: `frame(number)`, float (H, W, 3), 0..255 before noise; `figure` is what is measured.

    settled: frames after `event` until the picture is the one of the new light alone.
    wall: the largest change of a part that the person does not cover.
    flicker: frame-to-frame change of the output over that of the input.
    ghost: difference from the picture without stillness, behind a moving object.
    """

    name: str
    figure: str
    frame: Callable[[int], np.ndarray]
    frames: int
    event: int = 0
    noise: tuple[float, float] | None = None
    region: Callable[[int], np.ndarray] | None = None


def scenes(size: tuple[int, int]) -> Iterator[Scene]:
    """All scenes, at size (width, height)."""
    photo = _photo(size)
    lit = photo * 0.25
    yield Scene("lamp on, x4 at once", "settled", lambda n: photo if n >= 6 else lit, 16, 6)
    yield Scene("lamp off, x1/4 at once", "settled", lambda n: lit if n >= 6 else photo, 16, 6)
    yield Scene("lamp on, x4 over 10 frames", "settled", lambda n: photo * 4 ** (_ramp(n - 6) - 1), 26, 16)
    yield Scene("lamp off, x1/4 over 10 frames", "settled", lambda n: photo * 4 ** -_ramp(n - 6), 26, 16)
    yield Scene("camera that hunts", "settled", lambda n: photo * _hunting(n - 6), 32, 24)
    yield Scene("scene cut", "settled", lambda n: _other(size) if n >= 6 else photo, 12, 6)
    yield from _crossing(size)
    for name, still in (
        ("plain wall", np.full(photo.shape, 178.0) * _vignette(size)),
        ("grey gradient", np.broadcast_to(np.linspace(70, 150, size[0])[None, :, None], photo.shape)),
        ("covered lens", np.full(photo.shape, 5.0)),
        ("night", photo * 0.08),
        ("empty road", _road(size)),
        ("still photograph", photo),
    ):
        for level, noise in NOISES.items():
            yield Scene(f"{name}, {level} noise", "flicker", _unchanging(still), 24, 12, noise)
    yield from _moving(size)


def _unchanging(picture: np.ndarray) -> Callable[[int], np.ndarray]:
    return lambda _: picture


def _crossing(size):
    """A dark figure that covers 40 % of the view enters from the right, stays, and leaves."""
    wall = _photo(size) * 0.25 + 90
    width = round(0.4 * size[0])
    untouched = np.zeros((size[1], size[0]), bool)
    untouched[:, : size[0] // 4] = True

    def frame(number):
        step = min(max(number - 6, 0), 8) - max(number - 26, 0)
        left = size[0] - round(width * min(max(step, 0), 8) / 8)
        picture = wall.copy()
        picture[:, left : left + width] = 14 + 0.05 * wall[:, left : left + width]
        return picture

    yield Scene("figure crossing", "wall", frame, 38, 6, region=lambda number: untouched)


def _moving(size):
    wide = np.asarray(Image.fromarray(_photo(size).astype("uint8")).resize((2 * size[0], 2 * size[1])), float)
    top = size[1] // 2
    everywhere = np.ones((size[1], size[0]), bool)
    yield Scene(
        "slow pan, 2 pixels a frame",
        "ghost",
        lambda n: wide[top : top + size[1], 2 * n : 2 * n + size[0]],
        16,
        4,
        region=lambda number: everywhere,
    )
    still, side = _photo(size), size[1] // 3

    def frame(number):
        picture = still.copy()
        left = side // 2 + 6 * number
        picture[side : 2 * side, left : left + side] = 235
        return picture

    def behind(number):
        """Left by the square two frames ago or earlier."""
        mask = everywhere & False
        mask[side : 2 * side, side // 2 : side // 2 + 6 * max(number - 1, 0)] = True
        return mask

    yield Scene("moving edge", "ghost", frame, 16, 4, None, behind)
    yield Scene("moving edge, middle noise", "ghost", frame, 28, 16, NOISES["middle"], behind)


@dataclass(frozen=True)
class Result:
    """A scene's figure, its frames, and their stylised pictures."""

    scene: Scene
    value: float
    frames: list[np.ndarray]
    drawn: list[np.ndarray]

    @property
    def passed(self) -> bool:
        return self.value <= BOUNDS[self.scene.figure]


def evaluate(path: Path, stillness: float, only: str = "") -> Iterator[Result]:
    """Run the scenes whose name contains `only` through the style bundle at `path`. Raises Problem."""
    style = bundle.read(path)
    stylizer, plain = Stylizer(style, prefer="fused", stillness=stillness), Stylizer(style, prefer="fused")
    for scene in scenes(stylizer.input_size):
        if only in scene.name:
            yield measure(scene, stylizer, plain)


def measure(scene: Scene, stylizer: Stylizer, plain: Stylizer) -> Result:
    """Run a scene. `plain` is the same style with a stillness of 0."""
    frames = film(scene, stylizer.input_size)
    drawn = stylise(stylizer, frames)
    judge = {"settled": _settled, "wall": _wall, "flicker": _flicker, "ghost": _ghost}[scene.figure]
    return Result(scene, judge(scene, frames, drawn, plain), frames, drawn)


def table(results: dict[str, list[Result]]) -> Table:
    """One row per scene, one column per style."""
    made = Table("scene", "figure", "bound", *results)
    for row in zip(*results.values()):
        scene = row[0].scene
        values = [f"{one.value:.2f}" + ("" if one.passed else " !") for one in row]
        made.add_row(scene.name, scene.figure, f"{BOUNDS[scene.figure]:g}", *values)
    return made


def film(scene: Scene, size: tuple[int, int]) -> list[np.ndarray]:
    """The frames of a scene, as a camera gives them."""
    rng = np.random.default_rng(15)
    frames = []
    for number in range(scene.frames):
        level = np.clip(scene.frame(number), 0, 255)
        if scene.noise:
            read, shot = scene.noise
            level = level + rng.standard_normal(level.shape) * np.sqrt(read**2 + shot**2 * level / 255)
        frames.append(np.clip(np.rint(level), 0, 255).astype(np.uint8))
    return frames


def stylise(stylizer: Stylizer, frames: list[np.ndarray]) -> list[np.ndarray]:
    """The pictures of a film, uint8 RGB."""
    stylizer.reset()
    return [stylizer.draw(frame) for frame in frames]


def change(first: np.ndarray, second: np.ndarray) -> float:
    """Mean absolute difference of two pictures, of 255."""
    return float(np.abs(first.astype(np.int16) - second).mean())


def _settled(scene, frames, drawn, plain) -> float:
    (wanted,) = stylise(plain, frames[-1:])
    late = [number for number in range(scene.event, len(frames)) if change(drawn[number], wanted) > SETTLED]
    return late[-1] + 1 - scene.event if late else 0


def _flicker(scene, frames, drawn, plain) -> float:
    pairs = [(number - 1, number) for number in range(scene.event + 1, len(frames))]
    output, source = (sum(change(film[a], film[b]) for a, b in pairs) for film in (drawn, frames))
    return output / source


def _wall(scene, frames, drawn, plain) -> float:
    region = scene.region(0)
    before = drawn[scene.event - 1][region].mean(0)
    return max(float(np.abs(picture[region].mean(0) - before).max()) for picture in drawn[scene.event :])


def _ghost(scene, frames, drawn, plain) -> float:
    unblended, errors = stylise(plain, frames), []
    for number in range(scene.event, len(frames)):
        region = scene.region(number)
        difference = _smooth(drawn[number]) - _smooth(unblended[number])
        errors.append(float(np.abs(difference[region]).mean()))
    return max(errors)


def _smooth(picture: np.ndarray) -> np.ndarray:
    """The picture without its finest detail, which is noise."""
    return np.asarray(Image.fromarray(picture).filter(ImageFilter.BoxBlur(4)), float)


def _photo(size) -> np.ndarray:
    return cover(VirtualCamera(paced=False).picture(48), size).astype(float)


def _other(size) -> np.ndarray:
    return cover(VirtualCamera(paced=False).picture(340), size).astype(float)


def _vignette(size) -> np.ndarray:
    x, y = np.meshgrid(*(np.linspace(-1, 1, length) for length in size))
    return (1 - 0.06 * (x**2 + y**2))[..., None]


def _road(size) -> np.ndarray:
    """Sky, verges and an empty road at dusk."""
    width, height = size
    picture = Image.new("RGB", size, (96, 98, 104))
    pen, horizon = ImageDraw.Draw(picture), height * 0.45
    pen.rectangle((0, horizon, width, height), (58, 66, 52))
    pen.polygon(
        [(width * 0.47, horizon), (width * 0.53, horizon), (width * 0.8, height), (width * 0.2, height)], (74, 73, 72)
    )
    for number in range(5):
        near = (number + 1) / 5
        pen.line(
            [
                (width / 2, horizon + (height - horizon) * near**2),
                (width / 2, horizon + (height - horizon) * (near - 0.08) ** 2),
            ],
            (120, 118, 110),
            2,
        )
    return np.asarray(picture.filter(ImageFilter.GaussianBlur(1.5)), float)


def _ramp(number: int) -> float:
    return min(max(number / 10, 0.0), 1.0)


def _hunting(number: int) -> float:
    """The light of a camera that sets its own exposure: down over 10 frames, too far, and back."""
    return float(np.interp(number, [0, 10, 14, 18], [1.0, 0.35, 0.6, 0.5]))
