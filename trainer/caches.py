"""What may be fetched or computed again: compiled programs and photographs, in the user's cache folder."""

import contextlib
import os
import warnings
from pathlib import Path

COMPILED = 2 << 30  # bytes of compiled programs, at most; the ones longest unused go first


def folder() -> Path:
    """The project's cache folder. It may not exist."""
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "reconet"


def keep_compiled() -> None:
    """Makes JAX keep compiled programs, so that a second run starts in seconds. It has to run before JAX is imported,
    and changes nothing where JAX_COMPILATION_CACHE_DIR is set or the folder cannot be written.
    """
    # A damaged or unwritable entry is compiled again, which is all that these warnings would say.
    warnings.filterwarnings("ignore", "Error (reading|writing) persistent compilation cache")
    if "JAX_COMPILATION_CACHE_DIR" in os.environ:
        return
    kept = folder() / "jax"
    with contextlib.suppress(OSError):
        kept.mkdir(parents=True, exist_ok=True)
        if os.access(kept, os.W_OK):
            os.environ["JAX_COMPILATION_CACHE_DIR"] = str(kept)
            os.environ.setdefault("JAX_COMPILATION_CACHE_MAX_SIZE", str(COMPILED))
