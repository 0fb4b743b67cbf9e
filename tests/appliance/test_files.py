"""Files that are written completely or not at all."""

import errno
import os
import stat

import pytest

from appliance import files
from appliance.errors import Problem
from appliance.files import Pending, remove_leftovers, replacing
from appliance.style.watch import Watch


@pytest.fixture
def refuse(monkeypatch):
    """Makes fsync fail for folders, or for files."""
    fsync = os.fsync

    def refuse(folders):
        def failing(descriptor):
            if stat.S_ISDIR(os.fstat(descriptor).st_mode) == folders:
                raise OSError(errno.EIO, os.strerror(errno.EIO))
            fsync(descriptor)

        monkeypatch.setattr(files.os, "fsync", failing)

    return refuse


def test_what_is_in_place_was_written(tmp_path, refuse):
    """The folder cannot be flushed, after the file took its place in it."""
    refuse(folders=True)
    (tmp_path / "style").write_text("before")
    with replacing(tmp_path / "style") as path:
        path.write_text("after")
    assert (tmp_path / "style").read_text() == "after" and os.listdir(str(tmp_path)) == ["style"]


def test_what_cannot_be_flushed_does_not_take_its_place(tmp_path, refuse):
    refuse(folders=False)
    (tmp_path / "style").write_text("before")
    with pytest.raises(Problem, match="cannot write .*style: input/output error"):
        with replacing(tmp_path / "style") as path:
            path.write_text("after")
    assert (tmp_path / "style").read_text() == "before" and os.listdir(str(tmp_path)) == ["style"]


def test_commit_and_discard_are_safe_to_call_twice(tmp_path):
    pending = Pending(tmp_path / "style")
    pending.path.write_text("it")
    pending.commit()
    pending.commit()
    pending.discard()
    assert (tmp_path / "style").read_text() == "it" and os.listdir(str(tmp_path)) == ["style"]


def test_leftovers_are_removed_but_nothing_that_is_being_written(tmp_path):
    names = [
        ".reconet-0123456789ab.part",
        ".reconet-0123456789ab.part.npz",
        ".reconet-abcdef",
        ".reconet-xyz.part",
        "a",
    ]
    for name in names:
        (tmp_path / name).write_text("half")
    (tmp_path / ".reconet-0123456789ac.part").mkdir()
    (tmp_path / ".reconet-0123456789ac.part" / "frame.png").write_text("half")
    (tmp_path / ".reconet-0123456789ad.part").symlink_to(tmp_path / "a")
    pending = [Pending(tmp_path / "b.npz"), Pending(tmp_path / "c", folder=True)]
    remove_leftovers(tmp_path)
    left = names[2:] + [".reconet-0123456789ad.part"] + [one.path.name for one in pending]
    assert sorted(os.listdir(str(tmp_path))) == sorted(left)
    for one in pending:
        one.commit()
    assert {"b.npz", "c"} <= set(os.listdir(str(tmp_path)))


def test_a_folder_that_is_not_there_has_no_leftovers(tmp_path):
    remove_leftovers(tmp_path / "none")


def test_who_watches_the_folder_hears_once_of_a_file_that_is_put_there(tmp_path, monkeypatch):
    """A second event after the rename would have the styles' thread read a bundle twice."""
    pytest.importorskip("inotify_simple", reason="inotify_simple is not installed")
    replace, heard = os.replace, []

    def replaced(source, target):
        replace(source, target)
        heard.append(watch.wait(0))

    monkeypatch.setattr(os, "replace", replaced)
    with Watch(tmp_path) as watch:
        with replacing(tmp_path / "a.reconet") as temporary:
            temporary.write_bytes(b"a")
        heard.append(watch.wait(0))
    assert ["a.reconet" in events.names for events in heard] == [True, False]
