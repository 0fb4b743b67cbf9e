"""Deploying, against a stand-in for mdt that keeps a board in a folder (stand_in_mdt.py)."""

import hashlib
import json
import sys
from pathlib import Path

import pytest

from appliance.style import bundle
from firmware_overlay import build_deb
from trainer.cli import main

from .conftest import ROOT


@pytest.fixture
def board(tmp_path, monkeypatch):
    """The folder of a board that shows `old`, with mdt on the PATH."""
    tools, folder = tmp_path / "tools", tmp_path / "board"
    tools.mkdir()
    for part in ("home/mendel", "var/lib/reconet", "var/lib/dpkg/info"):
        (folder / part).mkdir(parents=True)
    mdt = tools / "mdt"
    mdt.write_text(f"#!{sys.executable} -IS\n" + Path(__file__).with_name("stand_in_mdt.py").read_text())
    mdt.chmod(0o755)
    monkeypatch.setenv("PATH", str(tools), prepend=":")
    monkeypatch.setenv("STAND_IN_BOARD", str(folder))
    style(styles(folder) / "old.reconet", "old")
    return folder


def styles(board):
    return board / "var/lib/reconet"


def names(board):
    return sorted(path.name for path in [*styles(board).iterdir(), *(board / "home/mendel").iterdir()])


def style(path, name, title="Tiny"):
    made = bundle.read(ROOT / "tests/data/tiny.reconet")
    fields = json.loads(made.manifest.model_dump_json(exclude_none=True))
    del fields["files"]
    bundle.write(path, {**fields, "name": name, "title": title}, made.files)
    return path


def dislike(board, path):
    (board / "dislikes").write_text(hashlib.sha256(path.read_bytes()).hexdigest())


def deploy(*arguments, timeout=20):
    return main(["deploy", *map(str, arguments), "--timeout", str(timeout)])


def test_a_style_is_pushed_and_shown(board, tmp_path, capsys):
    path = style(tmp_path / "any name.reconet", "new")
    assert deploy(path) == 0
    assert names(board) == ["new.reconet", "old.reconet"]
    assert (styles(board) / "new.reconet").read_bytes() == path.read_bytes()
    assert "style    new" in capsys.readouterr().out
    assert deploy(path) == 0
    assert "already" in capsys.readouterr().out


def test_a_style_takes_the_place_of_its_older_self(board, tmp_path):
    path = style(tmp_path / "old.reconet", "old", "Younger")
    assert deploy(path) == 0
    assert names(board) == ["old.reconet"]
    assert bundle.read(styles(board) / "old.reconet").manifest.title == "Younger"


@pytest.mark.parametrize("name", ("old", "new"))
def test_a_refused_style_is_removed_again(board, tmp_path, capsys, name):
    before = (styles(board) / "old.reconet").read_bytes()
    path = style(tmp_path / "it.reconet", name, "Refused")
    dislike(board, path)
    assert deploy(path) == 1
    assert "removed from the board again" in (said := capsys.readouterr().err) and "its trial run failed" in said
    assert said.count("\n") == 1
    assert names(board) == ["old.reconet"] and (styles(board) / "old.reconet").read_bytes() == before


def test_a_style_behind_a_pinned_one_is_removed_again(board, tmp_path, capsys):
    (board / "pinned").write_text("old")
    assert deploy(style(tmp_path / "new.reconet", "new"), timeout=5) == 1
    assert "reconet use --newest" in capsys.readouterr().err
    assert names(board) == ["old.reconet"]


def test_what_did_not_arrive_whole_is_not_put_into_place(board, tmp_path, capsys):
    (board / "full").touch()
    assert deploy(style(tmp_path / "new.reconet", "new")) == 1
    assert "did not arrive complete" in capsys.readouterr().err
    assert names(board) == ["old.reconet"]


def test_the_board_is_named_for_as_long_as_it_takes(board, tmp_path, capsys):
    path, preferred = style(tmp_path / "new.reconet", "new"), board.parent / "preferred-device"
    assert deploy(path, "--device", "lost-otter") == 1
    assert "Unable to find a device called lost-otter" in capsys.readouterr().err
    assert not preferred.exists()
    preferred.write_text("lost-otter")
    assert deploy(path, "--device", "tidy-zebra") == 0
    assert preferred.read_text() == "lost-otter"


def test_no_board(board, tmp_path, capsys):
    (board / "absent").touch()
    assert deploy(style(tmp_path / "new.reconet", "new"), timeout=1) == 1
    assert "no answer from the board within 1 s (mdt wait-for-device)" in capsys.readouterr().err


def test_no_mdt(tmp_path, monkeypatch, capsys):
    monkeypatch.setenv("PATH", str(tmp_path))
    assert deploy(style(tmp_path / "new.reconet", "new")) == 1
    assert "pip install mendel-development-tool" in capsys.readouterr().err


def test_a_damaged_style_does_not_leave_the_workstation(board, tmp_path, capsys):
    path = style(tmp_path / "new.reconet", "new")
    path.write_bytes(path.read_bytes()[:-1])
    assert deploy(path) == 1
    assert str(path) in capsys.readouterr().err and not (board.parent / "calls").exists()


def package(folder, content, name="reconet_0.1.0_arm64.deb"):
    """A package with one file, and beside it what dpkg would note of it."""
    path = folder / name
    control = "Package: reconet\nVersion: 1\nArchitecture: arm64\nMaintainer: x <x@example.org>\nDescription: x\n"
    build_deb.write_deb(path, control, {"usr/file": (content, 0o644, 0)})
    path.with_suffix(".md5sums").write_text(f"{hashlib.md5(content).hexdigest()}  usr/file\n")
    return path


def test_a_package_is_installed(board, tmp_path, capsys):
    assert deploy(package(tmp_path, b"1")) == 0
    assert "daemon   0.1.0" in capsys.readouterr().out


def test_a_package_that_cannot_be_installed_is_reported(board, tmp_path, capsys):
    assert deploy(package(tmp_path, b"1")) == 0
    (board / "full").touch()
    assert deploy(package(tmp_path, b"2")) == 1  # of the same version
    assert "No space left on device" in capsys.readouterr().err


def test_a_package_whose_daemon_does_not_start_is_reported(board, tmp_path, capsys):
    (board / "deaf").touch()
    assert deploy(package(tmp_path, b"1"), timeout=5) == 1
    assert "is installed, but: reconet: the daemon is not running" in capsys.readouterr().err


def test_what_is_no_package_for_the_board_stays_here(board, tmp_path, capsys):
    whole = package(tmp_path, b"1")
    for path in (tmp_path / "reconet_0.2.0_arm64.deb", package(tmp_path, b"1", "reconet_0.1.0+python3.11_arm64.deb")):
        assert deploy(path) == 1
        assert "make deb writes dist/reconet_VERSION_arm64.deb" in capsys.readouterr().err
    whole.write_bytes(whole.read_bytes()[:100])
    assert deploy(whole) == 1
    assert "not a complete package" in capsys.readouterr().err
    assert not (board.parent / "calls").exists()


def test_a_package_that_is_not_there(tmp_path, capsys):
    for host in ([], ["pi@127.0.0.1"]):
        assert deploy(tmp_path / "nofile.deb", *host) == 1
        assert "nofile.deb: no such file: make deb " in capsys.readouterr().err


def test_a_host_that_does_not_exist_is_asked_for_once(tmp_path, monkeypatch, capsys):
    words, ssh = "ssh: Could not resolve hostname rasberry: Name or service not known", tmp_path / "ssh"
    ssh.write_text(f'#!/bin/sh\necho >> {tmp_path}/calls\necho "{words}" >&2\nexit 255\n')
    ssh.chmod(0o755)
    monkeypatch.setenv("PATH", str(tmp_path), prepend=":")
    assert deploy(style(tmp_path / "new.reconet", "new"), "pi@rasberry") == 1
    out, err = capsys.readouterr()
    assert f"no connection to pi@rasberry: {words}" in err and out == ""
    assert (tmp_path / "calls").read_text() == "\n"


def test_a_machine_without_dpkg_learns_what_to_install(board, tmp_path, monkeypatch, capsys):
    path = package(tmp_path, b"1")
    monkeypatch.setenv("PATH", str(tmp_path / "tools"))  # mdt is there, dpkg-deb is not
    assert deploy(path) == 1
    assert "apt install dpkg" in capsys.readouterr().err
    assert not (board.parent / "calls").exists()
