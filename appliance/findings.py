"""What `reconet doctor` reports: findings, and those about the camera and the display."""

import ctypes.util
import glob
import grp
import os
import pwd
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, List

from .errors import Problem

if TYPE_CHECKING:  # what needs NumPy or pydantic is imported where it is used: they may be missing
    from .config import Settings


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


def camera(settings: "Settings", needed: bool) -> List[Finding]:
    devices = sorted(glob.glob("/dev/video*"))
    finding = nodes(
        "camera",
        devices,
        "no /dev/video*: plug one in" if needed else "no /dev/video*: use a file or --camera virtual",
        needed,
    )
    if not needed or finding.state != "ok":
        return [finding]
    from .camera.stream import NETWORK
    from .camera.v4l2 import as_configured, given, open_first

    try:
        stream = open_first(as_configured(settings.camera))
    except Problem as problem:
        if running(settings):
            return [Finding("ok", "camera, in use by the daemon")]
        return [Finding("problem", "camera", str(problem))]
    stream.close()
    return [Finding("ok", f"camera {stream.path} gives {given(stream, NETWORK)} for a style of 640x360")]


def display(settings: "Settings", needed: bool) -> List[Finding]:
    findings = [
        nodes(
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


def running(settings: "Settings") -> bool:
    from .host import status

    try:
        return bool(status.read(settings.host.status))
    except Problem:
        return False


def nodes(name: str, nodes: List[str], advice: str, needed: bool) -> Finding:
    if not nodes:
        return Finding("missing", name, advice, needed)
    me = user()
    closed = [node for node in nodes if not may(node)]
    if closed:
        group = grp.getgrgid(os.stat(closed[0]).st_gid).gr_name
        return Finding("problem", f"{name} {closed[0]}", f"{me} may not use it: usermod -aG {group} {me}", needed)
    return Finding("ok", f"{name} {', '.join(nodes)}", needed=needed)


def user() -> str:
    """The name of the user that this process runs as."""
    try:
        return pwd.getpwuid(os.geteuid()).pw_name
    except KeyError:
        return str(os.geteuid())


def may(path: str) -> bool:
    """Whether this user may read and write there."""
    return os.access(path, os.R_OK | os.W_OK)
