"""Where frames come from: one module a source.

A camera has `live` (whether time presses: the latest frame wins, or every frame is kept), `fps` (nominal), and
`frames(stop)`, which yields `Frame`s of its native size until its end or until the event `stop` is set, and which
releases the source when it is closed. Bad sources raise Problem, when opened or at the frame where it shows.
"""

import os

from ..errors import Problem


def open_camera(spec: str, every_frame: bool = False):
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
