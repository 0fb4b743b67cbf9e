"""A Debian system in a folder of this machine, whose programs run without booting it."""

import subprocess
from pathlib import Path
from typing import Dict

from . import debian
from .guest import Outcome

# In a namespace of its own, so that nothing stays mounted.
_ENTER = """
mount -t proc proc "$0/proc" && mount --rbind /dev "$0/dev" && exec chroot "$0" /bin/bash -c "$1"
"""
# What Debian's own tools note down for themselves, whatever is installed.
_NOTED = (
    "etc/passwd- etc/group- etc/shadow- etc/gshadow- etc/subuid- etc/subgid- etc/.pwd.lock var/log/dpkg.log "
    "var/lib/dpkg/ var/cache/ tmp/ proc/ dev/ run/ root/"
).split()


class Chroot:
    """The system that is unpacked at `root`."""

    def __init__(self, root: Path):
        self.root = root

    def run(self, command: str, check: bool = True) -> Outcome:
        """Run a line of bash as root. Raises AssertionError when its exit status is not 0, unless `check` is False."""
        done = subprocess.run(
            ["unshare", "--mount", "sh", "-c", _ENTER, str(self.root), command],
            capture_output=True,
            text=True,
            env={"PATH": "/usr/sbin:/usr/bin:/sbin:/bin", "LC_ALL": "C.UTF-8", "HOME": "/root", **debian.EMULATED},
        )
        outcome = Outcome(done.returncode, done.stdout.strip(), done.stderr.strip())
        assert not (check and done.returncode), (
            f"{command}: exit status {done.returncode}\n{outcome.out}\n{outcome.err}"
        )
        return outcome

    def dpkg(self, *arguments: str) -> str:
        return self.run(f"dpkg --force-confold --force-unsafe-io {' '.join(arguments)} 2>&1").out

    def put(self, source: Path) -> str:
        """Copy a file of this machine to /tmp. Returns its path inside."""
        target = self.root / "tmp" / source.name
        target.write_bytes(source.read_bytes())
        return f"/tmp/{source.name}"

    def files(self) -> Dict[str, str]:
        """{path without a leading /: its kind and its size}, without what Debian's tools note down for themselves."""
        found = debian.run("find", self.root, "-mindepth", "1", "-printf", "%P\t%y %s\n").splitlines()
        pairs = (line.split("\t") for line in found)
        return {
            path: "d" if kind[0] == "d" else kind for path, kind in pairs if not f"{path}/".startswith(tuple(_NOTED))
        }
