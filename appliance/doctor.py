"""What this machine has and lacks for `reconet run`."""

import ctypes.util
import glob
import importlib
import os
import sys
from dataclasses import dataclass
from typing import List

from .errors import Problem

_INSTALL = "pip install 'reconet-edgetpu[workstation]'"


@dataclass(frozen=True)
class Finding:
    """One line: `state` is ok, missing or problem. `needed`: without it `reconet run` does not work."""

    state: str
    what: str
    advice: str = ""
    needed: bool = True

    @property
    def fine(self) -> bool:
        return self.state == "ok" or not self.needed

    def __str__(self) -> str:
        return f"{self.state:<8} {self.what}" + (f"  -  {self.advice}" if self.advice else "")


def examine() -> List[Finding]:
    """Every finding, in the order in which a user would mend them."""
    findings = [_python()]
    findings += [_package(name, package, _INSTALL) for name, package in
                 (("numpy", "numpy"), ("pydantic", "pydantic"), ("Pillow", "PIL"))]
    findings.append(_package("PyAV, for video files", "av", "pip install av, or use folders of pictures", needed=False))
    for look in (_runtimes, _edge_tpu, _styles, _cameras, _displays):
        try:
            findings += look()
        except ImportError as error:
            findings.append(Finding("problem", f"{look.__name__.strip('_')}: not examined ({error})", _INSTALL))
    return findings


def _python() -> Finding:
    version = ".".join(str(part) for part in sys.version_info[:3])
    old = sys.version_info < (3, 7)
    return Finding("problem" if old else "ok", f"Python {version}", "3.7 or newer is needed" if old else "")


def _package(name: str, package: str, advice: str, needed: bool = True) -> Finding:
    try:
        module = importlib.import_module(package)
    except ImportError:
        return Finding("missing", name, advice, needed)
    return Finding("ok", f"{name} {getattr(module, '__version__', '')}".strip(), needed=needed)


def _runtimes() -> List[Finding]:
    from .engine.interpreter import runtimes
    try:
        return [Finding("ok", f"TensorFlow Lite runtime {runtime} on {runtime.device}") for runtime in runtimes()]
    except Problem as problem:
        return [Finding("missing", "TensorFlow Lite runtime", str(problem))]


def _edge_tpu() -> List[Finding]:
    from .engine.interpreter import TPU_DEVICE
    library = ctypes.util.find_library("edgetpu")
    return [_device("Edge TPU", [TPU_DEVICE] if os.path.exists(TPU_DEVICE) else [],
                    f"no {TPU_DEVICE}: styles run on the CPU"),
            Finding("ok" if library else "missing", "libedgetpu" + (f" ({library})" if library else ""),
                    "" if library else "on the board: apt install libedgetpu1-std python3-pycoral", needed=False)]


def _styles() -> List[Finding]:
    from .style import store
    valid, refused = store.styles()
    findings = [Finding("problem", "style refused", one.reason, needed=False) for one in refused]
    if not valid:
        searched = ", ".join(str(folder) for folder in store.directories())
        return findings + [Finding("missing", "style", f"put a .reconet file in {searched}, or set RECONET_STYLES")]
    findings += [Finding("ok", f"style {bundle.name} ({bundle.path})") for bundle in valid]
    return findings + [_trial(valid[0])]


def _trial(bundle) -> Finding:
    from .engine.stylizer import Stylizer
    try:
        stylizer = Stylizer(bundle)
    except Problem as problem:
        return Finding("problem", f"running style {bundle.name}", str(problem))
    total = sum(milliseconds for _, milliseconds in stylizer.stage_ms)
    return Finding("ok", f"style {bundle.name} ran a frame in {total:.1f} ms: plan {stylizer.plan}, "
                         f"{stylizer.runtime} ({stylizer.runtime.device})")


def _cameras() -> List[Finding]:
    return [_device("camera", sorted(glob.glob("/dev/video*")), "no /dev/video*: use a file or --camera virtual")]


def _displays() -> List[Finding]:
    return [_device("display", sorted(glob.glob("/dev/dri/card*")), "no /dev/dri/card*: write to a file")]


def _device(name: str, nodes: List[str], advice: str) -> Finding:
    if not nodes:
        return Finding("missing", name, advice, needed=False)
    closed = [node for node in nodes if not os.access(node, os.R_OK | os.W_OK)]
    if closed:
        return Finding("problem", f"{name} {closed[0]}", "no permission: add your user to the group that owns it",
                       needed=False)
    return Finding("ok", f"{name} {', '.join(nodes)}", needed=False)
