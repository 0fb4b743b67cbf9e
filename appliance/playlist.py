"""The playlist: which style is shown next, and when."""

import random
from pathlib import Path
from typing import Callable, List, Optional

from . import config
from .errors import BundleError, Problem
from .host import systemd
from .snapshot import Snapshot
from .style import state, store


class Playlist:
    """`settings` and `snapshot` return the current ones. `chance` shuffles."""

    def __init__(
        self,
        settings: Callable[[], config.Settings],
        snapshot: Callable[[], Snapshot],
        chance: Optional[random.Random] = None,
    ):
        self._settings, self._snapshot, self._chance = settings, snapshot, chance or random.Random()
        self._deck: List[str] = []  # names of files, in the order in which they are shown
        self._latest = ""  # the file whose turn it was last
        self._shown, self._since = "", 0.0  # the digest of the style that runs, and since when

    def look(self, now: float) -> None:
        """Show the next style when it is time. `now` is on the clock of time.monotonic."""
        style, every = self._snapshot().style, self._settings().style.seconds
        digest = style.digest if style else ""
        if digest != self._shown:
            self._shown, self._since = digest, now
        elif style and every and _is_free(self._snapshot().pinned) and now - self._since >= every:
            self._since = now  # if it fails, the next attempt waits as long
            try:
                self.turn(1)
            except Problem as problem:
                systemd.log(f"playlist: {problem}", systemd.WARNING)

    def turn(self, step: int) -> str:
        """Show the next style (1) or the previous one (-1), also in place of a pinned one. Returns its name.

        Raises Problem when there is no other.
        """
        style, snapshot = self._settings().style, self._snapshot()
        folder = Path(style.folder)
        deck = self._dealt(sorted(path.name for path in store.paths([folder])), style.order == "shuffle")
        files = [name for name in deck if name not in snapshot.reasons]
        current = snapshot.style
        for place in range(len(files)):
            file = files[(self._place(files) + (place + 1) * step) % len(files)]
            try:
                found = store.load(folder / file)
            except BundleError:
                continue
            if current is None or found.digest != current.digest:
                self._latest = file
                return self._choose(found.name)
        raise Problem("there is no other style: add one")

    def _choose(self, name: str) -> str:
        style, free = self._settings().style, _is_free(self._snapshot().pinned)
        field = "turn" if style.seconds and free else "pinned"
        state.change(Path(style.folder), lambda now: now.changed(**{field: name}))
        return name

    def _place(self, files: List[str]) -> int:
        """The index of the running style in `files`; -1 when it is not there."""
        style = self._snapshot().style
        named = [f"{style.name}.reconet"] if style else []
        return next((files.index(one) for one in named + [self._latest] if one in files), -1)

    def _dealt(self, files: List[str], shuffle: bool) -> List[str]:
        """`files` in the order of the deck. New ones come last; with `shuffle`, in random order."""
        kept = [name for name in self._deck if name in files]
        new = [name for name in files if name not in kept]
        if shuffle:
            self._chance.shuffle(new)
        self._deck = kept + new if shuffle else files
        return self._deck


def _is_free(pinned: Optional[str]) -> bool:
    return pinned in (None, state.NEWEST)
