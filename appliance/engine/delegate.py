"""Google's libedgetpu as a delegate of a TensorFlow Lite runtime: segments on the Edge TPU without pycoral.

libedgetpu may crash (if built for another TensorFlow Lite), abort (on a USB bus error) or hang. So after the daemon
starts or the stick is replugged, the first segment is rehearsed in a separate process, which also loads the stick's
firmware. ctypes holds Python's lock while the delegate is created, so the slow part happens in that process, too.
"""

import ctypes
import importlib
import json
import re
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any, List, Optional, Set

from ..errors import DeviceError, Problem
from ..parts import Interpreter
from . import devices
from .devices import EdgeTpu

LIBRARY = "libedgetpu.so.1"
REHEARSAL_S = 30.0
OLDEST = 13  # the runtime that segments of today's compilers need (coral.ai/docs/edgetpu/compiler)
INSTALL = "install libedgetpu1-std: docs/hosts.md says which build"
_PLUG = "unplug it for a moment, and use a USB 3 port or a powered hub"
_RESTART = "switch the machine off and on"  # a card cannot be unplugged

_CHILD = (
    "import json, sys; sys.path[:] = json.loads(sys.argv.pop(1)); "
    "from appliance.engine.delegate import main; sys.exit(main())"
)
_NEWER = re.compile(r"requires runtime version \((\d+)\), which is newer than this runtime version \((\d+)\)")
_rehearsed: Set[str] = set()  # see _state


def version() -> int:
    """The version of the installed Edge TPU runtime. Compiled segments need a minimum version. Raises Problem."""
    try:
        library = ctypes.CDLL(LIBRARY)
    except OSError as error:
        if str(error).startswith(f"{LIBRARY}: cannot open"):
            raise Problem(f"no libedgetpu: {INSTALL}") from None
        raise Problem(f"libedgetpu does not load ({error}): it was built for another system: {INSTALL}") from None
    try:
        library.edgetpu_version.restype = ctypes.c_char_p
        text = library.edgetpu_version() or b""
    except AttributeError:
        text = b""
    found = re.search(rb"RuntimeVersion\((\d+)\)", text)
    if not found:
        raise Problem(f"{LIBRARY} does not report its Edge TPU runtime version: {INSTALL}")
    return int(found.group(1))


def check(tpu: EdgeTpu) -> int:
    """The version of libedgetpu. Raises Problem if it cannot use `tpu`, as far as is known without opening it."""
    number = version()
    if number < OLDEST:
        raise Problem(f"libedgetpu has runtime {number}; segments need {OLDEST} or newer: {INSTALL}")
    if not tpu.usable:
        group = "plugdev" if tpu.kind == "usb" else "apex"
        then = ", log in again and replug it" if tpu.kind == "usb" else " and log in again"
        raise Problem(f"no permission to use the Edge TPU {tpu}: add the user to the group {group}{then}")
    return number


def load(package: str, tpu: EdgeTpu, data: bytes) -> Interpreter:
    """An interpreter of `package` for the compiled segment `data` on `tpu`, allocated.

    Raises DeviceError when `tpu` cannot be used, Problem when the segment cannot.
    """
    if _state(package, tpu.kind) not in _rehearsed:
        _rehearse(package, tpu, data)
        _rehearsed.add(_state(package, tpu.kind))
    try:
        interpreter = _open(package, tpu.option, data)
    except Exception as error:  # runtimes raise many kinds
        raise _explained(str(error) or repr(error), tpu) from error
    _rehearsed.add(_state(package, tpu.kind))  # opening a stick may change its identity, like replugging it
    return interpreter


def _state(package: str, kind: str) -> str:
    """What a rehearsal is valid for. It changes when an Edge TPU of this kind is replugged."""
    return " ".join([package, LIBRARY] + [tpu.identity for tpu in devices.found() if tpu.kind == kind])


def _open(package: str, device: str, data: bytes) -> Interpreter:
    module = importlib.import_module(package + ".interpreter")
    delegate = module.load_delegate(LIBRARY, {"device": device})
    interpreter: Any = module.Interpreter(model_content=data, experimental_delegates=[delegate])
    interpreter.allocate_tensors()
    allocated: Interpreter = interpreter
    return allocated


def _rehearse(package: str, tpu: EdgeTpu, data: bytes) -> None:
    """Open `tpu` and run `data` once, in a separate process. Raises Problem on any failure."""
    paths = json.dumps([str(Path(__file__).resolve().parents[2])] + [place for place in sys.path if place])
    command = [sys.executable, "-I", "-c", _CHILD, paths, package, LIBRARY, tpu.option]
    try:
        done = subprocess.run(
            command, input=data, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, timeout=REHEARSAL_S
        )
    except subprocess.TimeoutExpired:
        raise DeviceError(f"the Edge TPU {tpu} did not answer within {REHEARSAL_S:g} s: {_afresh(tpu)}") from None
    if done.returncode == -signal.SIGABRT:
        raise DeviceError(f"libedgetpu aborted on the Edge TPU {tpu}: {_afresh(tpu)}")
    if done.returncode < 0:
        raise DeviceError(
            f"libedgetpu crashed in {package} (signal {-done.returncode}): Google's own 16.0 does so with "
            f"TensorFlow Lite 2.12 and newer: {INSTALL}"
        )
    if done.returncode:
        lines = done.stdout.decode("utf-8", "replace").strip().splitlines() or ["no reason given"]
        raise _explained(" ".join(lines[-4:]), tpu)


def _afresh(tpu: EdgeTpu) -> str:
    return _PLUG if tpu.kind == "usb" else _RESTART


def _explained(text: str, tpu: EdgeTpu) -> Problem:
    newer = _NEWER.search(text)
    if newer:
        needs, here = newer.groups()
        return Problem(
            f"a segment was compiled for Edge TPU runtime {needs}, this machine has {here}: "
            "install a newer libedgetpu, or compile it with an older compiler"
        )
    if tpu.kind not in {one.kind for one in devices.found()}:
        return DeviceError(f"the Edge TPU {tpu} is gone: {'plug it in again' if tpu.kind == 'usb' else _RESTART}")
    if "Failed to load delegate" in text:
        return DeviceError(
            f"the Edge TPU {tpu} was found but could not be opened: end the program that uses it, or {_afresh(tpu)}"
        )
    return Problem(f"the Edge TPU {tpu} failed: {text[-300:]}")


def main(arguments: Optional[List[str]] = None) -> int:
    global LIBRARY
    package, LIBRARY, device = arguments or sys.argv[1:]
    try:
        _open(package, device, sys.stdin.buffer.read()).invoke()
    except Exception as error:
        print(f"{error}", flush=True)
        return 1
    return 0
