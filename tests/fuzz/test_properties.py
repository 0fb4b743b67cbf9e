"""Property-based tests: FUZZ_EXAMPLES inputs each; a fixed selection when that is not set."""

import json
import os
from pathlib import Path

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from appliance import config
from appliance.style import bundle

from . import mutations, targets

DATA = Path(__file__).parents[1] / "data"
SEEDS = mutations.bundle_seeds(*((DATA / name).read_bytes() for name in ("tiny.reconet", "tiny_kept.reconet")))
EXAMPLES = os.environ.get("FUZZ_EXAMPLES")

KEYS = sorted({key for section in config.Settings.model_fields.values() for key in section.annotation.model_fields})
many = settings(
    max_examples=int(EXAMPLES or 150),
    derandomize=not EXAMPLES,
    deadline=None,
    database=None,
    suppress_health_check=list(HealthCheck),
)

numbers = st.integers(-2, 5000) | st.integers() | st.floats()
names = st.sampled_from(["auto", "preferred", "newest", "HDMI-A-1", "1920x1080", "/dev/video1", "/a", "cpu", "slate"])
values = st.booleans() | numbers | names | st.text()
trees = st.recursive(st.none() | values, lambda some: st.lists(some) | st.dictionaries(st.text(), some), max_leaves=20)


@many
@given(st.sampled_from(sorted(SEEDS)), st.integers(1, 3), st.randoms(use_true_random=False))
def test_a_changed_bundle_is_refused_in_one_line_or_can_be_written_again(seed, changes, random):
    data = SEEDS[seed]
    for _ in range(changes):
        data = mutations.bundle(data, random)
    taken = targets.read_bundle(data)
    if taken is not None:
        again = bundle.write(
            str(taken.path) + ".again", json.loads(taken.manifest.model_dump_json(exclude_none=True)), taken.files
        )
        again.path.unlink()
        assert again.manifest == taken.manifest and again.files == taken.files


@many
@given(st.sampled_from(sorted(SEEDS)), st.lists(st.tuples(st.integers(0, 30), trees), min_size=1, max_size=4))
def test_anything_may_be_in_a_manifest(seed, replaced):
    def change(fields):
        for number, tree in replaced:
            places = list(mutations.spots(fields))
            holder, key = places[number % len(places)]
            holder[key] = tree
        return fields

    targets.read_bundle(mutations.with_manifest(mutations.unzipped(SEEDS[seed]), change))


@many
@given(
    st.dictionaries(
        st.sampled_from(sorted(config.Settings.model_fields) + ["other"]),
        st.dictionaries(st.sampled_from(KEYS), values),
    )
)
def test_settings_are_refused_in_one_line_or_are_what_the_file_says(sections):
    lines = []
    for section, keys in sections.items():
        lines += [f"[{section}]"] + [f"{key} = {toml(value)}" for key, value in keys.items()]
    settings = targets.load_settings("\n".join(lines).encode("utf-8", "surrogatepass"))
    if settings is not None:
        assert settings.model_dump(exclude_unset=True) == sections


def toml(value):
    if isinstance(value, float):
        return repr(value)
    return json.dumps(value)
