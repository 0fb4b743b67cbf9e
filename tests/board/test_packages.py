"""The packages on the systems that they are for, which do not run: installed, upgraded, removed and purged.

Those for arm64 run on this machine's kernel, their programs emulated one by one. The other tests boot one of them.
"""

import shutil
import subprocess
import tempfile
from pathlib import Path

import pytest

from firmware_overlay import build_deb

from . import build, debian
from .chroot import Chroot

CONFIG, STYLES = "etc/reconet/config.toml", "var/lib/reconet"
TINY = debian.ROOT / "tests/data/tiny.reconet"
PHOTO = debian.ROOT / "appliance/camera/photos/coffee.jpg"
HOSTS = {
    ("bookworm", "arm64"): "3.11",
    ("trixie", "arm64"): "3.13",
    ("bookworm", "amd64"): "3.11",
}
# Groups that the package makes where they are missing stay: something else may have come to need them.
STAY = {"gpio"}


@pytest.fixture(params=HOSTS, ids="-".join)
def system(request):
    """The bare system, unpacked, with the project's package for it in /tmp; and what is on it."""
    made = debian.package(*request.param)
    with tempfile.TemporaryDirectory(dir=debian.cache()) as folder:
        debian.run("tar", "-xf", build.system(*request.param), "-C", folder)
        one = Chroot(Path(folder))
        one.suite, one.python, one.deb = request.param[0], HOSTS[request.param], made
        yield one


def test_a_package_from_its_installation_to_its_end(system):
    bare, groups = system.files(), _groups(system)
    _install(system)
    _use(system)
    _upgrade(system)
    _remove(system)
    system.dpkg("--purge", "reconet")
    assert {path: what for path, what in system.files().items() if not path.startswith("etc/g")} == {
        path: what for path, what in bare.items() if not path.startswith("etc/g")
    }
    assert "reconet" not in (system.root / "etc/passwd").read_text()
    assert {name for name in _groups(system) if name not in groups} <= STAY
    assert not [name for name, members in _groups(system).items() if "reconet" in members]


def _install(system):
    said = system.dpkg("--install", system.put(system.deb))
    assert "reconet: " not in said, said  # what postinst says when something fails
    members = _groups(system)
    assert all("reconet" in members[name] for name in ("video", "render", "apex", "plugdev", "gpio", "input"))
    assert members["reconet"] == {"mendel"}
    assert (system.root / CONFIG).read_bytes() == (build_deb.OVERLAY / CONFIG).read_bytes()
    assert system.run("systemctl is-enabled reconet").out == "enabled"
    assert system.run("systemctl is-enabled reconet-web", check=False).out == "disabled"
    assert len(list((system.root / STYLES).glob("*.reconet"))) == 8
    assert system.run("reconet --version").out == f"reconet {build_deb.package_version('mendel')}"
    bytecode = f"cpython-{system.python.replace('.', '')}.pyc"
    assert list((system.root / "usr/lib/reconet/appliance/__pycache__").glob(f"daemon.{bytecode}"))


def _use(system):
    """As mendel, who is in the group, add a style; then check the machine and stylise a picture."""
    system.run(f"setpriv --reuid mendel --regid mendel --init-groups cp {system.put(TINY)} /{STYLES}/")
    config = system.root / CONFIG
    config.write_text(config.read_text().replace('\nname = "newest"\n', '\nname = "tiny"\n'))
    said = system.run("reconet doctor", check=False).out
    assert f"ok       Python {system.python}." in said
    assert "ok       TensorFlow Lite runtime ai_edge_litert " in said
    assert "ok       style tiny runs on the CPU" in said
    assert said.count("ok       style ") >= 10 and "problem" not in said, said
    (system.root / "tmp/in").mkdir()
    shutil.copy(PHOTO, system.root / "tmp/in")
    done = system.run("cd /tmp && reconet run --style tiny --camera in --display out")
    assert "1 frame, " in done.out and "ai_edge_litert" in done.out, done
    assert len(list((system.root / "tmp/out").glob("*.png"))) == 1


def _upgrade(system):
    """To a newer package: its styles come, but what a user changed or deleted stays so."""
    folder = system.root / STYLES
    config = (system.root / CONFIG).read_bytes()
    (folder / "udnie.reconet").unlink()
    (folder / "great_wave.reconet").write_bytes(TINY.read_bytes())
    packaged = system.root / "tmp/newer/usr/share/reconet/styles"
    newer = _repacked(system, packaged)
    system.dpkg("--install", newer)
    assert system.run("dpkg-query --showformat '${Version} ${Status}' --show reconet").out == "9.0 install ok installed"
    assert (system.root / CONFIG).read_bytes() == config
    assert not (folder / "udnie.reconet").exists()
    assert (folder / "great_wave.reconet").read_bytes() == (folder / "tiny.reconet").read_bytes() == TINY.read_bytes()
    assert (folder / "hakone.reconet").read_bytes() == (packaged / "hakone.reconet").read_bytes()
    assert system.run("reconet --version").out.startswith("reconet ")
    assert system.run("systemctl is-enabled reconet").out == "enabled"


def _repacked(system, packaged):
    """The same package as version 9.0, with another style under the name of Hakone."""
    tree = system.root / "tmp/newer"
    subprocess.run(["dpkg-deb", "--raw-extract", system.deb, tree], check=True)
    control = tree / "DEBIAN/control"
    control.write_text(control.read_text().replace(f"Version: {_version(system.deb)}\n", "Version: 9.0\n"))
    shutil.copy(packaged / "udnie.reconet", packaged / "hakone.reconet")
    deb = system.root / "tmp/newer.deb"
    subprocess.run(["dpkg-deb", "--root-owner-group", "-Znone", "--build", tree, deb], check=True, capture_output=True)
    return "/tmp/newer.deb"


def _version(deb):
    return subprocess.check_output(["dpkg-deb", "--field", deb, "Version"], text=True).strip()


def _remove(system):
    folder = system.root / STYLES
    before = {path.name: path.read_bytes() for path in folder.iterdir()}
    config = (system.root / CONFIG).read_bytes()
    system.dpkg("--remove", "reconet")
    assert {path.name: path.read_bytes() for path in folder.iterdir()} == before
    assert (system.root / CONFIG).read_bytes() == config
    assert not (system.root / "usr/lib/reconet").exists() and not (system.root / "usr/bin/reconet").exists()
    assert "reconet" in _groups(system)


def _groups(system):
    lines = (line.split(":") for line in (system.root / "etc/group").read_text().splitlines())
    return {name: set(filter(None, members.split(","))) for name, _, _, members in lines}
