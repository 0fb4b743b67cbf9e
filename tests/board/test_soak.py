"""Style switches for five minutes and at least two hundred, with --long for an hour: memory, files and threads stay.

The board of this test has been at it since the first test began.
"""

import json
from statistics import linear_regression, median

from .board import SOAK, SQUARES
from .guest import wait_for

MINUTE = 10  # samples, on a machine that keeps pace
PATIENT = 12  # times as long as it should take
WHAT = {"kib": "KiB of memory", "files": "open files", "threads": "threads"}


def test_many_switches(soaking, soak_seconds, machine, number):
    machine.power_cut()  # the other tests are over: it would only slow this one down
    unit = SOAK.format(soak_seconds)

    def over():
        state = soaking.run(f"systemctl show --value --property=ActiveState {unit}").out
        return state in ("active", "failed") and state

    outcome = wait_for(over, "the end of the soak", PATIENT * soak_seconds, every=5.0)
    said = soaking.journal(unit=unit)
    assert outcome == "active", said[-5:]
    samples = [json.loads(line) for line in said if line.startswith("{")]
    last = samples[-1]
    assert last["switches"] >= 200 and last["seconds"] >= soak_seconds, last
    number("soak", f"{last['switches']} style switches in {last['seconds'] / 60:.1f} minutes")
    minute, grown = min(MINUTE, len(samples) // 2), {}  # a slow machine's 200 switches are 18 samples
    for key, what in WHAT.items():
        values = [sample[key] for sample in samples]
        first, final = median(values[:minute]), median(values[-minute:])
        slope = linear_regression([sample["switches"] for sample in samples], values).slope
        number(
            f"{what} in the first minute and the last",
            f"{first:.0f}, {final:.0f}; {1000 * slope:+.1f} in 1,000 switches, at most {max(values)}",
        )
        grown[key] = final - first, final / first
    _shows_what_it_should(soaking)
    assert grown["kib"][1] <= 1.05 and grown["files"][0] <= 2 and grown["threads"][0] <= 1, grown


def _shows_what_it_should(board):
    """After all those switches, and still from the same process."""
    status, screen = board.wait_until_running(), board.screen()
    board.run("systemctl stop reconet")
    board.learn()
    # The lower part may be behind the title.
    assert board.likeness(status["style"], SQUARES, screen, 0.5) > 20
