"""Deploying over ssh, to a real sshd on this machine. What it runs is a stand-in for a host (stand_in_mdt.py)."""

import os
import pwd
import shutil
import socket
import subprocess
import sys
from pathlib import Path

import pytest

from appliance.style import bundle

from .test_deploy import deploy, dislike, package, style, styles

TOOLS = {name: shutil.which(name, path=os.environ["PATH"] + ":/usr/sbin") for name in ("sshd", "ssh", "ssh-keygen")}
LACKING = [name for name, path in TOOLS.items() if not path]
pytestmark = pytest.mark.skipif(
    bool(LACKING), reason=f"not on this machine: {', '.join(LACKING)} (apt: openssh-server)"
)


@pytest.fixture(scope="module")
def sshd(tmp_path_factory):
    """A server on a port of its own, with keys of its own: (the folder, its host, an ssh that knows it)."""
    folder = tmp_path_factory.mktemp("sshd")
    board, tools = folder / "board", folder / "tools"
    tools.mkdir()
    for name in ("host", "client"):
        subprocess.run([TOOLS["ssh-keygen"], "-q", "-t", "ed25519", "-N", "", "-f", folder / name], check=True)
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    me, stand_in = pwd.getpwuid(os.getuid()).pw_name, Path(__file__).with_name("stand_in_mdt.py")
    (folder / "config").write_text(
        f"Port {port}\nListenAddress 127.0.0.1\nHostKey {folder}/host\nAuthorizedKeysFile {folder}/client.pub\n"
        f"PidFile none\nStrictModes no\nUsePAM no\nPermitRootLogin yes\nSetEnv STAND_IN_BOARD={board}\n"
        f"ForceCommand {sys.executable} -IS {stand_in} ssh\n"
    )
    (folder / "known").write_text(f"[127.0.0.1]:{port} {(folder / 'host.pub').read_text()}")
    (folder / "ssh_config").write_text(
        f"Host board\nHostName 127.0.0.1\nPort {port}\nIdentityFile {folder}/client\nIdentitiesOnly yes\n"
        f"UserKnownHostsFile {folder}/known\nHost closed\nHostName 127.0.0.1\nPort 1\n"
    )
    (tools / "ssh").write_text(f'#!/bin/sh\nexec {TOOLS["ssh"]} -F {folder}/ssh_config "$@"\n')
    (tools / "ssh").chmod(0o755)
    if os.getuid() == 0:
        Path("/run/sshd").mkdir(mode=0o755, exist_ok=True)
    server = subprocess.Popen([TOOLS["sshd"], "-D", "-e", "-f", folder / "config"], stderr=subprocess.PIPE, text=True)
    for line in server.stderr:
        if "listening" in line:
            break
    else:
        pytest.skip("sshd does not start here")
    yield board, f"{me}@board", tools
    server.terminate()
    server.communicate()


@pytest.fixture
def host(sshd, monkeypatch):
    """(the folder of a host that shows `old`, its name for ssh)."""
    board, name, tools = sshd
    shutil.rmtree(board, ignore_errors=True)
    for part in ("var/lib/reconet", "var/lib/dpkg/info", "tmp", "etc"):
        (board / part).mkdir(parents=True)
    (board / "etc/os-release").write_text('PRETTY_NAME="Debian GNU/Linux 12"\nVERSION_ID="12"\nID=debian\n')
    style(styles(board) / "old.reconet", "old")
    monkeypatch.setenv("PATH", str(tools), prepend=":")
    return board, name


def names(board):
    return sorted(path.name for path in [*styles(board).iterdir(), *(board / "tmp").iterdir()])


def test_a_style_is_pushed_and_shown(host, tmp_path, capsys):
    board, name = host
    path = style(tmp_path / "any name.reconet", "new")
    assert deploy(path, name) == 0
    assert names(board) == ["new.reconet", "old.reconet"]
    assert (styles(board) / "new.reconet").read_bytes() == path.read_bytes()
    assert "style    new" in capsys.readouterr().out
    assert deploy(path, name) == 0
    assert "already" in capsys.readouterr().out


def test_a_refused_style_is_removed_again(host, tmp_path, capsys):
    board, name = host
    before = (styles(board) / "old.reconet").read_bytes()
    path = style(tmp_path / "it.reconet", "old", "Refused")
    dislike(board, path)
    assert deploy(path, name) == 1
    said = capsys.readouterr().err
    assert "removed from the board again" in said and "its trial run failed" in said and said.count("\n") == 1
    assert names(board) == ["old.reconet"] and (styles(board) / "old.reconet").read_bytes() == before


def test_a_folder_that_may_not_be_written(host, tmp_path, capsys, monkeypatch):
    board, name = host
    shutil.rmtree(styles(board))
    assert deploy(style(tmp_path / "new.reconet", "new"), name) == 1
    assert "new.reconet did not arrive complete" in capsys.readouterr().err and not list((board / "tmp").iterdir())


def test_a_package_is_installed_where_it_is_for(host, tmp_path, capsys):
    board, name = host
    fitting = package(tmp_path, b"1", "reconet_0.1.0+debian12_arm64.deb")
    assert deploy(fitting, name) == 0
    assert "daemon   0.1.0" in capsys.readouterr().out and names(board) == ["old.reconet"]
    assert deploy(package(tmp_path, b"1", "reconet_0.1.0+debian13_arm64.deb"), name) == 1
    assert "is for debian13 arm64," in (said := capsys.readouterr().err) and "make deb HOST=debian12-arm64" in said
    assert deploy(package(tmp_path, b"1"), name) == 1
    assert "not a package for that host" in capsys.readouterr().err


def test_no_connection(host, tmp_path, capsys):
    path = style(tmp_path / "new.reconet", "new")
    assert deploy(path, host[1].replace("board", "closed"), timeout=1) == 1
    out, said = capsys.readouterr()
    assert out.count("Trying again for 1 s") == 1
    assert "no connection to " in said and "does ssh " in said and said.count("\n") == 1
    assert deploy(path, "raspberrypi") == 1
    assert "name either a host, as USER@HOST" in capsys.readouterr().err
    assert bundle.read(path).name == "new"
