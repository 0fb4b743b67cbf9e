"""The appliance on a workstation, without a configuration: its commands find each other."""

import json
import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from appliance import byhand
from appliance.errors import Problem
from appliance.wire import Line

ROOT = Path(__file__).parents[2]


@pytest.fixture
def here(styles, tmp_path, monkeypatch):
    """A folder of this user alone for the status and the socket."""
    monkeypatch.setenv("XDG_RUNTIME_DIR", str(tmp_path))
    return tmp_path / f"reconet-{os.geteuid()}"


def test_run_status_use_and_web_find_each_other(here, styles):
    pytest.importorskip("inotify_simple", reason="inotify_simple is not installed")

    def command(*arguments):
        return [sys.executable, "-m", "appliance", *arguments]

    def ended(*arguments):
        return subprocess.run(command(*arguments), cwd=str(ROOT), stdout=subprocess.PIPE, universal_newlines=True)

    run = command("run", "--camera", "virtual", "--display", "none")
    with subprocess.Popen(run, cwd=str(ROOT), stderr=subprocess.PIPE, universal_newlines=True) as daemon:
        try:
            for line in daemon.stderr:
                if "style tiny" in line:
                    break
            with Line(here / "control") as line:
                assert line.ask("frame")["width"] == 64
            assert json.loads(ended("status", "--json").stdout)["camera"] == "virtual, 640x360 at 30 fps"
            assert "from now on tiny is shown" in ended("use", "tiny").stdout
            token = ended("web", "token").stdout.splitlines()[0]
            assert len(token) == 24 and (styles / ".web.json").exists()
        finally:
            daemon.send_signal(signal.SIGTERM)
            daemon.communicate()
        assert daemon.returncode == 0 and not (here / "control").exists()


def test_a_folder_that_others_may_use_is_refused(here):
    here.mkdir(mode=0o777)
    here.chmod(0o777)
    with pytest.raises(Problem, match="is not a private folder of this user: remove it"):
        byhand.settings()
    here.rmdir()
    here.symlink_to(here.parent)
    with pytest.raises(Problem, match="is not a private folder of this user"):
        byhand.settings()


def test_without_a_folder_of_styles_it_says_what_to_do(here, monkeypatch, tmp_path):
    monkeypatch.setenv("RECONET_STYLES", str(tmp_path / "none"))
    with pytest.raises(Problem, match="no styles folder that this user can write to: name one in RECONET_STYLES"):
        byhand.settings()


def test_a_configuration_that_is_named_comes_first(here, tmp_path):
    (tmp_path / "config.toml").write_text('[host]\nstatus = "/elsewhere/status.json"\n')
    assert byhand.found(str(tmp_path / "config.toml")).host.status == "/elsewhere/status.json"
    assert byhand.found(None).host.status == "/run/reconet/status.json"
