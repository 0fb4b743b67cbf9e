"""The appliance as a process of its own."""

import signal
import subprocess
import sys
from pathlib import Path

import pytest

pytest.importorskip("inotify_simple", reason="inotify_simple is not installed")


ROOT = Path(__file__).parents[2]


def test_by_hand_a_bad_configuration_is_an_error(tmp_path):
    (tmp_path / "bad.toml").write_text("[camera]\nwidht = 640\n")
    done = subprocess.run(
        [sys.executable, "-m", "appliance", "run", "--config", str(tmp_path / "bad.toml")],
        cwd=str(ROOT),
        stderr=subprocess.PIPE,
        universal_newlines=True,
    )
    assert done.returncode == 1 and "widht" in done.stderr and len(done.stderr.splitlines()) == 1


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_ends_it(number, styles, tmp_path):
    """The process itself, on a machine without camera and monitor."""
    (tmp_path / "config.toml").write_text(f'[host]\nstatus = "{tmp_path}/status.json"\n[style]\nfolder = "{styles}"\n')
    process = subprocess.Popen(
        [sys.executable, "-m", "appliance", "run", "--config", str(tmp_path / "config.toml")],
        cwd=str(ROOT),
        stderr=subprocess.PIPE,
        universal_newlines=True,
    )
    while not (tmp_path / "status.json").exists():
        assert process.poll() is None, process.stderr.read()
    for _ in range(200):
        process.send_signal(signal.SIGHUP)
    process.send_signal(number)
    _, err = process.communicate()
    assert process.returncode == 0 and "Traceback" not in err
