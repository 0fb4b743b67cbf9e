"""reconet-train style: a painting in, a style out."""

import math
import tempfile
from collections.abc import Sequence
from pathlib import Path

import jax
import tomli_w

from appliance.camera import virtual
from appliance.errors import Problem
from appliance.files import replacing
from trainer import making, prepare, training
from trainer.data import fetch
from trainer.gather import shipped
from trainer.optimise import OutOfMemory
from trainer.prepare import DRAFT, DRAFT_ON_CPU, GALLERY, say
from trainer.quiet import quiet
from trainer.recipe import Recipe, load
from trainer.runs import forget, lite_run, student_run
from trainer.sweep import changed, single

OWN_PHOTOS = Path(virtual.__file__).with_name("photos")


def style(
    painting: Path,
    title: str | None = None,
    out: Path | None = None,
    photos: Path | None = None,
    quality: str | None = None,
    steps: int | None = None,
    start: str | None = None,
    settings: Sequence[str] = (),
    restart: bool = False,
) -> tuple[Path, Path]:
    """Makes the style of a painting in the folder out, runs/NAME by default; returns the paths of its bundle and of a
    picture. The options are those of the command. Repeating an interrupted call resumes it. Raises Problem.
    """
    cpu = jax.default_backend() == "cpu"
    chosen = DRAFT_ON_CPU if cpu and quality != "gallery" else DRAFT if quality == "draft" else GALLERY
    begun = shipped(start)[0].recipe if start else None
    changes = single(settings)
    recipe = prepare.recipe_for(painting, title, chosen, steps, begun, changes)
    if cpu and quality is None:
        raise Problem(_offer(recipe, painting, steps))
    out = out or Path("runs") / recipe.name
    data, file = out / "data", out / f"{recipe.name}.toml"
    recipe = prepare.lay_out(recipe, painting, photos or fetch.photographs(), data, restart)
    if restart:
        forget(student_run(recipe, out))
        if recipe.lite:
            forget(lite_run(recipe, out))
        file.unlink(missing_ok=True)
    if file.exists() and "student.batch" not in changes:  # it may have been halved
        recipe = changed(recipe, {"student.batch": load(file).student.batch})
    made = None
    if not making.finished(recipe, data, out) and not student_run(recipe, out).path("checkpoint.npz").exists():
        recipe, made, seconds = _fitting(recipe, data, out)
        frame, phase = recipe.frame, recipe.student
        work = f"{phase.steps} steps at {frame.width}x{frame.height} on {_device()}"
        say(f"{quality or 'gallery'}: {work}, {duration(seconds * (phase.steps + _lite_steps(recipe)))}")
        with replacing(file) as temporary:
            temporary.write_text(tomli_w.dumps(recipe.model_dump(mode="json", exclude_unset=True, exclude_none=True)))
    return making.make(recipe, data, out, made), making.picture(recipe, out)


def _lite_steps(recipe: Recipe) -> float:
    """How many of the student's steps take as long as the lite student's, whose frames are smaller."""
    if not recipe.lite:
        return 0.0
    return recipe.lite.steps * recipe.lite.width * recipe.lite.height / math.prod(recipe.size)


def _fitting(recipe: Recipe, data: Path, out: Path) -> tuple[Recipe, training.Prepared, float]:
    """The recipe with the largest batch that fits into memory, the result of training.prepare() for it, and seconds
    per step.
    """
    while True:
        made = training.prepare(recipe, data, out)
        try:
            return recipe, made, training.measure(made)
        except OutOfMemory:
            if recipe.student.batch == 1:
                raise
            recipe = changed(recipe, {"student.batch": recipe.student.batch // 2})
            say(f"not enough GPU memory: batch reduced to {recipe.student.batch}")


def _offer(recipe: Recipe, painting: Path, steps: int | None) -> str:
    """The message when there is no GPU; recipe is the draft's. Times a step on built-in photographs."""
    with tempfile.TemporaryDirectory() as folder:
        with quiet():
            small = prepare.lay_out(recipe, painting, OWN_PHOTOS, Path(folder))
        seconds = training.measure(training.prepare(small, Path(folder), Path(folder)))
    (height, width), frame = GALLERY.size, recipe.frame
    whole = seconds * (width * height) / (frame.width * frame.height) * (steps or GALLERY.steps)
    draft = seconds * recipe.student.steps
    return (
        f"no GPU found: a style at {width}x{height} would take {duration(whole)}. --quality draft makes one at "
        f"{frame.width}x{frame.height} in {duration(draft)}; --quality gallery trains the full style anyway; "
        "notebooks/train_your_style.ipynb runs where there is a GPU"
    )


def _device() -> str:
    found = jax.devices()
    kind = "this CPU" if found[0].platform == "cpu" else found[0].device_kind
    return f"{len(found)} x {kind}" if len(found) > 1 else kind


def duration(seconds: float) -> str:
    """Seconds in words, as an estimate: "about 3 minutes"."""
    for unit, size in (("hours", 3600), ("minutes", 60)):
        if seconds >= 2 * size:
            return f"about {seconds / size:.0f} {unit}"
    return "about a minute" if seconds >= 45 else f"about {max(1, round(seconds))} seconds"
