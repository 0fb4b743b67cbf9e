"""Faults found by fuzzing. Their inputs are in regressions/ as bundle-* or settings-*; large ones are made here."""

import json
from pathlib import Path

import pytest

from . import mutations, targets

TINY = (Path(__file__).parents[1] / "data" / "tiny.reconet").read_bytes()


def test_what_was_found_before():
    for path in (Path(__file__).parent / "regressions").glob("bundle-*"):
        targets.read_bundle(path.read_bytes())
    for path in (Path(__file__).parent / "regressions").glob("settings-*"):
        targets.load_settings(path.read_bytes())


@pytest.mark.parametrize("key", ["a." * 32000 + "a", "a." * 4000 + "a"])
def test_a_long_dotted_key_does_not_take_seconds_and_gigabytes(key):
    """Parsers keep every prefix of a dotted key: 64 kB of it took 15 s and 4 GB."""
    assert targets.load_settings(key.encode() + b" = 1\n") is None


@pytest.mark.parametrize("faults", [85000, 12000])
def test_many_faults_in_a_manifest_do_not_take_hundreds_of_megabytes(faults):
    """pydantic explains every fault before the first can be reported: 85,000 of them took 340 MB."""
    members = mutations.unzipped(TINY)
    fields = dict(json.loads(members[0][1].decode()), files={f"/{number:x}": 0 for number in range(faults)})
    members[0] = members[0][0], json.dumps(fields, separators=(",", ":")).encode()
    assert targets.read_bundle(mutations.zipped(members)) is None
