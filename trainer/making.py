"""Everything from a recipe to a bundle that has been checked and reported: what one job of a gallery does."""

from collections import Counter
from pathlib import Path

from appliance.errors import Problem
from appliance.files import replacing
from appliance.style import bundle
from trainer import results, runs, training
from trainer.data.contents import contents
from trainer.distillation import distill
from trainer.edgetpu.check import check_model
from trainer.edgetpu.export import export
from trainer.polishing import polish
from trainer.prepare import say
from trainer.recipe import Recipe
from trainer.report import write

PIXELS = ("yuv", "bgrx")  # what cameras deliver and screens accept


def make(recipe: Recipe, data: Path, out: Path, made: training.Prepared | None = None) -> Path:
    """Trains, polishes, exports, checks and reports a recipe, skipping what is done. Returns the bundle's path.

    made is the result of training.prepare() for this recipe, if it was called. NAME.jpg, a picture in the style, and
    report.html are written beside the bundle. Raises Problem.
    """
    path = results.path(recipe, out)
    if not finished(recipe, data, out):
        training.train(recipe, data, out, made=made)
        if recipe.teacher:
            distill(recipe, data, out)
        polish(recipe, data, out)
        export(recipe, data, out, pixels=PIXELS)
    page = out / "report.html"
    if not page.exists() or page.stat().st_mtime < path.stat().st_mtime:
        with replacing(picture(recipe, out)) as temporary:
            results.preview(bundle.read(path)).save(temporary)
        write([path], data, None, None, out, page)
    say(check(path))
    return path


def picture(recipe: Recipe, out: Path) -> Path:
    """Where make() puts a picture in the style."""
    return out / f"{recipe.name}.jpg"


def finished(recipe: Recipe, data: Path, out: Path) -> bool:
    """Whether out has the bundle of this recipe, trained on this data to its last step."""
    known = contents(recipe, data)
    wanted = [runs.student_run(recipe, out, known), *([runs.lite_run(recipe, out, known)] if recipe.lite else [])]
    try:
        return results.complete(recipe, out) and not any(
            runs.differences(runs.read_note(run.path("json")), run) for run in wanted
        )
    except Problem:
        return False


def check(path: Path) -> str:
    """One line: the predictions for the operations of all of the bundle's plans together."""
    style = bundle.read(path)
    segments = [s.segment for plan in style.manifest.plans for s in plan.stages if hasattr(s, "segment")]
    found = Counter(verdict.verdict for name in segments for verdict in check_model(style.files[name]))
    return f"check (predicted): {', '.join(f'{count} operations {verdict}' for verdict, count in found.items())}"
