"""The service: it restarts after every kind of end, and it is confined."""

import json
import textwrap
from concurrent.futures import ThreadPoolExecutor

from . import expected
from .board import FOLDER
from .guest import BOOT, wait_for

# Mounted over a module that the daemon calls once a second. It does what a file asks for.
_TROUBLE = textwrap.dedent("""
    import os
    import resource
    def trouble():
        if os.path.exists("/run/reconet-trouble"):
            if "exception" in open("/run/reconet-trouble").read():
                raise RuntimeError("trouble was asked for")
            hoard = [bytearray(os.urandom(1 << 20)) * 16 for _ in range(1000)]
""")
_MODULE = "/usr/lib/reconet/appliance/host/tpu.py"


def _gone(board, pid):
    wait_for(lambda: board.pid() != pid, "the end of the daemon", BOOT)


def _back(board, pid, style):
    wait_for(lambda: board.pid() not in (0, pid), "another process", BOOT)
    board.wait_until_running()
    board.shows(style)


def test_restart(board):
    """Repeatedly: the monitor is never left in a broken mode."""
    style, since = board.status()["style"], board.now()
    for _ in range(2):
        board.run("systemctl restart reconet", BOOT)
        board.wait_until_running()
    board.run("systemctl stop reconet")
    assert board.run("cat /sys/class/drm/card0-Virtual-1/enabled").out in ("enabled", "disabled")
    board.run("systemctl start reconet", BOOT)
    board.wait_until_running()
    board.shows(style)
    assert sum("Started" in line for line in board.journal(since)) == 3


def test_shutting_down_is_shown(board):
    """The words are there for less than a second, in which a busy machine may look at the screen once or not at all."""
    words, seen = expected.slate_of("Shutting down", ""), False
    for _ in range(5):
        with ThreadPoolExecutor() as pool:
            stopping = pool.submit(board.run, "systemctl stop reconet", BOOT)
            while not seen and not stopping.done():
                seen = expected.likeness(board.screen(), words) > expected.SAID
            stopping.result()
        assert board.status() is None
        board.run("systemctl start reconet", BOOT)
        style = board.wait_until_running()["style"]
        if seen:
            break
    assert seen
    board.shows(style)


def test_the_desktop_makes_room(board):
    """A stand-in for Weston, which takes the display like Weston, is stopped while the service runs."""
    unit = textwrap.dedent("""
        [Service]
        ExecStart=/usr/bin/python3 -c 'import time; card = open("/dev/dri/card0"); time.sleep(1e6)'
        [Install]
        WantedBy=multi-user.target
    """)

    def desktop():
        return board.run("systemctl is-active weston", check=False).out

    board.run("systemctl stop reconet", BOOT)
    board.run("cat > /etc/systemd/system/weston.service && systemctl enable --now weston", BOOT, unit.encode())
    try:
        assert desktop() == "active"
        board.run("systemctl start reconet", BOOT)
        board.shows(board.wait_until_running()["style"])
        assert desktop() == "inactive"
        board.run("systemctl stop reconet", BOOT)
        wait_for(lambda: desktop() == "active", "the desktop back")
    finally:
        board.run(
            "systemctl disable --now weston; rm /etc/systemd/system/weston.service; systemctl daemon-reload; "
            "systemctl start reconet",
            BOOT,
        )
    board.wait_until_running()


def test_killed(board):
    pid, style, since = board.pid(), board.status()["style"], board.now()
    board.run(f"kill -KILL {pid}")
    _back(board, pid, style)
    board.logged("status=9/KILL", since)


def test_stopped(board):
    """The watchdog fires."""
    pid, style, since = board.pid(), board.status()["style"], board.now()
    board.run(f"kill -STOP {pid}")
    _back(board, pid, style)
    board.logged("Watchdog timeout", since)


def test_exception_and_out_of_memory(board):
    module = board.run(f"cat {_MODULE}").out
    body = module + "\n" + _TROUBLE + "\n_read = read\ndef read(*names):\n    trouble()\n    return _read(*names)\n"
    board.put(body.encode(), "/run/trouble.py")
    board.run(f"mount --bind /run/trouble.py {_MODULE}")
    try:
        for kind, trace in (("exception", "RuntimeError: trouble was asked for"), ("memory", "oom-kill")):
            board.run("systemctl restart reconet", BOOT)
            style = board.wait_until_running()["style"]
            pid, since = board.pid(), board.now()
            board.run(f"echo {kind} > /run/reconet-trouble")
            _gone(board, pid)
            board.run("rm /run/reconet-trouble")
            _back(board, pid, style)
            board.logged(trace, since)
    finally:
        board.run(f"rm -f /run/reconet-trouble; umount {_MODULE}; systemctl restart reconet", BOOT)
        board.wait_until_running()


def test_exposure_to_attack(board, number):
    said = board.run("systemd-analyze security --no-pager reconet.service | tail -1").out
    level = float(said.split("reconet.service:")[1].split()[0])
    number("systemd-analyze security reconet.service", level)
    assert level <= 2.0, said


def test_confinement_from_inside(board):
    """A program in the daemon's place cannot reach anything that the daemon does not need."""
    probe = textwrap.dedent(
        """
        import glob, json, os, socket, stat
        opened = []
        def attempt(name, work):
            try:
                work()
                opened.append(name)
            except OSError:
                pass
        allowed = ("/dev/video", "/dev/media", "/dev/dma_heap", "/dev/dri", "/dev/apex", "/dev/bus/usb", "/dev/input",
                   "/dev/gpiochip", "/dev/null", "/dev/zero", "/dev/full", "/dev/random", "/dev/urandom", "/dev/tty",
                   "/dev/ptmx", "/dev/pts")
        for path in glob.glob("/dev/**", recursive=True):
            kind = os.stat(path).st_mode if os.path.exists(path) else 0
            if (stat.S_ISCHR(kind) or stat.S_ISBLK(kind)) and not os.path.realpath(path).startswith(allowed):
                attempt(path, lambda: os.close(os.open(path, os.O_RDONLY)))
        # Not AF_NETLINK, through which the kernel announces monitors.
        for family in (socket.AF_INET, socket.AF_INET6, socket.AF_PACKET):
            attempt(str(family), lambda: socket.socket(family, socket.SOCK_DGRAM))
        for path in ("/etc/shadow", "/home/mendel/.profile", "/root/.profile", "/proc/kcore", "/proc/kmsg"):
            attempt(path, lambda: open(path).read(1))
        for path in ("/etc/x", "/usr/lib/reconet/x", "/var/lib/x", "/proc/sys/kernel/hostname", "/sys/power/state"):
            attempt(path, lambda: open(path, "w"))
        attempt("setuid", lambda: os.setuid(0))
        attempt("chroot", lambda: os.chroot("/tmp"))
        for path in ("/dev/video0", "/dev/dri/card0"):
            os.close(os.open(path, os.O_RDWR))
        open("%s/probe", "w").close()
        os.unlink("%s/probe")
        print("OPENED", json.dumps(opened), flush=True)
    """
        % (FOLDER, FOLDER)
    )
    board.put(probe.encode(), "/usr/local/lib/probe.py")
    since = board.now()
    try:
        board.override(
            "Type=oneshot\nRestart=no\nWatchdogSec=0\nExecStart=\nExecStart=/usr/bin/python3 /usr/local/lib/probe.py"
        )
        board.run("systemctl restart reconet", BOOT)
        (line,) = [line for line in board.journal(since) if line.startswith("OPENED ")]
        assert json.loads(line[len("OPENED ") :]) == []
    finally:
        board.override("")
        board.run("systemctl restart reconet", BOOT)
    board.wait_until_running()
