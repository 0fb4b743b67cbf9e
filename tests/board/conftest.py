"""Fixtures of the virtual board: one guest for all tests, whose first boot is the first test."""

from pathlib import Path

import pytest
from PIL import Image as Picture

from . import build, qemu
from .board import Board, small_styles

PICTURES = build.ROOT / "build/board"

_numbers = []
_machines = []


def pytest_addoption(parser):
    parser.addoption("--deb", type=Path, help="the project's package for the guest's Python; else it is built")
    parser.addoption("--long", action="store_true", help="soak for an hour")


@pytest.fixture(scope="session")
def machine(request, tmp_path_factory):
    """The board, off."""
    deb = request.config.getoption("--deb") or build.package()
    folder = tmp_path_factory.mktemp("board")
    styles = small_styles(folder)
    board = Board(folder, build.build(deb, styles), styles)
    _machines.append(board)
    yield board
    board.power_cut()


@pytest.fixture
def board(machine):
    """The board, on, with a picture."""
    machine.settle()
    return machine


@pytest.fixture
def number():
    """number(what, value) prints a line at the end of the run."""
    return lambda what, value: _numbers.append(f"{what}: {value}")


def pytest_terminal_summary(terminalreporter):
    if _numbers:
        terminalreporter.section("numbers of the virtual board")
        for line in _numbers:
            terminalreporter.write_line(line)


@pytest.hookimpl(hookwrapper=True)
def pytest_runtest_makereport(item, call):
    report = (yield).get_result()
    if report.failed and _machines and qemu.pid(_machines[0].folder):
        try:
            PICTURES.mkdir(parents=True, exist_ok=True)
            Picture.fromarray(_machines[0].screen()).save(PICTURES / f"{item.name}.png")
            tail = _machines[0].run("journalctl --no-pager --boot --lines 60; systemctl status --no-pager reconet",
                                    check=False).out
            (PICTURES / f"{item.name}.txt").write_text(f"{report.longreprtext}\n\n{tail}")
            report.sections.append(("the guest", f"screen: {PICTURES / item.name}.png\n{tail}"))
        except (OSError, AssertionError, RuntimeError) as error:
            report.sections.append(("the guest", str(error)))
