"""How far a run is, on stderr: a bar on a terminal, a line now and then elsewhere. And lines that pass it by."""

import contextlib
import sys
import threading
from typing import Callable, Iterator, Optional

from .pipeline import Counters

_OFTEN, _SELDOM = 0.5, 5.0  # seconds between reports on a terminal, and elsewhere
_CELLS = 24
_ERASE = "\r\x1b[K"


def say(text: str) -> None:
    """A line on stderr that begins with our name. Where that is gone, as after a hang-up, nothing."""
    _write((_ERASE if sys.stderr.isatty() else "") + f"reconet: {text}\n")


@contextlib.contextmanager
def shown(counters: Counters, seconds: Optional[float], look: Callable[[], None]) -> Iterator[None]:
    """Report on the run while inside. `seconds` is how long its source is, None where nobody knows; `look` is called
    before each report."""
    terminal, over = sys.stderr.isatty(), threading.Event()

    def report() -> None:
        due = 0.0
        while not over.wait(_OFTEN):
            look()
            due += _OFTEN
            if terminal:
                _write(_ERASE + line(counters, seconds, _CELLS))
            elif due >= _SELDOM:
                due = 0.0
                _write(line(counters, seconds) + "\n")
        look()
        if terminal:
            _write(_ERASE)

    thread = threading.Thread(target=report, name="progress", daemon=True)
    thread.start()
    try:
        yield
    finally:
        over.set()
        thread.join()


def line(counters: Counters, seconds: Optional[float], cells: int = 0) -> str:
    """ "[######------] 50 %, 300 frames, 12.1 fps, 0:25 left"; without what is not known. No bar with 0 `cells`."""
    parts = [frames(counters.shown), f"{counters.fps:.1f} fps"]
    if counters.dropped:
        parts.append(f"{counters.dropped} dropped")
    if not seconds:
        return ", ".join(parts)
    share = min(1.0, counters.reached / seconds)
    bar = "[" + "#" * round(cells * share) + "-" * (cells - round(cells * share)) + "] " if cells else ""
    if 0 < share and counters.running:
        parts.append(f"{clock(counters.running * (1 - share) / share)} left")
    return f"{bar}{100 * share:.0f} %, " + ", ".join(parts)


def frames(count: int) -> str:
    return f"{count} frame" + ("s" if count != 1 else "")


def clock(seconds: float) -> str:
    """Seconds as 0:05, 12:34 or 1:02:03."""
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02}:{rest:02}" if hours else f"{minutes}:{rest:02}"


def _write(text: str) -> None:
    with contextlib.suppress(OSError):
        sys.stderr.write(text)
        sys.stderr.flush()
