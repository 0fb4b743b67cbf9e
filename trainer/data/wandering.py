"""A synthetic film with exact flow: a camera that wanders over a photograph, under slowly changing light."""

import math
from pathlib import Path

import numpy as np

from appliance.camera.pictures import read_picture
from appliance.frames import cover
from trainer import flow
from trainer.data import augment


def clip(photo: Path, size: tuple[int, int], count: int):
    """A film from a photograph, at size (height, width): (frames, flows, masks).

    frames is uint8 (count, H, W, 3). For every frame but the last there is the flow (H, W, 2) to the next frame, in
    pixels, and the mask (H, W), true where the flow stays in view.
    """
    height, width = size
    picture = cover(read_picture(photo), (width * 5 // 4, height * 5 // 4)).astype("float32")[None] / 255
    points, middle = flow.grid(height, width), [(picture.shape[2] - width) / 2, (picture.shape[1] - height) / 2]
    maps = []
    for t in range(count):
        angle = 2 * math.pi * t / count
        shift = [middle[0] * (1 + 0.8 * math.sin(angle)), middle[1] * (1 + 0.8 * math.sin(2 * angle))]
        maps.append(
            augment.similarity(1, 0, shift) @ augment.centred(augment.similarity(1, 2 * math.sin(angle), [0, 0]), size)
        )
    light = np.array([[[1 + 0.1 * math.sin(2 * math.pi * t / count), 1.0]] for t in range(count)], "float32")
    frames = [
        np.asarray(augment.relight(flow.sample(picture, augment.project(m[None, :2].astype("float32"), points)), one))[
            0
        ]
        for m, one in zip(maps, light, strict=True)
    ]
    flows, masks = [], []
    for now, after in zip(maps, maps[1:]):
        there = augment.project((np.linalg.inv(after) @ now)[None, :2].astype("float32"), points)
        flows.append(np.asarray(there - points)[0])
        masks.append(np.asarray(flow.inside(there, height, width))[0, ..., 0] > 0)
    return (np.stack(frames) * 255).round().astype("uint8"), flows, masks
