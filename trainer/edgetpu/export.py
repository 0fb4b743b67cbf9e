"""From a trained student to a style bundle: fold, convert once, cut, check, measure, write."""

import io
from datetime import datetime, timezone
from pathlib import Path

import numpy as np
from PIL import Image
from rich.console import Console

import trainer
from appliance.camera.virtual import VirtualCamera
from appliance.engine.stylizer import Stylizer
from appliance.files import replacing
from appliance.frames import cover
from appliance.style import bundle
from appliance.style.manifest import build
from trainer.data import pictures
from trainer.distillation import student_run
from trainer.edgetpu import gate
from trainer.edgetpu.convert import convert
from trainer.edgetpu.cut import cut
from trainer.edgetpu.student import channel_peaks, equalise, fold
from trainer.evaluation import expose, for_manifest, meter
from trainer.recipe import Recipe
from trainer.runs import load_model
from trainer.training import teacher_run

CALIBRATION = 64  # frames


def export(recipe: Recipe, data: Path, out: Path) -> Path:
    """Writes the bundle out/NAME.reconet from the recipe's trained student and returns its path. Raises Problem.

    Beside it goes NAME.tflite, the int8 network before it is cut.
    """
    console = Console(stderr=True)
    teacher, teacher_steps = load_model(teacher_run(recipe, out), recipe.teacher.steps)
    student, student_steps = load_model(student_run(recipe, out), recipe.student.steps)
    painting, painting_digest = pictures.painting(data / recipe.data.painting, recipe.data.painting_width)
    photos = pictures.photographs(data / recipe.data.photos, recipe.size)
    frames, held_out = pictures.split(pictures.centre(photos, recipe.size), recipe.data.held_out)
    with console.status("quantising"):
        chosen = calibration(frames, recipe)
        peaks = channel_peaks(student, recipe.network, chosen)
        whole = convert(equalise(fold(student, recipe.network), recipe.network, peaks), recipe.network, chosen)
    gate.check(f"{recipe.name}.tflite", whole)
    files, stages = {}, []
    for stage in cut(whole):
        if isinstance(stage, int):
            stages.append({"upsample": "nearest", "factor": stage})
        else:
            name = f"decoder{len(files)}.tflite" if files else "encoder.tflite"
            gate.check(name, stage)
            files[name] = stage
            stages.append({"segment": name})
    height, width = recipe.size
    size = {"width": width, "height": height, "pixels": "rgb"}
    exposure = {"mean": recipe.frame.exposure_mean, "std": recipe.frame.exposure_std}
    fields = {
        "format": 1,
        "name": recipe.name,
        "title": recipe.title,
        "created": datetime.now(timezone.utc).strftime("%Y-%m-%dT%H:%M:%SZ"),
        "input": {**size, "exposure": exposure},
        "output": size,
        "plans": [{"name": "split", "stages": stages}],
        "provenance": {
            "trainer": trainer.__version__,
            "recipe": recipe.model_dump(mode="json"),
            "painting_sha256": painting_digest,
            "steps": {"teacher": teacher_steps, "student": student_steps},
        },
    }
    stylizer = Stylizer(bundle.Bundle(out, build({**fields, "files": {}}), files))
    fields["provenance"]["metrics"] = for_manifest(recipe, data, held_out, painting, teacher, student, stylizer)
    files["preview.jpg"] = preview(stylizer)
    with replacing(out / f"{recipe.name}.tflite") as temporary:
        temporary.write_bytes(whole)
    path = out / f"{recipe.name}{bundle.SUFFIX}"
    bundle.write(path, fields, files)
    for name, value in fields["provenance"]["metrics"].items():
        console.print(f"{name:16} {value}")
    console.print(f"wrote {path}, {path.stat().st_size / 1e6:.1f} MB")
    return path


def calibration(frames: np.ndarray, recipe: Recipe) -> np.ndarray:
    """Frames (N, H, W, 3) in 0..1 to calibrate on, out of uint8 ones: each exposed as the appliance would."""
    chosen = frames[:: max(1, len(frames) // CALIBRATION)][:CALIBRATION]
    return np.stack([expose(frame, meter(recipe.frame)) for frame in chosen]).astype("float32") / 255


def preview(stylizer: Stylizer) -> bytes:
    """A JPEG of the style on the appliance's own virtual camera."""
    frame = cover(VirtualCamera(paced=False).picture(48), stylizer.input_size)
    width, height = stylizer.output_size
    out = np.empty((height, width, 3), "uint8")
    stylizer.reset()
    stylizer.stylize(frame, out)
    file = io.BytesIO()
    Image.fromarray(out).save(file, "JPEG", quality=90)
    return file.getvalue()
