"""Notifications to systemd, and the journal. Without systemd everything here does nothing.

The protocols: sd_notify(3), sd_watchdog_enabled(3), sd-daemon(3) for the priorities on stderr, and systemd.exec(5) for
$JOURNAL_STREAM.
"""

import os
import socket
import sys
import time
from typing import Optional

from ..errors import Problem

try:
    from systemd import daemon as _daemon
    from systemd import journal as _journal
except ImportError:  # apt: python3-systemd
    _daemon = _journal = None

# Priorities of syslog(3).
ERROR, WARNING, NOTICE, INFO, DEBUG = 3, 4, 5, 6, 7

# Long for a datagram on the same machine. The picture must not wait for a service manager that hangs.
_PATIENCE_S = 1.0


def ready(text: str = "") -> bool:
    """The daemon works: sent with the first frame or slate on the screen, and again when a reload is over.

    This and the following functions return whether systemd was notified.
    """
    return _notify("READY=1", *([_status(text)] if text else []))


def watchdog() -> bool:
    """A frame was shown."""
    return _notify("WATCHDOG=1")


def status(text: str) -> bool:
    """One line for `systemctl status`."""
    return _notify(_status(text))


def reloading() -> bool:
    """The configuration is being read again; `ready` ends it."""
    return _notify("RELOADING=1", f"MONOTONIC_USEC={time.clock_gettime_ns(time.CLOCK_MONOTONIC) // 1000}")


def stopping() -> bool:
    """The daemon is stopping."""
    return _notify("STOPPING=1")


def runs_this() -> bool:
    """Whether this process is a service that reports to systemd."""
    return "NOTIFY_SOCKET" in os.environ


def watchdog_interval() -> Optional[float]:
    """How often `watchdog` is due, in seconds: half of systemd's timeout, as it recommends. None without a watchdog."""
    try:
        microseconds = int(os.environ["WATCHDOG_USEC"])
        watched = int(os.environ.get("WATCHDOG_PID") or os.getpid())
    except (KeyError, ValueError):
        return None
    return microseconds / 2e6 if microseconds > 0 and watched == os.getpid() else None


def log(message: str, priority: int = INFO, **fields: object) -> None:
    """Log one line to the journal, with structured fields such as STYLE="udnie", FPS=14.8; None is left out.

    Without python3-systemd, and where stderr is not the journal, it is a line on stderr:
    <priority>message [FIELD=value ...].
    """
    message = _printable(message)
    texts = {name: _printable(value) for name, value in fields.items() if value is not None}
    try:
        if _journal and _stderr_is_journal():
            _journal.send(message, PRIORITY=str(priority), SYSLOG_IDENTIFIER="reconet", **texts)
            return
        suffix = " ".join(f"{name}={value}" for name, value in texts.items())
        print(f"<{priority}>{message}" + (f" [{suffix}]" if suffix else ""), file=sys.stderr, flush=True)
    except OSError:  # nobody reads it
        pass


def _status(text: str) -> str:
    return f"STATUS={_printable(text)}"


def _printable(value: object) -> str:
    return str(Problem(value))  # a line break would begin another assignment


def _notify(*assignments: str) -> bool:
    state = "\n".join(assignments)
    try:
        return bool(_daemon.notify(state)) if _daemon else _send(state)
    except OSError:
        return False


def _send(state: str) -> bool:
    address = os.environ.get("NOTIFY_SOCKET", "")
    if not address.startswith(("/", "@")):
        return False
    if address.startswith("@"):  # an abstract address
        address = "\0" + address[1:]
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM | socket.SOCK_CLOEXEC) as sender:
        sender.settimeout(_PATIENCE_S)
        sender.sendto(state.encode(), address)
    return True


def _stderr_is_journal() -> bool:
    # Terminals inherit the variable although their stderr is another stream, so it names the stream.
    stream = os.fstat(2)
    return os.environ.get("JOURNAL_STREAM") == f"{stream.st_dev}:{stream.st_ino}"
