"""What the daemon remembers about styles from one run to the next, beside them in their folder.

`.use` is what `reconet use` asked for, `.state.json` what ran last and what had been seen by then, and
`.last_good.reconet` a copy of what ran well, should its file be overwritten with something that does not. `.attempt` is
there while a style is loaded, so that one which takes the daemon down is known afterwards.
"""

import contextlib
import json
import os
from pathlib import Path
from typing import Dict, List, NamedTuple, Optional

from ..errors import Problem
from ..files import read_small, replacing
from .bundle import SUFFIX, Bundle, write

NEWEST = "newest"
LAST_GOOD = ".last_good" + SUFFIX
_PIN, _STATE, _ATTEMPT = ".use", ".state.json", ".attempt"
_BOOT = Path("/proc/sys/kernel/random/boot_id")
_PROVED = 32
_MOST_BYTES = 1 << 20


class State(NamedTuple):
    """`active`: the name of the file that ran last; `seen`: signatures of the files there were then, by name;
    `proved`: digests of bundles that passed their trial.
    """

    active: Optional[str] = None
    seen: Dict[str, str] = {}
    proved: List[str] = []


def pinned(folder: Path) -> Optional[str]:
    """The style that `reconet use` asked for, or "newest"; None when it was never called."""
    try:
        return read_small(folder / _PIN, 100).decode().strip() or None
    except (OSError, ValueError):
        return None


def pin(folder: Path, name: str) -> None:
    """Remember that the style `name`, or "newest", was asked for. Raises Problem."""
    with replacing(folder / _PIN) as temporary:
        temporary.write_text(name + "\n", "utf-8")


def read(folder: Path) -> State:
    """What was remembered; nothing when that cannot be read."""
    try:
        fields = json.loads(read_small(folder / _STATE, _MOST_BYTES).decode())
        active, seen, proved = fields["active"], fields["seen"], fields["proved"]
        if isinstance(active, (str, type(None))) and isinstance(seen, dict) and isinstance(proved, list):
            return State(active, seen, proved)
    except (OSError, ValueError, KeyError, TypeError, RecursionError):
        pass
    return State()


def remember(folder: Path, state: State) -> None:
    """Raises Problem."""
    with replacing(folder / _STATE) as temporary:
        temporary.write_text(json.dumps(state._replace(proved=state.proved[-_PROVED:])._asdict()), "utf-8")


def keep(folder: Path, bundle: Bundle) -> None:
    """Keep a copy of a bundle that runs well. Raises Problem."""
    write(folder / LAST_GOOD, bundle.manifest, bundle.files)


@contextlib.contextmanager
def attempt(folder: Path, bundle: Bundle):
    """What is done inside may be the end of this process: if so, `fatal` says so to the next one."""
    with contextlib.suppress(OSError, Problem), replacing(folder / _ATTEMPT) as temporary:
        temporary.write_text(_attempted(bundle), "utf-8")
    try:
        yield
    finally:
        forgive(folder)


def fatal(folder: Path, bundle: Bundle) -> bool:
    """Whether a process ended while it attempted this bundle. What ended with the whole machine is forgiven."""
    try:
        return read_small(folder / _ATTEMPT, 1000).decode("utf-8", "replace") == _attempted(bundle)
    except OSError:
        return False


def forgive(folder: Path) -> None:
    with contextlib.suppress(OSError):
        os.unlink(str(folder / _ATTEMPT))


def _attempted(bundle: Bundle) -> str:
    return f"{bundle.digest} {_BOOT.read_text().strip()}"
