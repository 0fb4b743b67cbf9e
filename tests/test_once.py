"""Facts that have one home in the sources."""

import re
import subprocess
from pathlib import Path

import pytest

import appliance
from appliance.places import CONFIG

ROOT = Path(__file__).parents[1]
FACTS = {
    "the luma weights": (r"\b0\.(299|587|114)\b", "appliance/colour.py"),
    "the scales of U and V": (r"\b1\.(402|772)\b", "appliance/colour.py"),
    "the configuration's path": (re.escape(f'"{CONFIG}"'), "appliance/places.py"),
    "the version": (r"=\s*" + re.escape(f'"{appliance.__version__}"'), "appliance/__init__.py"),
}


def sources():
    """The Python files of both packages and the tools, and the project's settings."""
    listed = subprocess.check_output(["git", "ls-files"], cwd=str(ROOT), universal_newlines=True).split()
    return [path for path in listed if path.endswith((".py", ".toml")) and not path.startswith("tests/")]


@pytest.mark.parametrize("fact", FACTS)
def test_each_fact_has_one_home(fact):
    pattern, home = FACTS[fact]
    assert [path for path in sources() if re.search(pattern, (ROOT / path).read_text("utf-8"))] == [home]


def test_each_tool_has_one_version():
    pinned = dict(re.findall(r'"(ruff|mypy)==([^"]+)"', (ROOT / "pyproject.toml").read_text()))
    constrained = dict(re.findall(r"^(ruff|mypy)==(.+)$", (ROOT / "constraints.txt").read_text(), re.MULTILINE))
    hooks = re.search(r"ruff-pre-commit\s+rev: v(\S+)", (ROOT / ".pre-commit-config.yaml").read_text()).group(1)
    assert pinned == constrained and hooks == pinned["ruff"]
