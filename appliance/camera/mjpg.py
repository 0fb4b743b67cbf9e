"""Decoding the JPEG pictures of webcams, with libjpeg-turbo, directly to Y, U and V instead of RGB."""

import warnings
from typing import Any, Optional

import numpy as np

from ..errors import Problem
from ..frames import Size
from .planar import Planar

_GREY, _PIXEL_GREY = 3, 6  # TJSAMP_GRAY and TJPF_GRAY of turbojpeg.h
_PADDING = 4096  # bytes at most that a camera appends after the end of a picture
_SCALES = (4, 2)  # by which the decoder can reduce a picture faster than it decodes the whole one


def decoder() -> Any:
    """A decoder, for one thread. Raises Problem when there is none on this machine."""
    try:
        from turbojpeg import TurboJPEG

        # It warns of pictures that decode nevertheless. Truncated ones are detected below.
        warnings.filterwarnings("ignore", module="turbojpeg")
        return TurboJPEG()
    except (ImportError, OSError, RuntimeError, AttributeError) as error:
        raise Problem(
            "MJPG cameras need PyTurboJPEG and libturbojpeg: pip install 'PyTurboJPEG>=1.7,<2', "
            "apt install libturbojpeg0"
        ) from error


def scale(camera: Size, factor: int) -> int:
    """The divisor of `factor` by which the decoder can reduce pictures of size `camera`: 1, 2 or 4."""
    fitting = (each for each in _SCALES if factor % each == 0 and not any(side % (4 * each) for side in camera))
    return next(fitting, 1)


def decoded(turbo: Any, jpeg: np.ndarray, camera: Size, reduced: int = 1) -> Optional[Planar]:
    """The picture in `jpeg`, uint8 (bytes,), reduced by `reduced` from its size `camera`.

    None when the picture is damaged, truncated or of another size, as happens after bus errors.
    """
    if b"\xff\xd9" not in jpeg[-_PADDING:].tobytes():
        return None
    try:
        width, height, subsampling, _ = turbo.decode_header(jpeg)
        if (width, height) != camera:
            return None
        if subsampling == _GREY:  # PyTurboJPEG cannot decode it to planes
            planes = [turbo.decode(jpeg, _PIXEL_GREY, (1, reduced))[..., 0]]
            planes += [np.full((height // reduced // 2, width // reduced // 2), 128, np.uint8)] * 2
        else:
            planes = turbo.decode_to_yuv_planes(jpeg, (1, reduced))
    except (OSError, ValueError):
        return None
    picture = Planar(planes[0], tuple(plane[..., np.newaxis] for plane in planes[1:]))
    return picture if max(picture.shared) <= 2 else None
