import dataclasses
import hashlib
import json
import os
import random
import struct
import zipfile
import zlib

import pytest

from appliance.errors import BundleError, Problem
from appliance.style import bundle, tflite

from .conftest import manifest_fields, raw_members, zipped


def refused(path):
    """The one line with which the bundle at `path` is refused."""
    with pytest.raises(BundleError) as caught:
        bundle.read(path)
    text = str(caught.value)
    assert text.startswith(str(path)) and "\n" not in text
    return text


def put(tmp_path, data):
    path = tmp_path / "style.reconet"
    path.write_bytes(data)
    return path


def with_manifest(tiny, change):
    """The bytes of the bundle after `change(manifest dict)`; digests are left as they are."""
    members = raw_members(tiny.path)
    manifest = json.loads(members[0][1].decode())
    change(manifest)
    return zipped([("manifest.json", json.dumps(manifest).encode())] + members[1:])


def signed(fields, files):
    """The bytes of a bundle whose digests are right, whatever is in it."""
    declared = {name: {"bytes": len(data), "sha256": hashlib.sha256(data).hexdigest()} for name, data in files.items()}
    manifest = json.dumps(dict(fields, files=declared)).encode()
    return zipped([("manifest.json", manifest)] + list(files.items()))


# Writing


def test_what_is_written_is_read_back(tmp_path, parts):
    written = bundle.write(tmp_path / "a.reconet", *parts)
    assert bundle.read(tmp_path / "a.reconet") == written
    assert written.files == parts[1]
    assert raw_members(written.path)[0][0] == "manifest.json"
    assert os.listdir(str(tmp_path)) == ["a.reconet"]


def test_a_manifest_can_be_written_again(tmp_path, tiny):
    assert bundle.write(tmp_path / "a.reconet", tiny.manifest, tiny.files).manifest == tiny.manifest


def test_same_content_same_bytes(tmp_path, parts):
    first, second = (bundle.write(tmp_path / name, *parts).path.read_bytes() for name in ("a.reconet", "b.reconet"))
    assert first == second


def test_other_tools_can_open_it(tmp_path, parts):
    path = bundle.write(tmp_path / "a.reconet", *parts).path
    with zipfile.ZipFile(str(path)) as archive:
        assert archive.testzip() is None


@pytest.mark.parametrize(
    "spoil",
    [
        lambda fields, files: fields.update(name="Bad Name"),
        lambda fields, files: files.pop("preview.jpg"),
        lambda fields, files: files.update({"../evil": b""}),
        lambda fields, files: fields.update(provenance={"loss": float("nan")}),
        lambda fields, files: fields.update(provenance={"recipe": object()}),
    ],
)
def test_a_bad_bundle_is_not_written(tmp_path, parts, spoil):
    path = put(tmp_path, b"the style before")
    spoil(*parts)
    with pytest.raises(BundleError):
        bundle.write(path, *parts)
    assert path.read_bytes() == b"the style before"
    assert os.listdir(str(tmp_path)) == [path.name]


def test_a_missing_folder_is_a_problem(tmp_path, parts):
    with pytest.raises(Problem, match="create the folder"):
        bundle.write(tmp_path / "no" / "a.reconet", *parts)


# The archive


def test_missing(tmp_path):
    assert "No such file" in refused(tmp_path / "none.reconet")


def test_directory_and_fifo(tmp_path):
    assert "directory" in refused(tmp_path)
    os.mkfifo(str(tmp_path / "fifo"))
    assert "not a regular file" in refused(tmp_path / "fifo")


@pytest.mark.parametrize("data", [b"", b"P", b"hello world", b"\x89PNG" + bytes(100)])
def test_not_a_zip(tmp_path, data):
    assert "not a style bundle" in refused(put(tmp_path, data))


def test_truncated_anywhere(tmp_path, tiny):
    data = tiny.path.read_bytes()
    for size in [4, 30, 100, len(data) // 2, len(data) - 22, len(data) - 1]:
        assert "truncated" in refused(put(tmp_path, data[:size]))


def test_something_before_or_behind(tmp_path, tiny):
    data = tiny.path.read_bytes()
    assert "not a style bundle" in refused(put(tmp_path, b"#!/bin/sh\n" + data))
    assert "follows" in refused(put(tmp_path, data + b"more"))
    assert "follows" in refused(put(tmp_path, data[:-2] + b"\x04\0more"))
    assert "before or behind" in refused(put(tmp_path, data[:4] + data))


def test_one_flipped_byte_in_the_content(tmp_path, tiny):
    data = bytearray(tiny.path.read_bytes())
    data[len(data) // 2] ^= 1
    assert "damaged" in refused(put(tmp_path, bytes(data)))


def test_too_large_is_refused_unread(tmp_path):
    path = tmp_path / "bomb.reconet"
    with open(str(path), "wb") as file:
        file.truncate(1 << 30)
    assert "too large" in refused(path)


def test_members_may_be_stored_or_deflated_and_are_written_deflated(tmp_path, tiny, parts):
    packed = [zipped(raw_members(tiny.path), method) for method in (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED)]
    assert [bundle.read(put(tmp_path, data)).files for data in packed] == [tiny.files] * 2
    written = bundle.write(tmp_path / "written.reconet", *parts).path
    assert written.stat().st_size < len(zipped(raw_members(written)))


def test_compressed_by_another_method(tmp_path, tiny):
    data = zipped(raw_members(tiny.path), zipfile.ZIP_BZIP2)
    assert "compressed by another method than deflate" in refused(put(tmp_path, data))


def test_zeros_that_unpack_to_more_than_is_allowed_are_not_unpacked(tmp_path, tiny):
    members = [*raw_members(tiny.path), ("zeros.tflite", bytes(bundle.MAX_BYTES))]
    assert "too large when unpacked" in refused(put(tmp_path, zipped(members, zipfile.ZIP_DEFLATED)))


@pytest.mark.parametrize("method", [zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED])
@pytest.mark.parametrize("change", [-1, 1])
def test_a_member_that_is_not_as_long_as_the_archive_says(tmp_path, tiny, change, method):
    data = bytearray(zipped(raw_members(tiny.path), method))
    (length,) = struct.unpack_from("<I", data, 22)  # of manifest.json, in its local header
    struct.pack_into("<I", data, 22, length + change)
    assert "manifest.json is damaged" in refused(put(tmp_path, bytes(data)))


def test_a_deflate_stream_with_something_behind_it(tmp_path, tiny):
    (name, content), *_ = raw_members(tiny.path)
    packed = zlib.compressobj(9, zlib.DEFLATED, -15)
    stream = packed.compress(content) + packed.flush() + b"more"
    header = struct.pack("<4s5H3I2H", b"PK\3\4", 20, 0, 8, 0, 0, zlib.crc32(content), len(stream), len(content), 13, 0)
    end = struct.pack("<4s4H2IH", b"PK\5\6", 0, 0, 1, 1, 0, len(header) + 13 + len(stream), 0)
    assert "deflate stream" in refused(put(tmp_path, header + name.encode() + stream + end))


def test_encrypted(tmp_path, tiny):
    data = bytearray(tiny.path.read_bytes())
    data[6] |= 1
    assert "encrypted" in refused(put(tmp_path, bytes(data)))


@pytest.mark.parametrize(
    "name", ["../evil", "/etc/passwd", "a\\b", ".hidden", "a..b", "sp ace", "\u00fcber", "-rf", "x" * 200]
)
def test_bad_names(tmp_path, tiny, name):
    assert "has the name" in refused(put(tmp_path, zipped(raw_members(tiny.path) + [(name, b"")])))


@pytest.mark.filterwarnings("ignore:Duplicate name")
def test_duplicates(tmp_path, tiny):
    members = raw_members(tiny.path)
    assert "twice" in refused(put(tmp_path, zipped(members + members[-1:])))


def test_too_many_members(tmp_path):
    assert "members" in refused(put(tmp_path, zipped([(f"f{i}", b"") for i in range(1000)])))


def test_directory_that_differs_from_the_members(tmp_path, tiny):
    data = tiny.path.read_bytes()
    place = data.rindex(b"preview.jpg")
    data = data[:place] + b"private.jpg" + data[place + 11 :]
    assert "does not match" in refused(put(tmp_path, data))


def test_manifest_comes_first(tmp_path, tiny):
    assert "not the first" in refused(put(tmp_path, zipped(raw_members(tiny.path)[::-1])))


# The manifest


@pytest.mark.parametrize(
    "text, words",
    [
        (b"", "Invalid JSON"),
        (b"{", "Invalid JSON"),
        (b"\xff\xfe", "Invalid JSON"),
        (b"[]", "object"),
        (b"[" * 100000, "recursion"),
        (b"9" * 100000, "Invalid JSON"),
        (b" " * (128 << 10) + b"{}", "too large"),
    ],
    ids=["empty", "half", "binary", "list", "deep", "long_number", "large"],
)
def test_not_a_manifest(tmp_path, tiny, text, words):
    data = zipped([("manifest.json", text)] + raw_members(tiny.path)[1:])
    assert words in refused(put(tmp_path, data))


@pytest.mark.parametrize(
    "change, words",
    [
        (lambda m: m.update(format=4, shape="round"), "update the appliance"),
        (lambda m: m.update(format=0), "format"),
        (lambda m: m.pop("format"), "format"),
        (lambda m: m.update(colour="blue"), "colour"),
        (lambda m: m["input"].update(depth=3), "input.depth"),
        (lambda m: m["input"].update(pixels="bgr"), "input.pixels"),
        (lambda m: m["input"].update(width="64"), "input.width"),
        (lambda m: m["input"].update(exposure={"mean": 0.45, "std": 0.0}), "exposure.std"),
        (lambda m: m["output"].update(height=10**9), "output.height"),
        (lambda m: m.update(name="The Starry Night"), "name"),
        (lambda m: m.update(name="x" * 65), "name"),
        (lambda m: m.update(name="../x"), "name"),
        (lambda m: m.update(title="a\x1b[2Jb"), "title"),
        (lambda m: m.update(created="yesterday"), "created"),
        (lambda m: m.update(plans=[]), "plans"),
        (lambda m: m["plans"].append(m["plans"][0]), "same name"),
        (lambda m: m["plans"][0]["stages"].append({"upsample": "nearest", "factor": 2}), "begin and end"),
        (lambda m: m["plans"][0]["stages"].insert(0, {"upsample": "nearest", "factor": 2}), "begin and end"),
        (lambda m: m["plans"][0]["stages"].insert(1, {"shuffle": "pixels", "factor": 2}), "not its last"),
        (lambda m: m["plans"][2]["stages"].insert(1, {"upsample": "nearest", "factor": 2}), "begin and end"),
        (lambda m: m["plans"][2]["stages"].pop(0), "begin and end"),
        (lambda m: m["plans"][2]["stages"][1].update(shuffle="rows"), "shuffle"),
        (lambda m: m["plans"][0]["stages"][1].update(factor=9), "factor"),
        (lambda m: m["plans"][0]["stages"][1].update(upsample="cubic"), "upsample"),
        (lambda m: m["plans"][0]["stages"][0].update(edgetpu=7), "edgetpu"),
        (lambda m: m["plans"][0]["stages"][0].update(segment="none.tflite"), "none.tflite"),
        (lambda m: m["files"].update({"more.tflite": {"bytes": 0, "sha256": "0" * 64}}), "missing"),
        (lambda m: m["files"].pop("preview.jpg"), "not declared"),
        (lambda m: m["files"]["preview.jpg"].update(bytes=5), "5"),
        (lambda m: m["files"]["preview.jpg"].update(sha256="0" * 64), "digest"),
    ],
)
def test_manifest_errors(tmp_path, tiny, change, words):
    assert words in refused(put(tmp_path, with_manifest(tiny, change)))


# What the segments say


@pytest.mark.parametrize(
    "change, words",
    [
        (lambda m: m["input"].update(width=32), "manifest says 1x32x32x3"),
        (lambda m: m["output"].update(pixels="bgrx"), "manifest says 1x32x64x4"),
        (lambda m: m["plans"][0]["stages"].pop(1), "gives shape"),
        (lambda m: m["plans"][0]["stages"][1].update(factor=4), "gives shape"),
        (lambda m: m["plans"][0]["stages"].append({"shuffle": "pixels", "factor": 2}), "cannot be shuffled"),
        (lambda m: m["plans"][2]["stages"][1].update(factor=2), "manifest says"),
        (lambda m: m["plans"][2]["stages"].pop(), "manifest says"),
        (lambda m: m["plans"][0]["stages"][0].update(edgetpu=m["plans"][0]["stages"][2]["segment"]), "different ends"),
    ],
)
def test_plans_that_do_not_fit(tmp_path, tiny, change, words):
    assert words in refused(put(tmp_path, with_manifest(tiny, change)))


def test_a_compiled_segment_with_the_same_ends_is_taken(tmp_path, parts):
    fields, files = parts
    for stage in fields["plans"][0]["stages"]:
        if "segment" in stage:
            stage["edgetpu"] = stage["segment"].replace(".tflite", "_edgetpu.tflite")
            files[stage["edgetpu"]] = files[stage["segment"]]
    assert bundle.write(tmp_path / "a.reconet", fields, files).manifest.plans[0].compiled


def test_segment_is_no_tflite_and_preview_is_no_jpeg(tmp_path, parts):
    fields, files = parts
    name = fields["plans"][0]["stages"][0]["segment"]
    assert "TFL3" in refused(put(tmp_path, signed(fields, dict(files, **{name: b"not a network"}))))
    assert "JPEG" in refused(put(tmp_path, signed(fields, dict(files, **{"preview.jpg": b"GIF89a"}))))


def patched(files, name, old, new):
    """`files` with every float32 or int64 value `old` in segment `name` replaced by `new`."""
    assert old in files[name]
    return dict(files, **{name: files[name].replace(old, new)})


def test_scale_of_an_end(tmp_path, parts):
    fields, files = parts
    stages = fields["plans"][0]["stages"]
    first, second = stages[0]["segment"], stages[2]["segment"]
    end = tflite.read(files[first]).inputs[0]
    wrong = patched(files, first, struct.pack("<f", end.scale), struct.pack("<f", 0.5))
    assert "quantised with scale 0.5" in refused(put(tmp_path, signed(fields, wrong)))
    inner = tflite.read(files[second]).inputs[0]
    wrong = patched(files, second, struct.pack("<f", inner.scale), struct.pack("<f", inner.scale * 1.01))
    assert "gives scale" in refused(put(tmp_path, signed(fields, wrong)))


def test_border_and_channels_of_an_end(tmp_path, tiny_yuv):
    fields, files = manifest_fields(tiny_yuv), tiny_yuv.files
    fields["input"]["border"] = 0
    assert "input is 1x34x66x3 but the manifest says 1x32x64x3" in refused(put(tmp_path, signed(fields, files)))
    fields["input"]["border"], fields["output"]["pixels"] = 1, "rgb"
    assert "1x32x64x4 but the manifest says 1x32x64x3" in refused(put(tmp_path, signed(fields, files)))


# Fuzzing: refused, or the very same style; never anything else


def test_random_damage_to_the_archive(tmp_path, tiny):
    random_ = random.Random(1)
    original = tiny.path.read_bytes()
    spots = list(range(0, 2000)) + list(range(len(original) - 1000, len(original)))
    for _ in range(400):
        data = bytearray(original)
        for _ in range(random_.choice((1, 1, 2, 8))):
            data[random_.choice(spots)] = random_.randrange(256)
        if random_.random() < 0.2:
            del data[random_.randrange(len(data)) :]
        path = put(tmp_path, bytes(data))
        try:
            bundle.read(path)
        except BundleError as error:
            assert "\n" not in str(error)


def test_random_damage_to_a_signed_segment(tmp_path, tiny):
    random_ = random.Random(2)
    fields = manifest_fields(tiny)
    name = fields["plans"][0]["stages"][0]["segment"]
    for _ in range(400):
        data = bytearray(tiny.files[name])
        for _ in range(random_.choice((1, 2, 16))):
            data[random_.randrange(len(data))] = random_.choice((0, 1, 127, 128, 255, random_.randrange(256)))
        try:
            bundle.read(put(tmp_path, signed(fields, dict(tiny.files, **{name: bytes(data)}))))
        except BundleError:
            pass


def test_the_digest_is_computed_once_and_stays(tiny, monkeypatch):
    made = bundle.Bundle(tiny.path, tiny.manifest, tiny.files)
    assert made.digest == tiny.digest
    monkeypatch.setattr(hashlib, "sha256", lambda *_: pytest.fail("hashed again"))
    assert dataclasses.replace(made, files={}).digest == made.digest == tiny.digest
