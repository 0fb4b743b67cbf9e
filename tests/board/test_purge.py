"""The package is removed from a board that shows a picture."""

from appliance.display.slate import BACKGROUND

from .guest import BOOT, wait_for

# Not what tests put there: settings (see overlay/), and styles in users' folders and in /tmp, which the next boot
# empties.
_TESTS = "/etc/systemd/system/reconet.service.d", "/tmp/*", "/root/*", "/home/*"
_LEFT = "find / /dev -xdev -name '*reconet*'" + "".join(f" -not -path '{path}'" for path in _TESTS)


def test_purged_while_it_runs(expendable):
    board = expendable
    pid = board.pid()
    board.run("dpkg --purge reconet", BOOT)
    assert board.run(f"test -e /proc/{pid}", check=False).code
    assert board.run("systemctl is-active reconet", check=False).out == "inactive"
    assert not board.run("systemctl list-unit-files --no-legend 'reconet*' var-log-journal.mount", check=False).out
    assert not board.run("systemctl --failed --no-legend").out
    assert not board.run(
        "cat /etc/passwd /etc/group | grep reconet; grep /var/log/journal /proc/mounts", check=False
    ).out
    wait_for(lambda: not board.run(_LEFT).out, lambda: f"nothing left: {board.run(_LEFT).out}")
    wait_for(lambda: (board.screen()[-1] != BACKGROUND).any(), "the console")
    board.run("systemctl daemon-reload && journalctl --lines 1")
