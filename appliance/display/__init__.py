"""Where stylised frames go: one module a sink.

What a display is: parts.Display. Places that cannot be written raise Problem, at once where that can be known.
"""

import os
from typing import Any, Callable

from ..errors import Problem
from ..parts import Display


def open_display(spec: str, sound: Any = None, warn: Callable[[str], None] = lambda text: None) -> Display:
    """The display that `spec` names: "none", "monitor", a file that ends in .mp4, or a folder for PNG pictures.

    `sound`, a camera.sound.Sound, goes into an .mp4; `warn` gets one line when it cannot.
    """
    if spec == "none":
        from .none import NoDisplay

        return NoDisplay()
    if spec == "monitor":
        from .kms import KmsDisplay

        return KmsDisplay()
    suffix = os.path.splitext(spec)[1].lower()
    if suffix == ".mp4":
        from .video import VideoDisplay

        return VideoDisplay(spec, sound, warn)
    if suffix and not os.path.isdir(spec) and not spec.endswith(os.sep):
        raise Problem(f"cannot write {spec}: unknown kind {suffix!r}: name a .mp4 file, a folder for pictures, or none")
    from .pictures import PictureDisplay

    return PictureDisplay(spec)
