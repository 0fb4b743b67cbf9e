"""The package: what is in it, that it is the same bytes everywhere, and what installing it does."""

import io
import os
import platform
import re
import shutil
import subprocess
import sys
import tarfile
from pathlib import Path

import pytest

from firmware_overlay import build_deb

ROOT = Path(__file__).parents[2]
UNCOMPRESSED = "uses-no-compression-for-data-tarball,uses-no-compression-for-control-tarball"  # to save time here
OTHER = "debian12-amd64"  # the one whose package runs on most machines that test
CACHE = ROOT / "build/wheels"
STYLES = "usr/share/reconet/styles/"
COMMANDS = ("dpkg", "setpriv", "systemd-sysusers", "systemd-tmpfiles", "deb-systemd-helper", "usermod", "userdel")
LACKING = [name for name in COMMANDS if not shutil.which(name, path=os.environ["PATH"] + ":/usr/sbin:/sbin")]
needs_dpkg = pytest.mark.skipif(
    bool(LACKING) or os.geteuid() != 0,
    reason=f"installing into a scratch root needs root, {', '.join(LACKING or COMMANDS)}",
)


@pytest.fixture(scope="module")
def packages(tmp_path_factory):
    """{host: its package, built twice}: here, and in a copy elsewhere, with another time zone, umask and locale."""
    if not shutil.which("dpkg-deb"):
        pytest.skip("dpkg-deb is not on this machine")
    folder = tmp_path_factory.mktemp("deb")
    try:
        for host in build_deb.HOSTS:
            build_deb.wheels(host, CACHE / host)
    except build_deb.Failure as failure:
        pytest.skip(str(failure))
    copy = folder / "copy"
    for part in ("appliance", "firmware_overlay", "systemd"):
        shutil.copytree(ROOT / part, copy / part, copy_function=shutil.copy, ignore=shutil.ignore_patterns("*.pyc"))
    shutil.copy(ROOT / "LICENSE", copy)
    habits = {**os.environ, "TZ": "Asia/Tokyo", "LC_ALL": "C", "PYTHONHASHSEED": "7"}

    def built(host):
        options = ["--host", host, "--wheels", CACHE] + ["--uncompressed"] * (host != "mendel")
        builds = [
            subprocess.Popen(
                [sys.executable, root / "firmware_overlay/build_deb.py", "--out", folder / name, *options],
                env=env,
                stdout=subprocess.PIPE,
                text=True,
                preexec_fn=lambda mask=mask: os.umask(mask) and None,
            )
            for name, root, env, mask in (("one", ROOT, os.environ, 0o022), ("two", copy, habits, 0o077))
        ]
        paths = [Path(build.communicate()[0].strip()) for build in builds]
        assert all(path.is_file() for path in paths)
        return paths

    return {host: built(host) for host in build_deb.HOSTS}


@pytest.fixture(scope="module")
def files(packages):
    """{path: tarfile member} of the package's content, and a function that reads one."""
    archive = tarfile.open(
        fileobj=io.BytesIO(subprocess.check_output(["dpkg-deb", "--fsys-tarfile", packages["mendel"][0]]))
    )
    return {one.name[2:]: one for one in archive}, lambda path: archive.extractfile("./" + path).read()


@pytest.mark.parametrize("host", build_deb.HOSTS)
def test_it_is_the_same_bytes_wherever_and_whenever_it_is_built(packages, host):
    one, two = packages[host]
    assert one.name == two.name and one != two
    assert one.read_bytes() == two.read_bytes()


def test_every_wheel_is_for_the_board(files):
    members, read = files
    tags = {
        path: re.findall(rb"^Tag: (\S+)", read(path), re.MULTILINE)
        for path in members
        if path.endswith(".dist-info/WHEEL")
    }
    assert len(tags) == len(build_deb.requirements(build_deb.OVERLAY / "hosts/mendel.txt"))
    for path, found in tags.items():
        pure = rb"(py2\.py3|py3)-none-any"
        assert any(re.fullmatch(rb"cp37-cp37m-manylinux\S+_aarch64|" + pure, tag) for tag in found), (path, found)


def test_every_library_is_for_its_processor(files):
    members, read = files
    heads = {path: read(path)[:20] for path, one in members.items() if one.isfile()}
    libraries = {path: head for path, head in heads.items() if head.startswith(b"\x7fELF")}
    assert len(libraries) > 20
    for path, head in libraries.items():
        assert int.from_bytes(head[18:20], "little") == 183, path  # EM_AARCH64


def test_everything_is_there_and_belongs_to_root(files):
    members, read = files
    assert {(one.uid, one.gid, one.uname, one.gname) for one in members.values()} == {(0, 0, "root", "root")}
    assert not [path for path, one in members.items() if one.mode & 0o022 or one.mode & 0o7000]
    for source in (*(ROOT / "appliance").rglob("*.py"), *(ROOT / "appliance/web/page").iterdir()):
        assert read(build_deb.LIBRARY + source.relative_to(ROOT).as_posix()) == source.read_bytes()
    for unit in (ROOT / "systemd").iterdir():
        assert f"lib/systemd/system/{unit.name}" in members
    dates = {path: one.mtime for path, one in members.items() if path.startswith(STYLES) and one.isfile()}
    assert len(dates) == 8 and max(dates, key=dates.get) == STYLES + build_deb.FIRST_STYLE


def test_every_licence_is_named(files):
    text = files[1]("usr/share/doc/reconet/copyright").decode()
    lists = [(build_deb.OVERLAY / "hosts" / name).read_text() for name in ("mendel.txt", "sources.txt")]
    for line in "".join(lists).splitlines():
        if not line.startswith("#"):
            name, licence = re.match(r"([\w-]+)==.*# (\S+)$", line).groups()
            line = f"\nLicense: {licence}-{name.replace('-', '_')}\n"
            assert line.lower() in text.lower()


def test_without_dpkg_deb_the_builder_says_so_in_one_line(tmp_path, monkeypatch):
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(build_deb.Failure, match="dpkg-deb is not on this machine: build the package on Debian"):
        build_deb.write_deb(tmp_path / "a.deb", "", {})
    assert list(tmp_path.iterdir()) == []


@pytest.mark.skipif(not shutil.which("lintian"), reason="lintian is not on this machine")
def test_lintian_finds_no_error(packages):
    runs = {
        host: subprocess.Popen(
            ["lintian", "--allow-root", "--fail-on", "error", "--suppress-tags", UNCOMPRESSED, package],
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )
        for host, (package, _) in packages.items()
    }
    found = {host: run.communicate()[0] for host, run in runs.items()}
    assert {host: said for host, said in found.items() if "E:" in said or runs[host].returncode} == {}


def test_the_package_of_another_host_runs_where_it_is_for(packages, tmp_path, tiny_path):
    subprocess.run(["dpkg-deb", "-x", packages[OTHER][0], tmp_path], check=True)
    head = subprocess.check_output(
        ["dpkg-deb", "-f", packages[OTHER][0], "Version", "Architecture", "Depends"], text=True
    )
    version = build_deb.package_version(OTHER)
    assert f"Version: {version}\nArchitecture: amd64\n" in head and "python3-pycoral" not in head
    library = tmp_path / "usr/lib/reconet"
    found = {path.read_bytes()[18] for path in library.rglob("*.so*") if path.read_bytes()[:4] == b"\x7fELF"}
    assert found == {62}  # EM_X86_64
    assert not (tmp_path / "lib/systemd/system/reconet.service.d").exists()
    if sys.version_info[:2] != (3, 11) or platform.machine() != "x86_64":
        pytest.skip("only Python 3.11 on x86-64 can run it")
    said = subprocess.check_output([sys.executable, "-ISc", RUN, library, tiny_path], text=True)
    assert said.split() == ["ai_edge_litert", "CPU", "turbojpeg", "numpy", "1.26.4"]


RUN = """
import sys
sys.path.insert(0, sys.argv[1])
import numpy, turbojpeg
from appliance.engine.stylizer import Stylizer
from appliance.style import bundle
runtime = Stylizer(bundle.read(sys.argv[2])).runtime
print(runtime.name, runtime.device, turbojpeg.__name__, numpy.__name__, numpy.__version__)
"""


@pytest.fixture
def tiny_path():
    return ROOT / "tests/data/tiny.reconet"


@pytest.mark.parametrize("host", build_deb.HOSTS)
def test_every_host(host):
    """What can be seen without its wheels."""
    files = build_deb.tree([], host)
    units = [path for path in files if path.endswith("/reconet.service")]
    assert units == [("usr/" if host == "debian13-arm64" else "") + "lib/systemd/system/reconet.service"]
    drop_ins = [path for path in files if path.endswith("reconet.service.d/raspberry.conf")]
    assert bool(drop_ins) == (host in ("debian12-arm64", "debian13-arm64"))
    listed = (build_deb.OVERLAY / f"hosts/{host}.txt").read_text()
    assert ("ai-edge-litert==" in listed) == (host != "mendel") and len(
        build_deb.requirements(build_deb.OVERLAY / f"hosts/{host}.txt")
    ) == listed.count("==")
    control = build_deb.control(host, build_deb.package_version(host), 1)
    assert f"Architecture: {host.split('-')[1] if '-' in host else 'arm64'}\n" in control and "{" not in control
    assert ("python3-picamera2" in control) == bool(drop_ins)


@pytest.mark.parametrize("host", build_deb.HOSTS)
def test_only_the_board_has_its_journal_taken_over(host, tmp_path):
    def of_the_journal(files):
        return {path.split("/")[-1] for path in files if "journal" in path.replace(build_deb.LIBRARY, "")}

    every = {"var-log-journal.mount", "reconet.conf", "reconet-journal.conf"}
    files = build_deb.tree([], host)
    assert of_the_journal(files) == (every if host == "mendel" else set())
    assert of_the_journal(build_deb.tree([], host, as_board=True)) == every
    assert not any(b"reconet-journal" in files[path][0] for path in files if "tmpfiles.d/reconet.conf" in path)
    if shutil.which("dpkg-deb"):
        files = {path: file for path, file in files.items() if not path.startswith(("usr/share", build_deb.LIBRARY))}
        build_deb.write_deb(tmp_path / "a.deb", build_deb.control(host, "1.0", 1), files, "none")
        listed = subprocess.check_output(["dpkg-deb", "--contents", tmp_path / "a.deb"], text=True)
        assert ("var/lib/reconet-journal" in listed) == (host == "mendel")


def test_every_host_brings_the_same_libraries():
    """Apart from Mendel's own: its Python is older, and it packages the runtime."""

    def names(host):
        listed = (build_deb.OVERLAY / f"hosts/{host}.txt").read_text()
        return set(re.findall(r"^([\w-]+)==", listed, re.MULTILINE))

    own = {"importlib-metadata", "tomli", "zipp"}
    expected = names("mendel") - own | {"ai-edge-litert", "typing-inspection"}
    hosts = [host for host in build_deb.HOSTS if host != "mendel"]
    assert {host: names(host) for host in hosts} == dict.fromkeys(hosts, expected)


@pytest.mark.skipif(not shutil.which("shellcheck"), reason="shellcheck is not on this machine")
def test_the_scripts_are_plain_shell():
    scripts = [build_deb.OVERLAY / "DEBIAN" / name for name in ("postinst", "postrm", "prerm")]
    scripts.append(build_deb.OVERLAY / "usr/share/reconet/install-styles")
    done = subprocess.run(["shellcheck", *scripts], capture_output=True, text=True)
    assert done.returncode == 0, done.stdout


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
