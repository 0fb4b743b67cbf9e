"""Small changes that leave most of a bundle or of the settings valid, so that the deep checks are reached.

`random` is a random.Random, or Hypothesis' stand-in for one.
"""

import copy
import hashlib
import io
import json
import struct
import warnings
import zipfile
from typing import Dict, List, Optional, Tuple
from unittest import mock

from appliance import config
from appliance.errors import Problem
from appliance.style import flatbuffer, tflite

Members = List[Tuple[str, bytes]]

_NUMBERS = (0, 1, 2, 3, 4, 7, 8, 9, 64, 127, 128, 255, 256, 0x7FFF, 0x8000, 0xFFFF, 0x7FFFFFFF, 0x80000000, 0xFFFFFFFF)
_VALUES = (
    None,
    True,
    0,
    1,
    -1,
    2,
    8,
    9,
    64,
    4096,
    4097,
    1 << 31,
    1 << 63,
    1 << 64,
    10**400,
    0.5,
    1e308,
    -0.0,
    float("nan"),
    float("inf"),
    "",
    "a",
    "A b",
    "tiny",
    "rgb",
    "yuv",
    "bgrx",
    "nearest",
    "pixels",
    "../a",
    "manifest.json",
    "preview.jpg",
    "a.tflite",
    "64x32",
    "x" * 101,
    "y" * 5000,
    "\0",
    "\n",
    "\ud800",
    "\u202e",
    "0" * 64,
    "2026-02-31T25:61:61Z",
    [],
    {},
    [[]],
    [{}],
    {"": {}},
    {"segment": "a.tflite"},
)


def bundle(data: bytes, random) -> bytes:
    """`data`, the bytes of a bundle, with something changed: bytes, the archive, the manifest or a segment."""
    members = unzipped(data)
    if not members or random.random() < 0.15:
        return scratched(data, _headers(data), random)
    kind = random.randrange(8)
    if kind == 0:
        return _rearranged(members, random)
    if kind == 1:
        name, text = members[0]
        return zipped([(name, scratched(text, range(len(text)), random))] + members[1:])
    if kind in (2, 3, 4):
        return with_manifest(members, lambda fields: changed(fields, random), random.random() < 0.7)
    return _with_segment(members, random)


def settings(data: bytes, random) -> bytes:
    """`data`, the text of a configuration file, with lines added, dropped or changed."""
    lines = data.split(b"\n")
    for _ in range(random.choice((1, 1, 2, 4))):
        at = random.randrange(len(lines) + 1)
        kind = random.randrange(5)
        if kind == 0 or at == len(lines):
            lines.insert(at, _setting(random))
        elif kind == 1:
            del lines[at]
        elif kind == 2:
            lines.insert(at, lines[random.randrange(len(lines))])
        elif kind == 3 and b"=" in lines[at]:
            lines[at] = lines[at].split(b"=")[0] + b"= " + _toml(random)
        else:
            lines[at] = scratched(lines[at], range(len(lines[at])), random)
        lines = lines or [b""]
    return b"\n".join(lines)


def settings_seeds() -> Dict[str, bytes]:
    """Valid settings to start from: the defaults, with no comments in the way."""
    lines = [line for line in config.defaults_as_toml().splitlines() if line and not line.startswith("#")]
    return {"defaults": "\n".join(lines).encode(), "empty": b"\n"}


def bundle_seeds(tiny: bytes, kept: bytes) -> Dict[str, bytes]:
    """Valid bundles to start from: `kept`, whose segments keep tensors; `tiny`, one of each of its plans, the first as
    if it were compiled, and both in format 2.
    """
    members = unzipped(tiny)
    fields = json.loads(members[0][1].decode())
    found = {"kept": kept, "tiny": tiny, "sized": with_manifest(members, _sized)}
    for number, plan in enumerate(fields["plans"]):
        files = [stage["segment"] for stage in plan["stages"] if "segment" in stage]
        kept = [(name, data) for name, data in members if name in files or not name.endswith(".tflite")]
        if not number:
            kept += [("tpu_" + name, data) for name, data in members if name in files]
            size = "{width}x{height}".format(**fields["input"])
            sets = dict(plan, edgetpu={size: ["tpu_" + name for name in files]})
            found["sized_" + plan["name"]] = with_manifest(
                kept, lambda manifest, plan=sets: _sized(dict(manifest, plans=[plan]))
            )
            plan = dict(
                plan,
                stages=[
                    dict(stage, edgetpu="tpu_" + stage["segment"]) if "segment" in stage else stage
                    for stage in plan["stages"]
                ],
            )
        found[plan["name"]] = with_manifest(kept, lambda manifest, plan=plan: dict(manifest, plans=[plan]))
    return found


def _sized(fields):
    return dict(fields, format=2, sizes={"stride": 4, "min": 16, "max": 2048})


def unzipped(data: bytes) -> Optional[Members]:
    """[(name, content)] of an archive; None when it is too damaged to tell."""
    try:
        with zipfile.ZipFile(io.BytesIO(data)) as archive:
            return [(info.filename, archive.read(info)) for info in archive.infolist()]
    except Exception:  # whatever zipfile raises on a damaged archive
        return None


def zipped(members: Members, compression: int = zipfile.ZIP_STORED) -> bytes:
    file = io.BytesIO()
    with warnings.catch_warnings(), zipfile.ZipFile(file, "w") as archive:
        warnings.simplefilter("ignore")  # the same name twice
        for name, content in members:
            archive.writestr(zipfile.ZipInfo(name), content, compression)
    return file.getvalue()


def scratched(data: bytes, places, random) -> bytes:
    """`data` with a few numbers, written at `places`, or cut, or stretched."""
    scratched = bytearray(data)
    for _ in range(random.choice((1, 1, 1, 2, 4))):
        kind = random.randrange(12)
        at = places[random.randrange(len(places))] if len(places) and kind < 9 else random.randrange(len(data) + 1)
        if kind == 0:
            del scratched[at:]
        elif kind == 1:
            del scratched[at : at + random.randrange(1, 9)]
        elif kind == 2:
            scratched[at:at] = bytes(scratched[at : at + random.randrange(1, 65)])
        else:
            _put(scratched, at, random)
    return bytes(scratched)


def changed(value, random):
    """The JSON `value` with one of its nodes replaced, dropped, doubled, renamed or wrapped."""
    places = list(spots(value))
    if not places:
        return random.choice(_VALUES)
    holder, key = random.choice(places)
    kind = random.randrange(7)
    if kind == 0:
        del holder[key]
    elif kind == 1 and isinstance(holder, list):
        holder.insert(random.randrange(len(holder) + 1), copy.deepcopy(holder[key]))
    elif kind == 1:
        holder[random.choice([name for name in _VALUES if isinstance(name, str)])] = holder.pop(key)
    elif kind == 2:
        other, name = random.choice(places)
        holder[key] = copy.deepcopy(other[name])
    elif kind == 3:
        depth = random.choice((1, 2, 150, 300))
        for _ in range(depth):
            holder[key] = [holder[key]]
    elif kind == 4 and type(holder[key]) is int:
        holder[key] += random.choice((-8, -1, 1, 8))
    else:
        holder[key] = random.choice(_VALUES)
    return value


def spots(value):
    items = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    for key, child in list(items):
        yield value, key
        if key != "provenance":
            for spot in spots(child):
                yield spot


def with_manifest(members: Members, change, sign: bool = True) -> bytes:
    """The archive of `members` with change(manifest) as its manifest; sizes and digests are corrected."""
    name, text = members[0]
    try:
        fields = change(json.loads(text.decode()))
    except (ValueError, RecursionError):
        return zipped(members)
    if sign and isinstance(fields, dict):
        fields["files"] = {
            name: {"bytes": len(data), "sha256": hashlib.sha256(data).hexdigest()} for name, data in members[1:]
        }
    try:
        text = json.dumps(fields).encode()
    except (ValueError, RecursionError):  # wrapped too often
        pass
    return zipped([(name, text)] + members[1:])


def _with_segment(members: Members, random) -> bytes:
    segments = [number for number, (name, _) in enumerate(members) if number and not name.endswith(".jpg")]
    number = random.choice(segments or [len(members) - 1])
    name, data = members[number]
    if random.random() < 0.1:
        data = random.choice(members)[1]
    else:
        data = scratched(data, _looked_at(data), random)
    return with_manifest(members[:number] + [(name, data)] + members[number + 1 :], lambda fields: fields)


def _rearranged(members: Members, random) -> bytes:
    members = list(members)
    compression = zipfile.ZIP_STORED
    for _ in range(random.choice((1, 1, 2))):
        at, to = random.randrange(len(members)), random.randrange(len(members))
        kind = random.randrange(7)
        if kind == 0 and len(members) > 1:
            del members[at]
        elif kind == 1:
            members.insert(to, members[at])
        elif kind == 2:
            members[at], members[to] = members[to], members[at]
        elif kind == 3:
            members[at] = random.choice(["", "..", "../a", "/a", "a/b", "A" * 300, "é", "a.tflite"]), members[at][1]
        elif kind == 4:
            compression = random.choice((zipfile.ZIP_DEFLATED, zipfile.ZIP_BZIP2))
        elif kind == 5:
            members += [(f"{number}.tflite", b"") for number in range(random.choice((1, 57, 100)))]
        else:
            members[at] = members[at][0], b""
    data = zipped(members, compression)
    return data if random.random() < 0.7 else scratched(data, _headers(data), random)


def _headers(data: bytes) -> List[int]:
    """Where the headers of an archive are, byte by byte."""
    places, at = [], data.find(b"PK")
    while at >= 0 and len(places) < 64 * 46:
        places += range(at, min(at + 46, len(data)))
        at = data.find(b"PK", at + 2)
    return places


def _looked_at(data: bytes) -> List[int]:
    """Where the reader of segments looks in `data`."""
    places = []

    def unpack(data, code, place, original=flatbuffer.unpack):
        places.append(place)
        return original(data, code, place)

    with mock.patch.object(flatbuffer, "unpack", unpack):
        try:
            tflite.read(data)
        except Problem:
            pass
    return [place for place in places if 0 <= place < len(data)]


def _put(data: bytearray, at: int, random) -> None:
    """Write a number of one to eight bytes at `at`, or move the one that is there a little."""
    size, code = random.choice(((1, "B"), (2, "H"), (4, "I"), (4, "I"), (8, "Q")))
    if at + size > len(data):
        return
    kind = random.randrange(4)
    number = (
        random.choice(_NUMBERS)
        if kind == 0
        else random.randrange(1 << 8 * size)
        if kind == 1
        else len(data) - at + random.randrange(-8, 9)
        if kind == 2
        else struct.unpack_from("<" + code, data, at)[0] + random.choice((-64, -4, -1, 1, 2, 4, 16))
    )
    struct.pack_into("<" + code, data, at, number % (1 << 8 * size))


def _setting(random) -> bytes:
    section = random.choice(list(config.Settings.model_fields) + ["", "a.b", "camera.fps"])
    if random.random() < 0.3:
        return random.choice((b"[%s]", b"[[%s]]", b"['%s']")) % section.encode()
    keys = [key for field in config.Settings.model_fields.values() for key in field.annotation.model_fields]
    key = random.choice(keys + ["x", "'a b'", '"\\u0061"', "a." * random.choice((1, 9, 500)) + "a"])
    return b"%s = %s" % (key.encode(), _toml(random))


def _toml(random) -> bytes:
    value = random.choice(
        (
            "1",
            "-1",
            "30",
            "640",
            "1e9",
            "0x" + "f" * 300,
            "9" * 4400,
            "nan",
            "-inf",
            "true",
            "''",
            '"auto"',
            '"/dev/video1"',
            '"a\\u0000b"',
            '"\\ud800"',
            "'''x",
            "1979-05-27T07:32:00Z",
            "07:32",
            "[1, [2]]",
            "[" * 500,
            "{a = 1}",
            "{a.b.c = 1, a.d = []}",
            "{" * 500,
            '"' + "x" * 400 + '"',
        )
    )
    return value.encode()
