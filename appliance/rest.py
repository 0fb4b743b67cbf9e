"""Times when nothing is shown on purpose: the picture is switched off, or it is quiet hours."""

import threading
import time
from typing import Callable, Optional

from . import config
from .display.announcer import Announcer
from .engine.stylizer import Stylizer
from .pipeline import Pipeline
from .snapshot import Snapshot


class Rest:
    """Runs the style that was swapped in last, except in times of rest. `begin` is called before it runs.

    `reason` says why nothing is shown; None while a picture is shown.
    """

    def __init__(
        self, pipeline: Pipeline, screen: Announcer, snapshot: Callable[[], Snapshot], begin: Callable[[], None]
    ):
        self.reason: Optional[str] = None
        self._pipeline, self._screen, self._snapshot, self._begin = pipeline, screen, snapshot, begin
        self._stylizer: Optional[Stylizer] = None
        self._digest: Optional[str] = None
        self._lock = threading.Lock()

    def swap(self, stylizer: Optional[Stylizer]) -> None:
        """Run this style from now on. If it is a different one, the last picture fades into its first."""
        style = self._snapshot().style
        digest = style.digest if style else None
        with self._lock:
            if stylizer and self._stylizer and digest != self._digest:
                self._screen.fade()
            self._stylizer, self._digest = stylizer, digest
            self._run()

    def look(self, settings: config.Settings) -> None:
        """Begin or end a rest if it is time to."""
        reason = reason_to_rest(settings, self._snapshot())
        with self._lock:
            before, self.reason = self.reason, reason
            if bool(before) != bool(reason):
                self._run()

    def _run(self) -> None:
        self._begin()
        self._pipeline.stylizer = None if self.reason else self._stylizer


def reason_to_rest(
    settings: config.Settings, snapshot: Snapshot, now: Optional[time.struct_time] = None
) -> Optional[str]:
    """Why nothing should be shown now, in words; None when a picture should be. `now` is local time."""
    if snapshot.off:
        return "It is switched off."
    hours = settings.style.hours
    if hours is None:
        return None
    local = now or time.localtime()
    minute, (begin, end) = 60 * local.tm_hour + local.tm_min, hours
    quiet = begin <= minute < end if begin <= end else minute >= begin or minute < end
    return f"Quiet hours, until {end // 60}:{end % 60:02}." if quiet else None
