"""A style's recipe: one TOML file with every setting of how a bundle is made."""

import tomllib
from collections.abc import Iterator
from pathlib import Path
from typing import get_args

from pydantic import BaseModel, Field, ValidationError, model_validator

from appliance.errors import Problem
from trainer.faults import Collector
from trainer.sections import Data, Frame, Lite, Mix, Motion, Network, Polish, Section, Student, Style, Teacher


class Recipe(Section):
    """Everything about a style. Raises Problem with file, key and reason when loaded from a bad file."""

    name: str = Field(pattern=r"^[a-z0-9_]{1,64}$")
    title: str
    artist: str = ""
    perceptual: str = Field(default="imagenet", description="imagenet, hed, or a .npz file in the data folder")
    data: Data
    mix: Mix = Mix()
    frame: Frame = Frame()
    motion: Motion = Motion()
    network: Network = Network()
    style: Style = Style()
    teacher: Teacher | None = Field(default=None, description="without it the student is trained directly")
    student: Student
    polish: Polish = Polish()
    lite: Lite | None = Field(default=None, description="without it there is no lite student")

    @model_validator(mode="after")
    def _lite_is_smaller(self):
        if self.lite and (self.lite.width > self.frame.width or self.lite.height > self.frame.height):
            raise ValueError("lite.width and lite.height must not be above those of [frame]")
        return self

    @model_validator(mode="after")
    def _crop_within_the_frame(self):
        for name, phase in (("teacher", self.teacher), ("student", self.student)):
            if phase and phase.seen and (phase.seen[0] > self.frame.width or phase.seen[1] > self.frame.height):
                raise ValueError(f"{name}.crop must not be above [frame], margin included")
        return self

    @model_validator(mode="after")
    def _starts_from_the_teacher(self):
        if self.teacher and self.student.start:
            raise ValueError("student.start is for recipes without [teacher], whose student starts from the teacher")
        if self.teacher and self.student.norm != "none":
            raise ValueError("student.norm is for recipes without [teacher], whose student starts from the teacher")
        return self

    @property
    def learns_with(self) -> str:
        """The normalisation, one of network.NORMS, of what is trained first: the teacher, if there is one."""
        if self.teacher:
            return self.teacher.norm
        return "batch" if self.student.norm == "batch" else "affine"

    @property
    def size(self) -> tuple[int, int]:
        """(height, width) of the network's input, pixels."""
        return self.frame.height, self.frame.width

    def sized(self, height: int, width: int) -> "Recipe":
        """The recipe with another frame size: a network trained at one size runs at others."""
        frame = Frame.model_validate({**self.frame.model_dump(), "height": height, "width": width})
        return self.model_copy(update={"frame": frame})

    def settings(self, *sections: str) -> dict[str, object]:
        """Every setting of the named sections by its full name, defaults included: {"teacher.steps": 8000, ...}."""
        return dict(_flat(self.model_dump(include=set(sections), mode="json"), ""))


def _flat(fields: dict, prefix: str) -> Iterator[tuple[str, object]]:
    for name, value in fields.items():
        if isinstance(value, dict):
            yield from _flat(value, f"{prefix}{name}.")
        else:
            yield f"{prefix}{name}", value


def load(path: Path) -> Recipe:
    """Reads and checks a recipe. Raises Problem, or Faults that names all that is wrong with it."""
    try:
        return checked(tomllib.loads(Path(path).read_text("utf-8")), f"recipe {path}")
    except OSError as error:
        raise Problem(f"recipe {path}: {error.strerror}; name a .toml file such as those in trainer/recipes") from error
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise Problem(f"recipe {path}: not valid TOML: {error}") from error


def checked(fields: dict, where: str) -> Recipe:
    """The recipe of these fields. Raises Problem, or Faults that names all that is wrong, each line after `where`."""
    try:
        return Recipe.model_validate(fields)
    except ValidationError as error:
        faults = Collector()
        for fault in error.errors():
            key = ".".join(str(part) for part in fault["loc"]) or "recipe"
            with faults:
                raise Problem(f"{where}: {key}: {_reason(fault)}") from error
        faults.check()
        raise


def _reason(fault) -> str:
    if fault["type"] == "extra_forbidden":
        return _allowed(fault["loc"])
    return "missing" if fault["type"] == "missing" else fault["msg"]


def _allowed(place: tuple) -> str:
    """The message for a key that does not exist in this section."""
    section: type[BaseModel] = Recipe
    for part in place[:-1]:
        kind = section.model_fields[part].annotation
        kinds = [one for one in (kind, *get_args(kind)) if isinstance(one, type) and issubclass(one, Section)]
        section = kinds[0]
    return f"no such key; there are {', '.join(section.model_fields)}"
