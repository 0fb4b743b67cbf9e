"""A style's first run, in a process of its own.

A bundle that passes every check may still hold a network that makes the runtime, which is native code, crash, hang or
use all memory. Here it harms nothing else. One black frame goes through one plan, as in any Stylizer, but always on the
CPU. Some frames are then timed on request. The exit status is 0, or 1 with the reason on the last line.

A trial proves that the segments for the CPU load and run once on this machine's runtime. It proves nothing about the
segments compiled for the Edge TPU, because the daemon holds the device: their inputs and outputs are checked in
style/check.py, and their first run is in the daemon. A network that reads out of bounds may pass here and crash there.
"""

import argparse
import contextlib
import ctypes
import json
import os
import re
import resource
import selectors
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import IO, Callable, ContextManager, Iterator, List, Optional, Tuple, Union

from .errors import BundleError, Problem

# Of data, not of addresses. The shipped styles take 170 MB of it on tflite_runtime 2.7, 200 on ai_edge_litert; where a
# network does not allow for strips (engine/strips.py), 340 on the former.
MOST_MEGABYTES = 512
MOST_CPU_S = 90  # of processor time: wall-clock time depends on what else runs
_MEMORY = re.compile(r"bad_alloc|MemoryError|nable to allocate|ailed to allocate")
_TAIL = 4000
_THREADS, _STACK = 4, 8  # each has a stack of 8 MB, which counts as data
QUIET_S = 5.0  # to measure
_READY = "ready to be measured"
_MEASURED = re.compile(r"^([0-9.]+) ms a frame$", re.MULTILINE)
_SET_PDEATHSIG = 1  # prctl(2)
# -I keeps the current directory, the user's settings and $PYTHON... out of the path: it is the parent's, as given.
_CHILD = (
    "import json, sys; sys.path[:] = json.loads(sys.argv.pop(1)); from appliance.trial import main; sys.exit(main())"
)


def passes(
    path: Union[str, Path],
    timeout: float = 60.0,
    plan: Optional[str] = None,
    runtime: Optional[str] = None,
    digest: Optional[str] = None,
    size: Optional[Tuple[int, int]] = None,
) -> Optional[str]:
    """None when the style at `path` passes its trial, else the reason, in one line that names the file.

    Blocks for at most `timeout` seconds. `plan`, `runtime` and `size` are those of the Stylizer to be built next; by
    default the first plan that runs, on the best runtime for the CPU. With `digest`, a file that has changed fails.
    """
    with _child(path, plan, runtime, digest, size) as child:
        deadline = time.monotonic() + timeout
        return _outcome(path, child, _words(child.stdout, deadline), deadline, timeout)


def measure(
    path: Union[str, Path],
    plan: str,
    size: Tuple[int, int],
    runtime: str,
    digest: str,
    threads: int = 0,
    stillness: float = 0.0,
    timeout: float = 60.0,
    quiet: Callable[[], ContextManager[None]] = contextlib.nullcontext,
) -> float:
    """Run the trial of `passes`, then return the milliseconds that a frame takes (cost.frame_ms).

    Raises BundleError with the reason that `passes` would return.

    `quiet()` pauses the rest of this process. It is held only while frames are timed: about a second, at most
    `QUIET_S`. A measurement that takes longer returns `QUIET_S`.
    """
    deadline = time.monotonic() + timeout
    with _child(path, plan, runtime, digest, size, threads, stillness) as child:
        said = _words(child.stdout, deadline, _READY)
        if _READY in said:
            with quiet():
                assert child.stdin
                with contextlib.suppress(BrokenPipeError):  # the child has exited: the reason follows
                    child.stdin.write(b"\n")
                    child.stdin.flush()
                end = time.monotonic() + QUIET_S
                said = _words(child.stdout, end)
                if time.monotonic() >= end and not _MEASURED.search(said):
                    return 1000 * QUIET_S
            deadline = max(deadline, time.monotonic() + QUIET_S)
        reason = _outcome(path, child, said, deadline, timeout)
    found = _MEASURED.search(said)
    if reason or not found:
        raise BundleError(reason or f"{path}: its trial run was not measured")
    return float(found.group(1))


@contextlib.contextmanager
def _child(
    path: Union[str, Path],
    plan: Optional[str],
    runtime: Optional[str],
    digest: Optional[str],
    size: Optional[Tuple[int, int]],
    threads: Optional[int] = None,
    stillness: float = 0.0,
) -> "Iterator[subprocess.Popen[bytes]]":
    """The trial's process, killed on exit. With `threads`, it measures."""
    package = str(Path(__file__).resolve().parents[1])
    command = [sys.executable, "-I", "-c", _CHILD, json.dumps([package] + [place for place in sys.path if place])]
    command += [os.path.abspath(str(path)), f"--parent={os.getpid()}"]
    options = (("plan", plan), ("runtime", runtime), ("digest", digest))
    command += [f"--{name}={value}" for name, value in options if value]
    command += [f"--size={size[0]}x{size[1]}"] if size else []
    command += [f"--measure={threads}", f"--stillness={stillness}"] if threads is not None else []
    child = subprocess.Popen(
        command,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        env=dict(os.environ, OPENBLAS_NUM_THREADS="1"),
    )
    try:
        yield child
    finally:
        child.kill()
        child.wait()
        for stream in filter(None, (child.stdin, child.stdout)):
            with contextlib.suppress(OSError):
                stream.close()


def _outcome(
    path: Union[str, Path], child: "subprocess.Popen[bytes]", said: str, deadline: float, timeout: float
) -> Optional[str]:
    """None when the child exits with 0 before the deadline, else the reason. `said` is the end of its output."""
    try:
        code = child.wait(max(0.0, deadline - time.monotonic()))
    except subprocess.TimeoutExpired:
        return str(Problem(f"{path}: its trial run took longer than {timeout:g} s"))
    return None if code == 0 else str(Problem(f"{path}: {_reason(code, said)}"))


def main(argv: Optional[List[str]] = None) -> int:
    parser = argparse.ArgumentParser(prog="appliance.trial", description=__doc__.splitlines()[0])
    parser.add_argument("bundle")
    parser.add_argument("--plan")
    parser.add_argument("--runtime")
    parser.add_argument("--digest")
    parser.add_argument("--parent", type=int)
    parser.add_argument("--measure", type=int, metavar="THREADS")
    parser.add_argument("--stillness", type=float, default=0.0)
    parser.add_argument("--size", type=lambda text: tuple(map(int, text.split("x"))))
    arguments = parser.parse_args(argv)
    _die_with(arguments.parent)
    threads = (
        min(_THREADS, os.cpu_count() or 1) if arguments.measure is None else arguments.measure or os.cpu_count() or 1
    )
    _stand_back(threads, nice=arguments.measure is None)
    from .engine.interpreter import runtimes
    from .engine.stylizer import Stylizer
    from .style.bundle import read

    try:
        here = [one.name for one in runtimes() if one.device == "CPU"]
        if not here:
            raise Problem("no TensorFlow Lite runtime for the CPU: reconet doctor says what is missing")
        bundle = read(arguments.bundle)
        if arguments.digest not in (None, bundle.digest):
            raise Problem("the file was replaced during the trial")
        stylizer = Stylizer(
            bundle,
            arguments.plan,
            arguments.runtime or here[0],
            threads,
            size=arguments.size,
            stillness=arguments.stillness,
        )
    except Problem as problem:
        print(problem, flush=True)
        return 1
    if arguments.measure is not None:
        from .cost import frame_ms

        print(_READY, flush=True)
        sys.stdin.readline()
        print(f"{frame_ms(stylizer):.3f} ms a frame", flush=True)
    return 0


def _die_with(parent: Optional[int]) -> None:
    """Exit when the parent exits, for whatever reason."""
    if parent is None:
        return
    with contextlib.suppress(AttributeError):  # not Linux
        ctypes.CDLL(None).prctl(_SET_PDEATHSIG, signal.SIGKILL)
    if os.getppid() != parent:  # it has exited already
        os._exit(1)


def _stand_back(threads: int, nice: bool) -> None:
    """Limit this process, and make it the first that the kernel kills when memory runs out. With `nice`, it gives way
    to other processes; a measurement must not, because that would be measured too.
    """
    most = (MOST_MEGABYTES + _STACK * max(0, threads - _THREADS)) << 20
    for bound in (
        lambda: resource.setrlimit(resource.RLIMIT_DATA, (most, most)),
        lambda: resource.setrlimit(resource.RLIMIT_CPU, (MOST_CPU_S, MOST_CPU_S + 5)),
        lambda: resource.setrlimit(resource.RLIMIT_CORE, (0, 0)),
        lambda: os.nice(10 if nice else 0),
        lambda: Path("/proc/self/oom_score_adj").write_text("1000"),
    ):
        with contextlib.suppress(OSError, ValueError):  # a sandbox forbids it, and has limits of its own
            bound()


def _words(stream: Optional[IO[bytes]], deadline: float, until: Optional[str] = None) -> str:
    """The last `_TAIL` bytes of `stream` up to its end, the deadline, or the line `until`, as text."""
    assert stream
    words = b""
    with selectors.DefaultSelector() as selector:
        selector.register(stream, selectors.EVENT_READ)
        while selector.select(max(0.0, deadline - time.monotonic())):
            part = os.read(stream.fileno(), 65536)
            if not part:
                break
            words = (words + part)[-_TAIL:]
            if until and until.encode() in words:
                break
    return words.decode("utf-8", "replace")


def _reason(code: int, said: str) -> str:
    if _MEMORY.search(said) or code == -signal.SIGKILL:
        return f"its trial run needed more memory than the {MOST_MEGABYTES} MB that a style may take"
    if code == -signal.SIGXCPU:
        return f"its trial run took more than {MOST_CPU_S} s of processor time"
    if code < 0:
        return f"its trial run crashed the interpreter (signal {-code})"
    lines = said.strip().splitlines() or [f"exit code {code}"]
    return f"its trial run failed: {lines[-1][-500:]}"
