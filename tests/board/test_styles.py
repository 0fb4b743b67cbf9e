"""Styles that are copied into the folder, are bad, or do not fit on the disk."""

import itertools

from . import bad
from .board import FOLDER
from .guest import BOOT, wait_for


def _style(board):
    return (board.status() or {}).get("style")


def _active(board, name, what):
    wait_for(lambda: _style(board) == name, lambda: f"{name} after {what}: {board.status()}", BOOT)


def test_twenty_drops_in_a_row(board, number):
    """By copying, by moving into place, and in pieces as scp writes them; each becomes the picture."""
    for name, data in board.files.items():
        board.put(data, f"/home/mendel/{name}.reconet")
    board.run(f"chmod a+r /home/mendel/*.reconet && touch {FOLDER}/x && rm {FOLDER}/x")
    ways = {
        "cp": "cp ~/{0}.reconet {1}/{0}.reconet",
        "mv": "cp ~/{0}.reconet {1}/.{0} && mv {1}/.{0} {1}/{0}.reconet",
        "pieces": "split --bytes=50K --filter='cat; sleep 0.2' ~/{0}.reconet >> {1}/{0}.new.reconet"
        " && mv {1}/{0}.new.reconet {1}/{0}.reconet",
        "scp": "rm -f {1}/{0}.reconet; split --bytes=50K --filter='cat; sleep 0.2' ~/{0}.reconet > {1}/{0}.reconet",
    }
    pid, gaps = board.pid(), []
    names = itertools.cycle(sorted(board.files, key=lambda name: name == _style(board)))
    for way, name in zip(itertools.islice(itertools.cycle(ways), 20), names):
        board.run(f"runuser -l mendel -c {_quoted(ways[way].format(name, FOLDER))}")
        _active(board, name, way)
        gaps.append(board.status()["longest_gap_ms"])
    number("longest gap between two pictures while 20 styles were dropped", f"{max(gaps) / 1000:.2f} s")
    assert board.pid() == pid and not board.status()["refused"], board.status()
    board.logged(f"style {name}")
    board.shows(name)


def _quoted(command):
    return "'" + command.replace("'", "'\\''") + "'"


def test_bad_bundles_are_refused_and_the_old_style_continues(board):
    style, pid, since = _style(board), board.pid(), board.now()
    secret = board.run("cat /etc/shadow").out
    bundles = bad.bundles(board.files[style])
    names = [*bundles, "folder", "link"]

    def missing():
        refused = " ".join((board.status() or {}).get("refused", []))
        return [name for name in names if f"{name}.reconet" not in refused]

    try:
        for name, data in bundles.items():
            board.put(data, f"/root/{name}")
            board.run(f"cp /root/{name} {FOLDER}/{name}.reconet")
        board.run(f"mkdir {FOLDER}/folder.reconet && ln -s /etc/shadow {FOLDER}/link.reconet")
        wait_for(lambda: not missing(), lambda: f"refusal of {missing()}: {board.status()}", BOOT)
        for name in names:
            reason = board.logged(f"refused: {FOLDER}/{name}.reconet: ", since)
            assert len(reason.split(f"{name}.reconet: ")[-1]) > 10, reason
        journal = "\n".join(board.journal(since))
        assert not any(line in journal for line in secret.splitlines())
        assert board.run("ls /etc/slipped", check=False).code
        assert board.pid() == pid and _style(board) == style
    finally:
        board.run(f"cd {FOLDER} && rm -rf {' '.join(name + '.reconet' for name in names)}")
    wait_for(lambda: not board.status()["refused"], lambda: board.status())
    board.shows(style)


def test_full_disk(board):
    """A style that does not fit on the disk is refused, the running one continues, and the next one that fits works."""
    style = _style(board)
    other = next(name for name in board.files if name != style)
    try:
        board.run(
            "fallocate -l $(df --output=avail -B1 / | tail -1) /root/full; dd if=/dev/zero of=/root/full2 bs=4k; sync",
            check=False,
        )
        board.put(board.files[other], "/run/style")
        assert board.run(f"cp /run/style {FOLDER}/new.reconet", check=False).code
        wait_for(lambda: any("new.reconet" in line for line in board.status()["refused"]), lambda: board.status())
        board.shows(style)
    finally:
        board.run(f"rm -f /root/full /root/full2 /run/style {FOLDER}/new.reconet")
    board.drop(other)
    _active(board, other, "there was room")
    board.shows(other)


def test_read_only_folder(board):
    """The service starts, shows the style that is there, and says that it remembers nothing."""
    try:
        board.run(f"rm -f {FOLDER}/.state.json")
        board.run(f"mount --bind {FOLDER} {FOLDER} && mount -o remount,bind,ro {FOLDER} && systemctl restart reconet")
        assert board.run(f"touch {FOLDER}/x", check=False).code
        board.shows(board.wait_until_running()["style"])
        board.logged("read-only file system")
    finally:
        board.run(f"systemctl stop reconet; umount {FOLDER}; systemctl start reconet")
    board.wait_until_running()


def test_clock_set_back_a_year(board):
    """As on a board without a battery: a new style then has the oldest time, and is shown all the same."""
    style, pid = _style(board), board.pid()
    other = next(name for name in board.files if name != style)
    try:
        board.run("date --set '1 year ago'")
        board.drop(other)
        _active(board, other, "the clock was set back")
        board.shows(other)
        assert board.pid() == pid
        board.run("systemctl restart reconet")
        board.shows(board.wait_until_running()["style"])
        assert _style(board) == other
    finally:
        board.run("date --set '+1 year'")


def test_compiled_style_without_a_tpu(board):
    """On the CPU, or with a slate, as configured; the status and the journal report it."""
    config = "/etc/reconet/config.toml"
    before, since = board.run(f"cat {config}").out, board.now()
    board.put(bad.compiled(board.files["plain"], "compiled"), f"{FOLDER}/compiled.reconet")
    try:
        _active(board, "compiled", "it was dropped")
        assert "CPU" in board.status()["runtime"]
        board.logged("no Edge TPU: compiled runs on the CPU", since)
        board.run(f"sed -i 's/^tpu_missing = .*/tpu_missing = \"slate\"/' {config} && systemctl reload reconet")
        board.says("No Edge TPU")
        board.logged("No Edge TPU", since)
    finally:
        board.put(before.encode() + b"\n", config)
        board.run(f"rm {FOLDER}/compiled.reconet; systemctl reload reconet")
    board.shows(board.wait_until_running()["style"])
