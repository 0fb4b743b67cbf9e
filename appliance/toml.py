"""The configuration file as it is written. Unlike config.py, this needs neither numpy nor pydantic."""

import importlib
from pathlib import Path
from typing import Any, Dict, Union

from .errors import Problem

# More than a file that explains every key. TOML parsers take time and memory quadratic in the length of a dotted key.
MAX_BYTES = 8 << 10


def read(path: Union[str, Path], required: bool = True) -> Dict[str, Any]:
    """The tables in the file at `path`, unchecked: {} if it is missing and not required.

    Raises Problem: one line that says what to do.
    """
    try:
        with open(str(path), "rb") as file:
            data = file.read(MAX_BYTES + 1)
    except FileNotFoundError:
        if not required:
            return {}
        raise Problem(f"cannot read {path}: no such file: check the path after --config") from None
    except OSError as error:
        raise Problem(
            f"cannot read {path}: {(error.strerror or str(error)).lower()}: "
            "make it a file that this user may read, or remove it to take the defaults"
        ) from error
    if len(data) > MAX_BYTES:
        raise Problem(f"{path}: longer than {MAX_BYTES} bytes: shorten its comments, or remove it to take the defaults")
    try:
        fields: Dict[str, Any] = _parser(path).loads(data.decode("utf-8"))
    except (ValueError, RecursionError) as error:
        raise Problem(
            f"{path}: not valid TOML: {str(error)[:200]}: fix it, or remove it to take the defaults"
        ) from error
    return fields


def _parser(path: Union[str, Path]) -> Any:
    for name in ("tomllib", "tomli"):
        try:
            return importlib.import_module(name)
        except ImportError:
            continue
    raise Problem(f"cannot read {path}: this Python has no TOML parser: pip install tomli")
