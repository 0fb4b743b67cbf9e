"""What `reconet doctor` reports: findings, one line each."""

import grp
import os
import pwd
import sys
from dataclasses import dataclass
from typing import List


@dataclass(frozen=True)
class Finding:
    """One line. `state`: ok, missing or problem. `needed`: whether `reconet run` cannot work without it."""

    state: str
    what: str
    advice: str = ""
    needed: bool = True

    @property
    def fine(self) -> bool:
        return self.state == "ok" or not self.needed

    def __str__(self) -> str:
        return f"{self.state:<8} {self.what}" + (f"  -  {self.advice}" if self.advice else "")


def ok(what: str) -> Finding:
    return Finding("ok", what)


def missing(what: str, advice: str, needed: bool = True) -> Finding:
    return Finding("missing", what, advice, needed)


def problem(what: str, advice: str, needed: bool = True) -> Finding:
    return Finding("problem", what, advice, needed)


def nodes(name: str, paths: List[str], advice: str, needed: bool) -> Finding:
    """Whether these device nodes exist and this user may use them."""
    if not paths:
        return missing(name, advice, needed)
    closed = [node for node in paths if not may(node)]
    if closed:
        advice = f"{user()} has no permission to use it: {_joining(os.stat(closed[0]).st_gid)}"
        return problem(f"{name} {closed[0]}", advice, needed)
    return ok(f"{name} {', '.join(paths)}")


def _joining(group: int) -> str:
    """How this user becomes a member of the group with this number."""
    try:
        return f"usermod -aG {grp.getgrgid(group).gr_name} {user()}"
    except KeyError:  # as in a container, whose groups are not the host's
        return f"its group {group} has no name here: groupadd -g {group} NAME, then usermod -aG NAME {user()}"


def user() -> str:
    """The name of the user that this process runs as."""
    try:
        return pwd.getpwuid(os.geteuid()).pw_name
    except KeyError:
        return str(os.geteuid())


def may(path: str) -> bool:
    """Whether this user may read and write there."""
    return os.access(path, os.R_OK | os.W_OK)


def python() -> Finding:
    version = "Python " + ".".join(str(part) for part in sys.version_info[:3])
    return ok(version) if sys.version_info >= (3, 7) else problem(version, "install 3.7 or newer")
