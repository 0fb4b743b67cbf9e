"""Which of a style's plans is the fastest here, as `reconet bench --choose` found: NAME.plan.json beside the bundle."""

import json
from pathlib import Path
from typing import Optional

from ..errors import Problem
from ..files import read_small, replacing
from .bundle import Bundle

_MOST_BYTES = 500


def path_of(bundle: Bundle) -> Path:
    return bundle.path.with_suffix(".plan.json")


def read(bundle: Bundle) -> Optional[str]:
    """The plan chosen for exactly this bundle; None when none was, or when another file was meant."""
    try:
        fields = json.loads(read_small(path_of(bundle), _MOST_BYTES).decode())
        plan = fields["plan"] if fields["bundle"] == bundle.digest else None
    except (OSError, ValueError, KeyError, TypeError, AttributeError, RecursionError):
        return None
    return plan if plan in [one.name for one in bundle.manifest.plans] else None


def write(bundle: Bundle, plan: str) -> Path:
    """Remember the plan for this bundle. Raises Problem when the folder cannot be written."""
    path = path_of(bundle)
    try:
        with replacing(path) as temporary:
            temporary.write_text(json.dumps({"bundle": bundle.digest, "plan": plan}), "utf-8")
    except Problem as problem:
        raise Problem(f"the chosen plan cannot be remembered: {problem}") from problem
    return path
