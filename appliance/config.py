"""The settings: /etc/reconet/config.toml, where every key is optional."""

import json
import textwrap
from pathlib import Path
from typing import Any, List, Tuple, Union

from pydantic import ValidationError

from . import toml
from .errors import Problem
from .places import CONFIG
from .sections import Buttons, Camera, Display, Engine, Host, Keys, Mqtt, Settings, Style, Web

__all__ = [
    "Buttons",
    "Camera",
    "Display",
    "Engine",
    "Host",
    "Keys",
    "Mqtt",
    "Settings",
    "Style",
    "Web",
    "defaults_as_toml",
    "load",
]

PATH = CONFIG

_HEADER = """\
# ReCoNet on the Edge TPU. Every key is optional; the values here are the defaults.
# After a change: systemctl reload reconet
"""


def load(path: Union[str, Path] = PATH) -> Settings:
    """The settings in the file at `path`. Only PATH may be missing: the defaults then apply.

    Raises Problem: one line with file, key, value and what is allowed.
    """
    try:
        return Settings.model_validate(toml.read(path, required=Path(path) != PATH))
    except ValidationError as error:
        raise Problem(f"{path}: {_fault(error.errors(include_url=False)[0])}") from None


def defaults_as_toml() -> str:
    """The text of a configuration file with every key at its default, explained in comments."""
    lines = [_HEADER]
    for section, model in _sections():
        lines += [f"# {model.__doc__}", f"[{section}]"]
        for key, field in model.model_fields.items():
            comment = f"{field.description} Allowed: {_allowed(field)}."
            lines += textwrap.wrap(comment, 100, initial_indent="# ", subsequent_indent="# ")
            lines += [f"{key} = {_toml(field.default)}", ""]
    return "\n".join(lines)


def _sections() -> List[Tuple[str, Any]]:
    return [(name, field.annotation) for name, field in Settings.model_fields.items()]


def _allowed(field: Any) -> str:
    return str(field.json_schema_extra["allowed"])


def _toml(value: Any) -> str:
    return json.dumps(value, ensure_ascii=False, default=str)


def _fault(error: Any) -> str:
    """What a pydantic error means: key, value, and what is allowed."""
    sections = dict(_sections())
    where, value = ".".join(str(part)[:60] for part in error["loc"]), _shown(error["input"])
    section, key = (error["loc"] + (None,))[:2]
    reason = error.get("ctx", {}).get("error")  # of a check of ours
    if section not in sections:
        return f"{where} = {value}: unknown section: allowed are " + ", ".join(f"[{name}]" for name in sections)
    fields = sections[section].model_fields
    if key is None and reason:
        return f"{where} = {value}: {reason}"
    if key is None:
        return f"{where} = {value}: allowed is a section [{section}] with " + ", ".join(fields)
    if key not in fields:
        return f"{where} = {value}: unknown key: allowed in [{section}] are " + ", ".join(fields)
    return f"{where} = {value}: " + (f"{reason}: " if reason else "") + f"allowed is {_allowed(fields[key])}"


def _shown(value: Any) -> str:
    try:
        text = _toml(value)
    except (ValueError, RecursionError):  # a number of thousands of digits, deeply nested tables
        return "..."
    return text if len(text) <= 60 else text[:60] + "..."
