"""A folder of pictures as a display: frame_000001.png, frame_000002.png, ..."""

from PIL import Image

from ..errors import Problem
from ..files import FilePath, Pending, cannot_write
from ..frames import Frame


class PictureDisplay:
    """Makes the folder at `path`, which appears when it is complete. A folder that is not empty is refused."""

    formats = ("rgb",)
    draws = False
    one_size = False

    def __init__(self, path: FilePath):
        self._path = path
        self._folder = Pending(path, folder=True)
        self._folder.check_room()
        self._count = 0

    def show(self, frame: Frame) -> bool:
        self._count += 1
        name = f"frame_{self._count:06d}.png"
        try:
            # Level 1 is five times as fast as the default, and files are little larger.
            Image.fromarray(frame.pixels).save(str(self._folder.path / name), compress_level=1)
        except OSError as error:
            raise cannot_write(self._path, error) from error
        return True

    def finish(self) -> None:
        if not self._count:
            self.discard()
            raise Problem(f"cannot write {self._path}: there was no frame to show")
        self._folder.commit()

    def discard(self) -> None:
        self._folder.discard()
