"""A display that shows nothing: for measuring, and for trying a style."""

from ..frames import Frame


class NoDisplay:
    def show(self, frame: Frame) -> None:
        pass

    def finish(self) -> None:
        pass

    def discard(self) -> None:
        pass
