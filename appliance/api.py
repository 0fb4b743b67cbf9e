"""The appliance's styles for other programs: a picture or a film in, painted pictures out.

from appliance import Style
painted = Style("udnie")(photograph)
"""

import contextlib
import threading
from pathlib import Path
from typing import Iterator, Optional, Union

import numpy as np

from .camera import open_camera
from .frames import Frame, Size, converted, cover
from .shapes import Shapes
from .style import store


class Style:
    """A style, ready to paint. Not for several threads at once.

    `name`: the name of a style that `reconet styles` lists, or the path of a .reconet file; None takes the default.
    `size`: the largest (width, height), in pixels, to paint at; None: up to 1.5 times the pixels that the style is
    stored for, and never more than the picture has. `threads`: of the CPU, 0 for one per CPU.
    Raises appliance.errors.Problem, one line of text, when there is no such style, or none of that size.
    """

    def __init__(self, name: Optional[Union[str, Path]] = None, size: Optional[Size] = None, threads: int = 0):
        bundle = store.find(name)
        self.name, self.title = bundle.name, bundle.manifest.title
        self._shapes = Shapes(bundle, size, threads=threads)

    def __call__(self, picture: np.ndarray) -> np.ndarray:
        """Paint one picture by itself: RGB, uint8 (H, W, 3) of 0 to 255 in, the same (H', W', 3) out, in the picture's
        shape. Raises ValueError for another array."""
        picture = np.asarray(picture)
        if picture.dtype != np.uint8 or picture.ndim != 3 or picture.shape[2] != 3 or not picture.size:
            raise ValueError(
                f"a picture is an array of uint8, (height, width, 3): this one is of {picture.dtype}, {picture.shape}"
            )
        stylizer = self._shapes(Frame(picture, 0.0, 0))
        stylizer.reset()
        return stylizer.draw(picture)

    def film(self, path: Union[str, Path], seconds: Optional[float] = None) -> Iterator[Frame]:
        """Paint a film or a folder of pictures, frame by frame: each one's `pixels` as from a call, its `timestamp` and
        `duration` (None where it is unknown) in seconds of the source, `index` from 0. Frames are steady from one to
        the next. It ends with the source, or after `seconds` of it. Raises Problem, at the frame where it shows.
        """
        camera = open_camera(str(path), every_frame=True)
        start: Optional[float] = None
        stylizer = None
        with contextlib.closing(camera.frames(threading.Event())) as frames:
            for frame in frames:
                start = frame.timestamp if start is None else start
                if seconds is not None and frame.timestamp - start >= seconds:
                    return
                before, stylizer = stylizer, self._shapes(frame)
                if stylizer is not before:
                    stylizer.reset()
                width, height = stylizer.output_size
                out = np.empty((height, width, stylizer.channels), np.uint8)
                stylizer.stylize(
                    converted(cover(frame.pixels, stylizer.input_size), frame.format, stylizer.input_format), out
                )
                yield Frame(
                    converted(out, stylizer.output_format, "rgb"), frame.timestamp, frame.index, duration=frame.duration
                )
