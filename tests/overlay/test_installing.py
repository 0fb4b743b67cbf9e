"""What installing the package does, upgrading, removing and purging it: with dpkg, in a root with nothing but users."""

import os
import shutil
import subprocess

import pytest

from firmware_overlay import build_deb

STYLES = "usr/share/reconet/styles/"
COMMANDS = ("dpkg", "setpriv", "systemd-sysusers", "systemd-tmpfiles", "deb-systemd-helper", "usermod", "userdel")
LACKING = [name for name in COMMANDS if not shutil.which(name, path=os.environ["PATH"] + ":/usr/sbin:/sbin")]
needs_dpkg = pytest.mark.skipif(
    bool(LACKING) or os.geteuid() != 0,
    reason=f"installing into a scratch root needs root, {', '.join(LACKING or COMMANDS)}",
)


@pytest.fixture
def board(tmp_path):
    """A root with nothing but users in it, and a function that runs dpkg on it."""
    root = tmp_path / "root"
    for folder in (tmp_path, *tmp_path.parents):  # as on a board, where the service's user reaches its folder
        if folder.stat().st_uid == os.geteuid() and not folder.stat().st_mode & 0o001:
            folder.chmod(folder.stat().st_mode | 0o011)
    for folder in ("etc", "var/lib/dpkg/info", "var/lib/dpkg/updates"):
        (root / folder).mkdir(parents=True)
    (root / "var/lib/dpkg/status").touch()
    (root / "etc/passwd").write_text("root:x:0:0::/root:/bin/sh\nmendel:x:1000:1000::/home/mendel:/bin/bash\n")
    (root / "etc/group").write_text("root:x:0:\nvideo:x:44:mendel\nsystemd-journal:x:101:\nmendel:x:1000:\n")
    (root / "etc/shadow").write_text("root:*::0:::::\nmendel:*::0:::::\n")
    (root / "etc/gshadow").touch()

    def dpkg(*arguments, first_on_path=""):
        done = subprocess.run(
            [
                "dpkg",
                f"--root={root}",
                "--log=/dev/null",
                "--force-script-chrootless",
                "--force-architecture",
                "--force-depends",
                "--force-confold",
                *map(str, arguments),
            ],
            capture_output=True,
            text=True,
            env={
                **os.environ,
                "PATH": f"{first_on_path or '/bin'}:{os.environ['PATH']}:/usr/sbin:/sbin",
                "LC_ALL": "C",
            },
        )
        assert done.returncode == 0, done.stderr
        return root

    return dpkg


def package(path, version, **styles):
    """A small package of that version, with these as its styles."""
    files = build_deb.tree([]).items()
    files = {name: file for name, file in files if not name.startswith((STYLES, build_deb.LIBRARY))}
    for age, (name, content) in enumerate(styles.items()):
        files[f"{STYLES}{name}.reconet"] = (content.encode(), 0o644, build_deb.STYLES_DATE + age)
    control = build_deb.control("mendel", version, 1)
    build_deb.write_deb(path, control, dict(sorted(files.items())))
    return path


def groups(root):
    lines = (line.split(":") for line in (root / "etc/group").read_text().splitlines())
    return {name: set(filter(None, members.split(","))) for name, _, _, members in lines}


def styles(root):
    return {path.stem: path.read_text() for path in (root / "var/lib/reconet").glob("[!.]*")}


@needs_dpkg
def test_installing(board, tmp_path):
    root = board("--install", package(tmp_path / "a.deb", "1.0", udnie="u1", starry_night="s1"))
    assert styles(root) == {"udnie": "u1", "starry_night": "s1"}
    folder = root / "var/lib/reconet"
    gid = next(
        int(line.split(":")[2]) for line in (root / "etc/group").read_text().splitlines() if line.startswith("reconet:")
    )
    assert (folder.stat().st_mode & 0o7777, folder.stat().st_gid) == (0o2775, gid)
    assert all(path.stat().st_gid == gid and path.stat().st_mode & 0o060 == 0o060 for path in folder.iterdir())
    assert max(folder.glob("[!.]*"), key=lambda path: path.stat().st_mtime).stem == "starry_night"
    members = groups(root)
    assert all("reconet" in members[name] for name in ("video", "render", "apex", "plugdev", "gpio"))
    assert members["reconet"] == {"mendel"}
    assert (root / "etc/systemd/system/multi-user.target.wants/reconet.service").is_symlink()


@needs_dpkg
def test_who_installs_it_with_sudo_may_put_styles_there(board, tmp_path, monkeypatch):
    made, passwd = package(tmp_path / "a.deb", "1.0", udnie="u1"), tmp_path / "root/etc/passwd"
    passwd.write_text(passwd.read_text().replace("mendel", "ada"))
    shadow = tmp_path / "root/etc/shadow"
    shadow.write_text(shadow.read_text().replace("mendel", "ada"))
    monkeypatch.setenv("SUDO_USER", "ada")
    assert groups(board("--install", made))["reconet"] == {"ada"}


@needs_dpkg
def test_without_a_user_mendel_none_is_made(board, tmp_path):
    made = package(tmp_path / "a.deb", "1.0", udnie="u1")
    root = tmp_path / "root"
    for name in ("passwd", "shadow"):
        path = root / "etc" / name
        path.write_text(path.read_text().splitlines()[0] + "\n")
    board("--install", made)
    assert "mendel" not in (root / "etc/passwd").read_text()


@needs_dpkg
def test_upgrading_keeps_what_the_user_changed(board, tmp_path):
    root = board(
        "--install", package(tmp_path / "a.deb", "1.0", great_wave="g1", scream="c1", udnie="u1", starry_night="s1")
    )
    folder, config = root / "var/lib/reconet", root / "etc/reconet/config.toml"
    (folder / "udnie.reconet").write_text("mine")
    (folder / "own.reconet").write_text("mine")
    (folder / "scream.reconet").unlink()
    config.write_text("[camera]\nfps = 15\n")
    board(
        "--install",
        package(
            tmp_path / "b.deb", "2.0", great_wave="g1", scream="c2", udnie="u2", starry_night="s2", own="o2", fresh="f2"
        ),
    )
    kept = {"great_wave": "g1", "udnie": "mine", "starry_night": "s2", "own": "mine", "fresh": "f2"}
    assert styles(root) == kept
    assert config.read_text() == "[camera]\nfps = 15\n"
    board("--install", tmp_path / "b.deb")
    assert styles(root) == kept


def stand_in(folder, name, script):
    """An executable in place of the command `name`; `folder` is to be the first on the PATH."""
    folder.mkdir(exist_ok=True)
    (folder / name).write_text(f"#!/bin/sh\n{script}\n")
    (folder / name).chmod(0o755)
    return folder


@needs_dpkg
def test_a_link_put_there_while_the_package_is_installed_is_not_followed(board, tmp_path):
    """A member of the group replaces the new file with a link just before its mode is set."""
    root, target = tmp_path / "root", tmp_path / "root/etc/important"
    target.write_text("root's")
    target.chmod(0o600)
    swap = f'for file in {root}/var/lib/reconet/.reconet-*; do ln -sf {target} "$file"; done'
    commands = stand_in(tmp_path / "bin", "chmod", f'{swap}\nexec {shutil.which("chmod")} "$@"')
    board("--install", package(tmp_path / "a.deb", "1.0", udnie="u1"), first_on_path=commands)
    assert target.stat().st_mode & 0o777 == 0o600 and target.read_text() == "root's"


@needs_dpkg
def test_root_touches_nothing_in_the_folder(board, tmp_path):
    root = board("--install", package(tmp_path / "a.deb", "1.0", udnie="u1"))
    fields = next(line.split(":") for line in (root / "etc/passwd").read_text().splitlines() if "reconet" in line)
    owners = {(path.stat().st_uid, path.stat().st_gid) for path in (root / "var/lib/reconet").iterdir()}
    assert owners == {(int(fields[2]), int(fields[3]))}


@pytest.mark.parametrize("script, on_board", [("prerm", True), ("prerm", False), ("postrm", True)])
def test_the_package_can_be_removed_when_systemd_fails(tmp_path, script, on_board):
    text = (build_deb.OVERLAY / "DEBIAN" / script).read_text()
    running, journald = tmp_path / "systemd", tmp_path / "journald.conf"
    running.mkdir()
    if on_board:
        journald.touch()
    text = text.replace("/usr/lib/systemd/journald.conf.d/reconet.conf", str(journald))
    log = tmp_path / "log"
    for name in ("systemctl", "deb-systemd-invoke", "udevadm", "find"):
        commands = stand_in(tmp_path / "bin", name, f'echo {name} "$@" >> {log}\nexit 1')
    done = subprocess.run(
        ["sh", "-c", text.replace("/run/systemd/system", str(running)), script, "remove"],
        env={"PATH": f"{commands}:{os.environ['PATH']}"},
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr
    tried = log.read_text()
    if script == "prerm":
        assert all(step in tried for step in ("stop reconet.service", "find"))
        assert ("stop var-log-journal.mount" in tried) == ("systemd-journald" in tried) == on_board
    else:
        assert "daemon-reload" in tried and "udevadm" in tried


@needs_dpkg
def test_what_a_user_left_in_the_folder_is_not_followed(board, tmp_path):
    root = board("--install", package(tmp_path / "a.deb", "1.0", udnie="u1"))
    target = root / "etc/important"
    target.write_text("u1")
    (root / "var/lib/reconet/udnie.reconet").unlink()
    (root / "var/lib/reconet/udnie.reconet").symlink_to(target)
    board("--install", package(tmp_path / "b.deb", "2.0", udnie="u2"))
    assert target.read_text() == "u1" and target.stat().st_mode & 0o022 == 0


@needs_dpkg
def test_removing_leaves_what_is_the_users_and_purging_leaves_nothing(board, tmp_path):
    root = board("--install", package(tmp_path / "a.deb", "1.0", udnie="u1"))
    before = {path for path in root.rglob("*") if "reconet" in path.name}
    board("--remove", "reconet")
    assert styles(root) == {"udnie": "u1"} and (root / "etc/reconet/config.toml").exists()
    assert not (root / "usr").exists() and "reconet" in groups(root)
    board("--purge", "reconet")
    assert before and not [path for path in before if path.exists() or path.is_symlink()]
    assert "reconet" not in groups(root) and "reconet" not in (root / "etc/passwd").read_text()
