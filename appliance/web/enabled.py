"""`reconet web enabled`: whether the page starts with the daemon.

Each start of the daemon asks, so the usual answer comes without the libraries that check the settings: importing them
takes longer than all the rest.
"""

import argparse
from pathlib import Path

from .. import toml
from ..errors import Problem
from ..places import CONFIG


def answer(arguments: argparse.Namespace) -> int:
    """Print it, and return 0 if the page is to start, else 1. Raises Problem."""
    if arguments.remove:
        raise Problem("--remove is for reconet web token")
    yes = _enabled(Path(arguments.config or CONFIG))
    print("enabled" if yes else "not enabled: [web] enabled is false")
    return 0 if yes else 1


def _enabled(path: Path) -> bool:
    web = toml.read(path, required=path != CONFIG).get("web", {})
    if isinstance(web, dict) and web.get("enabled", False) is False:
        return False
    from .. import config

    return config.load(path).web.enabled
