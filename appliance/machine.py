"""What `reconet doctor` finds out about the machine: its Edge TPU."""

import glob
from typing import List, Optional

from .findings import Finding, missing, ok, problem

_PACKAGES = "/var/lib/dpkg/info/libedgetpu1-"


def edge_tpu() -> List[Finding]:
    """Which Edge TPU is here, how it is connected, what drives it, and what keeps it from that. Nothing is opened."""
    from .engine import devices, interpreter
    from .host import tpu as driver

    found, (runtime, why) = devices.found(), interpreter.edge_tpu()
    if not found:
        return [missing("Edge TPU", f"no {devices.APEX} and no stick on USB: styles run on the CPU", needed=False)]
    findings = []
    for tpu in found:
        slow = tpu.link == "USB 2"
        advice = "plug it into a USB 3 port: pictures travel faster there"
        what = f"Edge TPU on {tpu.link} ({tpu.node})"
        new = "" if tpu.started else "; its firmware is loaded at the first use"
        findings.append(problem(what, advice, needed=False) if slow else ok(what + new))
    if runtime:
        findings.append(ok(f"Edge TPU runtime {runtime}{_speed()}"))
    else:
        findings.append(problem("Edge TPU not usable", why or "", needed=False))
    heat = driver.read()
    if heat and heat.temperature is not None:
        what = f"Edge TPU at {heat.temperature:.0f} degC"
        findings.append(problem(what, heat.warning or "", needed=False) if heat.hot else ok(what))
    if heat and heat.owner and heat.owner_name not in ("reconet", "python3"):
        what = f"Edge TPU used by {heat.owner_name} (process {heat.owner})"
        findings.append(problem(what, "stop that program", needed=False))
    return findings


def edge_tpu_runtime() -> Optional[int]:
    """The version of the Edge TPU runtime, of which compiled segments need a minimum; None without one."""
    from .engine import delegate
    from .errors import Problem

    try:
        return delegate.version()
    except Problem:
        return None


def _speed() -> str:
    """The clock of a stick, which the installed build of libedgetpu sets."""
    for name, words in (("max", ", sticks at 500 MHz (max)"), ("std", ", sticks at 250 MHz (std)")):
        if glob.glob(f"{_PACKAGES}{name}*.list"):
            return words
    return ""
