"""What is remembered about the styles of a folder: `.state.json` in it, one JSON document with a schema.

The daemon remembers what ran, what was measured and proved, and what was fatal; `reconet use` and `reconet bench
--choose` change what is pinned and chosen. Everyone changes the file by `change`, which holds a lock on the folder from
reading to writing, so that no change is lost, with a daemon or without.

Versions: a field may be added without a new version, since a reader ignores what it does not know and takes the default
for what is missing. The version goes up when a field's meaning changes. A file of another version counts as damaged.
"""

import contextlib
import fcntl
import json
import os
import time
from pathlib import Path
from typing import Any, Callable, Dict, Iterator, List, NamedTuple, Optional, Sequence, Tuple

from pydantic import BaseModel, ConfigDict, Field
from typing_extensions import Annotated, Literal

from ..choice import Measured
from ..errors import Problem
from ..files import cannot_write, read_small, replacing
from . import legacy
from .bundle import SUFFIX
from .manifest import Size, parse_size, size_name

NEWEST = "newest"
NAME = ".state.json"
LAST_GOOD = ".last_good" + SUFFIX  # a copy of what ran well, for when its file is overwritten with what does not
MOST_BYTES = 1 << 20
DARKEST = 0.05  # of a slate that can still be read
_MOST_ENTRIES = 64
_MOST_PROOFS, _MOST_DEVICES = 512, 4
_PATIENT_S = 5.0  # for another process that changes the state; it takes milliseconds
_BOOT = Path("/proc/sys/kernel/random/boot_id")

Rate = Annotated[float, Field(ge=0, allow_inf_nan=False)]
StyleName = Annotated[str, Field(pattern=r"^[a-z0-9_]{1,64}$")]


class _Document(BaseModel):
    model_config = ConfigDict(extra="ignore", strict=True, frozen=True)


class Attempt(_Document):
    """A bundle that is being loaded: its digest, the signature of its file, the boot in which that began, and the Edge
    TPUs that were there."""

    bundle: str
    signature: str
    boot: str
    tpu: Optional[str] = None


class State(_Document):
    """`pinned` is what `reconet use` asked for: a style or "newest"; None if it was never called.

    `active` is the name of the file that ran last, `seen` the signatures of the files there were then, by name.
    `proved` lists what passed its trial, see `proof`. `attempt` is the load under way. `fatal` lists what ended the
    daemon while it was loaded, as "digest signature". `choices` maps a bundle's digest and a device, "CPU" or "TPU", to
    what `reconet bench --choose` found best there, a "plan WIDTHxHEIGHT" or, of earlier versions, a "plan". `measured`
    maps a bundle's digest and a device, see `device`, to frames per second by "plan WIDTHxHEIGHT"; 0 does not run.
    `slates` is the brightness of slates, `turn` the style whose turn it is in a playlist, `off` whether nothing is
    shown.
    """

    version: Literal[1] = 1
    pinned: Optional[StyleName] = None
    active: Optional[str] = None
    seen: Dict[str, str] = {}
    proved: Tuple[str, ...] = ()
    attempt: Optional[Attempt] = None
    fatal: Tuple[str, ...] = ()
    choices: Dict[str, Dict[str, str]] = {}
    measured: Dict[str, Dict[str, Dict[str, Rate]]] = {}
    turn: Optional[StyleName] = None
    off: bool = False
    slates: Annotated[float, Field(ge=DARKEST, le=1)] = 1.0

    def chosen(self, digest: str, device: str) -> Optional["Chosen"]:
        """What is preferred for a bundle on "CPU" or "TPU"; None when there is nothing."""
        text = self.choices.get(digest, {}).get(device)
        return _chosen(text) if text else None

    def choice(self, digest: str, device: str) -> Optional[str]:
        """The plan that is preferred for a bundle on "CPU" or "TPU"; None when there is none."""
        chosen = self.chosen(digest, device)
        return chosen and chosen.plan

    def rows(self, digest: str, device: str) -> List[Measured]:
        """What was measured for a bundle on a device, see `device`."""
        stored = [(_chosen(key), fps) for key, fps in self.measured.get(digest, {}).get(device, {}).items()]
        return [Measured(one.plan, one.size, fps) for one, fps in stored if one.size]

    def with_rows(self, digest: str, device: str, rows: Sequence[Measured]) -> "State":
        """A copy in which `rows` are what was measured last."""
        devices = dict(self.measured.get(digest, {}))
        # What runs is never rounded to 0, which is of what does not.
        new = {f"{row.plan} {size_name(row.size)}": round(row.fps, 2) or (0.01 if row.fps else 0.0) for row in rows}
        devices[device] = {**devices.pop(device, {}), **new}
        others = {key: value for key, value in self.measured.items() if key != digest}
        return self.changed(measured={**others, digest: dict(list(devices.items())[-_MOST_DEVICES:])})

    def without_rows(self, digest: str, device: str) -> "State":
        """A copy in which nothing was measured for a bundle on a device."""
        devices = {key: rows for key, rows in self.measured.get(digest, {}).items() if key != device}
        return self.changed(measured={**self.measured, digest: devices})

    def changed(self, **fields: Any) -> "State":
        """A copy with other values. What grows is cut to its latest entries."""
        for name, most in (("proved", _MOST_PROOFS), ("fatal", _MOST_ENTRIES)):
            if name in fields:
                fields[name] = tuple(dict.fromkeys(fields[name]))[-most:]
        for name in ("choices", "measured"):
            if name in fields:
                fields[name] = dict(list(fields[name].items())[-_MOST_ENTRIES:])
        return self.model_copy(update=fields)


class Chosen(NamedTuple):
    """A plan and a size; None for any."""

    plan: str
    size: Optional[Size] = None


def _chosen(text: str) -> Chosen:
    plan, _, size = text.partition(" ")
    try:
        return Chosen(plan, parse_size(size) if size else None)
    except ValueError:
        return Chosen(plan)


def device(runtime: str, kind: str, threads: int) -> str:
    """What measurements hold for: a runtime (name and version), "CPU" or "TPU", and the threads on the CPU (0: all)."""
    return f"{runtime} {kind} {threads or os.cpu_count() or 1}"


def proof(digest: str, plan: str, size: Size, runtime: str, kind: str) -> str:
    """What a trial proves: a plan of a bundle runs at a size on a runtime (its name and version), "CPU" or "TPU"."""
    return " ".join((digest, plan, size_name(size), runtime, kind))


def boot_id() -> str:
    """A text that changes when the machine reboots."""
    return _BOOT.read_text().strip()


def read(folder: Path, warn: Callable[[str], None] = lambda text: None) -> State:
    """What is remembered in `folder`. A damaged file counts as none; `warn` then gets one line.

    Raises Problem when there is a file that cannot be read.
    """
    path = Path(folder) / NAME
    try:
        data = read_small(path, MOST_BYTES)
        return State.model_validate_json(data) if b'"version"' in data else State(**legacy.read(folder, data))
    except FileNotFoundError:
        return State(**legacy.read(folder))
    except (ValueError, RecursionError):  # pydantic's errors are ValueErrors
        warn(f"{path} is damaged or of another version: what ran last is forgotten")
        return State()
    except OSError as error:
        raise Problem(f"cannot read {path}: {(error.strerror or str(error)).lower()}: remove it") from error


def change(folder: Path, edit: Callable[[State], State], warn: Callable[[str], None] = lambda text: None) -> State:
    """Replace the state by `edit(state)`; nothing is written when that is the same. Raises Problem."""
    folder = Path(folder)
    with _locked(folder):
        before = read(folder, warn)
        after = edit(before)
        if after != before or legacy.there(folder):
            with replacing(folder / NAME) as temporary:
                temporary.write_text(json.dumps(after.model_dump(mode="json"), indent=1), "utf-8")
                os.chmod(str(temporary), 0o664)  # whatever the umask of the caller of `reconet use`
            legacy.remove(folder)
    return after


class Memory:
    """The daemon's copy of the state of `folder`: `now` is the latest, also when the file cannot be written.

    `warn` gets one line when something cannot be read or written.
    """

    def __init__(self, folder: Path, warn: Callable[[str], None]):
        self.now = State()
        self._folder, self._warn = folder, warn

    def start(self, tpu: str = "") -> None:
        """Read it at the start of a process. A load that was under way, in this boot, is fatal: it ended the daemon.

        Unless the Edge TPUs were others than `tpu`, those that are there now: a stick that is pulled ends it too.
        """
        self.recall()
        attempt = self.now.attempt
        if attempt:
            same = attempt.boot == boot_id() and attempt.tpu in (None, tpu)
            ended = (f"{attempt.bundle} {attempt.signature}",) if same else ()
            self.remember(fatal=self.now.fatal + ended, attempt=None)
        if legacy.there(self._folder):
            self._change(lambda state: state)

    def recall(self) -> None:
        """Read the file again: other processes may have changed it."""
        try:
            self.now = read(self._folder, self._warn)
        except Problem as problem:
            self._warn(str(problem))

    def remember(self, **fields: Any) -> None:
        """Change fields of the state, and of the file if it can be written."""
        before, self.now = self.now, self.now.changed(**fields)
        if self.now != before:
            self._change(lambda state: state.changed(**fields))

    def measured(self, digest: str, device: str, rows: Sequence[Measured]) -> None:
        """Remember what was measured, besides what others have measured meanwhile."""
        self.now = self.now.with_rows(digest, device, rows)
        self._change(lambda state: state.with_rows(digest, device, rows))

    def forget(self, digest: str, device: str) -> None:
        """Forget what was measured."""
        self.now = self.now.without_rows(digest, device)
        self._change(lambda state: state.without_rows(digest, device))

    def forgive(self) -> None:
        """Record that the process ends normally, so that a load under way is not blamed. Safe from any thread."""
        if self.now.attempt:
            self._change(lambda state: state.changed(attempt=None))

    def _change(self, edit: Callable[[State], State]) -> None:
        try:
            change(self._folder, edit, self._warn)
        except Problem as problem:
            self._warn(str(problem))


def pin(folder: Path, name: str, warn: Callable[[str], None] = lambda text: None) -> None:
    """Remember that the style `name`, or "newest", was asked for. Raises Problem."""
    change(folder, lambda state: state.changed(pinned=name, turn=None), warn)


def choose(folder: Path, digest: str, kind: str, plan: str, size: Optional[Size] = None) -> None:
    """Remember the plan and size to prefer for a bundle on "CPU" or "TPU". Raises Problem."""
    text = plan + (f" {size_name(size)}" if size else "")

    def edit(state: State) -> State:
        choices = {key: plans for key, plans in state.choices.items() if key != digest}
        return state.changed(choices={**choices, digest: {**state.choices.get(digest, {}), kind: text}})

    try:
        change(folder, edit)
    except Problem as problem:
        raise Problem(f"the chosen plan cannot be remembered: {problem}") from problem


def note(folder: Path, digest: str, device: str, rows: Sequence[Measured]) -> None:
    """Remember what was measured for a bundle on a device, see `device`. Raises Problem."""
    change(folder, lambda state: state.with_rows(digest, device, rows))


@contextlib.contextmanager
def _locked(folder: Path) -> Iterator[None]:
    try:
        descriptor = os.open(str(folder), os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    except OSError as error:
        raise cannot_write(folder / NAME, error) from error
    try:
        deadline = time.monotonic() + _PATIENT_S
        while True:
            try:
                fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
                break
            except BlockingIOError:
                if time.monotonic() > deadline:
                    raise Problem(
                        f"cannot write {folder / NAME}: another process has locked {folder}: end that one"
                    ) from None
                time.sleep(0.01)
        yield
    finally:
        os.close(descriptor)  # this releases the lock
