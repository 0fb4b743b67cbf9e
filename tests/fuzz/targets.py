"""What has to hold for any bytes: they are accepted, or refused in one line, quickly and in little memory.

Bytes for which it does not are left in build/fuzz.
"""

import atexit
import hashlib
import os
import resource
import tempfile
import time
from functools import lru_cache
from pathlib import Path

from appliance import config
from appliance.errors import BundleError, Problem
from appliance.style import bundle, tflite

FOUND = Path("build/fuzz")
MOST_SECONDS = 1.0
MOST_MEGABYTES = 300
_LONGEST_LINE = 1000


def read_bundle(data: bytes):
    """The Bundle in `data`, or None when it is refused. Raises anything else when a promise is broken."""
    return _kept(_read, data, BundleError)


def load_settings(data: bytes):
    """The Settings in `data`, or None when they are refused. Raises anything else when a promise is broken."""
    return _kept(config.load, data, Problem)


def peak_megabytes() -> int:
    """The peak memory of this process."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss >> 10


def _read(path: Path):
    style = bundle.read(path)
    for plan in style.manifest.plans:
        for network in style.build(plan):
            tflite.reach(network)
        if style.manifest.sizes:
            stride = style.manifest.sizes.stride
            size = tuple(side + stride * max(1, 64 // stride) for side in style.manifest.size)
            try:
                made = style.build(plan, size)
            except Problem:  # outside what it allows
                continue
            assert [len(one) for one in made] == [len(one) for one in style.build(plan)]
            for network in made:
                tflite.read(network)
    return style


def _kept(reader, data: bytes, refusal):
    try:
        return _promised(reader, data, refusal)
    except Exception:
        FOUND.mkdir(parents=True, exist_ok=True)
        (FOUND / ("found-" + hashlib.sha256(data).hexdigest()[:12])).write_bytes(data)
        raise


def _promised(reader, data: bytes, refusal):
    path = _file()
    path.write_bytes(data)
    before, began = peak_megabytes(), time.process_time()  # of this process: a busy machine is no hang
    result = None
    try:
        result = reader(path)
    except refusal as error:
        line = str(error)
        assert line.startswith(str(path)) and line.isprintable() and len(line) < _LONGEST_LINE, repr(line)
    seconds, grown = time.process_time() - began, peak_megabytes() - before
    assert seconds < MOST_SECONDS, f"took {seconds:.1f} s"
    assert grown < MOST_MEGABYTES, f"took {grown} MB"
    return result


@lru_cache(maxsize=None)
def _file() -> Path:
    descriptor, name = tempfile.mkstemp(prefix="reconet-fuzz-")
    os.close(descriptor)
    atexit.register(lambda: os.path.exists(name) and os.unlink(name))
    return Path(name)
