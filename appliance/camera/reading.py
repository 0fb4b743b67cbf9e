"""Reads the pixels of a stream's pictures, in any of its formats."""

from typing import Any, Optional

import numpy as np

from ..frames import Size
from .mjpg import decoded, decoder, scale
from .planar import PlanarReducer, as_yuyv
from .sizes import way
from .stream import Stream
from .thin import Reducer, Thinner
from .yuyv import yuyv_to_rgb


class Reader:
    """Reads the pictures of `stream`; `mirror` swaps left and right. For one thread."""

    def __init__(self, stream: Stream, mirror: bool):
        self._stream, self._mirror = stream, mirror
        self._turbo = decoder() if stream.pixels == "MJPG" else None
        self._reduced: Optional[Reducer] = None
        self._scale = 1  # by which the decoder reduces

    def rgb(self, buffer: Any, out: np.ndarray) -> bool:
        """Convert the picture in a filled v4l2_buffer to RGB, uint8 (H, W, 3). False when it is damaged."""
        picture = self._picture(buffer, 1)
        if picture is None:
            return False
        if self._stream.pixels == "UYVY":
            picture = picture[..., ::-1]
        elif self._stream.pixels != "YUYV":
            picture = as_yuyv(picture)
        yuyv_to_rgb(picture, out, self._stream.colour)
        if self._mirror:
            out[:] = out[:, ::-1].copy()
        return True

    def yuv(self, buffer: Any, out: np.ndarray) -> bool:
        """Reduce the picture in a filled v4l2_buffer to YUV, uint8 (h, w, 3). False when it is damaged."""
        size = out.shape[1], out.shape[0]
        if self._reduced is None or self._reduced.network != size:
            self._reduced = self._reducer(size)
        picture = self._picture(buffer, self._scale)
        if picture is None:
            return False
        self._reduced(picture, out)
        return True

    def _reducer(self, network: Size) -> Reducer:
        stream, full_range = self._stream, self._stream.colour.full_range
        if stream.pixels in ("YUYV", "UYVY"):
            return Thinner(stream.size, network, self._mirror, full_range, stream.pixels == "UYVY")
        self._scale = scale(stream.size, way(stream.size, network).factor) if self._turbo else 1
        camera = stream.size[0] // self._scale, stream.size[1] // self._scale
        return PlanarReducer(camera, network, self._mirror, full_range)

    def _picture(self, buffer: Any, scale: int) -> Any:
        picture = self._stream.pictures[buffer.index]
        return decoded(self._turbo, picture[: buffer.bytesused], self._stream.size, scale) if self._turbo else picture
