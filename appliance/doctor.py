"""What this machine has and lacks for `reconet run`."""

import ctypes.util
import importlib
import os
import shutil
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Callable, List, Optional

from .errors import Problem
from .findings import Finding, camera, display, may, nodes, user
from .places import CONFIG

if TYPE_CHECKING:  # what needs NumPy or pydantic is imported where it is used: they may be missing
    from .style.bundle import Bundle

_INSTALL = "pip install 'reconet-edgetpu[workstation]'"
_BOARD_INSTALL = "install the package reconet again"
_ROOM = 64 << 20  # bytes: the largest bundle
# The runtime that the compiler's files need, by its version (coral.ai/docs/edgetpu/compiler).
_NEEDS_RUNTIME = {"16.": 14, "15.": 13, "14.": 13}


def examine(path: Optional[str] = None) -> List[Finding]:
    """Every finding, in the order in which a user would mend them.

    With the configuration at `path`, or where the board's is in its place, what counts is whether the appliance would
    run: camera and monitor are needed then. Else it is whether files can be stylised.
    """
    board = path is not None or CONFIG.exists()
    install = _BOARD_INSTALL if board else _INSTALL
    findings = [_python()]
    findings += [
        _package(name, package, install)
        for name, package in (("numpy", "numpy"), ("pydantic", "pydantic"), ("Pillow", "PIL"))
    ]
    findings += [
        _package(name, package, install, needed=board)
        for name, package in (
            ("v4l2-python3, for cameras", "v4l2"),
            ("inotify_simple, for new styles", "inotify_simple"),
        )
    ]
    findings.append(_package("python3-systemd, for the journal", "systemd", "apt install python3-systemd", False))
    findings.append(_package("PyAV, for video files", "av", "pip install av, or use folders of pictures", needed=False))
    looks: List[Callable] = [_runtimes, _edge_tpu]
    try:
        settings = _settings(path)
        findings += [_configuration(path)] if board else []
    except ImportError:
        settings = None
    except Problem as problem:
        return findings + [Finding("problem", "configuration", str(problem))]
    looks += [lambda: _styles(settings if board else None)]
    looks += [lambda: _folders(settings)] if board and settings else []
    looks += [lambda: camera(settings, board), lambda: display(settings, board)]
    for look in looks:
        try:
            findings += look()
        except ImportError as error:
            findings.append(Finding("problem", f"not examined ({error})", install))
    return findings


def _configuration(path: Optional[str]) -> Finding:
    path = path or str(CONFIG)
    return Finding("ok", f"configuration {path}" + ("" if os.path.exists(path) else ": not there, so the defaults"))


def _settings(path: Optional[str]):
    from . import config

    return config.load(path or CONFIG)


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
    from .host import tpu

    library, heat = ctypes.util.find_library("edgetpu"), tpu.read()
    findings = [
        nodes(
            "Edge TPU",
            [TPU_DEVICE] if os.path.exists(TPU_DEVICE) else [],
            f"no {TPU_DEVICE}: styles run on the CPU",
            needed=False,
        ),
        Finding(
            "ok" if library else "missing",
            "libedgetpu" + (f" ({library})" if library else ""),
            "" if library else "on the board: apt install libedgetpu1-std python3-pycoral",
            needed=False,
        ),
    ]
    if heat and heat.temperature is not None:
        findings.append(
            Finding(
                "problem" if heat.hot else "ok",
                f"Edge TPU at {heat.temperature:.0f} degC",
                heat.warning or "",
                needed=False,
            )
        )
    if heat and heat.owner and heat.owner_name not in ("reconet", "python3"):
        findings.append(
            Finding(
                "problem",
                f"Edge TPU held by {heat.owner_name} (process {heat.owner})",
                "end that program",
                needed=False,
            )
        )
    return findings


def _styles(settings) -> List[Finding]:
    from .style import store

    folders = [Path(settings.style.folder)] if settings else store.directories()
    valid, refused = store.styles(folders)
    findings = [Finding("problem", "style refused", one.reason, needed=False) for one in refused]
    if not valid:
        searched = ", ".join(str(folder) for folder in folders)
        return findings + [
            Finding(
                "missing",
                "style",
                f"put a .reconet file in {searched}" + ("" if settings else ", or set RECONET_STYLES"),
            )
        ]
    findings += [Finding("ok", f"style {bundle.name} ({bundle.path})") for bundle in valid]
    wanted = [bundle for bundle in valid if settings and bundle.name == settings.style.name] or valid
    if settings and settings.style.name not in ("newest", wanted[0].name):
        findings.append(
            Finding(
                "missing",
                f"style {settings.style.name}, which the configuration names",
                f"{wanted[0].name} is shown instead",
                needed=False,
            )
        )
    plan = settings.engine.plan if settings and settings.engine.plan != "auto" else None
    return findings + [_trial(wanted[0], plan)] + _compiled(valid)


def _trial(bundle: "Bundle", plan: Optional[str]) -> Finding:
    """The style's first run in a process of its own: what its network does to the runtime must not end this one."""
    from .trial import passes

    reason = passes(bundle.path, plan=plan)
    if reason:
        return Finding("problem", f"running style {bundle.name}", reason)
    return Finding("ok", f"style {bundle.name} runs on the CPU")


def _compiled(bundles) -> List[Finding]:
    """Whether the Edge TPU's runtime here is new enough for what the compiler made."""
    from .engine.interpreter import edge_tpu_runtime

    runtime, findings = edge_tpu_runtime(), []
    for bundle in bundles:
        made = bundle.manifest.provenance.get("compiled")
        versions = (
            {str(one.get("compiler", "")) for one in made.values() if isinstance(one, dict)}
            if isinstance(made, dict)
            else set()
        )
        needs = max(
            (number for start, number in _NEEDS_RUNTIME.items() for version in versions if version.startswith(start)),
            default=0,
        )
        if runtime is not None and needs > runtime:
            findings.append(
                Finding(
                    "problem",
                    f"style {bundle.name} needs Edge TPU runtime {needs}, here is {runtime}",
                    "apt install libedgetpu1-std, or compile it with an older compiler",
                    needed=False,
                )
            )
    return findings


def _folders(settings) -> List[Finding]:
    findings = []
    for name, folder in (("styles", settings.style.folder), ("status", os.path.dirname(settings.host.status))):
        there, me = os.path.isdir(folder), user()
        if not there and name == "status":
            findings.append(
                Finding("missing", f"{name} folder {folder}", "systemd makes it when the service starts", needed=False)
            )
        elif not there or not may(folder):
            findings.append(
                Finding(
                    "problem",
                    f"{name} folder {folder}",
                    f"{me} may not write there: what ran last is not remembered" if there else f"mkdir -p {folder}",
                    needed=not there,
                )
            )
    if os.path.isdir(settings.style.folder):
        free = shutil.disk_usage(settings.style.folder).free
        findings.append(
            Finding(
                "ok" if free >= _ROOM else "problem",
                f"{free >> 20} MB free in {settings.style.folder}",
                "" if free >= _ROOM else "remove something: a style may take 64 MB",
                needed=False,
            )
        )
    return findings
