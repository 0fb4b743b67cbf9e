"""The page's service: off until it is enabled, reached over loopback, and confined."""

import json
import re
import urllib.error
import urllib.request

import pytest

from . import qemu
from .guest import ACT, BOOT, wait_for

# QEMU's user network forwards to this address. Nothing in the guest configures its network card.
_NETWORK = """
import fcntl, os, socket, struct
card = next(name for name in os.listdir("/sys/class/net") if name != "lo").encode()
with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as one:
    for request, address in ((0x8916, "10.0.2.15"), (0x891C, "255.255.255.0")):  # SIOCSIFADDR, SIOCSIFNETMASK
        fcntl.ioctl(one, request, struct.pack("16sH2x4s8x", card, socket.AF_INET, socket.inet_aton(address)))
    fcntl.ioctl(one, 0x8914, struct.pack("16sH14x", card, 0x41))  # SIOCSIFFLAGS: IFF_UP, IFF_RUNNING
"""

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


def test_another_machine_reaches_the_page_with_a_token(board):
    """Through a port of the host's loopback that is forwarded to the guest's network card."""
    config = "/etc/reconet/config.toml"
    board.wait_until_running()
    board.run("python3 -", data=_NETWORK.encode())
    token = board.run("reconet web token", BOOT).out.splitlines()[0]
    board.run(f"cp {config} /run/config.toml && sed -i 's/^bind = .*/bind = \"0.0.0.0:8080\"/' {config}")
    address = f"http://127.0.0.1:{qemu.forward(board.folder, 8080)}"
    try:
        board.run("systemctl start reconet-web", BOOT)
        asked = urllib.request.Request(f"{address}/api/status", headers={"Authorization": f"Bearer {token}"})
        with urllib.request.urlopen(asked, timeout=BOOT) as answer:
            assert json.load(answer)["status"]["style"] in board.styles
        with pytest.raises(urllib.error.HTTPError, match="401"):
            urllib.request.urlopen(f"{address}/api/status", timeout=BOOT)
    finally:
        board.run(f"cp /run/config.toml {config}; systemctl stop reconet-web; reconet web token --remove", BOOT)
