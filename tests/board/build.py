"""Builds what the virtual board boots, as root on Debian: a kernel, an initial RAM disk, and the disk.

Two layers, each kept in a cache folder under a digest of what went into it: Debian for arm64 with the kernel, which
takes minutes, and the disk with what these tests and the package of the project put on top, which takes seconds.
"""

import contextlib
import fcntl
import hashlib
import os
import shutil
import subprocess
import sys
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import Iterator, List, Optional, Sequence

HERE = Path(__file__).parent
ROOT = HERE.parent.parent
SUITE = "bookworm"
# Those after python3 are dependencies of the project's package, and tools of the tests.
PACKAGES = (
    "usr-is-merged systemd systemd-sysv udev dbus kmod procps init-system-helpers python3 python3-systemd "
    "libdrm2 libstdc++6 zlib1g fonts-dejavu-core v4l-utils"
).split()
# Emulated programs configure it, so each package less is seconds less: no apt, and with the hook no Perl to merge /usr.
DEBIAN = (
    "--quiet --architectures=arm64 --variant=essential --mode=root --dpkgopt=force-unsafe-io "
    "--hook-dir=/usr/share/mmdebstrap/hooks/merged-usr --dpkgopt=path-exclude=/usr/share/doc/* "
    "--dpkgopt=path-exclude=/usr/share/man/* --dpkgopt=path-exclude=/usr/share/locale/*"
).split()
DISK_MODULES = "virtio_pci virtio_blk ext4".split()
MODULES = DISK_MODULES + "virtio_console virtio_gpu virtio_rng virtio_net vivid uinput evdev 9p 9pnet_virtio".split()
# Hardware and housekeeping that the guest does not have.
MASKED = (
    "getty@.service serial-getty@.service systemd-timesyncd.service systemd-pstore.service fstrim.timer "
    "systemd-hwdb-update.service proc-sys-fs-binfmt_misc.automount apt-daily.timer apt-daily-upgrade.timer "
    "dpkg-db-backup.timer e2scrub_all.timer e2scrub_reap.service systemd-firstboot.service"
).split()
DISK_BYTES = 1 << 30
KEPT = 3  # of each layer
SLOW = "fps = 5"  # of the camera: at 30 an emulated processor has time for nothing else
TOOLS = {
    "mmdebstrap": "mmdebstrap",
    "arch-test": "arch-test",
    "qemu-aarch64-static": "qemu-user-static",
    "mke2fs": "e2fsprogs",
    "cpio": "cpio",
    "depmod": "kmod",
    "qemu-system-aarch64": "qemu-system-arm",
    "qemu-img": "qemu-utils",
}

# The board's user, in the groups that Mendel puts it in.
SETTLE = r"""
set -e
systemctl mask --quiet %s
groupadd --system apex
useradd --create-home --shell /bin/bash --groups adm,sudo,audio,video,plugdev,render,input,systemd-journal,apex mendel
rm -f /etc/machine-id /var/lib/dbus/machine-id && touch /etc/machine-id
"""
DOWNLOAD = """
cd "$KERNEL" && export APT_CONFIG=$MMDEBSTRAP_APT_CONFIG &&
apt-get download -qq busybox-static $(apt-cache depends linux-image-arm64 | sed -n 's/^  Depends: //p')
"""


class Failure(Exception):
    """The board could not be built."""


@dataclass(frozen=True)
class Image:
    """What QEMU is given: files."""

    kernel: Path
    initrd: Path
    disk: Path


def cache() -> Path:
    """$RECONET_BOARD_CACHE, by default ~/.cache/reconet-board."""
    return Path(os.environ.get("RECONET_BOARD_CACHE") or Path.home() / ".cache/reconet-board")


def missing_packages() -> str:
    """The Debian packages that are needed to build and boot here and are missing."""
    path = os.environ["PATH"] + ":/usr/sbin:/sbin"
    missing = {package for tool, package in TOOLS.items() if not shutil.which(tool, path=path)}
    # The letters of slates, which are compared with the guest's.
    missing |= {"fonts-dejavu-core"} if not Path("/usr/share/fonts/truetype/dejavu/DejaVuSans.ttf").exists() else set()
    return " ".join(sorted(missing))


def package() -> Path:
    """The project's Debian package, for the guest's Python."""
    script = ROOT / "firmware_overlay/build_deb.py"
    return Path(_run(sys.executable, script, "--host", "debian12-arm64", "--out", cache() / "package").splitlines()[-1])


def build(deb: Optional[Path] = None, styles: Sequence[Path] = ()) -> Image:
    """The board with the package `deb` installed, and these styles in place of those that it brings: full-size ones
    take seconds a frame here. Without a package, the bare system. Raises Failure."""
    if missing_packages():
        raise Failure(f"the virtual board needs: apt-get install {missing_packages()}")
    debian = base()
    parts = [path.read_bytes() for path in (deb, *styles) if path]
    with _cached("disk", b"".join([debian.name.encode(), _files(HERE / "overlay"), SLOW.encode(), *parts])) as folder:
        if folder.temporary:
            with tempfile.TemporaryDirectory(dir=cache()) as scratch:
                root = Path(scratch) / "root"
                root.mkdir()
                _run("tar", "-xf", debian / "root.tar", "-C", root)
                _run("cp", "-r", "--preserve=mode", f"{HERE / 'overlay'}/.", root)
                if deb:
                    _install(root, deb, styles)
                _run("mke2fs", "-q", "-t", "ext4", "-d", root, folder.temporary / "disk.ext4", f"{DISK_BYTES >> 10}k")
    return Image(debian / "vmlinuz", debian / "initrd", folder.path / "disk.ext4")


def _install(root: Path, deb: Path, styles: Sequence[Path]) -> None:
    """Install as dpkg does in a system that is not running: the services start with the next boot."""
    _emulate_arm64()
    shutil.copy(deb, root / "tmp/package.deb")
    _run("chroot", root, "dpkg", "-i", "/tmp/package.deb")
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
        _run(
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


def _mirror() -> List[str]:
    """Where this machine's apt gets this release of Debian from; [] on another release: mmdebstrap has a default."""
    told = _run("apt-get", "indextargets", "--format", "$(CODENAME) $(SITE)", "Created-By: Packages")
    return [line.split()[1] for line in told.splitlines() if line.split()[0] == SUITE][:1]


def base() -> Path:
    """The folder of the first layer, Debian. Raises Failure."""
    script = HERE / "initrd/init"
    inputs = " ".join([SUITE, SETTLE, DOWNLOAD, *DEBIAN, *PACKAGES, *MODULES, *MASKED, script.read_text()])
    with _cached("base", inputs.encode()) as folder:
        if folder.temporary:
            with tempfile.TemporaryDirectory(dir=cache()) as scratch:
                _bootstrap(Path(scratch), folder.temporary)
    return folder.path


def _bootstrap(scratch: Path, target: Path) -> None:
    _emulate_arm64()
    root, kernel = scratch / "root", scratch / "kernel"
    kernel.mkdir()
    # In a namespace of its own: what it mounts in there must not outlive it, when it is killed and its folder removed.
    _run(
        "unshare",
        "--mount",
        "mmdebstrap",
        *DEBIAN,
        f"--include={','.join(PACKAGES)}",
        f"--customize-hook={DOWNLOAD}",
        SUITE,
        root,
        *_mirror(),
        env={**os.environ, "KERNEL": str(kernel)},
    )
    for package in kernel.glob("*.deb"):
        _run("dpkg-deb", "-x", package, kernel)
    version = next((kernel / "lib/modules").iterdir()).name
    shutil.copy(kernel / f"boot/vmlinuz-{version}", target / "vmlinuz")
    _run("depmod", "-b", kernel, version)
    for path in _with_dependencies(kernel, version, MODULES):
        (root / path).parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(kernel / path, root / path)
    for path in (kernel / f"lib/modules/{version}").glob("modules.[bo]*"):  # builtin and order
        shutil.copy(path, root / f"lib/modules/{version}")
    _run("depmod", "-b", root, version)
    _initrd(scratch / "initrd", kernel, _with_dependencies(kernel, version, DISK_MODULES), target / "initrd")
    _run("chroot", root, "/bin/sh", "-c", SETTLE % " ".join(MASKED))
    _run("tar", "-cf", target / "root.tar", "-C", root, ".")


def _with_dependencies(root: Path, version: str, modules) -> list:
    """The paths of the modules' files below `root`, each after those that it needs."""
    shown = _run("modprobe", "-d", root, "-S", version, "--show-depends", "-a", *modules)
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
    _run("sh", "-c", f"cd {folder} && find . | cpio --quiet -o -H newc | gzip -1 > {target}")


def _emulate_arm64() -> None:
    """Let this kernel run arm64 programs, by qemu-user-static."""
    registry = Path("/proc/sys/fs/binfmt_misc")
    if not (registry / "register").exists():
        _run("mount", "-t", "binfmt_misc", "binfmt_misc", registry)
    if not (registry / "qemu-aarch64").exists():
        (registry / "register").write_bytes(Path("/usr/lib/binfmt.d/qemu-aarch64.conf").read_bytes())


@dataclass
class _Folder:
    path: Path
    temporary: Optional[Path]


@contextlib.contextmanager
def _cached(kind: str, inputs: bytes) -> Iterator[_Folder]:
    """The folder for these inputs. Where `temporary` is not None it is to be filled, and becomes it when that worked;
    all but the latest of the kind are then removed."""
    cache().mkdir(parents=True, exist_ok=True)
    path = cache() / f"{kind}-{hashlib.sha256(inputs).hexdigest()[:16]}"
    with open(cache() / f"{kind}.lock", "w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if path.exists():
            path.touch()
            yield _Folder(path, None)
            return
        temporary = Path(tempfile.mkdtemp(dir=cache()))
        try:
            yield _Folder(path, temporary)
            temporary.rename(path)
        finally:
            shutil.rmtree(temporary, ignore_errors=True)
        for old in sorted(cache().glob(f"{kind}-*"), key=lambda folder: folder.stat().st_mtime)[:-KEPT]:
            shutil.rmtree(old)


def _files(folder: Path) -> bytes:
    return b"".join(
        str(path.relative_to(folder)).encode() + b"\0" + path.read_bytes() + b"\0"
        for path in sorted(folder.rglob("*"))
        if path.is_file() and "__pycache__" not in path.parts
    )


def _run(*command, **options) -> str:
    environment = options.pop("env", os.environ)
    done = subprocess.run(
        [str(part) for part in command],
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        env={**environment, "PATH": environment["PATH"] + ":/usr/sbin:/sbin"},
        **options,
    )
    if done.returncode:
        raise Failure(f"{' '.join(map(str, command))[:200]}\n{done.stdout}\nexit status {done.returncode}")
    return done.stdout
