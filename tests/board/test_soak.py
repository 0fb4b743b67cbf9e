"""A hundred style switches, with --long a thousand and the rest of an hour: what the daemon takes up does not grow."""

import time

from .board import FOLDER
from .guest import BOOT

SWITCHES, MANY, WARM = 100, 1000, 20
# Switches as fast as they are made: each waits for the daemon to remember the one before.
_LOOP = f"""
cd {FOLDER}
for i in $(seq %d); do
    for name in plain bright; do
        echo $name > /root/.use && mv /root/.use .use
        for wait in $(seq 600); do grep -q "\\"active\\": \\"$name.reconet\\"" .state.json && break; sleep 0.05; done
        grep -q "\\"active\\": \\"$name.reconet\\"" .state.json || exit 1
    done
done
"""


def _taken(board, pid):
    """KiB of memory, open files, threads."""
    memory = board.run(f"sed -n 's/^Pss: *\\([0-9]*\\) kB/\\1/p' /proc/{pid}/smaps_rollup").out
    files = board.run(f"ls /proc/{pid}/fd | wc -l").out
    threads = board.run(f"ls /proc/{pid}/task | wc -l").out
    return int(memory), int(files), int(threads)


def test_switches(board, number, request):
    long, pid = request.config.getoption("--long"), board.pid()
    board.run(_LOOP % (WARM // 2), BOOT)
    before, since = _taken(board, pid), time.monotonic()
    switches = MANY if long else SWITCHES
    for _ in range(switches // 20):
        board.run(_LOOP % 10, BOOT)
    while long and time.monotonic() < since + 3600:
        board.run(_LOOP % 10, BOOT)
        switches += 20
    number(f"{switches} style switches", f"{time.monotonic() - since:.0f} s")
    after = _taken(board, pid)
    number("memory, files, threads before and after", f"{before[0]} KiB, {before[1]}, {before[2]}; "
                                                      f"{after[0]} KiB, {after[1]}, {after[2]}")
    board.run(f"rm {FOLDER}/.use")
    board.shows(board.wait_until_running()["style"])
    assert board.pid() == pid
    assert after[0] < before[0] + 8192 and after[1] <= before[1] + 2 and after[2] <= before[2] + 1
