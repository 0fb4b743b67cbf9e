"""A display that shows nothing: for measuring, and for trying a style."""

from typing import Optional

from ..frames import Frame, Size


class NoDisplay:
    formats = ("rgb", "bgrx")
    draws = False

    def show(self, frame: Frame) -> bool:
        return True

    def finish(self) -> None:
        pass

    def discard(self) -> None:
        pass


class NoMonitor(NoDisplay):
    """In the place of a monitor, for a daemon that is seen through its socket only. `size` is that of its slates."""

    fault: Optional[str] = None
    mode: Optional[str] = "none"

    def __init__(self, size: Optional[Size] = None):
        self.size: Optional[Size] = size or (1280, 720)

    def connect(self) -> bool:
        return True
