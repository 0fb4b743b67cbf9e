"""The picture as JPEG, shared by all viewers, and taken from the daemon only while there are any."""

import contextlib
import io
import threading
import time
from pathlib import Path
from typing import Any, Iterator, Optional, Tuple

from PIL import Image

from ..errors import Problem
from ..wire import Line
from .guard import Refused

_QUALITY = 80
_AGAIN_S = 1.0  # until another try when the daemon did not answer
_MODES = {"rgb": "RGB", "bgrx": "BGRX"}


class Picture:
    """The daemon's picture, at most `fps` times a second, for up to `most` viewers."""

    def __init__(self, control: Path, fps: int, most: int = 16):
        self._control, self._pause, self._most = control, 1 / fps, most
        self._changed = threading.Condition()
        self._number, self._jpeg = 0, b""
        self._runs = False
        self.viewers = 0

    @contextlib.contextmanager
    def watched(self) -> Iterator[int]:
        """One more viewer, in the `with` block. Gives the number of the latest picture.

        Raises Refused when there are too many.
        """
        with self._changed:
            if self.viewers >= self._most:
                raise Refused(503, f"there are {self._most} viewers already", 5)
            self.viewers += 1
            if not self._runs:
                self._runs = True
                threading.Thread(target=self._take, name="picture", daemon=True).start()
            number = self._number
        try:
            yield number
        finally:
            with self._changed:
                self.viewers -= 1

    def next(self, after: int, seconds: float) -> Tuple[int, bytes]:
        """The number of the latest picture, and the picture, a JPEG. Waits up to `seconds` for a
        number above `after`.

        Returns the same picture again when there is no newer one, and b"" before the first.
        """
        with self._changed:
            self._changed.wait_for(lambda: self._number > after, seconds)
            return self._number, self._jpeg

    def _take(self) -> None:
        due = time.monotonic()
        while self._is_wanted():
            try:
                with Line(self._control) as line:
                    while self._is_wanted():
                        time.sleep(max(0.0, due - time.monotonic()))
                        due = max(due, time.monotonic() - self._pause) + self._pause
                        jpeg = encoded(line.ask("frame"))
                        if jpeg:
                            with self._changed:
                                self._number, self._jpeg = self._number + 1, jpeg
                                self._changed.notify_all()
            except Problem:
                time.sleep(_AGAIN_S)

    def _is_wanted(self) -> bool:
        with self._changed:
            self._runs = self.viewers > 0
            return self._runs


def encoded(frame: Any) -> Optional[bytes]:
    """The daemon's answer to "frame" as a JPEG; None when there was no frame."""
    if "data" not in frame:
        return None
    size, mode = (int(frame["width"]), int(frame["height"])), _MODES[frame["format"]]
    out = io.BytesIO()
    Image.frombuffer("RGB", size, frame["data"], "raw", mode, 0, 1).save(out, "JPEG", quality=_QUALITY)
    return out.getvalue()
