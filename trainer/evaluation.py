"""Measures a style on pictures it was not trained on: teacher, float student and int8 student side by side."""

from pathlib import Path

import keras
import numpy as np
from rich.progress import track

from appliance.engine.stylizer import Stylizer
from appliance.exposure import ExposureMeter, apply_table, curve_table
from trainer import flow, losses, perceptual
from trainer.data import sintel
from trainer.metrics import blob_share, snr_db, stability_error
from trainer.recipe import Frame, Recipe

SCENES = ("alley_1", "cave_2")
FRAME = 2


def evaluate(
    recipe: Recipe,
    data: Path,
    photos: np.ndarray,
    painting: np.ndarray,
    teacher: keras.Model,
    student: keras.Model,
    stylizer: Stylizer,
) -> dict:
    """Figures for a bundle's manifest: the ratios that a style is judged by, then what they are made of.

    photos are held-out frames, uint8 (N, H, W, 3), as a camera gives them; painting is (1, H, W, 3) in 0..1. Sintel's
    figures are left out when the data folder has none. Temporal errors are relative, see metrics.stability_error.
    """
    weights = perceptual.load(recipe.perceptual, data)
    targets = [losses.gram(features)[0] for features in perceptual.features(weights, painting).values()]

    def network(model):
        return lambda frame, exposed: np.asarray(model(exposed[None].astype("float32") / 255)["image"])[0]

    def int8(frame, exposed):
        out = np.empty_like(frame)
        stylizer.stylize(frame, out)
        return out / 128.0 - 1.0

    models = {"teacher": network(teacher), "student": network(student), "int8": int8}
    style, content = ({name: [] for name in models} for _ in range(2))
    noise, blobs = [], []
    for photo in track(photos, "measuring on photos"):
        stylizer.reset()
        exposed = expose(photo, meter(recipe.frame))
        wanted = perceptual.features(weights, exposed[None].astype("float32") / 255)[perceptual.CONTENT_LAYER]
        outputs = {name: model(photo, exposed) for name, model in models.items()}
        for name, output in outputs.items():
            made = perceptual.features(weights, (output[None].astype("float32") + 1) / 2)
            style[name].append(float(losses.style([losses.gram(features) for features in made.values()], targets)))
            content[name].append(float(losses.content(made[perceptual.CONTENT_LAYER], wanted)))
        noise.append(snr_db(outputs["student"], outputs["int8"]))
        blobs.append(blob_share(to_bytes(outputs["int8"])))
    stability = _stability(recipe, data, models, stylizer)
    style, content = ({name: _rounded(np.mean(values)) for name, values in table.items()} for table in (style, content))
    return {
        "style_ratio": _rounded(style["int8"] / style["teacher"]),
        "content_ratio": _rounded(content["int8"] / content["teacher"]),
        "snr_db": _rounded(np.mean(noise)),
        **{f"e_stab_{scene}": errors["int8"] for scene, errors in stability.items()},
        "blob_share": _rounded(np.mean(blobs)),
        "photos": len(photos),
        "style": style,
        "content": content,
        "e_stab": stability,
    }


def expose(frame: np.ndarray, meter: ExposureMeter) -> np.ndarray:
    """The frame, uint8 (H, W, 3), at the exposure that the appliance would give it."""
    exposed = np.empty_like(frame)
    apply_table(frame, curve_table(*meter.update(frame)), exposed)
    return exposed


def to_bytes(output: np.ndarray) -> np.ndarray:
    """A network's output, -1..1, as pixels: the byte that the appliance shows."""
    return np.clip(np.round(output * 128.0) + 128, 0, 255).astype("uint8")


def _stability(recipe, data, models, stylizer) -> dict:
    root = data / recipe.data.sintel
    if not root.is_dir():
        return {}
    table = {}
    for scene in track(SCENES, "measuring on Sintel "):
        pair = sintel.pair(root, scene, FRAME, recipe.size)
        table[scene] = {}
        for name, model in models.items():
            stylizer.reset()
            one = meter(recipe.frame)
            first, second = ((model(frame, expose(frame, one)) + 1) / 2 for frame in (pair.first, pair.second))
            warped = np.asarray(flow.warp(second[None].astype("float32"), pair.flow[None]))[0]
            absolute, relative = stability_error(first, warped, pair.mask)
            table[scene][name] = _rounded(relative)
            if name == "int8":
                table[scene]["int8_absolute"] = _rounded(absolute)
    return table


def meter(frame: Frame) -> ExposureMeter:
    """A fresh meter for the recipe's exposure: the first frame that it sees counts whole."""
    return ExposureMeter(frame.exposure_mean, frame.exposure_std)


def _rounded(value) -> float:
    return float(f"{value:.4g}")
