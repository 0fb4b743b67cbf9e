"""What people see: the stylised picture, with a caption over it for a while, or a slate in its place."""

import threading
import time
from dataclasses import replace
from typing import Callable, Optional, Tuple

import numpy as np
from PIL import Image

from ..frames import Frame, Size
from ..memory import Memory
from ..parts import Monitor
from .slate import caption, slate

_Slate = Tuple[Size, str, str, float]  # size, title, text, brightness

_LARGEST = 1280  # pixels across a slate: a larger one looks no better


class Announcer:
    """A display for the pipeline, on `monitor`. All but `show` may be called from any thread.

    `shown(seen)` is called after each picture or slate; `seen` says whether it reached the monitor. It is not called
    for a failure that the monitor's `fault` does not explain. `notice` is a caption for as long as it is not None.
    `slate` is the one on the screen, (title, text); None while there is a picture. `brightness` of slates: 0 to 1.
    `fades`: seconds in which one style's picture fades into the next one's, see `fade`.
    `watch` gets each picture and slate that is made, whether or not there is a monitor.
    """

    formats = ("rgb", "bgrx")

    def __init__(self, monitor: Monitor, shown: Callable[[bool], None] = lambda seen: None):
        self.notice: Optional[str] = None
        self.slate: Optional[Tuple[str, str]] = None
        self.brightness, self.fades = 1.0, 0.0
        self._latest: Optional[Frame] = None  # the last picture, kept where it may be faded out
        self._fading: Optional[Tuple[Frame, float]] = None  # the picture that fades out, and since when
        self.watch: Callable[[Frame], None] = lambda frame: None
        self._monitor, self._shown, self._memory = monitor, shown, Memory()
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
        """The monitor in use, in words."""
        return self._monitor.mode

    @property
    def draws(self) -> bool:
        """Whether frames may be yet to be drawn. Captions, fades and who watches draw them into memory of their own."""
        return self._monitor.draws

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
            frame = self._faded(frame)
            frame = self._captioned(frame, text) if text else frame
            self.watch(frame)
            seen = self._monitor.show(frame)
            if seen:
                self.slate, self._last_picture, self._drawn = None, time.monotonic(), None
        self._report(seen)
        return seen

    def caption(self, text: str, seconds: float) -> None:
        """Show `text` over the picture for `seconds`."""
        self._caption = text, time.monotonic() + seconds

    def fade(self) -> None:
        """What is shown from now on is another style: let the last picture fade into it."""
        with self._lock:
            self._fading = (self._latest, time.monotonic()) if self._latest and self.fades else None

    def show_slate(self, title: str, text: str = "", black: bool = False) -> bool:
        """Show a slate in place of the picture, until the next one. `black`: without its words.

        Returns whether it is on the screen.
        """
        with self._lock:
            self._latest = self._fading = None
            return not self._closed and self._show_slate(title, text, black)

    def swap(self, monitor: Monitor) -> None:
        """Continue on another monitor. The previous one is released."""
        with self._lock:
            self._monitor.finish()
            self._monitor = monitor

    def close(self, title: str) -> None:
        """Show a last slate, and nothing after it."""
        with self._lock:
            if not self._closed:
                self._show_slate(title, "")
            self._closed = True

    def release(self) -> None:
        """Release the monitor."""
        with self._lock:
            self._closed = True
            self._monitor.finish()

    def finish(self) -> None:
        """Do nothing: a last slate may follow the pipeline's end."""

    discard = finish

    def _report(self, seen: bool) -> None:
        if seen or self._monitor.fault:
            self._shown(seen)

    def _captioned(self, frame: Frame, text: str) -> Frame:
        whole = frame.whole(self._memory.array)
        return replace(whole, pixels=caption(whole.pixels.copy(), text))

    def _faded(self, frame: Frame) -> Frame:
        """`frame`, with what is left of the picture that fades out."""
        if self._fading:
            before, since = self._fading
            part = (time.monotonic() - since) / self.fades if self.fades else 1.0
            alike = before.format == frame.format and before.pixels.shape == frame.pixels.shape
            if part < 1 and alike:
                before, frame = (each.whole(self._memory.array) for each in (before, frame))
                self._latest, self._fading = before, (before, since)  # no longer of the old network
                mixed = Image.blend(Image.fromarray(before.pixels), Image.fromarray(frame.pixels), part)
                return replace(frame, pixels=np.asarray(mixed))
            self._fading = None
        self._latest = frame if self.fades else None
        return frame

    def _show_slate(self, title: str, text: str, black: bool = False) -> bool:
        size = self._monitor.size if self._monitor.connect() else None
        if size is None:
            self._report(False)
            return False
        width, height = size
        shrink = -(-width // _LARGEST)
        wanted = (width // shrink, height // shrink), title, text, 0.0 if black else self.brightness
        if self._drawn is None or wanted != self._drawn[0]:
            self._drawn = wanted, (slate(*wanted[:3]) * wanted[3]).astype(np.uint8)
        frame = Frame(self._drawn[1], time.monotonic(), 0, "bgrx")
        self.watch(frame)
        seen = self._monitor.show(frame)
        if seen:
            self.slate = title, text
        self._report(seen)
        return seen
