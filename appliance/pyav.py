"""PyAV, which reads and writes video files, where it is installed."""

from typing import Any

from .errors import Problem


def imported(instead: str) -> Any:
    """The module `av`. Raises Problem when it is not installed; `instead` says what works without it."""
    try:
        import av
    except ImportError as error:
        raise Problem(f"video files need PyAV: pip install av, or {instead}") from error
    av.logging.set_level(None)  # its other levels take the GIL in a decoder's thread, which can deadlock
    return av
