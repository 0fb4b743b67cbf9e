"""Where stylised frames go: one module a sink.

What a display is: parts.Display. Places that cannot be written raise Problem, at once where that can be known.
"""

import os

from ..errors import Problem
from ..parts import Display


def open_display(spec: str) -> Display:
    """The display that `spec` names: "none", "monitor", a file that ends in .mp4, or a folder for PNG pictures."""
    if spec == "none":
        from .none import NoDisplay

        return NoDisplay()
    if spec == "monitor":
        from .kms import KmsDisplay

        return KmsDisplay()
    suffix = os.path.splitext(spec)[1].lower()
    if suffix == ".mp4":
        from .video import VideoDisplay

        return VideoDisplay(spec)
    if suffix and not os.path.isdir(spec) and not spec.endswith(os.sep):
        raise Problem(f"cannot write {spec}: unknown kind {suffix!r}: name a .mp4 file, a folder for pictures, or none")
    from .pictures import PictureDisplay

    return PictureDisplay(spec)
