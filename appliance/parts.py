"""Protocols of the parts that a pipeline joins. Any object with these attributes will do."""

import threading
from typing import Any, Generator, List, Optional, Sequence, Tuple

import numpy as np
from typing_extensions import Protocol

from .frames import Frame, Size


class Camera(Protocol):
    """Where frames come from.

    `live`: True drops frames that nobody has time for, False keeps every frame. `fps`: nominal frames per second.
    `monotonic`: whether timestamps are on the clock of time.monotonic, so that latencies can be measured.

    The pipeline sets `yuv_size`, (width, height) in pixels, at any time and from any thread. The camera may then reduce
    its frames to YUV of that size and set `Frame.made_for` to it. None asks for whole frames. (0, 0) says that frames
    are dropped at present. A camera that always gives whole frames may ignore it.
    """

    yuv_size: Optional[Size]

    @property
    def live(self) -> bool: ...

    @property
    def fps(self) -> float: ...

    @property
    def monotonic(self) -> bool: ...

    def frames(self, stop: threading.Event) -> Generator[Frame, None, None]:
        """Yield frames until the source ends or `stop` is set. Closing the generator releases the source.

        Raises Problem for a bad source, at the first frame affected.
        """


class Stylizer(Protocol):
    """Stylises frames in three steps, each in its own thread: `prepare`, `run`, and `settle` with `finish`.

    Sizes are (width, height) in pixels, formats those of frames.py; `channels` is the output's. `stage_ms`: (stage,
    milliseconds) of the last run, in order.
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
        """What `run` takes for `frame`, uint8 (H, W, 3). Called for frames in order, also while `run` is busy."""

    def run(self, prepared: Any) -> Any:
        """Run the network on what `prepare` returned; returns what `finish` takes, or a Future of it."""

    def settle(self, drawn: Any) -> Any:
        """What `finish` takes, from what `run` returned. Called for frames in order."""

    def finish(self, settled: Any, out: np.ndarray) -> None:
        """Write what `settle` returned to `out`, uint8 (H', W', channels). Called any number of times until the next
        `settle`."""


class Display(Protocol):
    """Where stylised frames go. `formats`: the pixel formats that `show` takes. `draws`: whether it takes frames that
    are yet to be drawn, see Frame."""

    @property
    def formats(self) -> Tuple[str, ...]: ...

    @property
    def draws(self) -> bool: ...

    def show(self, frame: Frame) -> bool:
        """Show a frame. Returns False when it is not visible. Raises Problem when it cannot be written."""

    def finish(self) -> None:
        """Complete the output and move it into place. Raises Problem when that fails."""

    def discard(self) -> None:
        """Leave nothing behind."""


class Monitor(Display, Protocol):
    """A display that may come and go.

    `fault`: one line that says what is wrong, or None. `mode`: the mode in use, in words. `size`: (width, height) in
    pixels. Both are None while there is no monitor.
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
    """A TensorFlow Lite interpreter with its tensors allocated: the methods that this project uses."""

    def get_input_details(self) -> List[Any]: ...

    def get_output_details(self) -> List[Any]: ...

    def tensor(self, tensor_index: int) -> Any:
        """A function that returns a view of the tensor, (1, H, W, C). No view may be alive during `invoke`."""

    def invoke(self) -> None:
        """Run the model once."""


class Style(Protocol):
    """A style's bundle, as the engine sees it. `manifest`: a style.manifest.Manifest; plans are from it.

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
        """From how many rows above and below an output row of the segment is computed; None where that is unknown."""


class Load(Protocol):
    """Makes an interpreter of `data`, the bytes of a .tflite file. Its input has `height` rows; 0: as in the file."""

    def __call__(self, data: bytes, height: int = 0) -> Interpreter: ...
