"""Finding and keeping styles in folders of *.reconet files."""

import contextlib
import os
from dataclasses import dataclass
from pathlib import Path
from typing import Iterable, List, Optional, Tuple, Union

from ..errors import BundleError, Problem
from ..places import STYLES
from .bundle import SUFFIX, Bundle, read, write
from .state import LAST_GOOD, State
from .watch import signatures

DEFAULT = "starry_night"  # what is shown as long as nobody chose or added a style: the gallery opens with it
_TOGETHER_S = (
    60.0  # styles that come together, as by an installation or a checkout, are as old as each other within this
)
_CHECKOUT = Path(__file__).resolve().parents[2]


@dataclass(frozen=True)
class Refused:
    """A file that is not a valid style. `reason` is one line that names it."""

    path: Path
    reason: str


def directories() -> List[Path]:
    """The folders searched for styles, in order.

    $RECONET_STYLES (separated like $PATH) when set; else the board's folder and, in a checkout, the shipped styles.
    """
    named = os.environ.get("RECONET_STYLES")
    if named:
        return [Path(part) for part in named.split(os.pathsep) if part]
    overlay = _CHECKOUT / "firmware_overlay" / "var" / "lib" / "reconet"
    return [STYLES] + ([overlay] if (_CHECKOUT / "pyproject.toml").is_file() else [])


def paths(folders: Optional[Iterable[Path]] = None) -> List[Path]:
    """Every *.reconet in `folders` (default: `directories()`), newest first by modification time. None is opened."""
    found = []
    for folder in directories() if folders is None else folders:
        for path in Path(folder).glob("[!.]*" + SUFFIX):
            with contextlib.suppress(OSError):  # it has been removed
                found.append((-path.lstat().st_mtime, path))
    return [path for _, path in sorted(found)]


def candidates(folder: Path, before: State, wanted: Optional[str] = None) -> List[Path]:
    """What to try, best first: the style `wanted`; or what is new since `before`, what ran then, then the newest.

    Where nothing ran before, and nothing was added since the styles came, DEFAULT comes before those newer than it.
    Where the first one is refused, a copy of what is known to run comes before what is not.
    """
    found = paths([folder])
    if not before.seen:
        found = _default_first(found)
    now = signatures(found)

    def rank(path: Path) -> int:
        if wanted:
            return int(path.stem != wanted)
        new = before.seen.get(path.name) != now[path.name]
        return 0 if new else 1 if path.name == before.active else 2

    found.sort(key=rank)
    copy = folder / LAST_GOOD
    return found[:1] + ([copy] if copy.exists() else []) + found[1:]


def _default_first(found: List[Path]) -> List[Path]:
    """`found`, newest first, with DEFAULT in front where it came together with the newest."""
    named = next((path for path in found if path.stem == DEFAULT), None)
    if named is None:
        return found
    with contextlib.suppress(OSError):  # it went away meanwhile
        if found[0].lstat().st_mtime - named.lstat().st_mtime <= _TOGETHER_S:
            return [named] + [path for path in found if path != named]
    return found


def load(path: Path) -> Bundle:
    """The bundle at `path`, which must not be a symbolic link: it could lead anywhere. Raises BundleError."""
    if path.is_symlink():
        raise BundleError(f"{path}: a symbolic link: copy the bundle itself")
    return read(path)


def keep(folder: Path, bundle: Bundle) -> None:
    """Keep a copy of a bundle that runs well, unless there is one. Raises Problem."""
    copy = folder / LAST_GOOD
    with contextlib.suppress(BundleError):
        if load(copy).digest == bundle.digest:
            return
    write(copy, bundle.manifest, bundle.files)


def is_newer(path: Path, than: Path) -> bool:
    """Whether the file at `path` was modified after `than`. False when either is gone."""
    with contextlib.suppress(OSError):
        return path.lstat().st_mtime > than.lstat().st_mtime
    return False


def styles(folders: Optional[Iterable[Path]] = None) -> Tuple[List[Bundle], List[Refused]]:
    """The valid styles, newest first, and the refused ones with their reasons."""
    valid, refused = [], []
    for path in paths(folders):
        try:
            valid.append(load(path))
        except BundleError as error:
            refused.append(Refused(path, str(error)))
    return valid, refused


def find(wanted: Optional[Union[str, Path]] = None, folders: Optional[Iterable[Path]] = None) -> Bundle:
    """The style `wanted`: the name in its manifest, or the path of a bundle; None means DEFAULT or, where that is not
    there, the newest valid one.

    Raises BundleError when the file is refused and Problem when there is no such style.
    """
    if wanted is not None and (str(wanted).endswith(SUFFIX) or os.sep in str(wanted)):
        return read(wanted)
    folders = directories() if folders is None else list(folders)
    candidates = paths(folders)
    # The file is usually named after its style: then only that one is opened.
    candidates.sort(key=lambda path: path.stem != str(wanted or DEFAULT))
    names, refused = [], []
    for path in candidates:
        try:
            bundle = load(path)
        except BundleError as error:
            if wanted is not None and path.stem == str(wanted):
                raise
            refused.append(str(error))
            continue
        if wanted is None or bundle.name == wanted:
            return bundle
        names.append(bundle.name)
    searched = ", ".join(str(folder) for folder in folders)
    if names:
        raise Problem(f"no style {str(wanted)!r} in {searched}: there is {', '.join(sorted(set(names)))}")
    why = f" ({refused[0]})" if refused else ""
    raise Problem(
        f"no style in {searched}{why}: put a {SUFFIX} file there, name one with --style, "
        "or set RECONET_STYLES to its folder"
    )
