"""--set KEY=VALUE,...: changes a recipe, or makes one recipe for each combination of values."""

import hashlib
import itertools
import re
import tomllib
from collections.abc import Mapping, Sequence

from appliance.errors import Problem
from trainer.recipe import Recipe, checked


def changed(recipe: Recipe, settings: Mapping[str, object]) -> Recipe:
    """The recipe with some values replaced, {"student.loss.content": 5.0, ...}. Raises Problem, or Faults."""
    fields = recipe.model_dump(mode="json", exclude_unset=True)
    for key, value in settings.items():
        *sections, last = key.split(".")
        place = fields
        for section in sections:
            place = place.setdefault(section, {})
            if not isinstance(place, dict):
                raise Problem(f"{key}: {section} is a value of the recipe, not a section")
        place[last] = value
    return checked(fields, recipe.name)


def parse(texts: Sequence[str]) -> dict[str, list]:
    """{key: values} from texts such as "student.loss.content=4,5,6". Values are TOML; single words need no quotes.
    Raises Problem.
    """
    settings = {}
    for text in texts:
        key, equals, values = text.partition("=")
        if not (equals and key and values):
            raise Problem(f"--set {text}: write KEY=VALUE,..., such as student.loss.content=4,5,6")
        if key in settings:
            raise Problem(f"--set {key}: given twice; write all values after one =")
        settings[key] = _values(text, values)
    return settings


def _values(text: str, values: str) -> list:
    try:
        return tomllib.loads(f"values = [{values}]")["values"]
    except tomllib.TOMLDecodeError:
        words = values.split(",")
        if all(re.fullmatch(r"[\w.-]+", word) for word in words):
            return words
        raise Problem(f'--set {text}: the values are not TOML; write numbers, [1, 2] or "text"') from None


def single(texts: Sequence[str]) -> dict[str, object]:
    """parse() for one recipe. Raises Problem when a key has several values."""
    settings = parse(texts)
    for key, values in settings.items():
        if len(values) != 1:
            raise Problem(
                f"--set {key}: {len(values)} values; reconet-train gallery RECIPE --set ... trains each of them"
            )
    return {key: values[0] for key, values in settings.items()}


def product(recipe: Recipe, settings: Mapping[str, list]) -> list[Recipe]:
    """A recipe for each combination of values, with the values in its name and title. Raises Problem."""
    made = []
    once = [[value for i, value in enumerate(values) if value not in values[:i]] for values in settings.values()]
    for values in itertools.product(*once):
        chosen = dict(zip(settings, values, strict=True))
        parts = [f"{key.rpartition('.')[2]} {value}" for key, value in chosen.items()]
        slug = re.sub(r"[^a-z0-9]+", "_", " ".join(parts).lower()).strip("_")
        names = {"name": _short(f"{recipe.name}_{slug}"), "title": f"{recipe.title}, {', '.join(parts)}"}
        made.append(changed(recipe, chosen | names if chosen else {}))
    return made


def _short(name: str) -> str:
    """The name; if it is too long for a recipe, its beginning and a digest of the whole."""
    return name if len(name) <= 64 else f"{name[:55]}_{hashlib.sha256(name.encode()).hexdigest()[:8]}"
