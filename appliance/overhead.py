"""The cost of a frame outside the network: each step, the thread that runs it, and the bytes that it moves.

On a board this measures what can only be guessed elsewhere: how slow the memory of a camera driver and of a graphics
card is for the CPU. Without a camera or card, ordinary memory takes their place.
"""

import contextlib
import glob
import statistics
import threading
import time
from typing import Callable, Dict, Iterator, List, NamedTuple, Optional, Tuple

import numpy as np

from .camera.thin import Thinner
from .display.enlarge import Enlarger
from .display.placing import enlargement
from .errors import Problem
from .frames import Size
from .parts import Stylizer

SCREEN = (1920, 1080)


class Step(NamedTuple):
    """Median milliseconds of a step, and the bytes that it reads and writes; intermediate values stay in the cache."""

    thread: str
    name: str
    ms: float
    read: int
    written: int


def steps(stylizer: Stylizer, repeats: int = 30) -> List[Step]:
    """Time each step of a frame around `stylizer`."""
    with contextlib.ExitStack() as stack:
        camera, capture = stack.enter_context(_camera(stylizer.input_size))
        screen, show = stack.enter_context(_scan_out())
        found = _capturing(camera, capture, stylizer, repeats)
        found += _stylising(stylizer, repeats)
        return found + _showing(screen, show, stylizer, repeats)


def lines(found: List[Step]) -> List[str]:
    """The steps as a table."""
    rows = [("THREAD", "STEP", "MS", "MB IN", "MB OUT")]
    rows += [(s.thread, s.name, f"{s.ms:.2f}", f"{s.read / 1e6:.2f}", f"{s.written / 1e6:.2f}") for s in found]
    widths = [max(len(row[column]) for row in rows) for column in range(5)]
    return ["  ".join(cell.ljust(width) for cell, width in zip(row, widths)).rstrip() for row in rows]


def _capturing(picture: np.ndarray, where: str, stylizer: Stylizer, repeats: int) -> List[Step]:
    height, width = picture.shape[:2]
    network = stylizer.input_size
    thinner, copy = Thinner((width, height), network), np.empty((height, width, 2), np.uint8)
    frame, pixels = np.empty((network[1], network[0], 3), np.uint8), picture.size
    luma = np.empty((height // 2, width // 2), np.uint8)
    every = picture[: height // 2 * 2 : 2, : width // 2 * 2 : 2, 0]
    return [
        Step("capture", f"rows out of {where}", _ms(lambda: np.copyto(copy, picture), repeats), pixels, pixels),
        Step(
            "(compare)",
            f"every second luma out of {where}",
            _ms(lambda: np.copyto(luma, every), repeats),
            luma.size,
            luma.size,
        ),
        Step(
            "capture",
            "thin {}x{} to {}x{}".format(width, height, *network),
            _ms(lambda: thinner(picture, frame), repeats),
            pixels,
            frame.size,
        ),
        Step("capture", "expose", _ms(lambda: stylizer.prepare(frame), repeats), frame.size, frame.size),
    ]


def _stylising(stylizer: Stylizer, repeats: int) -> List[Step]:
    (width, height), (across, down) = stylizer.input_size, stylizer.output_size
    prepared = stylizer.prepare(np.full((height, width, 3), 128, np.uint8))
    laps: Dict[str, List[float]] = {}
    stylizer.run(prepared)
    for _ in range(max(3, repeats // 5)):
        stylizer.run(prepared)
        for name, milliseconds in stylizer.stage_ms:
            laps.setdefault(name, []).append(milliseconds)
    seen, made = 3 * width * height, stylizer.channels * across * down
    sizes = {"input": (seen, seen), "output": (made, made)}
    return [
        Step("stylise", name, statistics.median(times), *sizes.get(name, (seen, made))) for name, times in laps.items()
    ]


def _showing(screen: np.ndarray, where: str, stylizer: Stylizer, repeats: int) -> List[Step]:
    size, (width, height) = stylizer.output_size, stylizer.input_size
    drawn = stylizer.run(stylizer.prepare(np.full((height, width, 3), 128, np.uint8)))
    out = np.empty(size[::-1] + (stylizer.channels,), np.uint8)
    picture = np.full(size[::-1], 0x804020, np.uint32)
    zoom = enlargement(size, screen.shape[::-1])
    enlarged, row = picture.nbytes, np.empty(screen.shape[1], np.uint32)
    found = []
    if out.nbytes == enlarged <= screen.nbytes and screen.flags.c_contiguous:
        buffer = screen.reshape(-1)[: picture.size].view(np.uint8).reshape(out.shape)
        milliseconds = _ms(lambda: stylizer.finish(drawn, buffer), repeats)
        found.append(Step("show", f"finish into {where}, a plane enlarges", milliseconds, enlarged, enlarged))
    elif picture.shape <= screen.shape and size[0] <= screen.shape[1]:
        part = screen[: size[1], : size[0]]
        milliseconds = _ms(lambda: np.copyto(part, picture), repeats)
        found.append(Step("show", f"copy to {where}, a plane enlarges", milliseconds, enlarged, enlarged))
    milliseconds = _ms(lambda: stylizer.finish(drawn, out), repeats)
    found.append(Step("show", "finish, where it is not drawn there", milliseconds, out.size, out.size))
    if zoom >= 1:
        enlarger = Enlarger(size, zoom, screen.shape[::-1])
        part = screen[: enlarger.out_size[1], : enlarger.out_size[0]]
        milliseconds = _ms(lambda: enlarger(picture, part), repeats)
        found.append(Step("show", f"enlarge {float(zoom):.3g}x to {where}", milliseconds, enlarged, part.nbytes))
    milliseconds = _ms(lambda: np.copyto(row, screen[0]), repeats)
    return found + [Step("(compare)", f"a row read back from {where}", milliseconds, row.nbytes, row.nbytes)]


@contextlib.contextmanager
def _camera(network: Size) -> Iterator[Tuple[np.ndarray, str]]:
    """A picture in a camera driver's memory, and its name; in ordinary memory when no camera is free."""
    stream = None
    with contextlib.suppress(Problem):
        from .camera.v4l2 import Wanted, open_first

        stream = open_first(Wanted(pixels="YUYV"), network)
    if stream is None:
        yield np.random.RandomState(0).randint(0, 256, (720, 1280, 2), np.uint8), "memory (no camera is free)"
        return
    with contextlib.closing(stream):
        buffer = stream.newest(threading.Event(), 2.0)
        number = buffer.index if buffer is not None else 0
        yield stream.pictures[number], stream.path


@contextlib.contextmanager
def _scan_out() -> Iterator[Tuple[np.ndarray, str]]:
    """Memory that a graphics card can scan out, and its name; ordinary memory when there is no card."""
    with contextlib.ExitStack() as stack:
        found: Optional[Tuple[np.ndarray, str]] = None
        with contextlib.suppress(Problem, OSError):
            from .display.buffer import Buffer
            from .display.drm import Card

            for path in sorted(glob.glob("/dev/dri/card[0-9]*")):
                card = Card(path)
                stack.callback(card.close)
                if card.shows():
                    buffer = Buffer(card, SCREEN)
                    stack.callback(buffer.close)
                    found = buffer.pixels, path
                    del buffer
                    break
        yield found or (np.zeros(SCREEN[::-1], np.uint32), "memory (no graphics card)")


def _ms(work: Callable[[], object], repeats: int) -> float:
    work()
    times = []
    for _ in range(repeats):
        began = time.perf_counter()
        work()
        times.append(time.perf_counter() - began)
    return 1000 * statistics.median(times)
