"""A display that shows nothing: for measuring, and for trying a style."""

from ..frames import Frame


class NoDisplay:
    formats = ("rgb", "bgrx")

    def show(self, frame: Frame) -> bool:
        return True

    def finish(self) -> None:
        pass

    def discard(self) -> None:
        pass
