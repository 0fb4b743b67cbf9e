"""Finds what belongs to a bundle or a checkpoint: the recipe, the other networks, the painting's style."""

from dataclasses import dataclass, field
from pathlib import Path

import keras
from pydantic import ValidationError

from appliance.engine.stylizer import Stylizer
from appliance.errors import Problem
from appliance.style import bundle
from trainer import perceptual
from trainer.data import pictures
from trainer.recipe import Recipe
from trainer.runs import Note, load_model, made_here, network_run, read_note

KEPT = Path(__file__).with_name("weights")


@dataclass
class Work:
    """A style's recipe, its networks by name, its bundle, the style targets of its painting
    (perceptual.style_targets), and a line for each thing that was not found.
    """

    recipe: Recipe
    networks: dict[str, keras.Model] = field(default_factory=dict)
    style: bundle.Bundle | None = None
    targets: list | None = None
    missing: list[str] = field(default_factory=list)

    def stylizer(self) -> Stylizer | None:
        """The bundle as the appliance runs it, if there is one."""
        return Stylizer(self.style) if self.style else None


def gather(path: Path, data: Path, run: Path | None = None) -> Work:
    """What belongs to the bundle or the .keras or .npz network at path.

    It is searched for in run, beside path, in runs/NAME and in trainer/weights; the painting in data. `missing` lists
    what was not found. Raises Problem when path cannot be read.
    """
    path = Path(path)
    if path.suffix == bundle.SUFFIX:
        style = bundle.read(path)
        work = Work(recipe_of(path, style.manifest.provenance.get("recipe")), style=style)
        wanted = list(trained_networks(work.recipe))
    else:
        note = path.with_suffix(".json")
        if not note.exists():
            raise Problem(f"{path}: no {note.name} beside it; name a bundle, or a network in the folder of its run")
        work = Work(read_note(note).recipe)
        wanted = [path.stem, *(name for name in trained_networks(work.recipe)[:-1] if name != path.stem)]
    folders = places(path, work.recipe, run)
    for name in wanted:
        if not find_network(work, name, folders, needed=path.stem == name):
            where = ", ".join(map(str, folders))
            work.missing.append(f"no {name} of this recipe in {where}: figures against it are left out")
    if work.style is None and path.stem == "student" and path.with_name(f"{work.recipe.name}.reconet").exists():
        work.style = bundle.read(path.with_name(f"{work.recipe.name}.reconet"))
    _find_style(work, folders, data)
    if work.style:
        shape = work.style.manifest.input
        work.recipe = work.recipe.sized(shape.height, shape.width)
    return work


def shipped(name: str, network: str = "student") -> tuple[Note, Path]:
    """The note of a shipped style's student, or of its lite one, and the folder in which it is. Raises Problem."""
    names = sorted(path.parent.name for path in KEPT.glob(f"*/{network}.npz"))
    if name not in names:
        there = f"there are {', '.join(names)}" if names else "it has none: run from a checkout of the project"
        raise Problem(f"no {network} of {name} in {KEPT} to start from; {there}")
    return read_note(KEPT / name / f"{network}.json"), KEPT / name


def places(path: Path, recipe: Recipe, run: Path | None) -> list[Path]:
    """The existing folders in which to search for what belongs to the style at path."""
    found: dict[Path, Path] = {}
    for folder in (run, Path(path).parent, Path("runs") / recipe.name, KEPT / recipe.name):
        if folder and folder.is_dir():
            found.setdefault(folder.resolve(), folder)
    return list(found.values())


def recipe_of(path: Path, fields: dict | None) -> Recipe:
    """The recipe in the provenance of the bundle at path. Raises Problem."""
    try:
        return Recipe.model_validate(fields)
    except ValidationError as error:
        raise Problem(f"{path}: has no valid recipe in its manifest; export it again") from error


def trained_networks(recipe: Recipe) -> tuple[str, ...]:
    """The networks that a recipe trains, in that order."""
    return ("teacher", "student") if recipe.teacher else ("student",)


def find_network(work: Work, name: str, folders: list[Path], needed: bool = False) -> bool:
    """Adds a network of the work's recipe from the first folder that has it. Returns whether one did; raises Problem
    instead when it is needed.
    """
    refused: Problem | None = None
    for folder in folders:
        try:
            work.networks[name], _ = load_model(network_run(work.recipe, name, folder), 0)
            return True
        except Problem as problem:
            refused = refused or problem
    if needed and refused:
        raise refused
    return False


def _find_style(work, folders, data):
    for folder in folders:
        made = (network_run(work.recipe, name, folder) for name in trained_networks(work.recipe))
        if (folder / "style.npz").exists() and any(map(made_here, made)):
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
