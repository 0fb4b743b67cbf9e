import os

import pytest

from appliance.errors import BundleError, Problem
from appliance.style import bundle, store
from appliance.style.state import State
from appliance.style.watch import signatures


def test_newest_valid_first_and_bad_ones_with_their_reason(styles, parts):
    fields, files = parts
    bundle.write(styles / "second.reconet", dict(fields, name="second"), files)
    os.utime(str(styles / "tiny.reconet"), (1, 1))
    (styles / "bad.reconet").write_bytes(b"nonsense")
    os.symlink("/etc/shadow", str(styles / "link.reconet"))
    (styles / "folder.reconet").mkdir()
    (styles / ".hidden.reconet").write_bytes(b"")
    (styles / "readme.txt").write_bytes(b"")

    valid, refused = store.styles()

    assert [one.path.name for one in valid] == ["second.reconet", "tiny.reconet"]
    assert sorted(one.path.name for one in refused) == ["bad.reconet", "folder.reconet", "link.reconet"]
    assert all(str(one.path) in one.reason for one in refused)
    assert any("symbolic link" in one.reason for one in refused)


def test_found_by_name_by_path_or_newest(styles, tiny, parts):
    fields, files = parts
    bundle.write(styles / "file_name.reconet", dict(fields, name="other"), files)
    assert store.find("other").path.name == "file_name.reconet"
    assert store.find(tiny.name).name == tiny.name
    assert store.find(styles / "file_name.reconet").name == "other"
    os.utime(str(styles / "file_name.reconet"), (1, 1))
    assert store.find().name == tiny.name


def test_unknown_style_lists_those_there_are(styles, tiny):
    with pytest.raises(Problem, match=f"there is {tiny.name}"):
        store.find("guernica")


def test_a_broken_style_asked_for_by_name_says_why(styles):
    (styles / "bad.reconet").write_bytes(b"nonsense")
    with pytest.raises(BundleError, match="not a style bundle"):
        store.find("bad")


def test_no_style_at_all_says_where_to_put_one(tmp_path, monkeypatch):
    monkeypatch.setenv("RECONET_STYLES", str(tmp_path) + os.pathsep + str(tmp_path / "none"))
    with pytest.raises(Problem, match="RECONET_STYLES"):
        store.find()


def test_the_checkout_ships_styles_of_its_own(monkeypatch):
    monkeypatch.delenv("RECONET_STYLES", raising=False)
    assert [str(folder)[-len("/var/lib/reconet") :] for folder in store.directories()] == ["/var/lib/reconet"] * 2


def test_the_default_is_what_the_gallery_opens_with_or_else_the_newest(styles, parts):
    fields, files = parts
    for age, name in enumerate(("udnie", "other")):
        bundle.write(styles / f"{name}.reconet", dict(fields, name=name), files)
        os.utime(str(styles / f"{name}.reconet"), (1000 - age, 1000 - age))
    os.utime(str(styles / "tiny.reconet"), (1, 1))
    assert store.find().name == "udnie"
    bundle.write(styles / "starry_night.reconet", dict(fields, name="starry_night"), files)
    os.utime(str(styles / "starry_night.reconet"), (1, 1))
    assert store.find().name == "starry_night"
    (styles / "starry_night.reconet").write_bytes(b"nonsense")
    assert store.find().name == "udnie"


def test_the_appliance_starts_with_the_default_of_what_came_with_it_and_with_what_was_added(styles, parts):
    fields, files = parts
    for age, name in enumerate(("udnie", "the_scream", "starry_night")):
        bundle.write(styles / f"{name}.reconet", dict(fields, name=name), files)
        os.utime(str(styles / f"{name}.reconet"), (1000 - age, 1000 - age))
    os.utime(str(styles / "tiny.reconet"), (1, 1))

    def first(before):
        return store.candidates(styles, before)[0].stem

    came = signatures(store.paths([styles]))
    assert first(State()) == "starry_night"
    assert first(State(active="udnie.reconet", seen=came)) == "udnie"
    os.utime(str(styles / "the_scream.reconet"), (2000, 2000))
    assert first(State()) == "the_scream"
    assert first(State(active="starry_night.reconet", seen=came)) == "the_scream"
