"""reconet-train evaluate: finds what belongs to a bundle or a checkpoint, measures it, and prints a table or JSON."""

import json
from dataclasses import dataclass, field
from pathlib import Path

import keras
from pydantic import ValidationError
from rich.console import Console
from rich.table import Table

from appliance.engine.stylizer import Stylizer
from appliance.errors import Problem
from appliance.style import bundle
from trainer import evaluation, perceptual
from trainer.data import pictures, sintel
from trainer.recipe import Recipe
from trainer.runs import load_model
from trainer.training import student_run, teacher_run, with_norm

NETWORKS = ("teacher", "instance", "none", "frn", "student")
KEPT = Path(__file__).with_name("weights")
BOUNDS = {"style_ratio": 1.5, "content_ratio": 1.15}
FIGURES = (
    ("style", "style loss"),
    ("content", "content loss"),
    ("ssim", "SSIM against the teacher"),
    ("snr_teacher_db", "SNR against the teacher, dB"),
    ("snr_student_db", "SNR against the float student, dB"),
    ("blobs", "share in saturated blobs"),
)


@dataclass
class Work:
    """A style's recipe, its networks by name, its bundle, what its painting asks for (perceptual.style_targets), and
    what was not found.
    """

    recipe: Recipe
    networks: dict[str, keras.Model] = field(default_factory=dict)
    style: bundle.Bundle | None = None
    targets: list | None = None
    missing: list[str] = field(default_factory=list)

    def painters(self) -> dict:
        """See evaluation.painters()."""
        stylizer = Stylizer(self.style) if self.style else None
        return evaluation.painters(self.recipe, self.networks, stylizer)


def gather(path: Path, data: Path, run: Path | None = None) -> Work:
    """What belongs to the bundle or the .keras or .npz network at path.

    It is looked for in run, beside path, in runs/NAME and among the networks that are kept with the trainer; the
    painting in data. What is not there is told in `missing`. Raises Problem when path cannot be read.
    """
    path = Path(path)
    if path.suffix == bundle.SUFFIX:
        style = bundle.read(path)
        work = Work(recipe_told(path, style.manifest.provenance.get("recipe")), style=style)
        wanted = list(trained_networks(work.recipe))
    else:
        try:
            work = Work(recipe_told(path, json.loads(path.with_suffix(".json").read_text()).get("recipe")))
        except (OSError, ValueError) as error:
            raise Problem(
                f"{path}: no {path.stem}.json beside it that tells its recipe; name a bundle, or a network in "
                "the folder of its run"
            ) from error
        wanted = [path.stem, *(name for name in trained_networks(work.recipe)[:-1] if name != path.stem)]
    folders = places(path, work.recipe, run)
    for name in wanted:
        if not find_network(work, name, folders, needed=path.stem == name):
            where = ", ".join(map(str, folders))
            work.missing.append(f"no {name} of this recipe in {where}: what is measured against it is left out")
    if work.style is None and path.stem == "student" and path.with_name(f"{work.recipe.name}.reconet").exists():
        work.style = bundle.read(path.with_name(f"{work.recipe.name}.reconet"))
    _find_style(work, folders, data)
    if work.style:
        shape = work.style.manifest.input
        work.recipe = work.recipe.sized(shape.height, shape.width)
    return work


def places(path: Path, recipe: Recipe, run: Path | None) -> list[Path]:
    """The folders, of those that exist, in which what belongs to the style at path is looked for."""
    folders, found = (run, Path(path).parent, Path("runs") / recipe.name, KEPT / recipe.name), {}
    for folder in folders:
        if folder and folder.is_dir():
            found.setdefault(folder.resolve(), folder)
    return list(found.values())


def recipe_told(path: Path, fields: dict | None) -> Recipe:
    """The recipe that the file at path says it was made by. Raises Problem."""
    try:
        return Recipe.model_validate(fields)
    except ValidationError as error:
        raise Problem(f"{path}: does not tell the recipe that made it; export it again") from error


def trained_networks(recipe: Recipe) -> tuple[str, ...]:
    """What a recipe trains, in that order."""
    return ("teacher", "student") if recipe.teacher else ("student",)


def network_run(recipe: Recipe, name: str, folder: Path):
    """The run that makes the network `name`: teacher, student, or a normalisation to compare with."""
    if name == "student":
        return student_run(recipe, folder)
    return teacher_run(recipe, folder) if name == "teacher" else teacher_run(with_norm(recipe, name), folder, name)


def find_network(work: Work, name: str, folders: list[Path], needed: bool = False) -> bool:
    """Adds a network of the work's recipe from the first folder that has it. Raises Problem when it is needed."""
    refused = None
    for folder in folders:
        try:
            work.networks[name], _ = load_model(network_run(work.recipe, name, folder), 0)
            return True
        except Problem as problem:
            refused = refused or problem
    if needed:
        raise refused
    return False


def _find_style(work, folders, data):
    for folder in folders:
        runs = (network_run(work.recipe, name, folder) for name in trained_networks(work.recipe))
        notes = [
            run.path("json") for run in runs if run.path("json").exists() and run.digest in run.path("json").read_text()
        ]
        if notes and (folder / "style.npz").exists():
            work.targets = perceptual.load_style(folder / "style.npz", work.recipe.style)
            return
    painting = data / work.recipe.data.painting
    if painting.exists():
        weights = perceptual.load(work.recipe.perceptual, data, work.recipe.style)
        picture, _ = pictures.painting(painting, work.recipe.data.painting_width)
        work.targets = perceptual.style_targets(weights, picture, work.recipe.style)
        return
    work.missing.append(
        f"no style.npz of this recipe and no {painting}: the style loss is left out; see --data and --run"
    )


def evaluate(
    path: Path,
    photos: Path | None,
    sintel_root: Path | None,
    data: Path,
    run: Path | None = None,
    most: int = 24,
    rendering: str = "clean",
) -> dict:
    """Everything that can be told about the style at path: see evaluation.on_photos(), on_sintel() and headline().

    At most `most` photographs, and pairs of frames a scene, evenly chosen. Raises Problem.
    """
    work = gather(path, data, run)
    painted, report = work.painters(), {"name": work.recipe.name, "file": str(path)}
    if photos:
        shown = _evenly(pictures.centre(pictures.photographs(photos, work.recipe.size), work.recipe.size), most)
        weights = perceptual.load(work.recipe.perceptual, data, work.recipe.style)
        figures = evaluation.on_photos(work.recipe, painted, shown, weights, work.targets)
        report |= {"photos": len(shown), **evaluation.headline(figures), **figures}
    if sintel_root:
        found: dict[str, list] = {}
        for scene, frame in sintel.pairs(sintel_root, rendering):
            found.setdefault(scene, []).append((scene, frame))
        pairs = [pair for scene in found.values() for pair in _evenly(scene, most)]
        report |= {"sintel": rendering, "pairs": len(pairs)}
        report["e_stab"] = evaluation.on_sintel(work.recipe, painted, sintel_root, pairs, rendering)
    return {**report, "missing": work.missing}


def _evenly(items, most):
    chosen = (
        [round(i * (len(items) - 1) / max(1, most - 1)) for i in range(most)]
        if len(items) > most
        else range(len(items))
    )
    return items[list(chosen)] if hasattr(items, "shape") else [items[i] for i in chosen]


def table(report: dict) -> Table:
    """The report of evaluate() for a terminal: networks across, figures down."""
    figures = [(title, report[key]) for key, title in FIGURES if key in report]
    figures += [(f"relative e_stab, {scene}", values) for scene, values in report.get("e_stab", {}).items()]
    names = [name for name in (*NETWORKS, "int8") if any(name in f for _, f in figures)]
    heads = {
        "student": "float student",
        "int8": "int8 student",
        "instance": "instance norm",
        "none": "no norm",
        "frn": "FRN",
    }
    made = Table(title=f"{report['name']}: {report.get('photos', 0)} photos, {report.get('pairs', 0)} Sintel pairs")
    made.add_column("")
    for name in names:
        made.add_column(heads.get(name, name), justify="right")
    for title, values in figures:
        made.add_row(title, *(f"{values[name]:.4g}" if name in values else "" for name in names))
    ratios = [(key, report[key]) for key in ("style_ratio", "content_ratio") if key in report]
    if ratios:
        made.add_section()
        for key, value in ratios:
            cells = ["" if name != "int8" else f"{value:.3g}x" for name in names]
            made.add_row(f"{key.removesuffix('_ratio')}, times the teacher's (bound {BOUNDS[key]}x)", *cells)
    return made


def show(report: dict, as_json: bool) -> None:
    """Prints the report of evaluate(): the table or JSON to stdout, what is missing to stderr."""
    if as_json:
        print(json.dumps(report, indent=2))
    else:
        Console(width=None if Console().is_terminal else 120).print(table(report))
    for line in report["missing"]:
        Console(stderr=True).print(line, highlight=False)
