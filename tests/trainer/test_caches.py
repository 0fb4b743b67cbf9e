"""Compiled programs are kept between runs, silently."""

import os
import subprocess
import sys

from trainer import caches

from .conftest import ROOT

ADD = """
from trainer import caches
caches.keep_compiled()
import jax
print(jax.jit(lambda x: x * 2 + 1)(20.5))
"""


def run(home, **environment):
    kept = {name: value for name, value in os.environ.items() if not name.startswith("JAX_COMPILATION")}
    kept |= {"XDG_CACHE_HOME": str(home), "JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS": "0"}
    done = subprocess.run(
        [sys.executable, "-c", ADD], cwd=ROOT, env=kept | environment, capture_output=True, text=True, check=True
    )
    assert (done.stdout, done.stderr) == ("42.0\n", "")
    return {path: path.read_bytes() for path in home.rglob("*-cache")}


def test_a_second_run_takes_what_the_first_compiled_and_a_damaged_entry_is_no_matter(tmp_path):
    first = run(tmp_path)
    assert any("jit__lambda" in path.name for path in first)
    assert all(path.is_relative_to(tmp_path / "reconet/jax") for path in first)
    assert run(tmp_path) == first
    for path in first:
        path.write_bytes(b"torn")
    run(tmp_path)


def test_the_users_own_setting_stands_and_a_home_that_cannot_be_written_is_no_matter(tmp_path, monkeypatch):
    monkeypatch.setenv("JAX_COMPILATION_CACHE_DIR", "/elsewhere")
    monkeypatch.delenv("JAX_COMPILATION_CACHE_MAX_SIZE", raising=False)
    caches.keep_compiled()
    assert os.environ["JAX_COMPILATION_CACHE_DIR"] == "/elsewhere"
    monkeypatch.delenv("JAX_COMPILATION_CACHE_DIR")
    (tmp_path / "file").touch()
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "file"))
    caches.keep_compiled()
    assert "JAX_COMPILATION_CACHE_DIR" not in os.environ and "JAX_COMPILATION_CACHE_MAX_SIZE" not in os.environ
