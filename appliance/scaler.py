"""FFmpeg's scaler: the size, the format and the colours of a film's frames, changed in one pass. Needs PyAV."""

from typing import Any, Dict, Optional

from .frames import Size

BT601, BT709 = "ITU601", "ITU709"  # PyAV's names


class Scaler:
    """Scales frames for one thread. It is kept from frame to frame: making its tables takes as long as a frame."""

    def __init__(self) -> None:
        import av
        from av.video.reformatter import VideoReformatter

        self._reformat: Any = VideoReformatter().reformat
        # The network has the other cores. Before PyAV 17 there was only one thread.
        self._options: Dict[str, int] = {"threads": 1} if int(av.__version__.split(".")[0]) >= 17 else {}

    def __call__(
        self, picture: Any, pixels: str, size: Size, source: Optional[str] = None, target: Optional[str] = None
    ) -> Any:
        """PyAV's `picture` in FFmpeg's pixel format `pixels`, of `size` (width, height), limited range if it is YUV.

        `source` and `target` are the colour matrices before and after, BT601 or BT709; None: what the picture says.
        """
        return self._reformat(picture, *size, pixels, source, target, None, None, "MPEG", **self._options)
