"""What this machine has and lacks for `reconet run`."""

import ctypes.util
import glob
import grp
import importlib
import os
import pwd
import shutil
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Callable, List, Optional

from .errors import Problem
from .places import CONFIG

if TYPE_CHECKING:  # what needs NumPy or pydantic is imported where it is used: they may be missing
    from .style.bundle import Bundle

_INSTALL = "pip install 'reconet-edgetpu[workstation]'"
_BOARD_INSTALL = "install the package reconet again"
_ROOM = 64 << 20  # bytes: the largest bundle
# The runtime that the compiler's files need, by its version (coral.ai/docs/edgetpu/compiler).
_NEEDS_RUNTIME = {"16.": 14, "15.": 13, "14.": 13}


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
    looks += [lambda: _camera(settings, board), lambda: _display(settings, board)]
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
        _nodes(
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
        there, user = os.path.isdir(folder), _user()
        if not there and name == "status":
            findings.append(
                Finding("missing", f"{name} folder {folder}", "systemd makes it when the service starts", needed=False)
            )
        elif not there or not _may(folder):
            findings.append(
                Finding(
                    "problem",
                    f"{name} folder {folder}",
                    f"{user} may not write there: what ran last is not remembered" if there else f"mkdir -p {folder}",
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


def _camera(settings, needed: bool) -> List[Finding]:
    nodes = sorted(glob.glob("/dev/video*"))
    finding = _nodes(
        "camera",
        nodes,
        "no /dev/video*: plug one in" if needed else "no /dev/video*: use a file or --camera virtual",
        needed,
    )
    if not needed or finding.state != "ok":
        return [finding]
    from .camera.v4l2 import NETWORK, as_configured, given, open_first

    try:
        stream = open_first(as_configured(settings.camera))
    except Problem as problem:
        if _running(settings):
            return [Finding("ok", "camera, in use by the daemon")]
        return [Finding("problem", "camera", str(problem))]
    stream.close()
    return [Finding("ok", f"camera {stream.path} gives {given(stream, NETWORK)} for a style of 640x360")]


def _display(settings, needed: bool) -> List[Finding]:
    findings = [
        _nodes(
            "display",
            sorted(glob.glob("/dev/dri/card*")),
            "no /dev/dri/card*" if needed else "no /dev/dri/card*: write to a file",
            needed,
        )
    ]
    if not needed:
        return findings
    if not ctypes.util.find_library("drm"):
        findings.append(Finding("missing", "libdrm", "apt install libdrm2"))
    if findings[0].state == "ok":
        connected = [
            path.split("/")[-2]
            for path in glob.glob("/sys/class/drm/card*-*/status")
            if Path(path).read_text().strip() == "connected"
        ]
        findings.append(
            Finding("ok", f"monitor on {', '.join(connected)}")
            if connected
            else Finding("missing", "monitor", "plug one in: the picture comes by itself")
        )
    return findings


def _running(settings) -> bool:
    from .host import status

    try:
        return bool(status.read(settings.host.status))
    except Problem:
        return False


def _nodes(name: str, nodes: List[str], advice: str, needed: bool) -> Finding:
    if not nodes:
        return Finding("missing", name, advice, needed)
    user = _user()
    closed = [node for node in nodes if not _may(node)]
    if closed:
        group = grp.getgrgid(os.stat(closed[0]).st_gid).gr_name
        return Finding("problem", f"{name} {closed[0]}", f"{user} may not use it: usermod -aG {group} {user}", needed)
    return Finding("ok", f"{name} {', '.join(nodes)}", needed=needed)


def _user() -> str:
    """The name of the user that this process runs as."""
    try:
        return pwd.getpwuid(os.geteuid()).pw_name
    except KeyError:
        return str(os.geteuid())


def _may(path: str) -> bool:
    """Whether this user may read and write there."""
    return os.access(path, os.R_OK | os.W_OK)
