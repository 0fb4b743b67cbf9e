"""Where frames come from: one module per source.

Cameras have the interface parts.Camera. A bad source raises Problem, when it is opened or at the first bad frame.
"""

import os
import stat
from typing import Callable, Optional

from ..errors import Problem
from ..parts import Camera


def open_camera(spec: str, every_frame: bool = False, skip: Optional[Callable[[Problem], None]] = None) -> Camera:
    """The camera that `spec` names: "virtual", a folder of pictures, a picture, a video file, a device in /dev,
    or "csi", the camera on a Raspberry Pi's ribbon cable.

    With `every_frame` the virtual camera is not paced, and no frame is dropped. `skip` is called with the Problem of an
    unreadable picture, see PictureCamera. A device must exist now; later it may be unplugged and replugged.
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
    """Whether `spec` is a device, or is the path of an absent one."""
    try:
        mode = os.stat(spec).st_mode
    except (OSError, ValueError):
        return spec.startswith("/dev/")
    return stat.S_ISCHR(mode)
