"""The files of earlier versions that `.state.json` replaces: read once, then removed.

`.use` had the pinned style, `.state.json` no version, `NAME.plan.json` the plan that bench chose.
"""

import contextlib
import json
import re
from pathlib import Path
from typing import Any, Dict, Iterator, Optional, Tuple

from ..files import read_small

_PIN, _ATTEMPT, _PLANS = ".use", ".attempt", "[!.]*.plan.json"
_MOST_BYTES = 500


def read(folder: Path, state: Optional[bytes] = None) -> Dict[str, Any]:
    """Fields of a State from the old files. `state`: the content of the old .state.json.

    Raises ValueError or RecursionError when that is damaged.
    """
    old = json.loads(state.decode()) if state is not None else {"active": None, "seen": {}}
    if not isinstance(old, dict) or not isinstance(old.get("seen"), dict):
        raise ValueError("not a state")
    fields: Dict[str, Any] = {"active": old.get("active"), "seen": old["seen"], "choices": dict(_choices(folder))}
    with contextlib.suppress(OSError, ValueError):
        pinned = read_small(folder / _PIN, _MOST_BYTES).decode().strip()
        if re.fullmatch(r"[a-z0-9_]{1,64}", pinned):
            fields["pinned"] = pinned
    return fields


def there(folder: Path) -> bool:
    """Whether there are any old files."""
    return any(True for _ in _files(folder))


def remove(folder: Path) -> None:
    for path in list(_files(folder)):
        with contextlib.suppress(OSError):
            path.unlink()


def _files(folder: Path) -> Iterator[Path]:
    yield from (folder / name for name in (_PIN, _ATTEMPT) if (folder / name).is_file())
    yield from folder.glob(_PLANS)


def _choices(folder: Path) -> Iterator[Tuple[str, Dict[str, str]]]:
    for path in folder.glob(_PLANS):
        with contextlib.suppress(OSError, ValueError, KeyError, TypeError, RecursionError):
            old = json.loads(read_small(path, _MOST_BYTES).decode())
            if isinstance(old["bundle"], str) and isinstance(old["plan"], str):
                yield old["bundle"], {"CPU": old["plan"], "TPU": old["plan"]}
