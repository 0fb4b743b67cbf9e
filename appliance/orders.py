"""What the daemon does on request: choose, add and delete styles, switch off, dim the slates, restart.

The other end of the socket has checked who sends a request. The contents of requests are not trusted.
"""

import contextlib
import os
import shutil
import threading
import time
from pathlib import Path
from typing import Callable, Dict, Iterator, List, Tuple

from . import config, keycodes
from .errors import BundleError, Problem
from .files import Pending
from .host import buttons, keys, systemd
from .host.inputs import Inputs
from .playlist import Playlist
from .snapshot import Snapshot
from .style import bundle, state, store
from .style.bundle import SUFFIX, Bundle
from .window import Order, Payload
from .wire import Message

_LOOK_S = 0.05
_PATIENT_S = 75.0  # for a style to be tried and loaded
_MOST_STYLES = 200
_ROOM = 32 << 20  # bytes that must stay free on the disk

_Refusals = Tuple[Tuple[str, str], ...]


class Orders:
    """`settings` and `snapshot` return the current ones. `stop` ends the daemon."""

    def __init__(
        self,
        settings: Callable[[], config.Settings],
        snapshot: Callable[[], Snapshot],
        stop: threading.Event,
        playlist: Playlist,
    ):
        self._settings, self._snapshot, self._stop, self._playlist = settings, snapshot, stop, playlist
        self._adding = threading.Lock()

    def by_name(self) -> Dict[str, Order]:
        return {
            "use": self.use,
            "turn": self.turn,
            "add": self.add,
            "delete": self.delete,
            "dim": self.dim,
            "power": self.power,
            "restart": self.restart,
        }

    def inputs(self) -> List[Inputs]:
        """The keys and buttons of the configuration."""

        def by_code() -> Dict[int, str]:
            named = self._settings().keys.model_dump(exclude={"device"})
            codes = {keycodes.code(name): action for action, name in named.items()}
            return {code: action for code, action in codes.items() if code is not None}

        def by_line() -> Dict[str, str]:
            return {line: action for action, line in self._settings().buttons.model_dump().items() if line != "off"}

        return [
            keys.keys(lambda: self._settings().keys.device, by_code, self.press),
            buttons.buttons(by_line, self.press),
        ]

    def use(self, request: Message, _: Payload) -> Message:
        """Pin the "style", or "newest". Answers when it runs. Raises Problem with the reason when it is refused."""
        wanted = _text(request, "style")
        if wanted == state.NEWEST:
            state.pin(self._folder, wanted)
            return {"pinned": wanted}
        found = store.find(_name(wanted), [self._folder])
        before = self._snapshot()
        again = before.pinned == found.name
        state.pin(self._folder, found.name)
        runs = self._outcome(found, () if again else before.refused)
        return {"pinned": found.name, "runs": runs}

    def turn(self, request: Message, _: Payload) -> Message:
        """Show the next style ("step" 1) or the previous one (-1)."""
        step = request.get("step")
        if step not in (1, -1) or isinstance(step, bool):
            raise Problem("step is 1 or -1")
        return {"style": self._playlist.turn(step)}

    def power(self, request: Message, _: Payload) -> Message:
        """Show the picture ("on": true), or turn the screen black and leave the network idle."""
        on = request.get("on")
        if not isinstance(on, bool):
            raise Problem("on is true or false")
        state.change(self._folder, lambda now: now.changed(off=not on))
        return {"on": on}

    def press(self, key: str) -> None:
        """Do what a key or a button is for: "next", "previous", "pin" or "power". Raises Problem."""
        now = self._snapshot()
        if key in ("next", "previous"):
            self._playlist.turn(1 if key == "next" else -1)
        elif key == "pin" and now.style:
            free = now.pinned in (None, state.NEWEST)
            state.pin(self._folder, now.style.name if free else state.NEWEST)
        elif key == "power":
            state.change(self._folder, lambda now: now.changed(off=not now.off))

    def add(self, request: Message, source: Payload) -> Message:
        """Add the style in the payload, under its own name. It runs at once, unless another one is pinned.

        Raises Problem with the reason when it is refused; nothing has changed then.
        """
        if not self._adding.acquire(blocking=False):
            raise Problem("another style is being added: wait until it is done")
        try:
            return self._add(request["bytes"], source)
        finally:
            self._adding.release()

    def delete(self, request: Message, _: Payload) -> Message:
        """Delete the "file" of a style. The last one stays."""
        name, files = _text(request, "file"), [path.name for path in store.paths([self._folder])]
        if name not in files:
            raise Problem(f"there is no file {name} in {self._folder}")
        if len(files) == 1:
            raise Problem(f"{name} is the only style: add another one first")
        with contextlib.suppress(BundleError):
            style, now = store.load(self._folder / name).name, state.read(self._folder)
            if style in (now.pinned, now.turn):
                state.pin(self._folder, state.NEWEST)
        try:
            (self._folder / name).unlink()
        except OSError as error:
            raise Problem(f"cannot delete {name}: {(error.strerror or str(error)).lower()}") from error
        return {"deleted": name}

    def dim(self, request: Message, _: Payload) -> Message:
        """Set the "brightness" of slates, 0.05 to 1."""
        value = request.get("brightness")
        if isinstance(value, bool) or not isinstance(value, (int, float)) or not state.DARKEST <= value <= 1:
            raise Problem(f"brightness is a number from {state.DARKEST} to 1")
        state.change(self._folder, lambda now: now.changed(slates=float(value)))
        return {"brightness": value}

    def restart(self, request: Message, _: Payload) -> Message:
        """End the daemon; systemd starts it again."""
        if not systemd.runs_this():
            raise Problem("the daemon does not run under systemd, so nothing would start it again: restart it by hand")
        threading.Timer(0.2, self._stop.set).start()  # after the answer
        return {}

    @property
    def _folder(self) -> Path:
        return Path(self._settings().style.folder)

    def _add(self, size: int, source: Payload) -> Message:
        if len(store.paths([self._folder])) >= _MOST_STYLES:
            raise Problem(f"there are {_MOST_STYLES} styles: delete some first")
        pending = Pending(self._folder / ("new" + SUFFIX))
        try:
            _check_room(self._folder, size)
            _copy(source, pending)
            found = _checked(pending.path)
            pending.target = self._folder / (found.name + SUFFIX)
            before = self._snapshot()
            with _restored_unless_fine(pending.target):
                pending.commit()
                style, free = self._settings().style, before.pinned in (None, state.NEWEST)
                tried = free and (style.name == state.NEWEST or style.seconds is not None)
                if free and style.seconds:  # the playlist shows it now
                    state.change(self._folder, lambda now: now.changed(turn=found.name))
                if not tried and before.pinned != found.name:
                    return {"style": found.name, "title": found.manifest.title, "runs": False}
                runs = self._outcome(found, before.refused)
            return {"style": found.name, "title": found.manifest.title, "runs": runs}
        finally:
            pending.discard()

    def _outcome(self, found: Bundle, before: _Refusals) -> bool:
        """Wait until the style runs. Returns False when that takes too long.

        Raises Problem when it is refused. Refusals in `before` are old and do not count.
        """
        end = time.monotonic() + _PATIENT_S
        while time.monotonic() < end:
            now = self._snapshot()
            if now.style and now.style.digest == found.digest:
                return True
            for one in now.refused:
                if one[0] in (found.path.name, found.name + SUFFIX) and not any(one is old for old in before):
                    raise Problem(one[1])
            if now.waiting or self._stop.wait(_LOOK_S):
                break
        return False


@contextlib.contextmanager
def _restored_unless_fine(target: Path) -> Iterator[None]:
    """After a Problem in the block, restore the file `target`, or remove it if there was none."""
    backup = Pending(target.with_name("old" + SUFFIX))
    try:
        had = target.is_file()
        if had:
            shutil.copy2(str(target), str(backup.path))
        try:
            yield
        except Problem:
            if had:
                os.replace(str(backup.path), str(target))
            else:
                with contextlib.suppress(FileNotFoundError):
                    target.unlink()
            raise
    except OSError as error:
        raise Problem(f"cannot write {target}: {(error.strerror or str(error)).lower()}") from error
    finally:
        backup.discard()


def _copy(source: Payload, pending: Pending) -> None:
    try:
        with open(str(pending.path), "wb") as file:
            for piece in iter(lambda: source.read(1 << 16), b""):
                file.write(piece)
        os.chmod(str(pending.path), 0o664)
    except OSError as error:
        raise Problem(f"cannot store the style: {(error.strerror or str(error)).lower()}") from error


def _checked(path: Path) -> Bundle:
    """The bundle at `path`. Raises BundleError without its path, which is a temporary one."""
    try:
        return bundle.read(path)
    except BundleError as error:
        raise BundleError(str(error).replace(f"{path}: ", "")) from None


def _check_room(folder: Path, size: int) -> None:
    disk = os.statvfs(str(folder))
    free = disk.f_bavail * disk.f_frsize
    if free < size + _ROOM:
        raise Problem(f"the disk is too full: {free / 1e6:.0f} MB are free: delete a style first")


def _text(request: Message, key: str) -> str:
    value = request.get(key)
    if not isinstance(value, str) or not 0 < len(value) <= 255:
        raise Problem(f"{key} must be a name")
    return value


def _name(text: str) -> str:
    """The name of a style. Raises Problem for anything that could be a path."""
    if os.sep in text or text.endswith(SUFFIX):
        raise Problem(f"{text[:64]} is not the name of a style")
    return text
