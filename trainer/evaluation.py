"""Measures the pictures of a style's networks, on frames not used in training."""

from collections.abc import Callable
from functools import partial
from pathlib import Path

import keras
import numpy as np
from rich.console import Console
from rich.progress import track
from scipy import ndimage

from appliance.colour import LUMA
from appliance.engine import exposure
from appliance.engine.exposure import ExposureMeter
from appliance.engine.stylizer import Stylizer
from appliance.frames import YUV_BLACK, YUV_TO_RGB, converted
from trainer import faces, flow, losses, perceptual
from trainer.data import pictures, sintel
from trainer.gather import Work
from trainer.recipe import Recipe
from trainer.sections import Frame

HEADLINE = ("alley_1", "cave_2")
_TILE = 128  # pixels
FRAME = 2  # and 3: the pair of each headline scene that is measured for the manifest


def evaluate(
    work: Work,
    photos: Path | None,
    sintel_root: Path | None,
    data: Path,
    most: int = 24,
    rendering: str = "clean",
    people: Path | None = None,
) -> dict:
    """Everything that can be measured of a style: see on_photos(), on_sintel(), headline(), and for photographs of
    people faces.on_photos().

    At most `most` photographs, and as many pairs of frames per scene, evenly spaced. Raises Problem.
    """
    painted = painters(work.recipe, work.networks, work.stylizer())
    report: dict = {"name": work.recipe.name}
    if photos:
        shown = _evenly(pictures.centre(pictures.photographs(photos, work.recipe.size), work.recipe.size), most)
        weights = perceptual.load(work.recipe.perceptual, data, work.recipe.style)
        figures = on_photos(work.recipe, painted, shown, weights, work.targets)
        if (data / work.recipe.data.painting).exists():
            painting, _ = pictures.painting(data / work.recipe.data.painting, work.recipe.data.painting_width)
            figures["fine"]["painting"] = painting_fine_power(painting)
        report |= {"photos": len(shown), **headline(figures), **figures}
    if sintel_root:
        found: dict[str, list] = {}
        for scene, frame in sintel.pairs(sintel_root, rendering):
            found.setdefault(scene, []).append((scene, frame))
        pairs = [pair for scene in found.values() for pair in _evenly(scene, most)]
        report |= {"sintel": rendering, "pairs": len(pairs)}
        report["e_stab"] = on_sintel(work.recipe, painted, sintel_root, pairs, rendering)
    if people:
        shown = pictures.centre(pictures.photographs(people, work.recipe.size), work.recipe.size)
        found = faces.on_photos({name: partial(_picture, paint) for name, paint in painted.items()}, shown)
        report |= {"people": found["found"], "faces": found["kept"]}
    return {**report, "missing": work.missing}


def _picture(paint, photo):
    return to_bytes(paint([photo])[0])


def _evenly(items, most):
    chosen = (
        [round(i * (len(items) - 1) / max(1, most - 1)) for i in range(most)]
        if len(items) > most
        else range(len(items))
    )
    return items[list(chosen)] if hasattr(items, "shape") else [items[i] for i in chosen]


def painters(recipe: Recipe, networks: dict[str, keras.Model], stylizer: Stylizer | None) -> dict[str, Callable]:
    """{name: a function that stylises consecutive frames, uint8 (H, W, 3), each to (H, W, 3) in -1..1}.

    The stylizer, if any, is "int8". Within one call exposure follows the frames as on the board; each call starts
    afresh. The student gets the stylizer's input: where that is YUV, colours may lie outside RGB.
    """
    takes = {"student": stylizer.input_format} if stylizer else {}

    def floating(name, network):
        def paint(frames):
            one = meter(recipe.frame, takes.get(name, "rgb"))
            return [np.asarray(network(as_network_sees(frame, one)[None])["image"])[0] for frame in frames]

        return paint

    found = {name: floating(name, network) for name, network in networks.items()}
    if stylizer:

        def int8(frames):
            stylizer.reset()
            return [stylizer.draw(frame) / 128.0 - 1.0 for frame in frames]

        found["int8"] = int8
    return found


def on_photos(recipe: Recipe, painted: dict, photos: np.ndarray, weights: dict, targets: list | None) -> dict:
    """Means over photos, uint8 (N, H, W, 3), for each painter: {"content": {name: value}, "style", "blobs"}, and where
    there is a teacher "ssim" and "snr_teacher_db" against it; "snr_student_db" of int8 against the float student;
    "fine", see fine_power().

    weights are VGG16's; targets those of perceptual.style_targets(), without which style is left out.
    """
    layers = tuple(recipe.style.content)
    table: dict[str, dict[str, list]] = {}

    def note(figure, name, value):
        table.setdefault(figure, {}).setdefault(name, []).append(value)

    for photo in track(photos, "measuring on photos", console=Console(stderr=True)):
        shown = as_on_board(photo, meter(recipe.frame))
        wanted = perceptual.features(weights, shown[None].astype("float32") / 255, layers)
        drawn = {name: paint([photo])[0] for name, paint in painted.items()}
        for name, output in drawn.items():
            image = (output[None].astype("float32") + 1) / 2
            note("content", name, content_distance(perceptual.features(weights, image, layers), wanted, recipe))
            if targets:
                note("style", name, perceptual.style_distance(weights, image, targets, recipe.style))
            note("blobs", name, blob_share(to_bytes(output), shown))
            note("fine", name, fine_power(to_bytes(output)))
            if "teacher" in drawn and name != "teacher":
                note("ssim", name, ssim((drawn["teacher"] + 1) / 2, (output + 1) / 2))
                note("snr_teacher_db", name, snr_db(drawn["teacher"], output))
        if {"student", "int8"} <= drawn.keys():
            note("snr_student_db", "int8", snr_db(drawn["student"], drawn["int8"]))
    return {figure: {name: _rounded(np.mean(v)) for name, v in names.items()} for figure, names in table.items()}


def content_distance(made: dict, wanted: dict, recipe: Recipe) -> float:
    """The content loss of features {layer: (1, h, w, C)} against those of the frame, mean by the layers' weights."""
    weights = recipe.style.content
    total = sum(weight * float(losses.content(made[layer], wanted[layer])) for layer, weight in weights.items())
    return total / sum(weights.values())


def on_sintel(
    recipe: Recipe, painted: dict, root: Path, pairs: list[tuple[str, int]], rendering: str = "clean"
) -> dict:
    """Mean relative e_stab of pairs (scene, frame) by scene: {scene: {painter: value}}. See stability_error()."""
    table: dict[str, dict[str, list]] = {}
    for scene, frame in track(pairs, "measuring on Sintel", console=Console(stderr=True)):
        pair = sintel.pair(root, scene, frame, recipe.size, rendering)
        for name, paint in painted.items():
            first, second = ((drawn + 1) / 2 for drawn in paint([pair.first, pair.second]))
            warped = np.asarray(flow.warp(second[None].astype("float32"), pair.flow[None]))[0]
            _, relative = stability_error(first, warped, pair.mask)
            table.setdefault(scene, {}).setdefault(name, []).append(relative)
    return {scene: {name: _rounded(np.mean(v)) for name, v in names.items()} for scene, names in table.items()}


def for_manifest(
    recipe: Recipe,
    data: Path,
    photos: np.ndarray,
    painting: np.ndarray,
    networks: dict[str, keras.Model],
    stylizer: Stylizer,
) -> dict:
    """Figures for a bundle's manifest: the ratios with bounds first, then the values behind them.

    photos are held-out frames, uint8 (N, H, W, 3), as a camera gives them; painting is (1, H, W, 3) in 0..1. Sintel's
    figures are left out when the data folder has none.
    """
    weights = perceptual.load(recipe.perceptual, data, recipe.style)
    targets = perceptual.style_targets(weights, painting, recipe.style)
    painted = painters(recipe, networks, stylizer)
    figures = on_photos(recipe, painted, photos, weights, targets)
    figures["fine"]["painting"] = painting_fine_power(painting)
    root = data / recipe.data.sintel
    stability = on_sintel(recipe, painted, root, [(scene, FRAME) for scene in HEADLINE]) if root.is_dir() else {}
    return {
        **headline(figures),
        **{f"e_stab_{scene}": errors["int8"] for scene, errors in stability.items()},
        "photos": len(photos),
        **figures,
        "e_stab": stability,
    }


def plan_snr(recipe: Recipe, student: keras.Model, stylizer: Stylizer, photos: np.ndarray) -> float:
    """Mean SNR, dB, of one plan's pictures of photos against the float student's. See snr_db()."""
    painted = painters(recipe, {"student": student}, stylizer)
    pairs = ((painted["student"]([photo])[0], painted["int8"]([photo])[0]) for photo in photos)
    return _rounded(np.mean([snr_db(*pair) for pair in pairs]))


def headline(figures: dict) -> dict:
    """The figures of on_photos() that have bounds; those that could not be measured are left out."""
    found = {}
    for name in ("style", "content"):
        values = figures.get(name, {})
        if {"teacher", "int8"} <= values.keys():
            found[f"{name}_ratio"] = _rounded(values["int8"] / values["teacher"])
    if "snr_student_db" in figures:
        found["snr_db"] = figures["snr_student_db"]["int8"]
    if "int8" in figures.get("blobs", {}):
        found["blob_share"] = figures["blobs"]["int8"]
    if {"int8", "painting"} <= figures.get("fine", {}).keys():
        found["fine_ratio"] = _rounded(figures["fine"]["int8"] / figures["fine"]["painting"])
    return found


def as_on_board(frame: np.ndarray, meter: ExposureMeter) -> np.ndarray:
    """The frame, uint8 (H, W, 3) of the meter's pixels, exposed as by the appliance."""
    exposed = np.empty_like(frame)
    exposure.expose(frame, meter.update(frame), exposed, meter.pixels)
    return exposed


def as_network_sees(frame: np.ndarray, meter: ExposureMeter) -> np.ndarray:
    """A frame, uint8 RGB (H, W, 3), as a network sees it: exposed in the meter's pixels, then as float32 RGB.

    Black and white are 0 and 1; values that come from YUV are not clipped to them.
    """
    exposed = as_on_board(converted(frame, "rgb", meter.pixels), meter).astype("float32")
    if meter.pixels == "yuv":
        exposed = (exposed - YUV_BLACK) @ YUV_TO_RGB.T
    return (exposed / 255).astype("float32")


def to_bytes(output: np.ndarray) -> np.ndarray:
    """A network's output, -1..1, as pixels: the byte that the appliance shows."""
    return np.clip(np.round(output * 128.0) + 128, 0, 255).astype("uint8")


def meter(frame: Frame, pixels: str = "rgb") -> ExposureMeter:
    """A new meter for the recipe's exposure: its first frame sets the exposure alone."""
    return ExposureMeter(frame.exposure_mean, frame.exposure_std, frame.exposure_chroma, pixels)


def _rounded(value) -> float:
    return float(f"{value:.4g}")


def snr_db(reference: np.ndarray, other: np.ndarray) -> float:
    """Signal-to-noise ratio in dB: the reference's energy over the difference's. Give network outputs, -1..1."""
    noise = float(np.mean(np.square(reference.astype("float64") - other)))
    signal = float(np.mean(np.square(reference.astype("float64"))))
    return 10 * np.log10(signal / max(noise, 1e-20))


def ssim(reference: np.ndarray, other: np.ndarray) -> float:
    """Structural similarity of two images (H, W, 3) in 0..1 (Wang et al., 2004), mean over pixels and channels."""
    import tensorflow as tf

    images = (tf.constant(image, "float32") for image in (reference, other))
    return float(tf.image.ssim(*images, max_val=1.0))


def stability_error(current: np.ndarray, warped: np.ndarray, mask: np.ndarray) -> tuple[float, float]:
    """(absolute, relative) temporal error e_stab of a stylised pair.

    current and warped are (H, W, 3) in 0..1: a frame and the following one warped back onto it; mask (H, W) is true
    where pixels are visible in both. Absolute: RMS difference over mask. Relative: that over the mean of the channels'
    standard deviations in current.
    """
    error = float(np.sqrt(np.mean(np.square(current - warped)[mask])))
    return error, error / float(current.std(axis=(0, 1)).mean())


def fine_power(image: np.ndarray) -> float:
    """Share of the luma's power at periods below 4 pixels, in an image uint8 (H, W, 3).

    It shows grids and halftones that a network leaves. Compare it with the painting's, as wide as in training.
    """
    luma = image.astype("float64") @ LUMA
    side = min(_TILE, *luma.shape)
    window = np.outer(*[np.hanning(side)] * 2)
    frequency = np.hypot(*np.meshgrid(*[np.fft.fftfreq(side)] * 2))
    power = np.zeros(2)  # of fine detail, and of all
    for top in range(0, luma.shape[0] - side + 1, side // 2):
        for left in range(0, luma.shape[1] - side + 1, side // 2):
            tile = luma[top : top + side, left : left + side]
            spectrum = np.square(np.abs(np.fft.fft2((tile - tile.mean()) * window)))
            power += spectrum[frequency > 1 / 4].sum(), spectrum.sum()
    return float(power[0] / max(power[1], 1e-12))


def painting_fine_power(painting: np.ndarray) -> float:
    """fine_power() of a painting (1, H, W, 3) in 0..1."""
    return _rounded(fine_power((painting[0] * 255).round().astype("uint8")))


def blob_share(image: np.ndarray, frame: np.ndarray | None = None, least: int = 400) -> float:
    """Share of pixels of a uint8 image (H, W, 3) in saturated blobs: all channels > 250 or all < 5, more than `least`
    pixels connected. With the frame that it was drawn from, only what is not white or black there within 16 counts.
    """
    total = 0
    for saturated, there in (
        ((image > 250).all(axis=-1), frame is not None and (frame > 239).all(axis=-1)),
        ((image < 5).all(axis=-1), frame is not None and (frame < 16).all(axis=-1)),
    ):
        labels, _ = ndimage.label(saturated & ~np.asarray(there))
        areas = np.bincount(labels.ravel())[1:]
        total += int(areas[areas > least].sum())
    return total / (image.shape[0] * image.shape[1])
