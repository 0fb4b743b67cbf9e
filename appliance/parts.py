"""The parts that a pipeline joins, and what it needs of each. Whatever has these attributes fits in."""

import threading
from typing import Any, Generator, List, Optional, Sequence, Tuple

import numpy as np
from typing_extensions import Protocol

from .frames import Frame, Size


class Camera(Protocol):
    """Where frames come from.

    `live`: whether time presses, so that the latest frame wins; else every frame is kept. `fps`: nominal frames per
    second. `monotonic`: whether timestamps are on the clock of time.monotonic, so that latencies can be measured.

    `yuv_size`, (width, height) in pixels, is set by the pipeline, at any time and from any thread: the camera may then
    reduce its frames to YUV of that size, with `Frame.made_for` set to it. None asks for whole frames, (0, 0) for none
    in particular: they are dropped. A camera that gives whole frames only needs not look at it.
    """

    yuv_size: Optional[Size]

    @property
    def live(self) -> bool: ...

    @property
    def fps(self) -> float: ...

    @property
    def monotonic(self) -> bool: ...

    def frames(self, stop: threading.Event) -> Generator[Frame, None, None]:
        """The frames, until the source ends or `stop` is set. Closing the generator releases the source.

        Raises Problem for a bad source, at the frame where it shows.
        """


class Stylizer(Protocol):
    """What makes pictures of frames.

    Sizes are (width, height) in pixels, formats those of frames.py, `channels` those of the output. `stage_ms`:
    (stage, milliseconds) of the last frame, in order.
    """

    @property
    def input_size(self) -> Size: ...

    @property
    def input_format(self) -> str: ...

    @property
    def output_size(self) -> Size: ...

    @property
    def output_format(self) -> str: ...

    @property
    def channels(self) -> int: ...

    @property
    def stage_ms(self) -> Sequence[Tuple[str, float]]: ...

    def prepare(self, frame: np.ndarray) -> Any:
        """What `run` takes for `frame`, uint8 (H, W, 3). Called for frames in their order, while `run` may be busy."""

    def run(self, prepared: Any, out: np.ndarray) -> None:
        """Stylise what `prepare` returned into `out`, uint8 (H', W', channels)."""


class Display(Protocol):
    """Where stylised frames go. `formats`: the pixel formats that `show` takes."""

    @property
    def formats(self) -> Tuple[str, ...]: ...

    def show(self, frame: Frame) -> bool:
        """Show a frame. Returns False when it could not be seen. Raises Problem when its place cannot be written."""

    def finish(self) -> None:
        """Complete the output and put it in place. Raises Problem when that fails."""

    def discard(self) -> None:
        """Leave nothing behind."""


class Monitor(Display, Protocol):
    """A display that may come and go.

    `fault`: in one line, what is wrong with it, None while all is well. `mode`: what is in use, in words, and `size`,
    its (width, height) in pixels; None while there is no monitor.
    """

    @property
    def fault(self) -> Optional[str]: ...

    @property
    def mode(self) -> Optional[str]: ...

    @property
    def size(self) -> Optional[Size]: ...

    def connect(self) -> bool:
        """Look for the monitor. Returns whether it is there."""


class Interpreter(Protocol):
    """A TensorFlow Lite model, its tensors allocated: as much as this project uses of that class."""

    def get_input_details(self) -> List[Any]: ...

    def get_output_details(self) -> List[Any]: ...

    def tensor(self, tensor_index: int) -> Any:
        """A function that returns a view of the tensor, (1, H, W, C). No view may be alive during `invoke`."""

    def invoke(self) -> None:
        """Run the model once."""


class Style(Protocol):
    """A style's bundle, as far as the engine needs it. `manifest`: a style.manifest.Manifest; plans are those in it.

    Sizes are those of pictures, (width, height) in pixels.
    """

    @property
    def manifest(self) -> Any: ...

    def check_size(self, size: Size) -> None:
        """Raise Problem unless the style can be built for `size`."""

    def stored_size(self, plan: Any, device: str) -> Size:
        """The size for which the plan's segments for `device`, "CPU" or "TPU", are stored."""

    def build(self, plan: Any, size: Size) -> Sequence[bytes]:
        """The plan's segments for the CPU, .tflite files, in order, for `size`."""

    def compiled(self, plan: Any, size: Size) -> Sequence[bytes]:
        """The plan's segments for the Edge TPU, in order; none where it is not compiled for `size`."""

    def reach(self, segment: str) -> Optional[int]:
        """From how many rows above and below it the segment makes a row; None where that cannot be said."""


class Load(Protocol):
    """How a runtime makes an interpreter of `data`, a .tflite file's bytes. Its input has `height` rows, 0: as many as
    the file says."""

    def __call__(self, data: bytes, height: int = 0) -> Interpreter: ...
