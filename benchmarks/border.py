"""How far a style that takes YUV differs from the same style that takes RGB, by the distance from the border.

    python -m benchmarks.border

Inside they are one function. At the border a convolution's padding is 0, which is black in RGB and in YUV whatever byte
stands for 0: 128 makes it grey, as it is exported, and 0 a green outside of all colours. The network is The Starry
Night's student in floating point; the pictures are frames of the virtual camera. In steps of 1/128, over the channels.
"""

import json
import os
from pathlib import Path

os.environ.setdefault("KERAS_BACKEND", "jax")
os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

import numpy as np

WEIGHTS = Path(__file__).parents[1] / "trainer/weights/starry_night"
FRAMES = (48, 150, 240, 340)
RINGS = ((0, 1), (1, 4), (4, 8), (8, 16), (16, 24), (24, 32), (32, 40), (40, 108))


def main() -> None:
    from trainer.quiet import import_tensorflow

    import_tensorflow()
    from appliance.camera.virtual import VirtualCamera
    from appliance.frames import LUMA, YUV_BLACK, YUV_STEPS, cover
    from trainer import judge
    from trainer.edgetpu.convert import forward
    from trainer.edgetpu.fold import yuv_into_convolution
    from trainer.edgetpu.student import fold
    from trainer.evaluation import expose, meter
    from trainer.recipe import Recipe
    from trainer.runs import load_model

    recipe = Recipe.model_validate(json.loads((WEIGHTS / "student.json").read_text())["recipe"])
    student, _ = load_model(judge.network_run(recipe, "student", WEIGHTS), 0)
    weights, camera, (height, width) = fold(student, recipe.network), VirtualCamera(paced=False), recipe.size
    to_yuv = np.array([LUMA, ([0, 0, 1] - LUMA) / 1.772, ([1, 0, 0] - LUMA) / 1.402])

    def drawn(encoder, pixels):
        inputs = pixels[None].astype("float32")
        return 128 * forward({**weights, "encoder1": encoder}, recipe.network, inputs).numpy()[0]

    away = {0: [], 128: []}
    for number in FRAMES:
        rgb = expose(cover(camera.picture(number), (width, height)), meter(recipe.frame)) / 255.0
        yuv = rgb @ to_yuv.T * YUV_STEPS + YUV_BLACK
        expected = drawn(weights["encoder1"], rgb)
        for zero, found in away.items():
            made = drawn(yuv_into_convolution(*weights["encoder1"], zero=zero), (yuv - zero) / 255)
            found.append(np.abs(made - expected).max(-1))
    y, x = np.mgrid[:height, :width]
    distance = np.minimum(np.minimum(y, height - 1 - y), np.minimum(x, width - 1 - x))
    print(f"{'pixels from the border':24} {'grey: mean, max':>18} {'green: mean, max':>18}")
    for low, high in RINGS:
        ring = (distance >= low) & (distance < high)
        cells = [f"{np.stack(away[z])[:, ring].mean():8.2f} {np.stack(away[z])[:, ring].max():8.1f}" for z in (128, 0)]
        print(f"{f'{low} to {high - 1}':24} {cells[0]:>18} {cells[1]:>18}")


if __name__ == "__main__":
    main()
