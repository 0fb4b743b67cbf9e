"""The user that the service runs as, and changing from root to it."""

import os
import pwd

SERVICE = "reconet"


def drop_root(name: str = SERVICE) -> None:
    """Permanently change this process from root to the user `name`, with its groups and the service's umask.

    Styles come from a folder that a whole group may write to: nothing that opens them or writes beside them should be
    root. Does nothing when not root, or when there is no such user. Raises OSError.
    """
    if os.geteuid() != 0:
        return
    try:
        user = pwd.getpwnam(name)
    except KeyError:
        return
    os.initgroups(name, user.pw_gid)
    os.setresgid(user.pw_gid, user.pw_gid, user.pw_gid)
    os.setresuid(user.pw_uid, user.pw_uid, user.pw_uid)
    os.umask(0o022)
