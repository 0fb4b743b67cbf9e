"""Checks what `reconet run` needs on this machine."""

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
from typing import TYPE_CHECKING, Callable, List, Optional, Sequence

from .errors import Problem
from .places import CONFIG

if TYPE_CHECKING:  # what needs NumPy or pydantic is imported where it is used: they may be missing
    from .config import Settings
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


def _ok(what: str) -> Finding:
    return Finding("ok", what)


def _missing(what: str, advice: str, needed: bool = True) -> Finding:
    return Finding("missing", what, advice, needed)


def _problem(what: str, advice: str, needed: bool = True) -> Finding:
    return Finding("problem", what, advice, needed)


def examine(path: Optional[str] = None) -> List[Finding]:
    """All findings, in the order in which a user would fix them.

    With the configuration at `path`, or with the board's in its place, they are about the appliance, which needs a
    camera and a monitor; otherwise about stylising files.
    """
    board = path is not None or CONFIG.exists()
    install = _BOARD_INSTALL if board else _INSTALL
    findings = [
        _python(),
        _package("numpy", "numpy", install),
        _package("pydantic", "pydantic", install),
        _package("Pillow", "PIL", install),
        _package("v4l2-python3, for cameras", "v4l2", install, needed=board),
        _package("inotify_simple, for new styles", "inotify_simple", install, needed=board),
        _package("python3-systemd, for the journal", "systemd", "apt install python3-systemd", needed=False),
        _package("PyAV, for video files", "av", "pip install av, or use folders of pictures", needed=False),
    ]
    settings = None
    try:
        settings = _settings(path) if board else None
    except ImportError:
        pass  # a finding already
    except Problem as problem:
        return findings + [_problem("configuration", str(problem))]
    checks: List[Callable[[], List[Finding]]] = [_runtimes, _edge_tpu, lambda: _styles(settings)]
    if settings:
        found: Settings = settings
        findings.append(_configuration(path))
        checks += [lambda: _folders(found), lambda: _camera(found), lambda: _display()]
    else:
        checks.append(lambda: [_camera_node(board), _display_node(board)])
    for check in checks:
        try:
            findings += check()
        except ImportError as error:
            findings.append(_problem(f"not checked ({error})", install))
    return findings


def _settings(path: Optional[str]) -> "Settings":
    from . import config

    return config.load(path or CONFIG)


def _configuration(path: Optional[str]) -> Finding:
    path = path or str(CONFIG)
    return _ok(f"configuration {path}" + ("" if os.path.exists(path) else ": no such file, so the defaults"))


def _python() -> Finding:
    version = "Python " + ".".join(str(part) for part in sys.version_info[:3])
    return _ok(version) if sys.version_info >= (3, 7) else _problem(version, "install 3.7 or newer")


def _package(name: str, package: str, advice: str, needed: bool = True) -> Finding:
    try:
        module = importlib.import_module(package)
    except ImportError:
        return _missing(name, advice, needed)
    return _ok(f"{name} {getattr(module, '__version__', '')}".strip())


def _runtimes() -> List[Finding]:
    from .engine.interpreter import runtimes

    try:
        return [_ok(f"TensorFlow Lite runtime {runtime} on {runtime.device}") for runtime in runtimes()]
    except Problem as problem:
        return [_missing("TensorFlow Lite runtime", str(problem))]


def _edge_tpu() -> List[Finding]:
    from .engine.interpreter import TPU_DEVICE
    from .host import tpu

    node = [TPU_DEVICE] if os.path.exists(TPU_DEVICE) else []
    findings = [_nodes("Edge TPU", node, f"no {TPU_DEVICE}: styles run on the CPU", needed=False)]
    library, heat = ctypes.util.find_library("edgetpu"), tpu.read()
    if library:
        findings.append(_ok(f"libedgetpu ({library})"))
    else:
        advice = "on the board: apt install libedgetpu1-std python3-pycoral"
        findings.append(_missing("libedgetpu", advice, needed=False))
    if heat and heat.temperature is not None:
        what = f"Edge TPU at {heat.temperature:.0f} degC"
        findings.append(_problem(what, heat.warning or "", needed=False) if heat.hot else _ok(what))
    if heat and heat.owner and heat.owner_name not in ("reconet", "python3"):
        what = f"Edge TPU used by {heat.owner_name} (process {heat.owner})"
        findings.append(_problem(what, "stop that program", needed=False))
    return findings


def _styles(settings: Optional["Settings"]) -> List[Finding]:
    from .style import store

    folders = [Path(settings.style.folder)] if settings else store.directories()
    valid, refused = store.styles(folders)
    findings = [_problem("style refused", one.reason, needed=False) for one in refused]
    if not valid:
        advice = f"put a .reconet file in {', '.join(map(str, folders))}"
        return findings + [_missing("style", advice + ("" if settings else ", or set RECONET_STYLES"))]
    findings += [_ok(f"style {bundle.name} ({bundle.path})") for bundle in valid]
    wanted = settings.style.name if settings else "newest"
    shown = next((bundle for bundle in valid if bundle.name == wanted), valid[0])
    if wanted not in ("newest", shown.name):
        what = f"style {wanted}, which the configuration names"
        findings.append(_missing(what, f"{shown.name} is shown instead", needed=False))
    plan = settings.engine.plan if settings and settings.engine.plan != "auto" else None
    return findings + [_trial(shown, plan)] + _compiled(valid)


def _trial(bundle: "Bundle", plan: Optional[str]) -> Finding:
    """The style's first run, in a child process that it may crash."""
    from .trial import passes

    reason = passes(bundle.path, plan=plan)
    if reason:
        return _problem(f"running style {bundle.name}", reason)
    return _ok(f"style {bundle.name} runs on the CPU")


def _compiled(bundles: Sequence["Bundle"]) -> List[Finding]:
    """Whether the Edge TPU's runtime here is new enough for what the compiler made."""
    from .engine.interpreter import edge_tpu_runtime

    runtime = edge_tpu_runtime()
    findings = []
    for bundle in bundles:
        made = bundle.manifest.provenance.get("compiled")
        entries = made.values() if isinstance(made, dict) else ()
        compilers = [str(entry.get("compiler", "")) for entry in entries if isinstance(entry, dict)]
        needs = [least for start, least in _NEEDS_RUNTIME.items() if any(name.startswith(start) for name in compilers)]
        if runtime is not None and needs and max(needs) > runtime:
            what = f"style {bundle.name} needs Edge TPU runtime {max(needs)}, here is {runtime}"
            advice = "apt install libedgetpu1-std, or compile it with an older compiler"
            findings.append(_problem(what, advice, needed=False))
    return findings


def _folders(settings: "Settings") -> List[Finding]:
    findings = []
    styles, run = settings.style.folder, os.path.dirname(settings.host.status)
    denied = f"{_user()} may not write there"
    if not os.path.isdir(styles):
        findings.append(_problem(f"styles folder {styles}", f"mkdir -p {styles}"))
    elif not _may(styles):
        findings.append(_problem(f"styles folder {styles}", f"{denied}: what ran last is not saved", needed=False))
    if not os.path.isdir(run):
        findings.append(_missing(f"status folder {run}", "systemd makes it when the service starts", needed=False))
    elif not _may(run):
        findings.append(_problem(f"status folder {run}", f"{denied}: reconet status has nothing to show", needed=False))
    if os.path.isdir(styles):
        free = shutil.disk_usage(styles).free
        what = f"{free >> 20} MB free in {styles}"
        findings.append(
            _ok(what) if free >= _ROOM else _problem(what, "free some space: a style may take 64 MB", needed=False)
        )
    return findings


def _camera_node(needed: bool) -> Finding:
    advice = "no /dev/video*: plug one in" if needed else "no /dev/video*: use a file or --camera virtual"
    return _nodes("camera", sorted(glob.glob("/dev/video*")), advice, needed)


def _camera(settings: "Settings") -> List[Finding]:
    node = _camera_node(needed=True)
    if node.state != "ok":
        return [node]
    from .camera.stream import NETWORK
    from .camera.v4l2 import as_configured, given, open_first

    try:
        stream = open_first(as_configured(settings.camera))
    except Problem as problem:
        return [_ok("camera, used by the daemon") if _running(settings) else _problem("camera", str(problem))]
    stream.close()
    return [_ok(f"camera {stream.path} gives {given(stream, NETWORK)} for a style of 640x360")]


def _display_node(needed: bool) -> Finding:
    advice = "no /dev/dri/card*" if needed else "no /dev/dri/card*: write to a file"
    return _nodes("display", sorted(glob.glob("/dev/dri/card*")), advice, needed)


def _display() -> List[Finding]:
    findings = [_display_node(needed=True)]
    if not ctypes.util.find_library("drm"):
        findings.append(_missing("libdrm", "apt install libdrm2"))
    if findings[0].state == "ok":
        connected = [
            path.split("/")[-2]
            for path in glob.glob("/sys/class/drm/card*-*/status")
            if Path(path).read_text().strip() == "connected"
        ]
        if connected:
            findings.append(_ok(f"monitor on {', '.join(connected)}"))
        else:
            findings.append(_missing("monitor", "plug one in: the picture then appears"))
    return findings


def _running(settings: "Settings") -> bool:
    from .host import status

    try:
        return bool(status.read(settings.host.status))
    except Problem:
        return False


def _nodes(name: str, nodes: List[str], advice: str, needed: bool) -> Finding:
    if not nodes:
        return _missing(name, advice, needed)
    closed = [node for node in nodes if not _may(node)]
    if closed:
        group = grp.getgrgid(os.stat(closed[0]).st_gid).gr_name
        return _problem(f"{name} {closed[0]}", f"{_user()} may not use it: usermod -aG {group} {_user()}", needed)
    return _ok(f"{name} {', '.join(nodes)}")


def _user() -> str:
    """The name of the user that this process runs as."""
    try:
        return pwd.getpwuid(os.geteuid()).pw_name
    except KeyError:
        return str(os.geteuid())


def _may(path: str) -> bool:
    """Whether this user may read and write there."""
    return os.access(path, os.R_OK | os.W_OK)
