"""The state of the styles: one file, many processes, no change lost."""

import fcntl
import json
import multiprocessing
import os

import pytest

from appliance import cli
from appliance.errors import Problem
from appliance.style import state
from appliance.style.state import State


def test_what_is_changed_is_read(tmp_path):
    state.pin(tmp_path, "udnie")
    state.choose(tmp_path, "ab", "CPU", "split")
    state.choose(tmp_path, "ab", "TPU", "fused")
    state.choose(tmp_path, "cd", "CPU", "lowres")
    now = state.read(tmp_path)
    assert now.pinned == "udnie" and now.choice("ab", "CPU") == "split" and now.choice("ab", "TPU") == "fused"
    assert now.choice("cd", "CPU") == "lowres" and now.choice("cd", "TPU") is None
    assert json.loads((tmp_path / state.NAME).read_text())["version"] == 1


def test_nothing_is_written_when_nothing_changes(tmp_path):
    state.pin(tmp_path, "udnie")
    before = (tmp_path / state.NAME).stat()
    state.pin(tmp_path, "udnie")
    after = (tmp_path / state.NAME).stat()
    assert (before.st_ino, before.st_mtime_ns) == (after.st_ino, after.st_mtime_ns)


def _prove(folder, process):
    for number in range(10):
        entry = (f"{process} {number}",)
        state.change(folder, lambda now, entry=entry: now.changed(proved=now.proved + entry))


def test_no_change_of_several_processes_is_lost(tmp_path):
    several = [multiprocessing.get_context("fork").Process(target=_prove, args=(tmp_path, n)) for n in range(4)]
    for one in several:
        one.start()
    for one in several:
        one.join()
    assert len(state.read(tmp_path).proved) == 40


@pytest.mark.parametrize(
    "text", ["", "{", "[]", "[" * 100000, '{"version": 2}', '{"version": 1, "seen": 3}', "\0" * 100, '{"active": 1}']
)
def test_a_damaged_file_is_replaced_with_one_warning(tmp_path, text):
    (tmp_path / state.NAME).write_text(text)
    lines = []
    assert state.read(tmp_path, lines.append) == State()
    assert len(lines) == 1 and state.NAME in lines[0]
    state.pin(tmp_path, "udnie")
    assert state.read(tmp_path, lines.append).pinned == "udnie" and len(lines) == 1


def test_a_link_and_a_folder_in_its_place_are_not_followed(tmp_path):
    (tmp_path / "elsewhere").write_text('{"version": 1, "pinned": "udnie"}')
    (tmp_path / state.NAME).symlink_to(tmp_path / "elsewhere")
    with pytest.raises(Problem, match="cannot read"):
        state.read(tmp_path)
    (tmp_path / state.NAME).unlink()
    (tmp_path / state.NAME).mkdir()
    with pytest.raises(Problem, match="cannot read"):
        state.pin(tmp_path, "udnie")


def test_everyone_in_the_group_may_change_it_whatever_the_umask(tmp_path):
    before = os.umask(0o077)
    try:
        state.pin(tmp_path, "udnie")
    finally:
        os.umask(before)
    assert (tmp_path / state.NAME).stat().st_mode & 0o777 == 0o664


def test_a_lock_that_is_never_released_is_an_error(tmp_path, monkeypatch):
    monkeypatch.setattr(state, "_PATIENT_S", 0.0)
    descriptor = os.open(str(tmp_path), os.O_RDONLY)
    fcntl.flock(descriptor, fcntl.LOCK_EX)
    with pytest.raises(Problem, match="another process has locked"):
        state.pin(tmp_path, "udnie")
    os.close(descriptor)
    state.pin(tmp_path, "udnie")


def test_the_files_of_earlier_versions_are_taken_over_and_removed(tmp_path):
    (tmp_path / ".use").write_text("udnie\n")
    (tmp_path / ".state.json").write_text('{"active": "a.reconet", "seen": {"a.reconet": "1 2 3"}, "proved": ["ab"]}')
    (tmp_path / ".attempt").write_text("ab boot")
    (tmp_path / "a.plan.json").write_text('{"bundle": "ab", "plan": "fused"}')
    (tmp_path / "b.plan.json").write_text("[]")
    memory = state.Memory(tmp_path, pytest.fail)
    memory.start()
    assert sorted(os.listdir(str(tmp_path))) == [state.NAME]
    for now in (memory.now, state.read(tmp_path)):
        assert now.pinned == "udnie" and now.active == "a.reconet" and now.seen == {"a.reconet": "1 2 3"}
        assert now.choice("ab", "CPU") == now.choice("ab", "TPU") == "fused"
        assert now.proved == () and now.fatal == ()  # a proof has to name plan and runtime


def test_what_cannot_be_written_is_remembered_by_the_process(tmp_path):
    lines = []
    memory = state.Memory(tmp_path / "none", lines.append)
    memory.start()
    memory.remember(proved=("ab",))
    assert memory.now.proved == ("ab",) and len(lines) == 1 and "create the folder first" in lines[0]


def test_what_grows_is_cut(tmp_path):
    for number in range(70):
        state.choose(tmp_path, str(number), "CPU", "split")
    assert len(state.read(tmp_path).choices) == 64 and state.read(tmp_path).choice("69", "CPU") == "split"


@pytest.fixture
def use(styles, tmp_path, capsys):
    config = tmp_path / "config.toml"
    config.write_text(f'[style]\nfolder = "{styles}"\n')

    def run(*arguments):
        code = cli.main(["use", "--config", str(config)] + [str(argument) for argument in arguments])
        return code, capsys.readouterr().err

    return run


def test_use_works_without_a_daemon(use, styles):
    assert use("tiny")[0] == 0 and state.read(styles).pinned == "tiny"
    assert use("--newest")[0] == 0 and state.read(styles).pinned == state.NEWEST
    assert use(styles / "tiny.reconet")[0] == 0 and state.read(styles).pinned == "tiny"
    assert sorted(os.listdir(str(styles))) == [state.NAME, "tiny.reconet"]


def test_use_refuses_what_is_not_in_the_folder(use, styles, tiny):
    code, err = use(tiny.path)
    assert code == 1 and f"is not in {styles}" in err and len(err.splitlines()) == 1
    assert not (styles / state.NAME).exists()
