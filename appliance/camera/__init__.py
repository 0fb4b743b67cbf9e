"""Where frames come from: one module a source.

What a camera is: parts.Camera. Bad sources raise Problem, when opened or at the frame where it shows.
"""

import os

from ..errors import Problem
from ..parts import Camera


def open_camera(spec: str, every_frame: bool = False) -> Camera:
    """The camera that `spec` names: "virtual", a folder of pictures, a picture, a video file, or a device in /dev.

    `every_frame` keeps a live source from being paced: no frame is dropped.
    """
    if spec == "virtual":
        from .virtual import VirtualCamera

        return VirtualCamera(paced=not every_frame)
    if spec.startswith("/dev/"):
        from .v4l2 import V4l2Camera, Wanted

        return V4l2Camera(Wanted(spec))
    if not os.path.exists(spec):
        raise Problem(f"no video or folder of pictures at {spec}: check the path, or use --camera virtual")
    from .pictures import PictureCamera, is_picture

    if os.path.isdir(spec) or is_picture(spec):
        return PictureCamera(spec)
    from .video import VideoCamera

    return VideoCamera(spec)
