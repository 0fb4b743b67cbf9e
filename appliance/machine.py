"""What `reconet doctor` checks on the machine: its model, its power, its Edge TPU."""

import os
import platform
import re
import shutil
import subprocess
from pathlib import Path
from typing import List, Optional, Union

from .findings import Finding, missing, ok, problem

_PACKAGES = "/var/lib/dpkg/info"
_MODELS = "/proc/device-tree/model", "/sys/class/dmi/id/product_name"
_RELEASE = "/etc/os-release"
_PCI, _HWMON = "/sys/bus/pci/devices", "/sys/class/hwmon"
_EDGE_TPU = "0x1ac1 0x089a"  # on PCI
# The bits of vcgencmd's get_throttled (raspberrypi.com/documentation/computers/os.html), which
# has each twice: now, and at any time since boot.
_THROTTLED = {0: "under-voltage", 1: "clock capped", 2: "throttled", 3: "at the soft temperature limit"}
_LOW_VOLTAGE, _HOT = 0x10001, 3
_POWER = "use its own power supply and a short cable; a USB stick draws most power while it computes"
_COOLING = "add a fan or a heat sink"


def describe() -> Finding:
    """The model, the operating system and the kernel's page size."""
    model = next(filter(None, map(_text, _MODELS)), platform.machine())
    found = re.search(r'^PRETTY_NAME="?([^"\n]*)', _text(_RELEASE), re.MULTILINE)
    system = found.group(1) if found else platform.system()
    pages = os.sysconf("SC_PAGE_SIZE") >> 10
    return ok(f"{model}, {system}, Linux {platform.release()} {platform.machine()}, {pages} KiB pages")


def is_mendel() -> bool:
    """Whether this is Mendel Linux, the Dev Board's, whose apt has Google's runtimes."""
    return bool(re.search(r'^ID="?mendel"?$', _text(_RELEASE), re.MULTILINE))


def power() -> List[Finding]:
    """Problems with a Raspberry Pi's power or cooling, now or at any time since boot.

    Both cap the clock. Where the voltage was low, that is the likelier cause.
    """
    bits = _throttled()
    low = bits & _LOW_VOLTAGE
    findings = []
    for bit, words in _THROTTLED.items():
        now, since = bits >> bit & 1, bits >> bit + 16 & 1
        if now or since:
            when = "" if now else " at times since boot"
            advice = _POWER if low and bit < _HOT else _COOLING
            findings.append(problem(f"the machine runs slower: {words}{when}", advice, needed=False))
    return findings


def _throttled() -> int:
    """The bits that vcgencmd reports; without it, bit 0 from the kernel's voltage monitor."""
    tool = shutil.which("vcgencmd")
    if tool:
        done = subprocess.run([tool, "get_throttled"], stdout=subprocess.PIPE, stderr=subprocess.DEVNULL)
        found = re.search(rb"throttled=0x([0-9a-fA-F]+)", done.stdout)
        if found:
            return int(found.group(1), 16)
    folders = [folder for folder in Path(_HWMON).glob("*") if _text(folder / "name") == "rpi_volt"]
    return int(any(_text(folder / "in0_lcrit_alarm") == "1" for folder in folders))


def edge_tpu() -> List[Finding]:
    """The Edge TPUs, their connection and runtime, and what prevents their use. No device is opened."""
    from .engine import devices, interpreter
    from .host import tpu as driver

    found, (runtime, why) = devices.found(), interpreter.edge_tpu()
    cards = [f for f in Path(_PCI).glob("*") if f"{_text(f / 'vendor')} {_text(f / 'device')}" == _EDGE_TPU]
    if cards and not devices.APEX.exists():
        large = os.sysconf("SC_PAGE_SIZE") > 4096
        advice = "install its gasket driver: docs/hosts.md says which one"
        advice += "; it may need 4 KiB pages: kernel=kernel8.img in /boot/firmware/config.txt" if large else ""
        return [problem(f"Edge TPU on PCIe without {devices.APEX}", advice, needed=False)]
    if not found and why:
        return [problem("Edge TPU not usable", why, needed=False)]
    if not found:
        return [missing("Edge TPU", f"no {devices.APEX} and no stick on USB: styles run on the CPU", needed=False)]
    findings = []
    for tpu in found:
        slow = tpu.link == "USB 2"
        advice = "plug it into a USB 3 port: transfers are faster"
        what = f"Edge TPU on {tpu.link} ({tpu.node})"
        new = "" if tpu.started else "; its firmware loads on first use"
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
    """The version of the Edge TPU runtime, None without one. Compiled segments need a minimum version."""
    from .engine import delegate
    from .errors import Problem

    try:
        return delegate.version()
    except Problem:
        return None


def _speed() -> str:
    """The clock of sticks, which depends on the installed build of libedgetpu."""
    for name, words in (("max", ", sticks at 500 MHz (max)"), ("std", ", sticks at 250 MHz (std)")):
        if any(Path(_PACKAGES).glob(f"libedgetpu1-{name}*.list")):
            return words
    return ""


def _text(path: Union[str, Path]) -> str:
    try:
        return Path(path).read_text("utf-8", "replace").strip("\0\n ")
    except OSError:
        return ""
