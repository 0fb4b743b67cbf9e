"""Checks for what `reconet run` needs on this machine."""

import ctypes.util
import glob
import importlib
import os
import shlex
import shutil
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Callable, List, Optional, Sequence

from . import machine
from .engine import devices
from .errors import Problem
from .findings import Finding, may, missing, nodes, ok, problem, python, user
from .places import CONFIG

if TYPE_CHECKING:  # NumPy and pydantic may be missing, so modules that need them are imported where they are used
    from .config import Settings
    from .style.bundle import Bundle

_BOARD_INSTALL = "install the package reconet again"
# What to install with pip, by module: single packages, because the extras may not include the missing one.
_PACKAGES = {
    "numpy": "numpy>=1.21",
    "pydantic": "pydantic>=2.5",
    "typing_extensions": "typing-extensions>=4.6",
    "PIL": "Pillow>=9.1",
    "v4l2": "v4l2-python3==0.3.5",
    "inotify_simple": "inotify_simple>=1.3.5,<3",
    "av": "av>=14,<20",
    "runtime": "ai-edge-litert>=2.0,<3" if sys.version_info >= (3, 10) else "tflite-runtime",
}
_ROOM = 64 << 20  # bytes: the largest bundle
# The runtime that the compiler's files need, by its version (coral.ai/docs/edgetpu/compiler).
_NEEDS_RUNTIME = {"16.": 14, "15.": 13, "14.": 13}


def examine(path: Optional[str] = None) -> List[Finding]:
    """All findings, in the order in which a user would fix them.

    With a configuration, at `path` or in the board's usual place, they are about the daemon, which needs a camera and a
    monitor. Without one, they are about stylising files.
    """
    board = path is not None or CONFIG.exists()
    findings = [
        machine.describe(),
        *machine.power(),
        python(),
        _package("numpy", "numpy", board),
        _package("pydantic", "pydantic", board),
        _package("typing-extensions", "typing_extensions", board),
        _package("Pillow", "PIL", board),
        _package("v4l2-python3, for cameras", "v4l2", board, needed=board),
        _package("inotify_simple, for new styles", "inotify_simple", board, needed=board),
    ]
    if board:  # elsewhere Python may have its own environment, which apt does not install into
        findings.append(_package("python3-systemd, for the journal", "systemd", board, needed=False))
    findings.append(_package("PyAV, for video files", "av", board, needed=False))
    settings = None
    try:
        settings = _settings(path) if board else None
    except ImportError:
        pass  # already a finding
    except Problem as reason:
        return findings + [problem("configuration", str(reason))]
    checks: List[Callable[[], List[Finding]]] = [lambda: _runtimes(board), machine.edge_tpu, lambda: _styles(settings)]
    if settings:
        found: Settings = settings
        devices.choose(found.engine.device)
        findings.append(_configuration(path))
        checks += [lambda: _folders(found), lambda: _camera(found), lambda: _display(found)]
    else:
        checks.append(lambda: [_camera_node(board), _display_node(board)])
    for check in checks:
        try:
            findings += check()
        except ImportError as error:
            findings.append(problem(f"not checked ({error})", _install(error.name or "", board)))
    return findings


def _settings(path: Optional[str]) -> "Settings":
    from . import config

    return config.load(path or CONFIG)


def _configuration(path: Optional[str]) -> Finding:
    path = path or str(CONFIG)
    return ok(f"configuration {path}" + ("" if os.path.exists(path) else ": no such file, using the defaults"))


def _package(name: str, module: str, board: bool, needed: bool = True) -> Finding:
    try:
        found = importlib.import_module(module)
    except ImportError:
        return missing(name, _install(module, board), needed)
    return ok(f"{name} {getattr(found, '__version__', '')}".strip())


def _install(module: str, board: bool) -> str:
    """How `module` is installed for the Python that runs this."""
    if module == "systemd":
        return "apt install python3-systemd"
    if board and module == "av":
        return "use folders of pictures: PyAV is not available on a board"
    if board or module not in _PACKAGES:
        return _BOARD_INSTALL if board else f"install what provides the module {module}"
    return f"{shlex.quote(sys.executable)} -m pip install {shlex.quote(_PACKAGES[module])}"


def _runtimes(board: bool) -> List[Finding]:
    from .engine.interpreter import runtimes

    try:
        return [ok(f"TensorFlow Lite runtime {runtime} on {runtime.device}") for runtime in runtimes()]
    except Problem:
        on_mendel = board and machine.is_mendel()
        advice = "apt install python3-tflite-runtime" if on_mendel else _install("runtime", board)
        return [missing("TensorFlow Lite runtime", advice)]


def _styles(settings: Optional["Settings"]) -> List[Finding]:
    from .style import store

    folders = [Path(settings.style.folder)] if settings else store.directories()
    valid, refused = store.styles(folders)
    findings = [problem("style refused", one.reason, needed=False) for one in refused]
    if not valid:
        advice = f"put a .reconet file in {', '.join(map(str, folders))}"
        return findings + [missing("style", advice + ("" if settings else ", or set RECONET_STYLES"))]
    findings += [ok(f"style {bundle.name} ({bundle.path})") for bundle in valid]
    wanted = settings.style.name if settings else store.DEFAULT
    shown = next((bundle for bundle in valid if bundle.name == wanted), valid[0])
    if settings and wanted not in ("newest", shown.name):
        what = f"style {wanted}, named in the configuration"
        findings.append(missing(what, f"{shown.name} is shown instead", needed=False))
    plan = settings.engine.plan if settings else None
    findings.append(_trial(shown, plan if plan in [one.name for one in shown.manifest.plans] else None))
    return findings + (_choice(shown, settings) if settings else []) + _compiled(valid)


def _trial(bundle: "Bundle", plan: Optional[str]) -> Finding:
    """The result of the style's trial. It runs in a child process, because it may crash."""
    from .trial import passes

    reason = passes(bundle.path, plan=plan)
    if reason:
        return problem(f"running style {bundle.name}", reason)
    return ok(f"style {bundle.name} runs on the CPU")


def _choice(bundle: "Bundle", settings: "Settings") -> List[Finding]:
    """The size at which the daemon runs the style, or would run it, and why; and what it cannot do as configured."""
    from .host import status
    from .options import decide, options, runtimes_for
    from .style import state

    engine = settings.engine
    try:
        usable = runtimes_for(bundle, engine)
    except Problem as reason:
        return [problem(f"running style {bundle.name}", str(reason))]
    note = options(bundle, engine, usable[0].device)[0].note
    notes = [problem("[engine] of the configuration", note, needed=False)] if note else []
    try:
        now = status.read(settings.host.status)
        if now.digest == bundle.digest and now.size:
            return [*notes, ok(f"style {bundle.name} runs at {status.choice(now)}")]
    except Problem:  # the daemon does not run
        pass
    try:
        remembered = state.read(Path(settings.style.folder))
    except Problem as reason:
        return [*notes, problem("saved measurements", str(reason), needed=False)]
    target = float(engine.target_fps or settings.camera.fps)
    for runtime in usable:
        device = state.device(str(runtime), runtime.device, engine.threads)
        known, chosen = remembered.rows(bundle.digest, device), remembered.chosen(bundle.digest, runtime.device)
        for among in options(bundle, engine, runtime.device, chosen):
            found = decide(among, known, target)
            if found:
                row = found.row
                now = status.Status(
                    size=row.text, plan=row.plan, measured_fps=row.fps, target_fps=target, why=found.why
                )
                return [*notes, ok(f"style {bundle.name} will run at {status.choice(now)}")]
    return [*notes, ok(f"style {bundle.name}: its size is measured when it first runs")]


def _compiled(bundles: Sequence["Bundle"]) -> List[Finding]:
    """Findings about compiled styles that need a newer Edge TPU runtime than the one here."""
    from .engine.delegate import INSTALL

    runtime = machine.edge_tpu_runtime()
    findings = []
    for bundle in bundles:
        made = bundle.manifest.provenance.get("compiled")
        entries = made.values() if isinstance(made, dict) else ()
        compilers = [str(entry.get("compiler", "")) for entry in entries if isinstance(entry, dict)]
        needs = [least for start, least in _NEEDS_RUNTIME.items() if any(name.startswith(start) for name in compilers)]
        if runtime is not None and needs and max(needs) > runtime:
            what = f"style {bundle.name} needs Edge TPU runtime {max(needs)}, this machine has {runtime}"
            newer = "apt install libedgetpu1-std" if machine.is_mendel() else INSTALL
            findings.append(problem(what, f"{newer}; or compile it with an older compiler", needed=False))
    return findings


def _folders(settings: "Settings") -> List[Finding]:
    findings = []
    styles, run = settings.style.folder, os.path.dirname(settings.host.status)
    denied = f"{user()} has no write permission"
    if not os.path.isdir(styles):
        findings.append(problem(f"styles folder {styles}", f"mkdir -p {styles}"))
    elif not may(styles):
        findings.append(problem(f"styles folder {styles}", f"{denied}: the last style is not remembered", needed=False))
    if not os.path.isdir(run):
        findings.append(missing(f"status folder {run}", "systemd makes it when the service starts", needed=False))
    elif not may(run):
        findings.append(problem(f"status folder {run}", f"{denied}: reconet status cannot work", needed=False))
    if os.path.isdir(styles):
        free = shutil.disk_usage(styles).free
        what = f"{free >> 20} MB free in {styles}"
        findings.append(
            ok(what) if free >= _ROOM else problem(what, "free some space: a style may take 64 MB", needed=False)
        )
    return findings


def _camera_node(needed: bool) -> Finding:
    advice = "no /dev/video*: plug one in" if needed else "no /dev/video*: use a file or --camera virtual"
    return nodes("camera", sorted(glob.glob("/dev/video*")), advice, needed)


def _camera(settings: "Settings") -> List[Finding]:
    from .camera.picamera2 import is_csi, look

    if settings.camera.device == "virtual":
        return [ok("camera: the virtual one")]
    if is_csi(settings.camera.device):
        try:
            return [ok(f"camera {look()} on the ribbon cable, by Picamera2")]
        except Problem as reason:
            return [problem("camera", str(reason))]
    node = _camera_node(needed=True)
    if node.state != "ok":
        return [node]
    from .camera.stream import NETWORK
    from .camera.v4l2 import as_configured, given, open_first

    try:
        stream = open_first(as_configured(settings.camera))
    except Problem as reason:
        return [ok("camera, used by the daemon") if _running(settings) else problem("camera", str(reason))]
    stream.close()
    return [ok(f"camera {stream.path} gives {given(stream, NETWORK)} for a style of 640x360")]


def _display_node(needed: bool) -> Finding:
    advice = "no /dev/dri/card*" if needed else "no /dev/dri/card*: write to a file"
    return nodes("display", sorted(glob.glob("/dev/dri/card*")), advice, needed)


def _display(settings: "Settings") -> List[Finding]:
    wanted = settings.display.connector
    if wanted == "none":
        return [ok("display: none, as configured")]
    findings = [_display_node(needed=True)]
    if not ctypes.util.find_library("drm"):
        findings.append(missing("libdrm", "apt install libdrm2"))
    if findings[0].state == "ok":
        connected = [
            path.split("/")[-2]  # card0-HDMI-A-1
            for path in glob.glob("/sys/class/drm/card*-*/status")
            if Path(path).read_text().strip() == "connected"
        ]
        if connected and wanted not in ("auto", *(name.partition("-")[2] for name in connected)):
            advice = f"plug it in there, or change display.connector: there is one on {', '.join(connected)}"
            findings.append(missing(f"monitor on {wanted}", advice))
        elif connected:
            findings.append(ok(f"monitor on {', '.join(connected)}"))
        else:
            findings.append(missing("monitor", "plug one in; the picture then appears"))
    return findings


def _running(settings: "Settings") -> bool:
    from .host import status

    try:
        return bool(status.read(settings.host.status))
    except Problem:
        return False
