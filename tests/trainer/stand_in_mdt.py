#!/usr/bin/env python3
"""NOT mdt: a stand-in that keeps a board in the folder $STAND_IN_BOARD, for tests of those who call mdt. With the
argument "ssh" it is that board as a host behind a real sshd: it runs $SSH_ORIGINAL_COMMAND there.

It talks like mdt 1.5: its own words among those of the board, lines that end in CR LF; it wants a terminal, hangs up
when its standard input ends and loses exit codes. Files in that folder set the board's state: absent, full,
deaf (no daemon), dislikes (the SHA-256 of a bundle that the daemon refuses), pinned (the style that it shows whatever
is newest).
"""

import hashlib
import json
import os
import re
import select
import subprocess
import sys
from pathlib import Path

BOARD = Path(os.environ["STAND_IN_BOARD"])
HOME, STYLES, SUMS = BOARD / "home/mendel", BOARD / "var/lib/reconet", BOARD / "var/lib/dpkg/info/reconet.md5sums"
PREFERRED = BOARD.parent / "preferred-device"
DAEMON = """#!/bin/sh
exec {python} -IS {me} daemon "$@"
"""


def main(arguments):
    command, *rest = arguments
    with (BOARD.parent / "calls").open("a") as log:
        log.write(json.dumps(arguments) + "\n")
    if command == "daemon":
        return daemon()
    if command == "ssh":
        return in_board(os.environ["SSH_ORIGINAL_COMMAND"]).returncode
    if command == "get":
        print(f"preferred-device is {PREFERRED.read_text()}" if PREFERRED.exists() else "preferred-device is unset")
    elif command == "set":
        PREFERRED.write_text(rest[1])
    elif command == "clear":
        PREFERRED.unlink()
    elif command == "wait-for-device":
        say("Waiting for device...")
        while (BOARD / "absent").exists():
            select.select([], [], [], 60)
        say("Found 1 devices.")
    elif not connect():
        return 1
    else:
        {"push": push, "exec": execute, "install": install}[command](*rest)
    return 0


def say(text):
    print(text, end="\r\n", flush=True)


def connect():
    name = PREFERRED.read_text() if PREFERRED.exists() else "tidy-zebra"
    say(f"Waiting for device {name}...")
    if name != "tidy-zebra":
        say(f"Unable to find a device called {name} on your local network segment.")
        return False
    say(f"Connecting to {name} at 192.168.100.2")
    if select.select([sys.stdin], [], [], 0)[0] and not os.read(0, 1):
        say(f"Connection to {name} at 192.168.100.2 closed")
        return False
    return True


def push(source, *target):
    assert not target, "a target may be taken for a source"
    source = Path(source)
    data = source.read_bytes()
    print(f"\r100% |>>>>>>>>>>| {source.name}")
    (HOME / source.name).write_bytes(data[:-1] if (BOARD / "full").exists() else data)


def in_board(script, **options):
    """Run a shell script as if the folder were the root, with the board's own commands."""
    tools = BOARD / "bin"
    tools.mkdir(exist_ok=True)
    commands = {
        "reconet": DAEMON.format(python=sys.executable, me=Path(__file__)),
        "dpkg-query": f"#!/bin/sh\ntest -e {SUMS} && printf 'install ok installed '\n",
        "dpkg": "#!/bin/sh\necho arm64\n",
        "sudo": '#!/bin/sh\ntest "$1" = -n && shift 2 && exec "$@"\n',
        "apt-get": f"#!/bin/sh\nfor it; do :; done\ndpkg-deb --info $it md5sums > {SUMS}\n",  # the last argument
    }
    for name, text in commands.items():
        (tools / name).write_text(text)
        (tools / name).chmod(0o755)
    script = re.sub(r"(?<![\w./])(/var/lib/|/home/mendel|/tmp/|/etc/os-release)", rf"{BOARD}\1", script)
    environment = {**os.environ, "PATH": f"{tools}:{os.environ['PATH']}"}
    return subprocess.run(["sh", "-c", script], text=True, env=environment, **options)


def execute(script):
    os.get_terminal_size()
    done = in_board(script, capture_output=True)
    print(done.stdout.replace("\n", "\r\n"), end="\r\n")
    say("Connection to tidy-zebra at 192.168.100.2 closed")


def install(package):
    if (BOARD / "full").exists():
        say("dpkg: error processing archive: No space left on device")
    else:  # as if it had unpacked the package
        SUMS.write_bytes(Path(package).with_suffix(".md5sums").read_bytes())
    say("Connection to tidy-zebra at 192.168.100.2 closed with exit code 0")


def daemon():
    if (BOARD / "deaf").exists():
        print("reconet: the daemon is not running: systemctl start reconet", file=sys.stderr)
        return 1
    shown, refused = None, []
    pinned, dislikes = (setting(name) for name in ("pinned", "dislikes"))
    for path in sorted(STYLES.glob("[!.]*.reconet"), key=lambda path: path.stat().st_mtime_ns, reverse=True):
        if digest(path) == dislikes:
            refused.append(f"/var/lib/reconet/{path.name}: its trial run failed")
        elif shown is None and pinned in (None, path.stem):
            shown = path
    print(
        json.dumps(
            {
                "style": shown and shown.stem,
                "digest": shown and digest(shown),
                "pid": 7,
                "refused": refused,
                "version": "0.1.0",
                "time": 0,
            }
        )
    )
    return 0


def setting(name):
    return (BOARD / name).read_text() if (BOARD / name).exists() else None


def digest(path):
    return hashlib.sha256(path.read_bytes()).hexdigest()


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
