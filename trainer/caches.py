"""The user's cache folder: compiled programs and photographs, which can be made or downloaded again."""

import contextlib
import os
import warnings
from pathlib import Path

COMPILED = 2 << 30  # bytes of compiled programs at most; the least recently used are evicted first


def folder() -> Path:
    """The project's cache folder. It may not exist."""
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "reconet"


def keep_compiled() -> None:
    """Makes JAX cache compiled programs, so that a second run starts in seconds. Call it before JAX is imported. It
    does nothing when JAX_COMPILATION_CACHE_DIR is set or the folder is not writable.
    """
    # These warnings say only that a damaged or unwritable entry is compiled again.
    warnings.filterwarnings("ignore", "Error (reading|writing) persistent compilation cache")
    if "JAX_COMPILATION_CACHE_DIR" in os.environ:
        return
    kept = folder() / "jax"
    with contextlib.suppress(OSError):
        kept.mkdir(parents=True, exist_ok=True)
        if os.access(kept, os.W_OK):
            os.environ["JAX_COMPILATION_CACHE_DIR"] = str(kept)
            os.environ.setdefault("JAX_COMPILATION_CACHE_MAX_SIZE", str(COMPILED))
            os.environ.setdefault("JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS", "0")
