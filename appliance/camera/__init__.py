"""Where frames come from: one module a source.

What a camera is: parts.Camera. Bad sources raise Problem, when opened or at the frame where it shows.
"""

import os
import stat
from typing import Callable, Optional

from ..errors import Problem
from ..parts import Camera


def open_camera(spec: str, every_frame: bool = False, skip: Optional[Callable[[Problem], None]] = None) -> Camera:
    """The camera that `spec` names: "virtual", a folder of pictures, a picture, a video file, a device in /dev,
    or "csi", a Raspberry Pi's ribbon cable.

    `every_frame` keeps a live source from being paced: no frame is dropped. `skip`, see PictureCamera, gets what is
    wrong with a picture among others. A device has to be there now; later it may come and go.
    """
    if spec == "virtual":
        from .virtual import VirtualCamera

        return VirtualCamera(paced=not every_frame)
    if spec == "csi":
        from .picamera2 import Picamera

        return Picamera()
    if _is_device(spec):
        from .stream import Stream, explained
        from .v4l2 import V4l2Camera, Wanted

        with explained(spec):
            Stream(spec).close()
        return V4l2Camera(Wanted(spec))
    if not os.path.exists(spec):
        raise Problem(f"no video or folder of pictures at {spec}: check the path, or use --camera virtual")
    from .pictures import PictureCamera, is_picture

    if os.path.isdir(spec) or is_picture(spec):
        return PictureCamera(spec, skip)
    from .video import VideoCamera

    return VideoCamera(spec)


def _is_device(spec: str) -> bool:
    """Whether `spec` is a device, or would be if it were there."""
    try:
        mode = os.stat(spec).st_mode
    except (OSError, ValueError):
        return spec.startswith("/dev/")
    return stat.S_ISCHR(mode)
