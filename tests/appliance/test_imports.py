"""Dependencies point one way."""

import ast
from pathlib import Path

import pytest

import appliance

ROOT = Path(appliance.__file__).parent
SHARED = {
    "arguments",
    "choice",
    "colour",
    "config",
    "errors",
    "files",
    "frames",
    "gate",
    "keycodes",
    "memory",
    "pace",
    "parts",
    "places",
    "pyav",
    "scaler",
    "sections",
    "snapshot",
    "wire",
}
JOINING = {
    "__init__",
    "__main__",
    "api",
    "bench",
    "byhand",
    "cli",
    "cost",
    "daemon",
    "doctor",
    "film",
    "findings",
    "loader",
    "machine",
    "progress",
    "shapes",
    "news",
    "options",
    "orders",
    "overhead",
    "pipeline",
    "playlist",
    "report",
    "rest",
    "switcher",
    "trial",
    "tuner",
    "web",
    "window",
}
APART = {"camera", "display", "engine", "host", "style"}


def imported(path):
    """Dotted names of what the module at `path` imports, made absolute."""
    package = ("appliance",) + path.relative_to(ROOT).parent.parts
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            for alias in node.names:
                yield alias.name
        elif isinstance(node, ast.ImportFrom):
            base = package[: len(package) - node.level + 1] if node.level else ()
            base += tuple(node.module.split(".")) if node.module else ()
            yield ".".join(base)
            for alias in node.names:
                yield ".".join(base + (alias.name,))


@pytest.mark.parametrize("path", sorted(ROOT.rglob("*.py")), ids=lambda path: str(path.relative_to(ROOT)))
def test_only_what_joins_reaches_across(path):
    mine = path.relative_to(ROOT).with_suffix("").parts[0]
    for name in imported(path):
        parts = name.split(".")
        assert parts[0] not in ("trainer", "tensorflow", "keras", "kms"), f"{path} imports {name}"
        if parts[0] != "appliance" or len(parts) == 1 or mine in JOINING:
            continue
        if mine in APART:
            assert parts[1] in SHARED | {mine, "__version__"}, f"{path} imports {name}"
        else:
            assert parts[1] not in APART | JOINING, f"{path} imports {name}"


def test_modules_stay_small():
    for path in ROOT.rglob("*.py"):
        assert len(path.read_text().splitlines()) < 300, path
