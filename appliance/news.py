"""What the switcher says: a snapshot for other threads, words on the screen, lines in the journal."""

import time
from typing import Any, Callable, Optional

from .host import systemd
from .snapshot import Slate, Snapshot

_REFUSED = 16  # reasons that are remembered
_REASON_S = 8.0


class News:
    """`tell(text, seconds)` reaches the screen. `snapshot` is the latest, for any thread."""

    def __init__(self, snapshot: Snapshot, tell: Callable[[str, float], None]):
        self.snapshot, self.tell = snapshot, tell
        self._warned: Optional[str] = None

    def publish(self, **changes: Any) -> None:
        self.snapshot = self.snapshot._replace(**changes)

    def busy(self, seconds: float) -> None:
        """A slate stands for work that may take so long from now on."""
        if self.snapshot.slate:
            self.publish(slate=self.snapshot.slate._replace(until=time.monotonic() + seconds))

    def rest(self) -> None:
        """The work is done: a slate holds."""
        if self.snapshot.slate:
            self.publish(slate=self.snapshot.slate._replace(until=None))

    def refuse(self, name: str, reason: str) -> None:
        """The file `name` is no style that runs."""
        self.take_back(name)
        self.publish(refused=(self.snapshot.refused + ((name, reason),))[-_REFUSED:])
        self.say(f"refused: {reason}", systemd.WARNING)
        if self.snapshot.style is None and not self.snapshot.waiting:
            self.publish(slate=Slate("Style refused", reason))

    def take_back(self, name: str) -> None:
        """What was said against the file `name` does not hold any more."""
        self.publish(refused=tuple(one for one in self.snapshot.refused if one[0] != name))

    def warn(self, text: str) -> None:
        """A line in the journal, unless it is the same as the last."""
        if text != self._warned:
            self._warned = text
            systemd.log(text, systemd.WARNING)

    def say(self, text: str, priority: int) -> None:
        """On the screen and in the journal."""
        self.tell(text, _REASON_S)
        systemd.log(text, priority)
