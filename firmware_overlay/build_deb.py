#!/usr/bin/env python3
"""Builds dist/reconet_VERSION_ARCHITECTURE.deb for a host: this tree, the appliance, the units and wheels.

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
import tarfile
import tempfile
import zipfile
from pathlib import Path
from typing import NamedTuple

OVERLAY = Path(__file__).resolve().parent
ROOT = OVERLAY.parent
LIBRARY = "usr/lib/reconet/"
STYLES = "var/lib/reconet/"
JOURNAL = "var/lib/reconet-journal"
JOURNAL_UNIT = "lib/systemd/system/var-log-journal.mount"
FIRST_STYLE = "starry_night.reconet"
# Older than anything that a user adds, even when the clock of a board that has just booted is wrong.
STYLES_DATE = 946684800  # 2000-01-01


class Host(NamedTuple):
    """What a package is for. `glibc` is the minor version, `overlay` a folder of hosts/ with more files."""

    python: str
    depends: str
    architecture: str = "arm64"
    glibc: int = 36
    overlay: str = ""


_LIBRARIES = "libstdc++6, zlib1g"
HOSTS = {
    # Mendel packages Google's runtimes, Debian does not.
    "mendel": Host(
        "3.7",
        "python3 (>= 3.7), python3 (<< 3.8), python3-tflite-runtime, python3-pycoral, "
        "libedgetpu1-std | libedgetpu1-max, libc6 (>= 2.17), zlib1g",
        glibc=28,
        overlay="mendel",
    ),
    "debian12-arm64": Host(
        "3.11", f"python3 (>= 3.11), python3 (<< 3.12), libc6 (>= 2.34), {_LIBRARIES}", overlay="arm64"
    ),
    "debian12-amd64": Host("3.11", f"python3 (>= 3.11), python3 (<< 3.12), libc6 (>= 2.34), {_LIBRARIES}", "amd64"),
    "debian13-arm64": Host(
        "3.13", f"python3 (>= 3.13), python3 (<< 3.14), libc6 (>= 2.34), {_LIBRARIES}", glibc=41, overlay="arm64"
    ),
}
MACHINES = {"arm64": "aarch64", "amd64": "x86_64"}
# Files that only developers of the wheels need.
PRUNED = re.compile(
    r"(^|/)(tests|include|__pycache__)/|^numpy/(distutils|f2py)/|\.(pyi|pxd|a|h|c)$"
    r"|\.dist-info/(RECORD|entry_points\.txt|top_level\.txt)$"
)
# Of ai_edge_litert, what its interpreter consists of: the rest is three times as large.
LITERT = re.compile(
    r"ai_edge_litert/(__init__|interpreter|metrics_\w+|_pywrap_litert_interpreter_wrapper|libpywrap_litert_common)\.\w+$"
)
# Licences that others quote in full, which Debian has once for all.
QUOTED = {
    "Apache-2.0": r"^[ \t]*Apache License\s+Version 2\.0, January 2004.*?END OF TERMS AND CONDITIONS",
    "GPL-3": r"^[ \t]*GNU GENERAL PUBLIC LICENSE\s+Version 3, 29 June 2007.*?END OF TERMS AND CONDITIONS",
}
COMMON_LICENSES = {"Apache-2.0": "Apache-2.0", "GPL-2.0-only": "GPL-2"}


class Failure(Exception):
    """One line: what is wrong and what to do."""


def main(argv=None) -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument(
        "--host", choices=HOSTS, default="mendel", help="what it is for (default: mendel, the Dev Board)"
    )
    parser.add_argument("--out", type=Path, default=ROOT / "dist", metavar="DIR", help="default: dist")
    parser.add_argument(
        "--wheels",
        type=Path,
        default=ROOT / "build/wheels",
        metavar="DIR",
        help="where downloads are kept (default: build/wheels)",
    )
    parser.add_argument(
        "--as-board",
        action="store_true",
        help="keep the journal as the Dev Board does, for its emulation in tests/board",
    )
    parser.add_argument("--uncompressed", action="store_true", help="in a fifth of the time, for tests")
    arguments = parser.parse_args(argv)
    try:
        kind = "none" if arguments.uncompressed else "xz"
        print(build(arguments.host, arguments.out, arguments.wheels / arguments.host, kind, arguments.as_board))
    except (Failure, OSError) as failure:
        print(f"build_deb: {failure}", file=sys.stderr)
        return 1
    return 0


def build(name: str, out: Path, cache: Path, kind: str = "xz", as_board: bool = False) -> Path:
    """Write the package for the host `name`, completely or not at all, and return its path."""
    host, version = HOSTS[name], package_version(name)
    files = tree(wheels(name, cache), name, as_board)
    path = out / f"reconet_{version}_{host.architecture}.deb"
    out.mkdir(parents=True, exist_ok=True)
    write_deb(path, control(name, version, sum(len(data) for data, _, _ in files.values()) // 1024), files, kind)
    return path


def control(name: str, version: str, size: int) -> str:
    """The package's control file; `size` in KiB."""
    host = HOSTS[name]
    more = "" if name == "mendel" else "\nSuggests: libedgetpu1-std | libedgetpu1-max"
    more += ", python3-picamera2" if host.overlay == "arm64" else ""
    fields = {
        "version": version,
        "architecture": host.architecture,
        "depends": host.depends,
        "more": more,
        "size": size,
    }
    return (OVERLAY / "DEBIAN/control").read_text().format(**fields)


def package_version(name: str) -> str:
    """The version, in which the appliance and the changelog have to agree."""
    version = re.search(r'__version__ = "(.+)"', (ROOT / "appliance/__init__.py").read_text()).group(1)
    noted = re.match(r"reconet \((.+?)\)", changelog()).group(1)
    if noted != version:
        raise Failure(f"DEBIAN/changelog begins with {noted}, but the appliance is {version}: add an entry")
    return version if name == "mendel" else f"{version}+{name.split('-')[0]}"


def changelog() -> str:
    return (OVERLAY / "DEBIAN/changelog").read_text()


def epoch() -> int:
    """$SOURCE_DATE_EPOCH, or the date of the newest entry in the changelog."""
    noted = re.search(r"^ -- .+>  (.+)$", changelog(), re.MULTILINE).group(1)
    return int(os.environ.get("SOURCE_DATE_EPOCH") or email.utils.parsedate_to_datetime(noted).timestamp())


def requirements(path: Path) -> dict:
    """{SHA-256 of a wheel: its licence}, from a file of lines NAME==VERSION --hash=sha256:DIGEST  # LICENCE."""
    return dict(re.findall(r"^[^#\n]+ --hash=sha256:([0-9a-f]{64})  # (\S+)$", path.read_text(), re.MULTILINE))


def wheels(name: str, cache: Path) -> list:
    """[(path, licence)] of what the host `name` needs, downloaded into `cache` unless it is there."""
    host, lists = HOSTS[name], [OVERLAY / f"hosts/{name}.txt", OVERLAY / "hosts/sources.txt"]
    listed = {digest: licence for path in lists for digest, licence in requirements(path).items()}

    def found():
        archives = [path for pattern in ("*.whl", "*.tar.gz") for path in cache.glob(pattern)]
        digests = {hashlib.sha256(path.read_bytes()).hexdigest(): path for path in archives}
        return [(digests[digest], licence) for digest, licence in listed.items() if digest in digests]

    if len(found()) == len(listed):
        return found()
    of = [
        f"manylinux{of}_{MACHINES[host.architecture]}" for of in [2014] + [f"_2_{n}" for n in range(17, host.glibc + 1)]
    ]
    tag = "cp" + host.python.replace(".", "")
    binary = ["--only-binary=:all:", "--implementation=cp", "--python-version", host.python]
    binary += [word for abi in (tag, tag + "m", "none") for word in ("--abi", abi)]
    binary += [word for platform in of for word in ("--platform", platform)]
    pip = [sys.executable, "-m", "pip", "download", "--quiet", "--disable-pip-version-check", "--no-deps"]
    pip += ["--require-hashes", "--dest", str(cache), "--requirement"]
    commands = [pip + [str(lists[0])] + binary, pip + [str(lists[1]), "--no-binary=:all:"]]
    if any(subprocess.run(command).returncode for command in commands) or len(found()) < len(listed):
        raise Failure(f"cannot download what hosts/{name}.txt lists (see above): check the network")
    return found()


def members(archive: Path) -> dict:
    """{path: content} of a wheel, or of the modules and the licence in a source archive."""
    if archive.suffix == ".whl":
        with zipfile.ZipFile(archive) as wheel:
            return {name: wheel.read(name) for name in wheel.namelist() if not name.endswith("/")}
    stem = archive.name[: -len(".tar.gz")]
    with tarfile.open(archive) as source:
        files = {one.name[len(stem) + 1 :]: source.extractfile(one).read() for one in source if one.isfile()}
    modules = {name: data for name, data in files.items() if re.fullmatch(r"\w+\.py", name) and name != "setup.py"}
    return {**modules, f"{stem}.dist-info/LICENSE": files["LICENSE"]}


def tree(archives: list, name: str = "mendel", as_board: bool = False) -> dict:
    """{path on the host: (content, mode, time)}, sorted. `as_board` adds the Dev Board's files to another host's."""
    files = {}
    merged = "usr/" if name.startswith("debian13") else ""  # where /lib is a link, packages put files behind it

    def add(path, data, mode=0o644, time=None):
        path = merged + path if path.startswith("lib/") else path
        files[path] = (data, mode, epoch() if time is None else time)

    overlays = {HOSTS[name].overlay, HOSTS["mendel"].overlay if as_board else ""} - {""}
    roots = [OVERLAY] + [OVERLAY / "hosts" / overlay for overlay in overlays]
    sources = [
        (root, path) for root in roots for folder in ("etc", "lib", "usr") for path in (root / folder).rglob("*")
    ]
    for root, source in sorted(sources):
        if source.is_file():
            path = source.relative_to(root).as_posix()
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
    for archive, _ in archives:
        for path, data in members(archive).items():
            if not PRUNED.search(path) and (not path.startswith("ai_edge_litert/") or LITERT.match(path)):
                add(LIBRARY + path, data)
    add("usr/share/doc/reconet/copyright", copyright_file(archives).encode())
    add("usr/share/doc/reconet/changelog.gz", compressed(OVERLAY / "DEBIAN/changelog"))
    return dict(sorted(files.items()))


def compressed(path: Path) -> bytes:
    return gzip.compress(path.read_bytes(), 9, mtime=0)


def copyright_file(archives: list) -> str:
    """Our licence and those of all that is brought along, in Debian's machine-readable format."""
    own = (ROOT / "LICENSE").read_text()
    stanzas = [
        "Format: https://www.debian.org/doc/packaging-manuals/copyright-format/1.0/\n"
        "Upstream-Name: ReCoNet on the Edge TPU\n"
        "Comment: The libraries under /usr/lib/reconet come from the Python Package Index. One of them,\n"
        " v4l2-python3, is under the GPL-2.0, and so is this package as a whole.",
        stanza("*", own, "MIT"),
    ]
    for archive, licence in archives:
        files = members(archive)
        texts = [
            data.decode() for path, data in sorted(files.items()) if re.search(r"\.dist-info/.*LICENSE[^/]*$", path)
        ]
        extra = OVERLAY / "licences" / f"{licence}.txt"  # of wheels that name their licence but do not bring it along
        texts = [extra.read_text()] if extra.exists() else texts
        tops = sorted({path.split("/")[0] for path in files})
        stanzas.append(
            stanza(" ".join(LIBRARY + top + "*" for top in tops), "\n".join(texts), licence, archive.name.split("-")[0])
        )
    return "\n\n".join(stanzas) + "\n"


def stanza(files: str, text: str, licence: str, name: str = "") -> str:
    holders = re.findall(r"^\W*(?:Copyright|©)\s.*\d{4}.*$", text, re.MULTILINE | re.IGNORECASE)
    if licence in COMMON_LICENSES:
        text = f"On Debian systems, the text is in /usr/share/common-licenses/{COMMON_LICENSES[licence]}."
    for name_of, pattern in QUOTED.items():
        words = f"(the text is in /usr/share/common-licenses/{name_of})"
        text = re.sub(pattern, words, text, flags=re.MULTILINE | re.DOTALL)
    body = "\n".join(" " + (line.rstrip() or ".") for line in text.strip().splitlines())
    # Texts of one licence differ in their copyright lines, so each gets its own name.
    return (
        f"Files: {files}\nCopyright: {holders[0].strip() if holders else 'its authors, named in its METADATA'}\n"
        f"License: {licence}{'-' + name if name else ''}\n{body}"
    )


def write_deb(path: Path, control: str, files: dict, kind: str = "xz") -> None:
    """Write the package of these files and the scripts in DEBIAN/, completely or not at all. `kind`: of compression."""
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
        root.mkdir()
        if {JOURNAL_UNIT, "usr/" + JOURNAL_UNIT} & files.keys():
            (root / JOURNAL).mkdir(parents=True)
        for name, (data, mode) in meta.items():
            put(root / "DEBIAN" / name, data, mode, epoch())
        for name, (data, mode, time) in files.items():
            put(root / name, data, mode, time)
        for folder in [root, *root.rglob("*/")]:
            if folder.is_dir():
                folder.chmod(0o755)
                os.utime(folder, (epoch(), epoch()))
        # One thread: the number of threads changes the bytes. Level 6 would take three times as long to save a fifth.
        command = [tool, "--root-owner-group", f"-Z{kind}", "-z1", "--build", str(root), str(part)]
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
