#!/usr/bin/env python3
"""Builds dist/reconet_VERSION_arm64.deb: this tree, the appliance, the units and the wheels of pythonX.Y.txt.

The same sources give the same bytes at any time and in any place: modes and times are set here, and dpkg-deb does the
rest. Needs dpkg-deb, Python 3.8 or newer and, the first time, pip and a package index.
"""

import argparse
import email.utils
import gzip
import hashlib
import os
import re
import shutil
import subprocess
import sys
import tempfile
import zipfile
from pathlib import Path

OVERLAY = Path(__file__).resolve().parent
ROOT = OVERLAY.parent
LIBRARY = "usr/lib/reconet/"
STYLES = "var/lib/reconet/"
FIRST_STYLE = "starry_night.reconet"
# Older than anything that a user adds, even when the clock of a board that has just booted is wrong.
STYLES_DATE = 946684800  # 2000-01-01

# The board's Python, and the virtual board's: Mendel packages Google's runtimes, Debian 12 does not.
DEPENDS = {
    "3.7": "python3 (>= 3.7), python3 (<< 3.8), python3-tflite-runtime, python3-pycoral, "
    "libedgetpu1-std | libedgetpu1-max, libc6 (>= 2.17), zlib1g",
    "3.11": "python3 (>= 3.11), python3 (<< 3.12), libc6 (>= 2.34), libstdc++6, zlib1g",
}
GLIBC = {"3.7": 28, "3.11": 36}
# Files that only developers of the wheels need.
PRUNED = re.compile(r"(^|/)(tests|include)/|\.(pyi|pxd|a|h|c)$|\.dist-info/(RECORD|entry_points\.txt|top_level\.txt)$")
COMMON_LICENSES = {"Apache-2.0": "Apache-2.0", "GPL-2.0-only": "GPL-2"}


class Failure(Exception):
    """One line: what is wrong and what to do."""


def main(argv=None) -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--python", choices=DEPENDS, default="3.7", help="the target's (default: the board's, 3.7)")
    parser.add_argument("--out", type=Path, default=ROOT / "dist", metavar="DIR", help="default: dist")
    parser.add_argument(
        "--wheels",
        type=Path,
        default=ROOT / "build/wheels",
        metavar="DIR",
        help="where downloads are kept (default: build/wheels)",
    )
    arguments = parser.parse_args(argv)
    try:
        print(build(arguments.python, arguments.out, arguments.wheels / arguments.python))
    except (Failure, OSError) as failure:
        print(f"build_deb: {failure}", file=sys.stderr)
        return 1
    return 0


def build(python: str, out: Path, cache: Path) -> Path:
    """Write the package, completely or not at all, and return its path."""
    listed = requirements(OVERLAY / f"python{python}.txt")
    files = tree(wheels(python, listed, cache))
    version = package_version(python)
    control = (
        (OVERLAY / "DEBIAN/control")
        .read_text()
        .format(version=version, depends=DEPENDS[python], size=sum(len(data) for data, _, _ in files.values()) // 1024)
    )
    path = out / f"reconet_{version}_arm64.deb"
    out.mkdir(parents=True, exist_ok=True)
    write_deb(path, control, files)
    return path


def package_version(python: str) -> str:
    """The version, in which the appliance and the changelog have to agree."""
    version = re.search(r'__version__ = "(.+)"', (ROOT / "appliance/__init__.py").read_text()).group(1)
    noted = re.match(r"reconet \((.+?)\)", changelog()).group(1)
    if noted != version:
        raise Failure(f"DEBIAN/changelog begins with {noted}, but the appliance is {version}: add an entry")
    return version if python == "3.7" else f"{version}+python{python}"


def changelog() -> str:
    return (OVERLAY / "DEBIAN/changelog").read_text()


def epoch() -> int:
    """$SOURCE_DATE_EPOCH, or the date of the newest entry in the changelog."""
    noted = re.search(r"^ -- .+>  (.+)$", changelog(), re.MULTILINE).group(1)
    return int(os.environ.get("SOURCE_DATE_EPOCH") or email.utils.parsedate_to_datetime(noted).timestamp())


def requirements(path: Path) -> dict:
    """{SHA-256 of a wheel: its licence}, from a file of lines NAME==VERSION --hash=sha256:DIGEST  # LICENCE."""
    return dict(re.findall(r"^[^#\n]+ --hash=sha256:([0-9a-f]{64})  # (\S+)$", path.read_text(), re.MULTILINE))


def wheels(python: str, listed: dict, cache: Path) -> list:
    """[(path, licence)] of the listed wheels, downloaded into `cache` unless they are there."""

    def found():
        digests = {hashlib.sha256(path.read_bytes()).hexdigest(): path for path in cache.glob("*.whl")}
        return [(digests[digest], licence) for digest, licence in listed.items() if digest in digests]

    if len(found()) < len(listed):
        tag = "cp" + python.replace(".", "")
        platforms = [f"manylinux{of}_aarch64" for of in [2014] + [f"_2_{n}" for n in range(17, GLIBC[python] + 1)]]
        command = [
            sys.executable,
            "-m",
            "pip",
            "download",
            "--quiet",
            "--disable-pip-version-check",
            "--no-deps",
            "--require-hashes",
            "--only-binary=:all:",
            "--implementation=cp",
            "--python-version",
            python,
            "--abi",
            tag,
            "--abi",
            tag + "m",
            "--abi",
            "none",
            "--dest",
            str(cache),
            "--requirement",
            str(OVERLAY / f"python{python}.txt"),
        ]
        command += [argument for platform in platforms for argument in ("--platform", platform)]
        if subprocess.run(command).returncode or len(found()) < len(listed):
            raise Failure(f"cannot download the wheels of python{python}.txt (see above): check the network")
    return found()


def tree(wheels: list) -> dict:
    """{path on the board: (content, mode, time)}, sorted."""
    files = {}

    def add(path, data, mode=0o644, time=None):
        files[path] = (data, mode, epoch() if time is None else time)

    for source in sorted(path for folder in ("etc", "lib", "usr") for path in (OVERLAY / folder).rglob("*")):
        if source.is_file():
            path = source.relative_to(OVERLAY).as_posix()
            page = path.startswith("usr/share/man/")
            add(
                path + ".gz" * page,
                compressed(source) if page else source.read_bytes(),
                0o755 if path.startswith("usr/bin/") else 0o644,
            )
    for source in (ROOT / "systemd").iterdir():
        add("lib/systemd/system/" + source.name, source.read_bytes())
    for source in (OVERLAY / STYLES).glob("*.reconet"):
        add(
            "usr/share/reconet/styles/" + source.name,
            source.read_bytes(),
            time=STYLES_DATE + 86400 * (source.name == FIRST_STYLE),
        )
    for source in (ROOT / "appliance").rglob("*"):
        if source.suffix in (".py", ".jpg", ".html", ".css", ".js", ".svg"):
            add(LIBRARY + source.relative_to(ROOT).as_posix(), source.read_bytes())
    for wheel, _ in wheels:
        with zipfile.ZipFile(wheel) as archive:
            for name in archive.namelist():
                if not name.endswith("/") and not PRUNED.search(name):
                    add(LIBRARY + name, archive.read(name))
    add("usr/share/doc/reconet/copyright", copyright_file(wheels).encode())
    add("usr/share/doc/reconet/changelog.gz", compressed(OVERLAY / "DEBIAN/changelog"))
    return dict(sorted(files.items()))


def compressed(path: Path) -> bytes:
    return gzip.compress(path.read_bytes(), 9, mtime=0)


def copyright_file(wheels: list) -> str:
    """Our licence and those of all wheels, in Debian's machine-readable format."""
    own = (ROOT / "LICENSE").read_text()
    stanzas = [
        "Format: https://www.debian.org/doc/packaging-manuals/copyright-format/1.0/\n"
        "Upstream-Name: ReCoNet on the Edge TPU\n"
        "Comment: The libraries under /usr/lib/reconet come from the Python Package Index. One of them,\n"
        " v4l2-python3, is under the GPL-2.0, and so is this package as a whole.",
        stanza("*", own, "MIT"),
    ]
    for wheel, licence in wheels:
        with zipfile.ZipFile(wheel) as archive:
            names = archive.namelist()
            texts = [
                archive.read(name).decode() for name in sorted(names) if re.search(r"\.dist-info/.*LICENSE[^/]*$", name)
            ]
        extra = OVERLAY / "licences" / f"{licence}.txt"  # of wheels that name their licence but do not bring it along
        texts = [extra.read_text()] if extra.exists() else texts
        tops = sorted({name.split("/")[0] for name in names})
        stanzas.append(
            stanza(" ".join(LIBRARY + top + "*" for top in tops), "\n".join(texts), licence, wheel.name.split("-")[0])
        )
    return "\n\n".join(stanzas) + "\n"


def stanza(files: str, text: str, licence: str, name: str = "") -> str:
    holders = re.findall(r"^\W*(?:Copyright|©)\s.*\d{4}.*$", text, re.MULTILINE | re.IGNORECASE)
    if licence in COMMON_LICENSES:
        text = f"On Debian systems, the text is in /usr/share/common-licenses/{COMMON_LICENSES[licence]}."
    body = "\n".join(" " + (line.rstrip() or ".") for line in text.strip().splitlines())
    # Texts of one licence differ in their copyright lines, so each gets its own name.
    return (
        f"Files: {files}\nCopyright: {holders[0].strip() if holders else 'its authors, named in its METADATA'}\n"
        f"License: {licence}{'-' + name if name else ''}\n{body}"
    )


def write_deb(path: Path, control: str, files: dict) -> None:
    """Write the package of these files and the scripts in DEBIAN/, completely or not at all."""
    tool = shutil.which("dpkg-deb")
    if not tool:
        raise Failure(
            "dpkg-deb is not on this machine: build the package on Debian or Ubuntu, or in a container of one"
        )
    sums = "".join(f"{hashlib.md5(data).hexdigest()}  {name}\n" for name, (data, _, _) in files.items())
    conffiles = "".join(f"/{name}\n" for name in files if name.startswith("etc/"))
    meta = {"control": (control.encode(), 0o644), "md5sums": (sums.encode(), 0o644)}
    meta["conffiles"] = (conffiles.encode(), 0o644)
    for script in ("postinst", "postrm", "prerm"):
        meta[script] = ((OVERLAY / "DEBIAN" / script).read_bytes(), 0o755)
    with tempfile.TemporaryDirectory(dir=path.parent, prefix=".build-") as scratch:
        root, part = Path(scratch) / "root", Path(scratch) / "package.deb"
        (root / "var/lib/reconet-journal").mkdir(parents=True)
        for name, (data, mode) in meta.items():
            put(root / "DEBIAN" / name, data, mode, epoch())
        for name, (data, mode, time) in files.items():
            put(root / name, data, mode, time)
        for folder in [root, *root.rglob("*/")]:
            if folder.is_dir():
                folder.chmod(0o755)
                os.utime(folder, (epoch(), epoch()))
        # One thread: the number of threads changes the bytes. Level 6 would take three times as long to save a fifth.
        command = [tool, "--root-owner-group", "-Zxz", "-z1", "--build", str(root), str(part)]
        settings = {"SOURCE_DATE_EPOCH": str(epoch()), "DPKG_DEB_THREADS_MAX": "1", "LC_ALL": "C"}
        done = subprocess.run(command, env={**os.environ, **settings}, stdout=subprocess.PIPE, stderr=subprocess.STDOUT)
        if done.returncode:
            raise Failure("dpkg-deb failed: " + " ".join(done.stdout.decode(errors="replace").split()))
        part.replace(path)


def put(path: Path, data: bytes, mode: int, time: float) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(data)
    path.chmod(mode)
    os.utime(path, (time, time))


if __name__ == "__main__":
    sys.exit(main())
