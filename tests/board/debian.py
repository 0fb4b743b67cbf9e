"""Debian systems that are built and not booted: for the virtual board's disk, and to install the packages in.

They are kept in a cache folder under a digest of what went into them. Building one takes minutes where its programs
have to be emulated. Needs root on Debian.
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
from typing import Iterator, List, Optional

ROOT = Path(__file__).parent.parent.parent
SUITES = {"bookworm": "debian12", "trixie": "debian13"}  # as the hosts in firmware_overlay/build_deb.py call them
BOARD = "bookworm"
# Those after python3 are dependencies of the project's package, and tools of the tests.
PACKAGES = (
    "usr-is-merged systemd systemd-sysv udev dbus kmod procps passwd init-system-helpers python3 python3-systemd "
    "libdrm2 libstdc++6 zlib1g fonts-dejavu-core v4l-utils"
).split()
# Emulated programs configure it, so each package less is seconds less: no apt, and with the hook no Perl to merge /usr.
OPTIONS = (
    "--quiet --variant=essential --mode=root --dpkgopt=force-unsafe-io "
    "--hook-dir=/usr/share/mmdebstrap/hooks/merged-usr --dpkgopt=path-exclude=/usr/share/doc/* "
    "--dpkgopt=path-exclude=/usr/share/man/* --dpkgopt=path-exclude=/usr/share/locale/*"
).split()
KERNEL = """
cd "$KERNEL" && export APT_CONFIG=$MMDEBSTRAP_APT_CONFIG &&
apt-get download -qq busybox-static $(apt-cache depends linux-image-arm64 | sed -n 's/^  Depends: //p')
"""
KEPT = 3  # of each kind
# The board's own core. By default qemu-user also emulates pointer authentication, which trixie's programs use: that
# takes four times as long.
EMULATED = {"QEMU_CPU": "cortex-a53"}


class Failure(Exception):
    """A system could not be built."""


def cache() -> Path:
    """$RECONET_BOARD_CACHE, by default ~/.cache/reconet-board."""
    return Path(os.environ.get("RECONET_BOARD_CACHE") or Path.home() / ".cache/reconet-board")


def package(suite: str = BOARD, architecture: str = "arm64", as_board: bool = False) -> Path:
    """The project's Debian package for that system. `as_board`: for the virtual board, with what only the board has."""
    out = cache() / ("board-package" if as_board else "package")
    options = ["--host", f"{SUITES[suite]}-{architecture}", "--out", out, "--uncompressed"]
    options += ["--as-board"] * as_board
    return Path(run(sys.executable, ROOT / "firmware_overlay/build_deb.py", *options).splitlines()[-1])


def bootstrap(suite: str, architecture: str, root: Path, kernel: Optional[Path] = None) -> None:
    """Install Debian into the folder `root`, and unpack its kernel and a static busybox into `kernel`.

    Raises Failure.
    """
    if architecture == "arm64":
        emulate_arm64()
    hooks = [f"--customize-hook={KERNEL}"] if kernel else []
    include = f"--include={','.join(PACKAGES)}"
    command = ["mmdebstrap", *OPTIONS, f"--architectures={architecture}", include, *hooks, suite, root, *_mirror()]
    # In a namespace of its own: what it mounts in there must not outlive it, when it is killed and its folder removed.
    run("unshare", "--mount", *command, env={**os.environ, "KERNEL": str(kernel)})
    for path in kernel.glob("*.deb") if kernel else ():
        run("dpkg-deb", "-x", path, kernel)
    for name in ("bin", "lib"):  # newer packages know only /usr
        if kernel and not (kernel / name).exists():
            (kernel / name).symlink_to(f"usr/{name}")


def _mirror() -> List[str]:
    """Where this machine's apt gets Debian from; [] on another system: mmdebstrap has a default."""
    told = run("apt-get", "indextargets", "--format", "$(CODENAME) $(SITE)", "Created-By: Packages")
    return [line.split()[1] for line in told.splitlines() if line.split()[0] in SUITES][:1]


def emulate_arm64() -> None:
    """Let this kernel run arm64 programs, by qemu-user-static."""
    registry = Path("/proc/sys/fs/binfmt_misc")
    if not (registry / "register").exists():
        run("mount", "-t", "binfmt_misc", "binfmt_misc", registry)
    if not (registry / "qemu-aarch64").exists():
        (registry / "register").write_bytes(Path("/usr/lib/binfmt.d/qemu-aarch64.conf").read_bytes())


@dataclass
class Folder:
    path: Path
    temporary: Optional[Path]


@contextlib.contextmanager
def cached(kind: str, inputs: bytes) -> Iterator[Folder]:
    """The folder for these inputs. Where `temporary` is not None it is to be filled, and becomes it when that worked;
    all but the latest of the kind are then removed."""
    cache().mkdir(parents=True, exist_ok=True)
    path = cache() / f"{kind}-{hashlib.sha256(inputs).hexdigest()[:16]}"
    with open(cache() / f"{kind}.lock", "w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if path.exists():
            path.touch()
            yield Folder(path, None)
            return
        temporary = Path(tempfile.mkdtemp(dir=cache()))
        try:
            yield Folder(path, temporary)
            temporary.rename(path)
        finally:
            shutil.rmtree(temporary, ignore_errors=True)
        for old in sorted(cache().glob(f"{kind}-*"), key=lambda folder: folder.stat().st_mtime)[:-KEPT]:
            shutil.rmtree(old)


def run(*command, **options) -> str:
    """The output of a command. Raises Failure with all that it wrote."""
    environment = options.pop("env", os.environ)
    done = subprocess.run(
        [str(part) for part in command],
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        env={**environment, **EMULATED, "PATH": environment["PATH"] + ":/usr/sbin:/sbin"},
        **options,
    )
    if done.returncode:
        raise Failure(f"{' '.join(map(str, command))[:200]}\n{done.stdout}\nexit status {done.returncode}")
    return done.stdout
