"""The pipeline: camera -> stylizer -> display, three threads on single-slot mailboxes.

The thread that captures also prepares frames, and the one that shows finishes them; the one between runs the network.
"""

import statistics
import threading
import time
from collections import OrderedDict, deque
from concurrent.futures import Future
from dataclasses import replace
from typing import Any, Callable, ContextManager, Deque, Dict, NamedTuple, Optional, Tuple

import numpy as np

from .frames import Frame, Mailbox, Size, converted, cover
from .gate import Gate
from .memory import Memory
from .parts import Camera, Display, Stylizer

_REMEMBER = 600  # of the latest frames, for medians
_LATELY = 5.0  # seconds that `recent_fps` looks back
_MINUTE = 60.0
_FEW = 3  # frames that say nothing about the rate
_PATIENT_S = 10.0  # for a frame that the network computes
_UNSEEN = (0, 0)  # of frames that are dropped: making whole ones would hold up the loading of a style


class Counters:
    """How many frames passed each station, and how long they took there. Read from any thread."""

    def __init__(self) -> None:
        self.captured = self.stylised = self.shown = self.dropped = 0
        self._milliseconds: Dict[str, Deque[float]] = OrderedDict()
        self._first = self._last = 0.0  # when frames were shown
        self._times: Deque[float] = deque()  # when frames were shown, of the last minute and the one before
        self._from: Optional[float] = None
        self.reached = 0.0  # seconds of the source, from the first frame shown to the last
        self._runs: Deque[Tuple[float, float]] = deque(maxlen=_REMEMBER)  # when the network ran, and milliseconds

    def took(self, stage: str, milliseconds: float) -> None:
        self._milliseconds.setdefault(stage, deque(maxlen=_REMEMBER)).append(milliseconds)

    def ran(self, milliseconds: float) -> None:
        self._runs.append((time.monotonic(), milliseconds))

    def swapped(self) -> None:
        """Another network runs from now on."""
        self._runs.clear()

    def show(self, timestamp: float) -> None:
        self._from = timestamp if self._from is None else self._from
        self.reached = timestamp - self._from
        self._last = time.monotonic()
        if not self.shown:
            self._first = self._last
        self.shown += 1
        self._times.append(self._last)
        while len(self._times) > 1 and self._times[1] < self._last - _MINUTE:
            self._times.popleft()

    @property
    def fps(self) -> float:
        """Frames shown per second, from the first to the last; 0.0 while there are fewer than two."""
        shown, first, last = self.shown, self._first, self._last  # in this order: `show` counts last
        return (shown - 1) / (last - first) if shown > 1 and last > first else 0.0

    @property
    def running(self) -> float:
        """Seconds from the first frame shown to the last."""
        return max(0.0, self._last - self._first)

    @property
    def recent_fps(self) -> float:
        """Frames shown per second during the last 5 seconds."""
        now = time.monotonic()
        times = [shown for shown in list(self._times) if shown > now - _LATELY]
        return len(times) / min(_LATELY, max(now - self._first, 1e-3)) if times else 0.0

    @property
    def possible_fps(self) -> Optional[float]:
        """Frames per second that the network could make, however many the camera gives: of the last 5 seconds, since
        it was swapped in. None after a few frames only."""
        now = time.monotonic()
        times = [milliseconds for ran, milliseconds in list(self._runs) if ran > now - _LATELY]
        return 1000 / max(statistics.median(times), 1e-3) if len(times) > _FEW else None

    @property
    def longest_gap(self) -> float:
        """The longest time between two frames that were shown during the last minute, in seconds."""
        times = list(self._times)
        return max((b - a for a, b in zip(times, times[1:])), default=0.0)

    @property
    def median_ms(self) -> Dict[str, float]:
        """Median milliseconds of each stage, in the order of the stages."""
        return OrderedDict((stage, statistics.median(times)) for stage, times in list(self._milliseconds.items()))


class Prepared(NamedTuple):
    """A frame on its way to the network: as it came, the Stylizer that prepared it, and its pixels before and after."""

    frame: Frame
    stylizer: Stylizer
    source: np.ndarray
    pixels: Any


class Drawn(NamedTuple):
    """A frame on its way from the network to the display: what was prepared, and what the Stylizer draws of it."""

    prepared: Prepared
    pixels: Any


class Pipeline:
    """Shows what `camera` sees, stylised by `stylizer`, on `display`, until the camera ends, `seconds` are over,
    or `stop` is called.

    A live camera never waits: when a stage is slow, frames are dropped. Of any other camera every frame is shown.
    `seconds` is wall-clock time for a live camera and the source's own time for others. `watch(source, stylised)`
    sees every pair, uint8 RGB, in the thread that shows. `stylizer` may be replaced at any time: the swap happens
    between two frames. While it is None, frames are dropped. `fitting(frame)`, in the capturing thread, says which one
    a frame is for, in place of `stylizer`.
    """

    def __init__(
        self,
        camera: Camera,
        stylizer: Optional[Stylizer],
        display: Display,
        seconds: Optional[float] = None,
        watch: Optional[Callable[[np.ndarray, np.ndarray], None]] = None,
        fitting: Optional[Callable[[Frame], Stylizer]] = None,
    ):
        self.counters = Counters()
        self._camera, self._display, self._seconds, self._watch = camera, display, seconds, watch
        self._fitting = fitting
        self.stylizer = stylizer
        self._captured: Mailbox[Prepared] = Mailbox()
        self._stylised: Mailbox[Drawn] = Mailbox()
        self._stop = threading.Event()
        self._gate = Gate()
        self._error: Optional[BaseException] = None

    @property
    def stylizer(self) -> Optional[Stylizer]:
        return self._stylizer

    @stylizer.setter
    def stylizer(self, stylizer: Optional[Stylizer]) -> None:
        self._stylizer = stylizer
        self._camera.yuv_size = _wanted(stylizer)
        self.counters.swapped()

    def quiet(self) -> ContextManager[None]:
        """The network does not run meanwhile: the last picture stays. From one other thread at a time."""
        return self._gate.shut(_PATIENT_S)

    def stop(self) -> None:
        """End after the frames under way. Safe from any thread, not from a signal handler (see host/signals.py)."""
        self._stop.set()

    def run(self) -> Counters:
        """Run to the end, then finish the display. On a failure in any thread, discard the display and raise it."""
        threads = [
            threading.Thread(target=self._guard, args=(work,), name=work.__name__.strip("_"), daemon=True)
            for work in (self._capture, self._stylise, self._show)
        ]
        timer = threading.Timer(self._seconds, self.stop) if self._camera.live and self._seconds else None
        try:
            for thread in threads + ([timer] if timer else []):
                thread.start()
            for thread in threads:
                thread.join()
            if self._error:
                raise self._error
            self._display.finish()
        except BaseException:
            self._fail(None)
            for thread in threads:
                thread.join()
            self._display.discard()
            raise
        finally:
            if timer:
                timer.cancel()
        return self.counters

    def _guard(self, work: Callable[[], None]) -> None:
        try:
            work()
        except BaseException as error:  # raised again by run
            self._fail(error)

    def _fail(self, error: Optional[BaseException]) -> None:
        self._error = self._error or error
        self._stop.set()
        self._captured.abort()
        self._stylised.abort()

    def _capture(self) -> None:
        keep = not self._camera.live
        frames = self._camera.frames(self._stop)
        start = None
        try:
            for frame in frames:
                start = frame.timestamp if start is None else start
                if keep and self._seconds:
                    left = self._seconds - (frame.timestamp - start)
                    if left <= 0:
                        break
                    if frame.duration and frame.duration > left:
                        frame = replace(frame, duration=left)
                self.counters.captured += 1
                prepared = self._prepared(frame)
                if prepared and not self._captured.put(prepared, block=keep):
                    break
        finally:
            frames.close()
            self._captured.close()

    def _prepared(self, frame: Frame) -> Optional[Prepared]:
        """`frame` as the network takes it. None when there is no style to see it, or when it was made for another one:
        then it may be too small for this one, or cropped otherwise."""
        stylizer = self._fitting(frame) if self._fitting else self.stylizer
        if stylizer is None or not self._fitting and frame.made_for not in (None, _wanted(stylizer)):
            return None
        begin = time.perf_counter()
        source = converted(cover(frame.pixels, stylizer.input_size), frame.format, stylizer.input_format)
        pixels = stylizer.prepare(source)
        if self._fitting and not self._watch:  # nobody looks at the source again
            source = source[:0].copy()
            frame = replace(frame, pixels=source)
        self.counters.took("prepare", 1000 * (time.perf_counter() - begin))
        return Prepared(frame, stylizer, source, pixels)

    def _stylise(self) -> None:
        keep = not self._camera.live
        while True:
            prepared = self._captured.get()
            if prepared is None:
                break
            if not self._fitting and prepared.stylizer is not self.stylizer:
                prepared = self._prepared(prepared.frame)
            if prepared is None:
                continue
            stylizer = prepared.stylizer
            with self._gate.passing():
                began = time.perf_counter()
                drawn = Drawn(prepared._replace(pixels=None), stylizer.run(prepared.pixels))
            if stylizer is self.stylizer:
                self.counters.ran(1000 * (time.perf_counter() - began))
            for stage, milliseconds in stylizer.stage_ms:
                self.counters.took(stage, milliseconds)
            self.counters.stylised += 1
            if not self._stylised.put(drawn, block=keep):
                break
            self.counters.dropped = self._captured.dropped + self._stylised.dropped
        self._stylised.close()

    def _show(self) -> None:
        memory = Memory()
        while True:
            drawn = self._stylised.get()
            if drawn is None:
                break
            frame = self._finished(drawn, memory)  # never in memory that the display may still be using
            begin = time.perf_counter()
            if frame.format not in self._display.formats:
                frame = replace(frame, pixels=converted(frame.pixels, frame.format, "rgb"), format="rgb")
            if not self._display.show(frame):
                continue
            self.counters.took("show", 1000 * (time.perf_counter() - begin))
            self.counters.show(frame.timestamp)
            if self._camera.monotonic:
                # Some drivers give frames a timestamp in the future.
                self.counters.took("latency", max(0.0, 1000 * (time.monotonic() - frame.timestamp)))

    def _finished(self, drawn: Drawn, memory: Memory) -> Frame:
        frame, stylizer, source, _ = drawn.prepared
        made = drawn.pixels.result() if isinstance(drawn.pixels, Future) else drawn.pixels
        begin = time.perf_counter()
        settled = stylizer.settle(made)
        shape = (*stylizer.output_size[::-1], stylizer.channels)
        frame = frame.to_draw(shape, stylizer.output_format, lambda out: stylizer.finish(settled, out))
        if self._watch or not self._display.draws or frame.format not in self._display.formats:
            frame = frame.whole(memory.array)
        self.counters.took("finish", 1000 * (time.perf_counter() - begin))
        if self._watch:
            self._watch(converted(source, stylizer.input_format, "rgb"), converted(frame.pixels, frame.format, "rgb"))
        return frame


def _wanted(stylizer: Optional[Stylizer]) -> Optional[Size]:
    """The size that a camera may reduce its frames to for `stylizer`; None where it has to give them whole."""
    if stylizer is None:
        return _UNSEEN
    return stylizer.input_size if stylizer.input_format == "yuv" else None
