"""Changing from root to another user, in a process of its own, to the user nobody."""

import os
import pwd
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
needs_root = pytest.mark.skipif(os.geteuid() != 0, reason="only root has rights to give up")


def dropped(name, code):
    """What `code` prints after drop_root(name)."""
    script = f"import os\nfrom appliance.host.user import drop_root\ndrop_root({name!r})\n{code}"
    return subprocess.check_output([sys.executable, "-c", script], cwd=str(ROOT), universal_newlines=True).strip()


@needs_root
def test_root_becomes_the_user_for_good():
    nobody = pwd.getpwnam("nobody")
    uids, gids = "os.getresuid()", "os.getresgid()"
    assert dropped("nobody", f"print({uids}, {gids})") == f"{(nobody.pw_uid,) * 3} {(nobody.pw_gid,) * 3}"
    assert dropped("nobody", "print(0 in os.getgroups())") == "False"
    assert dropped("nobody", "try: os.setuid(0)\nexcept PermissionError: print('refused')") == "refused"


def test_without_that_user_nothing_changes():
    assert dropped("no_such_user", "print(os.geteuid())") == str(os.geteuid())


def test_the_command_of_the_package_gives_up_root_before_it_starts():
    lines = (ROOT / "firmware_overlay/usr/bin/reconet").read_text().splitlines()
    assert lines.index("drop_root()") < lines.index("sys.exit(main())")
