"""The package: what is in it, and that it is the same bytes everywhere."""

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
