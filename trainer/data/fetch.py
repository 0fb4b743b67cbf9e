"""Downloads a public set of photographs once. Downloads resume, are checked by SHA-256, and are kept in the cache."""

import hashlib
import http.client
import shutil
import urllib.error
import urllib.request
import zipfile
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

from PIL import Image
from rich.console import Console
from rich.progress import BarColumn, DownloadColumn, Progress, TextColumn, TimeRemainingColumn

from appliance.errors import Problem
from appliance.files import Pending, cannot_write, remove_leftovers
from trainer import caches

BLOCK = 1 << 20  # bytes
TRIES = 5  # failed connections in a row, without a byte received, before giving up
SECONDS = 30  # until a connection times out


@dataclass(frozen=True)
class Archive:
    """A zip file on the web, and which of its pictures to keep: sorted by name, the first `count` of at least `size`
    (height, width).
    """

    name: str
    url: str
    bytes: int
    sha256: str
    count: int
    size: tuple[int, int]


# Photographs from Flickr, each under its own Creative Commons licence, see cocodataset.org: never redistributed.
COCO = Archive(
    "coco_val2017",
    "http://images.cocodataset.org/zips/val2017.zip",
    815585330,
    "4f7e2ccb2866ec5041993c9cf2a952bbed69647b115d0f74da7ce8f4bef82f05",
    600,
    (360, 640),
)


def photographs(archive: Archive = COCO) -> Path:
    """The folder of the archive's photographs in the cache, downloaded if missing. Raises Problem."""
    top = caches.folder() / "photos"
    folder = top / archive.name
    if folder.is_dir():
        return folder
    top.mkdir(parents=True, exist_ok=True)
    remove_leftovers(top)
    file = top / f"{archive.name}.zip"
    try:
        _download(archive, file)
        _unpack(archive, file, folder)
    except OSError as error:
        raise cannot_write(top, error) from error
    file.unlink()
    return folder


def _download(archive, file):
    part = file.with_suffix(".part")
    if not file.exists():
        console = Console(stderr=True)
        console.print(f"downloading photographs once: {archive.url}, {archive.bytes / 1e6:.0f} MB", highlight=False)
        columns = [TextColumn("photographs"), BarColumn(), DownloadColumn(), TimeRemainingColumn()]
        with Progress(*columns, console=console) as progress:
            task = progress.add_task("", total=archive.bytes)
            failed = 0
            while failed < TRIES and (before := _size(part)) < archive.bytes:
                try:
                    _continue(archive, part, lambda done: progress.update(task, completed=done))
                    reason = "the connection ended early"
                except (urllib.error.URLError, http.client.HTTPException, TimeoutError, ConnectionError) as error:
                    reason = str(getattr(error, "reason", None) or error)
                failed = 0 if _size(part) > before else failed + 1
        if _size(part) < archive.bytes:
            raise Problem(
                f"photographs: cannot download {archive.url}: {reason}; run again when online, use your own with "
                f"--photos DIR, or copy the file to {file}"
            )
        part.replace(file)
    digest = hashlib.sha256()
    with file.open("rb") as opened:
        while block := opened.read(BLOCK):
            digest.update(block)
    if digest.hexdigest() == archive.sha256:
        return
    file.unlink()
    raise Problem(f"photographs: {archive.url} has changed, so the download was deleted; use --photos DIR")


def _size(path):
    return path.stat().st_size if path.exists() else 0


def _continue(archive, part, report):
    """Appends the rest of the file to the part, or starts it again if the server cannot resume."""
    have = _size(part)
    request = urllib.request.Request(archive.url, headers={"Range": f"bytes={have}-"} if have else {})
    with urllib.request.urlopen(request, timeout=SECONDS) as answer:
        resumed = answer.status == http.HTTPStatus.PARTIAL_CONTENT
        with part.open("ab" if resumed else "wb") as out:
            while block := answer.read1(BLOCK):
                out.write(block)
                report(out.tell())


def _unpack(archive, file, folder):
    pending = Pending(folder, folder=True)
    try:
        with zipfile.ZipFile(file) as opened:
            kept = 0
            for name in sorted(opened.namelist()):
                if kept == archive.count or not name.lower().endswith(".jpg"):
                    continue
                with opened.open(name) as source, Image.open(source) as picture:
                    width, height = picture.size
                if height >= archive.size[0] and width >= archive.size[1]:
                    with opened.open(name) as source, open(pending.path / PurePosixPath(name).name, "wb") as target:
                        shutil.copyfileobj(source, target)
                    kept += 1
        pending.commit()
    finally:
        pending.discard()
