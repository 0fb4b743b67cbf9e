"""The style bundle `NAME.reconet`: one checked file that carries a style from the trainer to the appliance.

A zip: manifest.json first, then the segments and preview.jpg. Nothing in it is trusted.
"""

import hashlib
import json
import os
import stat
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, BinaryIO, Dict, List, Optional, Tuple, Union

from ..errors import BundleError
from ..files import replacing
from . import archive, sizes, tflite
from .check import check_files
from .manifest import Manifest, Plan, Size, build, parse

SUFFIX = ".reconet"
MAX_BYTES = 64 << 20


@dataclass(frozen=True)
class Bundle:
    """A style that passed every check: `files` maps each name but manifest.json to its content.

    `digest` is the SHA-256, in hexadecimal, of the manifest, which has those of the files. It is computed once.
    """

    path: Path
    manifest: Manifest
    files: Dict[str, bytes]
    digest: str = ""

    def __post_init__(self) -> None:
        # By json, not pydantic: json writes numbers the same in every version.
        text = json.dumps(self.manifest.model_dump(mode="json"), sort_keys=True) if not self.digest else ""
        object.__setattr__(self, "digest", self.digest or hashlib.sha256(text.encode()).hexdigest())

    @property
    def name(self) -> str:
        return self.manifest.name

    def reach(self, segment: str) -> Optional[int]:
        """From how many rows above and below it a row of the segment's outputs is computed; see tflite.reach."""
        return tflite.reach(self.files[segment])

    def check_size(self, size: Size) -> None:
        """Raise Problem, which names the nearest sizes, when the style cannot be built for `size`."""
        sizes.check(self.manifest, size)

    def within(self, most: Size) -> Size:
        """The largest size that is no wider and no higher than `most`; see sizes.within. Raises Problem."""
        return sizes.within(self.manifest, most)

    def build(self, plan: Plan, size: Optional[Size] = None) -> List[bytes]:
        """The plan's segments for the CPU, in order, for pictures of `size` (default: as they are stored).

        Raises Problem as check_size does.
        """
        return sizes.build(self.manifest, self.files, plan, size)

    def compiled(self, plan: Plan, size: Size) -> List[bytes]:
        """The plan's segments for the Edge TPU, in order; [] where it is not compiled for pictures of `size`."""
        return [self.files[name] for name in self.manifest.compiled(plan).get(size, [])]

    def stored_size(self, plan: Plan, device: str) -> Size:
        """The size of picture for which the plan's segments for `device` are stored.

        For "TPU", the widest size that is compiled, unless the stored size is.
        """
        compiled = self.manifest.compiled(plan) if device == "TPU" else {}
        return self.manifest.size if self.manifest.size in compiled else max(compiled, default=self.manifest.size)

    def resizable(self) -> "Bundle":
        """This style with its sizes declared, for which its networks can be built; as it is where they cannot."""
        found = self.manifest.sizes or sizes.inferred(self.manifest, self.files)
        return replace(self, manifest=self.manifest.model_copy(update={"sizes": found}))

    def candidates(self, aspect: Tuple[int, int], least: Size = (160, 90), most: Size = (1920, 1080)) -> List[Size]:
        """Sizes worth trying for a view of `aspect`, largest first; see sizes.candidates."""
        return sizes.candidates(self.manifest, aspect, least, most)


def read(path: Union[str, Path]) -> Bundle:
    """The bundle at `path`, fully checked. Raises BundleError, one line that names the file and the reason."""
    try:
        # Non-blocking, so that opening a FIFO does not wait before fstat tells it from a file.
        descriptor = os.open(str(path), os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
        with os.fdopen(descriptor, "rb") as file:
            return _read(Path(path), file)
    except BundleError as error:
        raise BundleError(f"{path}: {error}") from None
    except (OSError, ValueError) as error:  # ValueError: a null byte in the path
        raise BundleError(f"{path}: cannot be read: {getattr(error, 'strerror', None) or error}") from None


def write(path: Union[str, Path], manifest: Union[Dict[str, Any], Manifest], files: Dict[str, bytes]) -> Bundle:
    """Write a bundle of `files` (name -> content) to `path`, completely or not at all, and return it.

    `manifest` holds everything but its "files" section, which is filled in here. The file is checked, as by `read`,
    before it replaces `path`. With one version of zlib, the same arguments give the same bytes.
    Raises BundleError when a check fails and Problem when `path` cannot be written.
    """
    fields = manifest.model_dump(exclude_none=True) if isinstance(manifest, Manifest) else dict(manifest)
    provenance = fields.pop("provenance", {})
    fields["files"] = {
        name: {"bytes": len(content), "sha256": hashlib.sha256(content).hexdigest()} for name, content in files.items()
    }
    fields["provenance"] = provenance
    try:
        checked = build(fields)
        members = {"manifest.json": json.dumps(fields, indent=1, allow_nan=False).encode()}
    except BundleError as error:
        raise BundleError(f"{path}: {error}") from None
    except (TypeError, ValueError) as error:
        raise BundleError(f"{path}: the manifest cannot be written as JSON: {error}") from None
    members.update(files)
    with replacing(path) as temporary:
        with open(str(temporary), "wb") as file:
            archive.write(file, members)
        try:
            with open(str(temporary), "rb") as file:
                _read(Path(path), file)
        except BundleError as error:
            raise BundleError(f"{path}: {error}") from None
    return Bundle(Path(path), checked, dict(files))


def _read(path: Path, file: BinaryIO) -> Bundle:
    status = os.fstat(file.fileno())
    if not stat.S_ISREG(status.st_mode):
        raise BundleError("not a regular file")
    if status.st_size > MAX_BYTES:
        raise BundleError(f"too large ({status.st_size} bytes, {MAX_BYTES} are allowed)")
    members = archive.read(file, status.st_size, MAX_BYTES)
    if next(iter(members)) != "manifest.json":
        raise BundleError("manifest.json is not the first member: export the style again")
    manifest = parse(members.pop("manifest.json"))
    for name in members:
        if name not in manifest.files:
            raise BundleError(f"{name} is not declared in the manifest")
    for name, declared in manifest.files.items():
        if name not in members:
            raise BundleError(f"{name} is declared in the manifest but missing")
        if len(members[name]) != declared.bytes:
            raise BundleError(
                f"{name} has {len(members[name])} bytes but the manifest says {declared.bytes}: copy the bundle again"
            )
        if hashlib.sha256(members[name]).hexdigest() != declared.sha256:
            raise BundleError(f"{name} is not what was exported (digest differs): copy the bundle again")
    check_files(manifest, members)
    return Bundle(path, manifest, members)
