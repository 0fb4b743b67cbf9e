import contextlib
import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from appliance import trial
from appliance.engine.interpreter import runtimes
from appliance.errors import BundleError
from appliance.style import bundle

from .test_bundle import put, signed

# A runtime for the child process in place of the real one.
RUNTIME = """
import os, signal
class OpResolverType:
    BUILTIN_REF = 1
class Interpreter:
    def __init__(self, **options):
        pass
    def allocate_tensors(self):
        {}
"""


@pytest.fixture
def runtime(tmp_path, monkeypatch):
    """runtime(statement): the trial's interpreter does `statement`."""

    def put_runtime(statement):
        for package in ("ai_edge_litert", "tflite_runtime"):
            folder = tmp_path / package
            folder.mkdir()
            (folder / "__init__.py").write_text("")
            (folder / "interpreter.py").write_text(RUNTIME.format(statement))
        monkeypatch.syspath_prepend(str(tmp_path))

    return put_runtime


def test_a_sound_style_passes(tiny):
    assert trial.passes(tiny.path, plan="lowres") is None


def test_why_a_style_fails_is_one_line_that_names_it(tmp_path, tiny):
    path = put(tmp_path, b"PK\x03\x04 and nothing else")
    assert trial.passes(path).startswith(f"{path}: its trial run failed: {path}: truncated")
    assert "has no plan 'none': it has split" in trial.passes(tiny.path, plan="none")


@pytest.mark.parametrize(
    "statement, words",
    [
        ("os.kill(os.getpid(), signal.SIGSEGV)", "crashed the interpreter (signal 11)"),
        ("bytearray(1 << 31)", "needed more memory than the 512 MB"),
        ("os.kill(os.getpid(), signal.SIGKILL)", "needed more memory than the 512 MB"),  # as Linux does
        ("raise RuntimeError('node 3 failed to prepare')", "node 3 failed to prepare"),
    ],
)
def test_what_goes_wrong_in_the_interpreter_stays_there(runtime, tiny, statement, words):
    runtime(statement)
    reason = trial.passes(tiny.path)
    assert reason.startswith(f"{tiny.path}: its trial run ") and words in reason and len(reason) < 1000


def test_what_never_ends_is_ended(runtime, tiny):
    runtime("signal.pthread_sigmask(signal.SIG_BLOCK, range(1, 32)); print('here', flush=True); signal.pause()")
    assert "took longer than 1.5 s" in trial.passes(tiny.path, timeout=1.5)


def test_a_network_that_crashes_tflite_runtime_takes_only_its_trial_along(tmp_path, parts):
    """Found by fuzzing tflite_runtime 2.7: one byte of an operator's options. Newer runtimes accept or refuse it."""
    fields, files = parts
    name = fields["plans"][0]["stages"][-1]["segment"]
    data = bytearray(files[name])
    data[1583] ^= 255
    path = put(tmp_path, signed(dict(fields, plans=fields["plans"][:1]), {**files, name: bytes(data)}))
    assert bundle.read(path).name == "tiny"
    reason = trial.passes(path)
    if sys.version_info < (3, 8):
        assert reason == f"{path}: its trial run crashed the interpreter (signal 11)"


def test_another_package_in_the_current_directory_is_not_run(tmp_path, tiny, monkeypatch):
    (tmp_path / "appliance").mkdir()
    (tmp_path / "appliance" / "__init__.py").write_text("raise SystemExit(0)")
    (tmp_path / "json.py").write_text("raise SystemExit(0)")
    monkeypatch.chdir(tmp_path)
    assert "has no plan 'none'" in trial.passes(tiny.path, plan="none")
    assert trial.passes(tiny.path) is None


def test_a_file_that_was_replaced_is_not_the_one_to_try(tiny):
    assert trial.passes(tiny.path, digest=tiny.digest) is None
    assert "was replaced during the trial" in trial.passes(tiny.path, digest="ab" * 32)


def test_the_runtime_is_the_one_named(tiny):
    assert "'none' is not on this machine" in trial.passes(tiny.path, runtime="none")


def test_a_trial_ends_with_its_parent(runtime, tiny, tmp_path):
    """However that ends. The trial holds a pipe open as long as it lives."""
    pipe = tmp_path / "pipe"
    os.mkfifo(str(pipe))
    runtime(
        f"signal.pthread_sigmask(signal.SIG_BLOCK, range(1, 32)); self.end = open({str(pipe)!r}, 'w'); "
        "self.end.write('here'); self.end.flush(); signal.pause()"
    )
    code = f"import sys; sys.path[:] = {sys.path!r}; from appliance import trial; trial.passes({str(tiny.path)!r})"
    parent = subprocess.Popen([sys.executable, "-c", code], cwd=str(Path(__file__).parents[2]))
    with pipe.open() as end:
        assert end.read(4) == "here"
        parent.send_signal(signal.SIGKILL)
        parent.wait()
        assert end.read() == ""


def test_a_plan_and_size_are_measured_while_all_else_is_quiet(sized):
    held = []

    @contextlib.contextmanager
    def quiet():
        held.append("begin")
        yield
        held.append("end")

    runtime = next(one.name for one in runtimes() if one.device == "CPU")
    assert 0 < measured(sized, runtime, quiet=quiet) < 1000 and held == ["begin", "end"]


def measured(style, runtime, size=(128, 96), plan="fused", **options):
    return trial.measure(style.path, plan, size, runtime, style.digest, **options)


@pytest.mark.parametrize(
    "size, plan, words",
    [((128, 97), "fused", "take 128x96"), ((128, 96), "none", "has no plan 'none'")],
)
def test_what_cannot_be_measured_is_said_in_one_line(sized, size, plan, words):
    held = []
    with pytest.raises(BundleError, match=words):
        measured(sized, runtimes()[0].name, size, plan, quiet=lambda: held.append(1))
    assert not held


def test_a_network_that_crashes_while_it_is_measured_takes_nothing_along(runtime, tiny):
    runtime(f"print({trial._READY!r}, flush=True); input(); os.kill(os.getpid(), signal.SIGSEGV)")
    with pytest.raises(BundleError, match="crashed the interpreter .signal 11."):
        measured(tiny, "ai_edge_litert", (64, 32))


def test_what_is_never_measured_counts_as_too_slow(runtime, tiny, monkeypatch):
    monkeypatch.setattr(trial, "QUIET_S", 0.2)
    runtime(f"print({trial._READY!r}, flush=True); signal.pause()")
    assert measured(tiny, "ai_edge_litert", (64, 32)) == 200
