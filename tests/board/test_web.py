"""The page's service: off until it is enabled, reached over loopback, and confined."""

import json
import re

from .guest import ACT, BOOT, wait_for

_ASK = (
    "import sys, urllib.request as http; "
    'request = http.Request("http://127.0.0.1:8080" + sys.argv[1], sys.argv[2].encode() or None, {"X-Reconet": "1"}); '
    "sys.stdout.buffer.write(http.urlopen(request, timeout=100).read())"
)


def _ask(board, path, body=""):
    return board.run(f"python3 -c '{_ASK}' {path} '{body}'", BOOT).out


def test_the_page_is_served_when_it_is_enabled(board):
    board.wait_until_running()
    assert board.run("systemctl is-enabled reconet-web", check=False).out.strip() == "disabled"
    board.run("systemctl enable --now reconet-web", BOOT)
    try:
        style = json.loads(_ask(board, "/api/status"))["status"]["style"]
        names = {one["name"] for one in json.loads(_ask(board, "/api/styles"))["styles"]}
        assert style in names and names >= set(board.styles)
        other = next(name for name in board.styles if name != style)
        assert json.loads(_ask(board, "/api/use", json.dumps({"style": other})))["pinned"] == other
        board.shows(other, ACT)
        assert int(board.run(f"python3 -c '{_ASK}' /snapshot '' | wc -c", BOOT).out) > 500
        done = board.run("systemd-analyze security reconet-web --no-pager | tail -1", BOOT).out
        assert float(re.search(r"level for reconet-web.service: ([0-9.]+)", done).group(1)) <= 1.8
        owner = int(board.run("stat -c %u /proc/$(systemctl show --value --property MainPID reconet-web)").out)
        assert 61184 <= owner <= 65519  # a user that systemd made for it
    finally:
        board.run("systemctl disable --now reconet-web; reconet use --newest", BOOT)
    wait_for(lambda: board.run("systemctl is-active reconet-web", check=False).out.strip() == "inactive", "its end")


def test_the_page_is_served_when_the_configuration_enables_it(board):
    config = "/etc/reconet/config.toml"
    board.run("systemctl restart reconet", BOOT)
    board.wait_until_running()
    ended = "systemctl show --value --property ExecMainExitTimestampMonotonic reconet-web-start"
    wait_for(lambda: int(board.run(ended).out or 0), "the end of reconet-web-start", BOOT)
    assert board.run("systemctl is-active reconet-web", check=False).out == "inactive"
    board.run(f"cp {config} /run/config.toml && sed -i 's/^enabled = false/enabled = true/' {config}")
    try:
        board.run("systemctl restart reconet", BOOT)
        board.wait_until_running()
        wait_for(lambda: board.run("systemctl is-active reconet-web", check=False).out == "active", "the page", BOOT)
        assert json.loads(_ask(board, "/api/status"))["status"]["style"]
    finally:
        board.run(f"cp /run/config.toml {config}; systemctl stop reconet-web; systemctl restart reconet", BOOT)
    board.wait_until_running()
