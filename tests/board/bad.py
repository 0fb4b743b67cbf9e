"""Bundles that have to be refused, made from a good one."""

import hashlib
import io
import json
import zipfile
from typing import Callable, Dict


def bundles(good: bytes) -> Dict[str, bytes]:
    """By what is wrong with them."""
    middle = len(good) // 2
    return {
        "truncated": good[:middle],
        "flipped": good[:middle] + bytes([good[middle] ^ 1]) + good[middle + 1 :],
        "not_a_zip": b"not a zip\n" * 100,
        "empty": b"",
        "slip": _rewritten(good, lambda manifest, files: files.update({"../../../etc/slipped": b"x"})),
        "bomb": _rewritten(good, lambda manifest, files: files.update(bomb=bytes(1 << 30)), zipfile.ZIP_DEFLATED),
        "shapes": _rewritten(good, _shapes),
        "stages": _rewritten(good, lambda manifest, files: manifest["plans"][0]["stages"].reverse()),
    }


def _shapes(manifest: dict, files: Dict[str, bytes]) -> None:
    for end in ("input", "output"):
        manifest[end]["width"] *= 2


def compiled(good: bytes, name: str) -> bytes:
    """A style that claims to be compiled for the Edge TPU; its segments for the CPU are valid."""

    def change(manifest, files):
        manifest["name"] = name
        for plan in manifest["plans"]:
            for stage in plan["stages"]:
                if "segment" in stage:
                    stage["edgetpu"] = stage["segment"].replace(".tflite", "_edgetpu.tflite")
                    files[stage["edgetpu"]] = files[stage["segment"]]

    return _rewritten(good, change)


def _rewritten(good: bytes, change: Callable[[dict, Dict[str, bytes]], None], method=zipfile.ZIP_STORED) -> bytes:
    """`good` after `change(manifest, files)`, its digests those of the new files."""
    with zipfile.ZipFile(io.BytesIO(good)) as archive:
        files = {name: archive.read(name) for name in archive.namelist()}
    manifest = json.loads(files.pop("manifest.json"))
    change(manifest, files)
    manifest["files"] = {
        name: {"bytes": len(data), "sha256": hashlib.sha256(data).hexdigest()} for name, data in files.items()
    }
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w", method, compresslevel=1) as archive:
        archive.writestr("manifest.json", json.dumps(manifest))
        for name, data in files.items():
            archive.writestr(name, data)
    return out.getvalue()
