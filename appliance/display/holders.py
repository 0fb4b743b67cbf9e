"""Which other processes use a device."""

import os
import re
from typing import List, Optional, Tuple

PROC = "/proc"
# What holds the board's display by default. It runs in a login session, so its cgroup does not name its unit. That the
# unit is weston.service has not been confirmed on a board.
DESKTOP = "weston"
_UNIT = re.compile(r"/system\.slice/(?:.*/)?([^/\n]+)\.service")


def holders(path: str) -> List[Tuple[int, str, Optional[str]]]:
    """(process id, name, systemd unit) of the other processes that have `path` open, as far as this one may see."""
    found, path = [], os.path.realpath(path)
    for pid in sorted(int(name) for name in os.listdir(PROC) if name.isdigit() and int(name) != os.getpid()):
        folder = f"{PROC}/{pid}"
        try:
            with open(f"{folder}/comm", errors="replace") as comm, open(f"{folder}/cgroup") as cgroup:
                name, unit = comm.read().strip(), _UNIT.search(cgroup.read())
            try:
                holds = path in [os.readlink(f"{folder}/fd/{number}") for number in os.listdir(f"{folder}/fd")]
            except OSError:  # only root may list it
                holds = name == DESKTOP
            if holds and name != "systemd-logind":  # it opens cards for others
                found.append((pid, name, unit.group(1) if unit else DESKTOP if name == DESKTOP else None))
        except OSError:  # the process has just ended
            continue
    return found
