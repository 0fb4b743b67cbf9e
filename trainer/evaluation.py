"""Measures what networks draw, on pictures they were not trained on: any of teacher, float student and int8 student."""

from collections.abc import Callable
from pathlib import Path

import keras
import numpy as np
from rich.console import Console
from rich.progress import track

from appliance.engine import exposure
from appliance.engine.exposure import ExposureMeter
from appliance.engine.stylizer import Stylizer
from appliance.frames import YUV_BLACK, YUV_TO_RGB, converted
from trainer import flow, losses, perceptual
from trainer.data import sintel
from trainer.metrics import blob_share, snr_db, ssim, stability_error
from trainer.recipe import Frame, Recipe

HEADLINE = ("alley_1", "cave_2")
FRAME = 2  # and 3: the pair of each headline scene by which a style is judged


def painters(recipe: Recipe, networks: dict[str, keras.Model], stylizer: Stylizer | None) -> dict[str, Callable]:
    """{name: a function that makes of a run of frames, uint8 (H, W, 3), what is drawn of each, (H, W, 3) in -1..1}.

    The stylizer, if any, is "int8". Exposure goes on through a run as it does on the board, and begins anew with it.
    The student sees what the stylizer sees: where that takes YUV, colours may lie outside of RGB.
    """
    takes = {"student": stylizer.input_format} if stylizer else {}

    def floating(name, network):
        def paint(frames):
            one = meter(recipe.frame, takes.get(name, "rgb"))
            return [np.asarray(network(seen(frame, one)[None])["image"])[0] for frame in frames]

        return paint

    def int8(frames):
        stylizer.reset()
        return [stylizer.draw(frame) / 128.0 - 1.0 for frame in frames]

    found = {name: floating(name, network) for name, network in networks.items()}
    return {**found, "int8": int8} if stylizer else found


def on_photos(recipe: Recipe, painted: dict, photos: np.ndarray, weights: dict, targets: list | None) -> dict:
    """Means over photos, uint8 (N, H, W, 3), for each painter: {"content": {name: value}, "style", "blobs"}, and where
    there is a teacher "ssim" and "snr_teacher_db" against it; "snr_student_db" of int8 against the float student.

    weights are VGG16's; targets what the painting asks for (perceptual.style_targets), without which style is left out.
    """
    layers = tuple(recipe.style.content)
    table: dict[str, dict[str, list]] = {}

    def note(figure, name, value):
        table.setdefault(figure, {}).setdefault(name, []).append(value)

    for photo in track(photos, "measuring on photos", console=Console(stderr=True)):
        exposed = expose(photo, meter(recipe.frame))[None].astype("float32") / 255
        wanted = perceptual.features(weights, exposed, layers)
        drawn = {name: paint([photo])[0] for name, paint in painted.items()}
        for name, output in drawn.items():
            image = (output[None].astype("float32") + 1) / 2
            note("content", name, content_distance(perceptual.features(weights, image, layers), wanted, recipe))
            if targets:
                note("style", name, perceptual.style_distance(weights, image, targets, recipe.style))
            note("blobs", name, blob_share(to_bytes(output)))
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
    """Mean relative e_stab of pairs (scene, frame) by scene: {scene: {painter: value}}. See metrics.stability_error."""
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
    """Figures for a bundle's manifest: the ratios that a style is judged by, then what they are made of.

    photos are held-out frames, uint8 (N, H, W, 3), as a camera gives them; painting is (1, H, W, 3) in 0..1. Sintel's
    figures are left out when the data folder has none.
    """
    weights = perceptual.load(recipe.perceptual, data, recipe.style)
    targets = perceptual.style_targets(weights, painting, recipe.style)
    painted = painters(recipe, networks, stylizer)
    figures = on_photos(recipe, painted, photos, weights, targets)
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
    """Mean SNR, dB, of what one plan draws of photos to what the float student draws. See metrics.snr_db()."""
    painted = painters(recipe, {"student": student}, stylizer)
    pairs = ((painted["student"]([photo])[0], painted["int8"]([photo])[0]) for photo in photos)
    return _rounded(np.mean([snr_db(*pair) for pair in pairs]))


def headline(figures: dict) -> dict:
    """The figures of on_photos() that a style is judged by; those that cannot be told are left out."""
    found = {}
    for name in ("style", "content"):
        values = figures.get(name, {})
        if {"teacher", "int8"} <= values.keys():
            found[f"{name}_ratio"] = _rounded(values["int8"] / values["teacher"])
    if "snr_student_db" in figures:
        found["snr_db"] = figures["snr_student_db"]["int8"]
    if "int8" in figures.get("blobs", {}):
        found["blob_share"] = figures["blobs"]["int8"]
    return found


def expose(frame: np.ndarray, meter: ExposureMeter) -> np.ndarray:
    """The frame, uint8 (H, W, 3) of the meter's pixels, at the exposure that the appliance would give it."""
    exposed = np.empty_like(frame)
    exposure.expose(frame, meter.update(frame), exposed, meter.pixels)
    return exposed


def seen(frame: np.ndarray, meter: ExposureMeter) -> np.ndarray:
    """A frame, uint8 RGB (H, W, 3), as a network sees it: exposed in the meter's pixels, then as float32 RGB.

    Black and white are 0 and 1; what comes by way of YUV is not clipped to them.
    """
    exposed = expose(converted(frame, "rgb", meter.pixels), meter).astype("float32")
    if meter.pixels == "yuv":
        exposed = (exposed - YUV_BLACK) @ YUV_TO_RGB.T
    return (exposed / 255).astype("float32")


def to_bytes(output: np.ndarray) -> np.ndarray:
    """A network's output, -1..1, as pixels: the byte that the appliance shows."""
    return np.clip(np.round(output * 128.0) + 128, 0, 255).astype("uint8")


def meter(frame: Frame, pixels: str = "rgb") -> ExposureMeter:
    """A fresh meter for the recipe's exposure: the first frame that it sees counts whole."""
    return ExposureMeter(frame.exposure_mean, frame.exposure_std, frame.exposure_chroma, pixels)


def _rounded(value) -> float:
    return float(f"{value:.4g}")
