"""The systemd units: whether systemd 241 would accept them, as far as a newer systemd can show."""

import configparser
import re
import shlex
import shutil
import subprocess
from pathlib import Path

import pytest

from appliance.config import defaults_as_toml
from appliance.engine import devices

ROOT = Path(__file__).parents[2]
BOARD = ROOT / "firmware_overlay/hosts/mendel"
MOUNT = BOARD / "lib/systemd/system/var-log-journal.mount"
UNITS = sorted([*(ROOT / "systemd").iterdir(), MOUNT])
# All of them are in src/core/load-fragment-gperf.gperf.m4 of systemd 241. Newer and so not to be used:
# RestrictSUIDSGID, ProtectHostname (242), OOMPolicy, TimeoutAbortSec (243), ProtectKernelLogs (244),
# ProtectClock (245), ProtectProc, ProcSubset (247), OnSuccess, Upholds (249).
KNOWN_TO_241 = set(
    """
    After Before Conflicts DefaultDependencies Description Documentation OnFailure Requires RequiresMountsFor
    StartLimitIntervalSec StopWhenUnneeded Wants WantedBy
    ExecReload ExecStart ExecStop ExecStopPost NotifyAccess RemainAfterExit Restart RestartSec TimeoutStartSec
    TimeoutStopSec Type WatchdogSec
    CapabilityBoundingSet Environment Group KeyringMode LimitCORE LockPersonality NoNewPrivileges OOMScoreAdjust
    PrivateNetwork PrivateTmp ProtectControlGroups ProtectHome ProtectKernelModules ProtectKernelTunables ProtectSystem
    ReadWritePaths RemoveIPC RestrictAddressFamilies RestrictNamespaces RestrictRealtime RuntimeDirectory
    SystemCallArchitectures SystemCallErrorNumber SystemCallFilter UMask User
    CacheDirectory CacheDirectoryMode DynamicUser InaccessiblePaths IPAddressAllow Nice PrivateDevices PrivateMounts
    SupplementaryGroups
    DeviceAllow DevicePolicy IPAddressDeny MemoryMax TasksMax
    LazyUnmount Options What Where
""".split()
)

needs_analyze = pytest.mark.skipif(not shutil.which("systemd-analyze"), reason="systemd-analyze is not on this machine")


def options(path):
    """(section, name, value) of every line; names may come more than once."""
    text = path.read_text().replace("\\\n", " ")
    section = None
    for line in text.splitlines():
        if line.startswith("["):
            section = line.strip("[]")
        elif "=" in line and not line.startswith("#"):
            name, value = line.split("=", 1)
            yield section, name, value


@pytest.mark.parametrize("path", UNITS, ids=lambda path: path.name)
def test_only_options_of_systemd_241(path):
    assert {name for _, name, _ in options(path)} <= KNOWN_TO_241


@needs_analyze
@pytest.mark.parametrize("path", UNITS, ids=lambda path: path.name)
def test_units_are_sound(path, tmp_path):
    # Of a copy, because the command is not installed here.
    for unit in UNITS:
        (tmp_path / unit.name).write_text(unit.read_text().replace("/usr/bin/reconet", "/bin/true"))
    done = subprocess.run(
        ["systemd-analyze", "verify", "--man=no", tmp_path / path.name], capture_output=True, text=True
    )
    assert str(tmp_path) not in done.stderr and path.name not in done.stderr, done.stderr


@needs_analyze
@pytest.mark.parametrize("unit, most", [("reconet.service", 2.0), ("reconet-web.service", 1.8)])
def test_the_services_are_exposed_little(unit, most):
    done = subprocess.run(
        ["systemd-analyze", "security", "--offline=yes", f"--threshold={10 * most:.0f}", ROOT / "systemd" / unit],
        capture_output=True,
        text=True,
    )
    if "unrecognized option" in done.stderr:
        pytest.skip("this systemd-analyze cannot look at files (--offline, since 250)")
    level = re.search(r"exposure level for reconet\S*.service: ([0-9.]+)", done.stdout)
    assert level, done.stderr
    assert float(level.group(1)) <= most


def test_an_edge_tpu_on_usb_may_be_opened_under_both_of_its_names():
    rules = (ROOT / "firmware_overlay/lib/udev/rules.d/70-reconet.rules").read_text()
    found = re.findall(r'ATTR{idVendor}=="(\w+)", ATTR{idProduct}=="(\w+)", GROUP="plugdev", MODE="0660"', rules)
    assert found == [devices.NEW, devices.STARTED]
    service = [(name, value) for _, name, value in options(ROOT / "systemd/reconet.service")]
    assert ("DeviceAllow", "char-usb_device rw") in service
    assert "m reconet plugdev" in (ROOT / "firmware_overlay/usr/lib/sysusers.d/reconet.conf").read_text()


def test_the_configuration_file_has_every_key_at_its_default():
    assert (ROOT / "firmware_overlay/etc/reconet/config.toml").read_text() == defaults_as_toml()


def test_the_journal_of_the_board_is_kept_and_stays_small():
    journald = configparser.ConfigParser()
    journald.optionxform = str
    journald.read(BOARD / "usr/lib/systemd/journald.conf.d/reconet.conf")
    assert journald["Journal"]["Storage"] == "persistent" and journald["Journal"]["SystemMaxUse"] == "64M"
    mount = {name: value for _, name, value in options(MOUNT)}
    # systemd names a mount unit after its path, and waits for the mount point's own file system.
    assert mount["Where"] == "/var/log/journal" and mount["What"].startswith("/var/lib/")


def test_the_page_starts_with_the_daemon_only_where_the_configuration_says_so(tmp_path):
    """The line of the unit, with stand-ins for both commands."""
    assert ("Unit", "Wants", "reconet-web-start.service") in options(ROOT / "systemd/reconet.service")
    (line,) = [value for _, name, value in options(ROOT / "systemd/reconet-web-start.service") if name == "ExecStart"]
    script = shlex.split(line)[-1].replace("/usr/bin/reconet", f"{tmp_path}/reconet")
    started = tmp_path / "started"
    for enabled in (False, True):
        for name, does in (("reconet", str(enabled).lower()), ("systemctl", f'echo "$*" >> {started}')):
            (tmp_path / name).write_text(f"#!/bin/sh\n{does}\n")
            (tmp_path / name).chmod(0o755)
        subprocess.run(["/bin/sh", "-c", script], env={"PATH": f"{tmp_path}:/usr/bin:/bin"}, check=True)
        assert started.exists() == enabled
    assert started.read_text() == "--no-block start reconet-web.service\n"
