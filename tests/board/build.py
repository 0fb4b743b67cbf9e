"""Builds what the virtual board boots, as root on Debian: a kernel, an initial RAM disk, and the disk.

Two layers, each cached: Debian for arm64 with the kernel, which takes minutes; and the disk with what these tests and
the package of the project put on top, which takes seconds.
"""

import os
import shutil
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import Optional, Sequence

from .debian import BOARD, KERNEL, OPTIONS, PACKAGES, Failure, bootstrap, cache, cached, emulate_arm64, run

HERE = Path(__file__).parent
DISK_MODULES = "virtio_pci virtio_blk ext4".split()
MODULES = DISK_MODULES + "virtio_console virtio_gpu virtio_rng virtio_net vivid uinput evdev 9p 9pnet_virtio".split()
# Hardware and housekeeping that the guest does not have.
MASKED = (
    "getty@.service serial-getty@.service systemd-timesyncd.service systemd-pstore.service fstrim.timer "
    "systemd-hwdb-update.service proc-sys-fs-binfmt_misc.automount apt-daily.timer apt-daily-upgrade.timer "
    "dpkg-db-backup.timer e2scrub_all.timer e2scrub_reap.service systemd-firstboot.service"
).split()
DISK_BYTES = 1 << 30
SLOW = "fps = 2"  # of the camera: at 5 an emulated board takes a whole processor of a slow machine
TOOLS = {
    "mmdebstrap": "mmdebstrap",
    "arch-test": "arch-test",
    "qemu-aarch64-static": "qemu-user-static",
    "mke2fs": "e2fsprogs",
    "cpio": "cpio",
    "depmod": "kmod",
    "qemu-system-aarch64": "qemu-system-arm",
    "qemu-img": "qemu-utils",
    "aarch64-linux-gnu-gcc": "gcc-aarch64-linux-gnu libc6-dev-arm64-cross",
}

# The board's user, in the groups that Mendel puts it in.
SETTLE = r"""
set -e
systemctl mask --quiet %s
groupadd --system apex
useradd --create-home --shell /bin/bash --groups adm,sudo,audio,video,plugdev,render,input,systemd-journal,apex mendel
rm -f /etc/machine-id /var/lib/dbus/machine-id && touch /etc/machine-id
"""


@dataclass(frozen=True)
class Image:
    """What QEMU is given: files."""

    kernel: Path
    initrd: Path
    disk: Path


def missing_packages() -> str:
    """The Debian packages that are needed to build and boot here and are missing, or too old."""
    path = os.environ["PATH"] + ":/usr/sbin:/sbin"
    missing = {package for tool, package in TOOLS.items() if not shutil.which(tool, path=path)}
    # Older ones do not have the keys that sign trixie.
    missing |= (
        {"debian-archive-keyring"}
        if not Path("/usr/share/keyrings/debian-archive-trixie-stable.gpg").exists()
        else set()
    )
    # The letters of slates, which are compared with the guest's.
    missing |= {"fonts-dejavu-core"} if not Path("/usr/share/fonts/truetype/dejavu/DejaVuSans.ttf").exists() else set()
    return " ".join(sorted(missing))


def build(deb: Optional[Path] = None, styles: Sequence[Path] = (), suite: str = BOARD) -> Image:
    """The board, with that release of Debian. The package `deb` is installed, and has these styles in place of those
    that it brings: full-size ones take seconds a frame here. Without a package, the bare system. Raises Failure."""
    if missing_packages():
        raise Failure(f"the virtual board needs: apt-get install {missing_packages()}")
    debian = base(suite)
    parts = [path.read_bytes() for path in (deb, *styles) if path]
    with cached("disk", b"".join([debian.name.encode(), _files(HERE / "overlay"), SLOW.encode(), *parts])) as folder:
        if folder.temporary:
            with tempfile.TemporaryDirectory(dir=cache()) as scratch:
                root = Path(scratch) / "root"
                root.mkdir()
                run("tar", "-xf", debian / "root.tar", "-C", root)
                run("cp", "-r", "--preserve=mode", f"{HERE / 'overlay'}/.", root)
                if deb:
                    _install(root, deb, styles)
                run("mke2fs", "-q", "-t", "ext4", "-d", root, folder.temporary / "disk.ext4", f"{DISK_BYTES >> 10}k")
    return Image(debian / "vmlinuz", debian / "initrd", folder.path / "disk.ext4")


def _install(root: Path, deb: Path, styles: Sequence[Path]) -> None:
    """Install as dpkg does in a system that is not running: the services start with the next boot."""
    emulate_arm64()
    shutil.copy(deb, root / "tmp/package.deb")
    run("chroot", root, "dpkg", "-i", "/tmp/package.deb")
    (root / "tmp/package.deb").unlink()
    config = root / "etc/reconet/config.toml"
    before = config.read_text()
    config.write_text(before.replace("\nfps = 30\n", f"\n{SLOW}\n"))
    if config.read_text() == before:
        raise Failure(f"{deb}: its config.toml has no line fps = 30")
    for path in (root / "var/lib/reconet").glob("*.reconet"):
        path.unlink()
    for path in styles:
        shutil.copy(path, root / "tmp")
        run(
            "chroot",
            root,
            "install",
            "-o",
            "mendel",
            "-g",
            "reconet",
            "-m",
            "664",
            f"/tmp/{path.name}",
            "/var/lib/reconet",
        )
        (root / "tmp" / path.name).unlink()


def system(suite: str, architecture: str) -> Path:
    """A Debian system as a tar file, to install the package in; that for arm64 is also the board's. Raises Failure."""
    if architecture == "arm64":
        return base(suite) / "root.tar"
    inputs = " ".join([suite, architecture, SETTLE, *OPTIONS, *PACKAGES, *MASKED])
    with cached(f"system-{suite}-{architecture}", inputs.encode()) as folder:
        if folder.temporary:
            with tempfile.TemporaryDirectory(dir=cache()) as scratch:
                root = Path(scratch) / "root"
                bootstrap(suite, architecture, root)
                _settle(root, folder.temporary)
    return folder.path / "root.tar"


def base(suite: str = BOARD) -> Path:
    """The folder of the first layer, Debian. Raises Failure."""
    script = HERE / "initrd/init"
    inputs = " ".join([suite, SETTLE, KERNEL, *OPTIONS, *PACKAGES, *MODULES, *MASKED, script.read_text()])
    with cached(f"base-{suite}", inputs.encode()) as folder:
        if folder.temporary:
            with tempfile.TemporaryDirectory(dir=cache()) as scratch:
                _bootstrap(suite, Path(scratch), folder.temporary)
    return folder.path


def _bootstrap(suite: str, scratch: Path, target: Path) -> None:
    root, kernel = scratch / "root", scratch / "kernel"
    kernel.mkdir()
    bootstrap(suite, "arm64", root, kernel)
    version = next((kernel / "lib/modules").iterdir()).name
    shutil.copy(kernel / f"boot/vmlinuz-{version}", target / "vmlinuz")
    run("depmod", "-b", kernel, version)
    for path in _with_dependencies(kernel, version, MODULES):
        (root / path).parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(kernel / path, root / path)
    for path in (kernel / f"lib/modules/{version}").glob("modules.[bo]*"):  # builtin and order
        shutil.copy(path, root / f"lib/modules/{version}")
    run("depmod", "-b", root, version)
    _initrd(scratch / "initrd", kernel, _with_dependencies(kernel, version, DISK_MODULES), target / "initrd")
    _settle(root, target)


def _settle(root: Path, target: Path) -> None:
    run("chroot", root, "/bin/sh", "-c", SETTLE % " ".join(MASKED))
    run("tar", "-cf", target / "root.tar", "-C", root, ".")


def _with_dependencies(root: Path, version: str, modules) -> list:
    """The paths of the modules' files below `root`, each after those that it needs."""
    shown = run("modprobe", "-d", root, "-S", version, "--show-depends", "-a", *modules)
    paths = [line.split()[1] for line in shown.splitlines() if line.startswith("insmod")]
    return list(dict.fromkeys(os.path.relpath(path, root) for path in paths))


def _initrd(folder: Path, kernel: Path, modules: list, target: Path) -> None:
    for name in ("bin", "dev", "proc", "root"):
        (folder / name).mkdir(parents=True)
    shutil.copy(kernel / "bin/busybox", folder / "bin")
    shutil.copy(HERE / "initrd/init", folder)
    (folder / "init").chmod(0o755)
    for path in modules:
        shutil.copy(kernel / path, folder)
    (folder / "modules").write_text("".join(Path(path).name + "\n" for path in modules))
    run("sh", "-c", f"cd {folder} && find . | cpio --quiet -o -H newc | gzip -1 > {target}")


def _files(folder: Path) -> bytes:
    return b"".join(
        str(path.relative_to(folder)).encode() + b"\0" + path.read_bytes() + b"\0"
        for path in sorted(folder.rglob("*"))
        if path.is_file() and "__pycache__" not in path.parts
    )
