"""The user that the service runs as, and giving up root's rights for its."""

import os
import pwd

SERVICE = "reconet"


def drop_root(name: str = SERVICE) -> None:
    """Turn a process of root's into one of the user `name`, with its groups, for good; its umask is then the service's.

    Styles come from a folder that a whole group may write to: what opens them, and what writes beside them, must not be
    root. Does nothing for other users, and where there is no such user. Raises OSError.
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
