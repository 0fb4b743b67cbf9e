"""The styles in a folder, as the page lists them. Each file is opened once, and again when it changes."""

import threading
from pathlib import Path
from typing import Any, Dict, List, NamedTuple, Optional
from urllib.parse import quote

from ..errors import BundleError
from ..style import store
from ..style.bundle import Bundle
from ..style.manifest import size_name
from ..style.watch import signature

_PREVIEW = "preview.jpg"
_MOST_PREVIEW = 1 << 20


class Entry(NamedTuple):
    """A file in the folder: what the page says about it, and its preview, a JPEG or None."""

    signature: str
    facts: Dict[str, Any]
    preview: Optional[bytes]


class Gallery:
    def __init__(self, folder: Path):
        self._folder = folder
        self._entries: Dict[str, Entry] = {}
        self._lock = threading.Lock()

    def list(self) -> List[Dict[str, Any]]:
        """One document per file, sorted by title."""
        with self._lock:
            paths = store.paths([self._folder])
            before, self._entries = self._entries, {}
            for path in paths:
                kept = before.get(path.name)
                now = signature(path)
                self._entries[path.name] = kept if kept and kept.signature == now else _entry(path, now)
            return sorted((one.facts for one in self._entries.values()), key=lambda facts: str(facts["title"]).lower())

    def preview(self, name: str) -> Optional[bytes]:
        """The preview of a file, by its name, as of the latest `list`."""
        with self._lock:
            entry = self._entries.get(name)
        return entry.preview if entry else None


def _entry(path: Path, now: str) -> Entry:
    try:
        found = store.load(path)
    except BundleError as error:
        reason = str(error).replace(f"{path}: ", "")
        return Entry(now, {"file": path.name, "name": None, "title": path.stem, "problem": reason}, None)
    preview = found.files.get(_PREVIEW, b"")
    shown = preview[:3] == b"\xff\xd8\xff" and len(preview) <= _MOST_PREVIEW
    return Entry(now, _facts(path, found, shown), preview if shown else None)


def _facts(path: Path, found: Bundle, shown: bool) -> Dict[str, Any]:
    manifest = found.manifest
    return {
        "file": path.name,
        "name": found.name,
        "title": manifest.title,
        "painter": _painter(manifest.provenance),
        "size": size_name(manifest.size),
        "megabytes": round(path.stat().st_size / 1e6, 1) if path.exists() else 0.0,
        "compiled": any(plan.compiled for plan in manifest.plans),
        "preview": f"/preview/{quote(path.name)}?{found.digest[:12]}" if shown else None,
    }


def _painter(provenance: Dict[str, Any]) -> str:
    """Who painted it, from a part of the manifest that may hold anything."""
    recipe = provenance.get("recipe")
    artist = recipe.get("artist") if isinstance(recipe, dict) else None
    return artist[:100] if isinstance(artist, str) and artist.isprintable() else ""
