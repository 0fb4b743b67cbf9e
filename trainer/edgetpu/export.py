"""Exports a trained student as a style bundle: fold, convert, cut, check, measure, write."""

import io
from datetime import datetime, timezone
from pathlib import Path

import keras
import numpy as np
from PIL import Image
from rich.console import Console

import trainer
from appliance.camera.virtual import VirtualCamera
from appliance.choice import LITE
from appliance.engine.stylizer import Stylizer
from appliance.errors import Problem
from appliance.files import remove_leftovers, replacing
from appliance.frames import BLACK, converted
from appliance.style import bundle, tflite
from appliance.style.manifest import build
from appliance.style.resize import Resizable
from trainer.data import pictures
from trainer.data.contents import contents
from trainer.edgetpu import gate
from trainer.edgetpu.convert import convert
from trainer.edgetpu.cut import cut
from trainer.edgetpu.sizes import format_of, with_sizes
from trainer.edgetpu.student import border, channel_peaks, equalise, fold, for_pixels, keep_zero
from trainer.evaluation import as_on_board, for_manifest, meter, plan_snr
from trainer.faults import Collector
from trainer.gather import recipe_of
from trainer.recipe import Recipe
from trainer.runs import is_saved, lite_run, load_model, read_note, student_run, teacher_run
from trainer.sections import Network

PLANS = ("split", "fused", "lowres")
CALIBRATION = 16  # frames; with more, rare values widen the ranges and make all others coarser
COMPARED = 6  # photos on which the plans are compared


def export(
    recipe: Recipe,
    data: Path,
    out: Path,
    plans: tuple[str, ...] = PLANS,
    size: tuple[int, int] | None = None,
    to: Path | None = None,
    pixels: tuple[str, str] = ("rgb", "rgb"),
    tensors: str = "uint8",
) -> Path:
    """Writes the bundle NAME.reconet from the recipe's trained student in out, and returns its path. Raises Problem.

    plans are in the order in which the appliance tries them. size (height, width) replaces the recipe's frame. The
    bundle is written to the folder `to`, or to out. pixels are the formats that it takes, rgb or yuv, and gives, rgb
    or bgrx. tensors is the type of the network's input and output, uint8 or int8. NAME.tflite, the int8 network
    before it is cut, is written beside the bundle. The plan lite is added where out has the recipe's lite student.
    """
    console = Console(stderr=True)
    networks, steps, digests = {}, {}, contents(recipe, data)
    if recipe.teacher:
        teacher = teacher_run(recipe, out, contents=digests)
        networks["teacher"], steps["teacher"] = load_model(teacher, recipe.teacher.steps)
    run = student_run(recipe, out, digests)
    networks["student"], steps["student"] = load_model(run, recipe.student.steps)
    student, polished = networks["student"], read_note(run.path("json")).polished
    steps |= {"polish": polished} if polished else {}
    to = to or out
    trained, recipe = recipe, recipe.sized(*size) if size else recipe
    faults = Collector()
    with faults:
        painting, painting_digest = pictures.painting(data / recipe.data.painting, recipe.data.painting_width)
    with faults:
        photos = pictures.photographs(data / recipe.data.photos, recipe.size)
        frames, held_out = pictures.split(pictures.centre(photos, recipe.size), recipe.data.held_out)
    faults.check()
    to.mkdir(parents=True, exist_ok=True)
    remove_leftovers(to)
    with console.status("equalising"):
        weights = equalised(student, recipe, frames, pixels)
    files, stages, seen = {}, {}, calibration(frames, recipe, pixels[0])
    for plan in plans:
        with console.status(f"quantising for the plan {plan}"):
            whole = convert(weights, recipe.network, seen, plan, takes=pixels[0], ends=tensors)
        gate.check(f"{recipe.name}, plan {plan}", whole)
        segments, stages[plan] = staged(plan, whole, recipe.network)
        files.update(segments)
        if plan == "split":
            with replacing(to / f"{recipe.name}.tflite") as temporary:
                temporary.write_bytes(whole)
    listed = [{"name": plan, "stages": stages[plan]} for plan in plans]
    fields = {
        "format": format_of(listed, files),
        "name": recipe.name,
        "title": recipe.title,
        "created": datetime.now(timezone.utc).strftime("%Y-%m-%dT%H:%M:%SZ"),
        **ends(recipe, pixels),
        "plans": listed,
        "provenance": {
            "trainer": trainer.__version__,
            "recipe": _fields(trained),
            "painting_sha256": painting_digest,
            "steps": steps,
        },
    }
    draft = bundle.Bundle(out, build({**fields, "files": {}}), files)
    stylizer = Stylizer(draft)
    metrics = for_manifest(recipe, data, held_out, painting, networks, stylizer)
    metrics["plan_snr_db"] = {
        plan: plan_snr(recipe, student, Stylizer(draft, plan=plan), held_out[:COMPARED]) for plan in plans
    }
    fields["provenance"]["metrics"] = metrics
    files["preview.jpg"] = preview(stylizer)
    path = to / f"{recipe.name}{bundle.SUFFIX}"
    bundle.write(path, with_sizes(fields, files), files)
    for name, value in metrics.items():
        console.print(f"{name:16} {value}")
    console.print(f"wrote {path}, {path.stat().st_size / 1e6:.1f} MB")
    if trained.lite and is_saved(lite_run(trained, out)):
        add_lite(trained, data, out, path)
    return path


def add_lite(recipe: Recipe, data: Path, out: Path, path: Path) -> None:
    """Adds the plan lite, of the recipe's lite student in out, to the recipe's bundle at path; replaces an earlier one.

    The other plans stay as they are. Raises Problem.
    """
    console, style = Console(stderr=True), bundle.read(path)
    if recipe.lite is None:
        raise Problem(f"{recipe.name}: the recipe has no [lite], so there is no lite student to add")
    before = recipe_of(path, style.manifest.provenance.get("recipe"))
    if before.model_copy(update={"lite": recipe.lite}) != recipe:
        raise Problem(f"{path}: its recipe is another one, not only in [lite]: export it again")
    run = lite_run(recipe, out, contents(recipe, data))
    small, (student, done) = run.recipe, load_model(run, recipe.lite.steps)
    photos = pictures.photographs(data / small.data.photos, small.size)
    frames, held_out = pictures.split(pictures.centre(photos, small.size), small.data.held_out)
    with console.status(f"quantising for the plan {LITE}"):
        segments, stages = _lite_plan(student, small, frames, style)
    fields = style.manifest.model_dump(mode="json", exclude_none=True, exclude={"files", "provenance"})
    fields["plans"] = [plan for plan in fields["plans"] if plan["name"] != LITE] + [{"name": LITE, "stages": stages}]
    provenance, files = {**style.manifest.provenance, "recipe": _fields(recipe)}, {**style.files, **segments}
    polished = read_note(run.path("json")).polished
    provenance["steps"] = {**provenance.get("steps", {}), LITE: done, "lite_polish": polished}
    fields = with_sizes({**fields, "provenance": provenance}, files)
    drawn = Stylizer(bundle.Bundle(path, build({**fields, "files": {}}), files), plan=LITE, size=small.size[::-1])
    metrics = provenance.get("metrics", {})
    snr = {**metrics.get("plan_snr_db", {}), LITE: plan_snr(small, student, drawn, held_out[:COMPARED])}
    bundle.write(path, {**fields, "provenance": {**provenance, "metrics": {**metrics, "plan_snr_db": snr}}}, files)
    line = f"added the plan {LITE} to {path}: {snr[LITE]} dB, now {path.stat().st_size / 1e6:.1f} MB"
    console.print(line, soft_wrap=True)


def _lite_plan(
    student: keras.Model, recipe: Recipe, frames: np.ndarray, style: bundle.Bundle
) -> tuple[dict[str, bytes], list[dict]]:
    """The plan's files and its stages: calibrated at the recipe's size, where it runs, but stored for the style's."""
    takes, gives = style.manifest.input, style.manifest.output
    ends = tflite.read(style.files[style.manifest.plans[0].segments[0].segment]).inputs[0].dtype
    weights = equalised(student, recipe, frames, (takes.pixels, gives.pixels))
    seen = calibration(frames, recipe, takes.pixels)
    whole = convert(weights, recipe.network, seen, "fused", takes=takes.pixels, ends=ends)
    gate.check(f"{recipe.name}, plan {LITE}", whole)
    side = 2 * takes.border
    return staged(LITE, Resizable(whole).at((takes.height + side, takes.width + side)), recipe.network)


def _fields(recipe: Recipe) -> dict:
    """The recipe as a manifest has it."""
    return recipe.model_dump(mode="json", exclude=None if recipe.lite else {"lite"})


def equalised(student: keras.Model, recipe: Recipe, frames: np.ndarray, pixels: tuple[str, str]) -> dict:
    """The student's weights, ready to be quantised, for the formats that it takes and gives. frames are uint8 RGB."""
    peaks = channel_peaks(student, recipe.network, calibration(frames, recipe))
    weights = for_pixels(equalise(fold(student, recipe.network), recipe.network, peaks), *pixels)
    kernel, bias = weights["encoder1"]
    weights["encoder1"] = keep_zero(kernel, bias, np.array(BLACK[pixels[0]]) / 255)
    return weights


def ends(recipe: Recipe, pixels: tuple[str, str]) -> dict:
    """The manifest's "input" and "output"."""
    height, width = recipe.size
    takes, gives = ({"width": width, "height": height, "pixels": one} for one in pixels)
    targets = {"mean": recipe.frame.exposure_mean, "std": recipe.frame.exposure_std}
    if recipe.frame.exposure_chroma is not None:
        targets["chroma"] = recipe.frame.exposure_chroma
    return {"input": {**takes, "border": border(recipe.network, pixels[0]), "exposure": targets}, "output": gives}


def staged(plan: str, whole: bytes, spec: Network) -> tuple[dict[str, bytes], list[dict]]:
    """The files of a plan's converted network, and its stages as a manifest has them. Raises Problem."""
    cell = spec.stride if plan == "lowres" else spec.cell
    shuffle = [{"shuffle": "pixels", "factor": cell}] if cell > 1 else []
    if plan != "split":
        name = f"{plan}.tflite"
        return {name: whole}, [{"segment": name}, *shuffle]
    files: dict[str, bytes] = {}
    stages: list[dict] = []
    for stage in cut(whole):
        if isinstance(stage, int):
            stages.append({"upsample": "nearest", "factor": stage})
        else:
            name = f"decoder{len(files)}.tflite" if files else "encoder.tflite"
            gate.check(name, stage)
            files[name] = stage
            stages.append({"segment": name})
    return files, stages + shuffle


def calibration(frames: np.ndarray, recipe: Recipe, pixels: str = "rgb") -> np.ndarray:
    """Frames (N, H, W, 3) in 0..1 to calibrate on, from uint8 RGB, exposed as by the appliance."""
    chosen = frames[:: max(1, len(frames) // CALIBRATION)][:CALIBRATION]
    exposed = [as_on_board(converted(frame, "rgb", pixels), meter(recipe.frame, pixels)) for frame in chosen]
    return np.stack(exposed).astype("float32") / 255


def preview(stylizer: Stylizer) -> bytes:
    """A JPEG of the style on the appliance's own virtual camera."""
    stylizer.reset()
    file = io.BytesIO()
    Image.fromarray(stylizer.draw(VirtualCamera(paced=False).picture(48))).save(file, "JPEG", quality=90)
    return file.getvalue()
