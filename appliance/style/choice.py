"""Which of a style's plans is the fastest here, as `reconet bench --choose` found: NAME.plan.json beside the bundle."""

import hashlib
import json
import os
from pathlib import Path
from typing import Optional

from ..errors import Problem
from ..files import replacing
from .bundle import Bundle

_MOST_BYTES = 500


def path_of(bundle: Bundle) -> Path:
    return bundle.path.with_suffix(".plan.json")


def read(bundle: Bundle) -> Optional[str]:
    """The plan chosen for exactly this bundle; None when none was, or when another file was meant."""
    try:
        # Anyone may have put it there: no link, nothing to wait for, and no more of it than `write` writes.
        descriptor = os.open(str(path_of(bundle)), os.O_RDONLY | os.O_NONBLOCK | os.O_NOFOLLOW | os.O_CLOEXEC)
        with os.fdopen(descriptor, "rb") as file:
            fields = json.loads(file.read(_MOST_BYTES).decode())
        plan = fields["plan"] if fields["bundle"] == _digest(bundle) else None
    except (OSError, ValueError, KeyError, TypeError, AttributeError, RecursionError):
        return None
    return plan if plan in [one.name for one in bundle.manifest.plans] else None


def write(bundle: Bundle, plan: str) -> Path:
    """Remember the plan for this bundle. Raises Problem when the folder cannot be written."""
    path = path_of(bundle)
    try:
        with replacing(path) as temporary:
            temporary.write_text(json.dumps({"bundle": _digest(bundle), "plan": plan}), "utf-8")
    except Problem as problem:
        raise Problem(f"the chosen plan cannot be remembered: {problem}") from problem
    return path


def _digest(bundle: Bundle) -> str:
    parts = [f"{name} {file.sha256}" for name, file in sorted(bundle.manifest.files.items())]
    return hashlib.sha256("\n".join(parts).encode()).hexdigest()
