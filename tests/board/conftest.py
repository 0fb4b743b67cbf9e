"""Fixtures of the virtual board: one guest for all tests, whose first boot is the first test, and one to soak."""

from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from PIL import Image as Picture

from . import build, debian, qemu
from .board import SOAK, Board, small_styles

PICTURES = debian.ROOT / "build/board"

_numbers = []
_machines = {}  # by the name of the fixture


def pytest_addoption(parser):
    parser.addoption("--deb", type=Path, help="the project's package for the guest's Python; else it is built")
    parser.addoption("--suite", choices=debian.SUITES, default=debian.BOARD, help="the guest's release of Debian")
    parser.addoption("--long", action="store_true", help="soak for an hour")


def pytest_collection_modifyitems(items):
    items.sort(key=_place)


def _place(item):
    """In the time that the soak still takes, what leaves no board, and what needs none."""
    return [name in getattr(item, "fixturenames", ()) for name in ("soaking", "system", "expendable")]


def _soaks(item):
    return "soaking" in getattr(item, "fixturenames", ())


@pytest.fixture(scope="session")
def make_board(request, tmp_path_factory):
    """make_board(name) returns a board that is off. Its power is cut at the end."""
    with ThreadPoolExecutor() as pool:
        suite = request.config.getoption("--suite")
        pool.submit(build.base, suite)  # build() waits for it; it takes minutes the first time, of one processor
        deb = request.config.getoption("--deb") or debian.package(suite, as_board=True)
    styles = small_styles(tmp_path_factory.mktemp("styles"))
    image = build.build(deb, styles, suite)

    def make(name, **options):
        _machines[name] = Board(tmp_path_factory.mktemp(name), image, styles, **options)
        request.addfinalizer(_machines[name].power_cut)
        return _machines[name]

    return make


@pytest.fixture(scope="session")
def machine(make_board):
    """The board, off."""
    return make_board("machine")


@pytest.fixture(scope="session")
def soak_seconds(request):
    return 3600 if request.config.getoption("--long") else 300


@pytest.fixture(scope="session")
def soaking(make_board, soak_seconds):
    """A board of its own, on, that switches styles by itself."""
    # The other board has priority: this one may be slow.
    return make_board("soaking", aside=True).boot(
        f"systemd.wants={SOAK.format(soak_seconds)}.service systemd.service_watchdogs=0"
    )


@pytest.fixture(scope="session", autouse=True)
def _soak_meanwhile(request):
    """The soak is the longest of all: it begins with the first test, and its own test is the last."""
    if any(map(_soaks, request.session.items)):
        request.getfixturevalue("soaking")


@pytest.fixture
def board(machine):
    """The board, on, with a picture."""
    machine.settle()
    return machine


@pytest.fixture
def expendable(board):
    """The board, on, with a picture. Afterwards its disk is a new one, and it is off."""
    yield board
    board.renew()


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
    guest = _machines.get("soaking" if _soaks(item) else "machine")
    if report.failed and guest and qemu.pid(guest.folder):
        try:
            PICTURES.mkdir(parents=True, exist_ok=True)
            Picture.fromarray(guest.screen()).save(PICTURES / f"{item.name}.png")
            tail = guest.run(
                "journalctl --no-pager --boot --lines 60; systemctl status --no-pager reconet", check=False
            ).out
            (PICTURES / f"{item.name}.txt").write_text(f"{report.longreprtext}\n\n{tail}")
            report.sections.append(("the guest", f"screen: {PICTURES / item.name}.png\n{tail}"))
        except (OSError, AssertionError, RuntimeError) as error:
            report.sections.append(("the guest", str(error)))
