"""What people see: the stylised picture, with words over it for a while, or a slate in its place."""

import threading
import time
from dataclasses import replace
from typing import Callable, Optional, Tuple

import numpy as np

from ..frames import Frame, Size
from ..parts import Monitor
from .slate import caption, slate

_Slate = Tuple[Size, str, str]  # size, title, text

_LARGEST = 1280  # pixels across a slate: larger ones look no better


class Announcer:
    """A display, as the pipeline wants it, on `monitor`; the rest may be called from any thread.

    `shown(seen)` is called after each picture or slate: `seen` says whether it reached the monitor. It is not called
    when that failed and the monitor has no `fault` that says why. `notice` stands over the picture as long as it is not
    None. `said` is the slate on the screen, (title, text), and None while there is a picture.
    """

    formats = ("rgb", "bgrx")

    def __init__(self, monitor: Monitor, shown: Callable[[bool], None] = lambda seen: None):
        self.notice: Optional[str] = None
        self.said: Optional[Tuple[str, str]] = None
        self._monitor, self._shown = monitor, shown
        self._caption = "", 0.0  # its text, and until when it is shown
        self._drawn: Optional[Tuple[_Slate, np.ndarray]] = None  # the latest slate, and its pixels
        self._last_picture: Optional[float] = None
        self._closed = False
        self._lock = threading.Lock()

    @property
    def fault(self) -> Optional[str]:
        """Why nothing can be seen, in one line."""
        return self._monitor.fault

    @property
    def mode(self) -> Optional[str]:
        """The monitor in use, for people."""
        return self._monitor.mode

    @property
    def silence(self) -> float:
        """Seconds since the last picture; infinite before the first."""
        last = self._last_picture
        return time.monotonic() - last if last is not None else float("inf")

    def show(self, frame: Frame) -> bool:
        with self._lock:
            if self._closed:
                return False
            caption_text, until = self._caption
            text = caption_text if time.monotonic() < until else self.notice
            seen = self._monitor.show(replace(frame, pixels=caption(frame.pixels.copy(), text)) if text else frame)
            if seen:
                self.said, self._last_picture, self._drawn = None, time.monotonic(), None
        self._report(seen)
        return seen

    def caption(self, text: str, seconds: float) -> None:
        """Put `text` over the picture for a while."""
        self._caption = text, time.monotonic() + seconds

    def say(self, title: str, text: str = "") -> bool:
        """Show words in place of the picture, until the next one. Returns whether they can be seen."""
        with self._lock:
            return not self._closed and self._say(title, text)

    def swap(self, monitor: Monitor) -> None:
        """Go on with another monitor. The one before is released."""
        with self._lock:
            self._monitor.finish()
            self._monitor = monitor

    def close(self, title: str) -> None:
        """Say a last word and show nothing more."""
        with self._lock:
            if not self._closed:
                self._say(title, "")
            self._closed = True

    def release(self) -> None:
        """Give the monitor back."""
        with self._lock:
            self._closed = True
            self._monitor.finish()

    def finish(self) -> None:
        """Nothing: there may be a last word to say after the pipeline's end."""

    discard = finish

    def _report(self, seen: bool) -> None:
        if seen or self._monitor.fault:
            self._shown(seen)

    def _say(self, title: str, text: str) -> bool:
        size = self._monitor.size if self._monitor.connect() else None
        if size is None:
            self._report(False)
            return False
        width, height = size
        shrink = -(-width // _LARGEST)
        wanted = (width // shrink, height // shrink), title, text
        if self._drawn is None or wanted != self._drawn[0]:
            self._drawn = wanted, slate(*wanted)
        seen = self._monitor.show(Frame(self._drawn[1], time.monotonic(), 0, "bgrx"))
        if seen:
            self.said = title, text
        self._report(seen)
        return seen
