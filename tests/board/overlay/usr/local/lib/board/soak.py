"""Switches between two styles, as `reconet use` does, for so many seconds and at least SWITCHES times.

Prints a line of JSON after every EVERY switches but the first WARM: what the daemon takes up by then. Ends with an
error when a switch does not happen or the daemon is another one.
"""

import itertools
import json
import os
import subprocess
import sys
import time
from pathlib import Path

sys.path.insert(0, "/usr/lib/reconet")

from appliance.style import state

FOLDER = "/var/lib/reconet"
STATUS = "/run/reconet/status.json"
WARM, SWITCHES, EVERY = 20, 200, 10
PACE_S = 0.6  # from one switch to the next: so 500 are spread over five minutes
PATIENT_S = 300.0


def wait_for(look, what):
    deadline = time.monotonic() + PATIENT_S
    while not look():
        if time.monotonic() > deadline:
            sys.exit("not within %.0f s: %s" % (PATIENT_S, what))
        time.sleep(0.05)


def read(path):
    """The JSON in a file that is always replaced as a whole; {} when there is none."""
    try:
        with open(path) as file:
            return json.load(file)
    except FileNotFoundError:
        return {}


def switch(name):
    state.pin(Path(FOLDER), name)
    wait_for(lambda: read(FOLDER + "/.state.json").get("active") == name + ".reconet", "a switch to " + name)


def running():
    status = read(STATUS)
    return status.get("fps") and not status["slate"]


def daemon():
    return int(subprocess.check_output(["systemctl", "show", "--value", "--property=MainPID", "reconet"]))


def taken(pid):
    """KiB of memory, open files and threads of a process."""
    with open("/proc/%d/smaps_rollup" % pid) as file:
        memory = next(int(line.split()[1]) for line in file if line.startswith("Pss:"))
    return {
        "kib": memory,
        "files": len(os.listdir("/proc/%d/fd" % pid)),
        "threads": len(os.listdir("/proc/%d/task" % pid)),
    }


def main(seconds):
    wait_for(running, "a picture")
    pid, names = daemon(), itertools.cycle(("plain", "bright"))
    start, switches = time.monotonic(), 0
    while switches < SWITCHES or time.monotonic() < start + seconds:
        for name in itertools.islice(names, EVERY):
            switch(name)
            switches += 1
            time.sleep(max(0.0, start + PACE_S * switches - time.monotonic()))
        if switches > WARM:
            print(
                json.dumps(
                    {
                        "seconds": round(time.monotonic() - start, 1),
                        "switches": switches,
                        **taken(pid),
                        "fps": read(STATUS).get("fps"),
                    }
                ),
                flush=True,
            )
    if daemon() != pid:
        sys.exit("the daemon is another one")


main(float(sys.argv[1]))
