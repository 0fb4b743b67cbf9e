"""The page's server in a thread, beside the daemon in another. Both are real."""

import http.client
import json
import socket
import threading

import pytest

from appliance import config, switcher, trial
from appliance import daemon as daemon_module
from appliance.web import guard, run

from .running import picture, state_of

CHANGES = {"X-Reconet": "1"}


class Web:
    """Asks the server, as a browser on this machine would."""

    def __init__(self, server, daemon, folder, settings):
        self.server, self.daemon, self.folder, self.settings = server, daemon, folder, settings
        self.site = server.answer.__self__
        self.port = server.server_address[1]
        self.address = f"http://127.0.0.1:{self.port}"

    def ask(self, method, path, body=None, headers=None):
        """(status, content, headers); content is a document where it is JSON."""
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=60)
        try:
            connection.request(method, path, body, {**(CHANGES if method != "GET" else {}), **(headers or {})})
            response = connection.getresponse()
            content = response.read()
        finally:
            connection.close()
        if response.getheader("Content-Type") == "application/json":
            content = json.loads(content.decode())
        return response.status, content, response.headers

    def get(self, path, **headers):
        return self.ask("GET", path, headers={name.replace("_", "-"): value for name, value in headers.items()})

    def post(self, path, **fields):
        return self.ask("POST", path, json.dumps(fields))

    def raw(self, data, most=1 << 20):
        """What comes back for these bytes."""
        with self.connect() as connection:
            try:
                connection.sendall(data)
                connection.shutdown(socket.SHUT_WR)
                return b"".join(iter(lambda: connection.recv(most), b""))
            except (ConnectionResetError, BrokenPipeError):
                return b""

    def connect(self, address="127.0.0.1"):
        connection = socket.create_connection(("127.0.0.1", self.port), 60, (address, 0))
        connection.settimeout(60)
        return connection

    def token(self):
        return guard.set_token(self.folder)

    def files(self):
        """The styles in the folder, those that are being written too."""
        return sorted(path.name for path in self.folder.iterdir() if path.suffix == ".reconet")


@pytest.fixture
def web(appliance, styles, style, tmp_path, monkeypatch):
    """The styles tiny, which runs, and other. No trial really runs."""
    pytest.importorskip("inotify_simple", reason="inotify_simple is not installed")
    monkeypatch.setattr(trial, "measure", lambda *_: 1.0)
    monkeypatch.setattr(daemon_module, "_SECOND", 0.05)
    monkeypatch.setattr(switcher, "_LOOK_S", 0.05)
    inbox = tmp_path / "inbox"
    inbox.mkdir()
    monkeypatch.setenv("CACHE_DIRECTORY", str(inbox))
    style(styles / "other.reconet", title="The Other One")
    daemon = appliance()
    daemon.monitor.until(picture)
    state_of(appliance, lambda now: now.style and not now.slate)
    settings = config.load(daemon.settings)
    with run.listening(settings, "127.0.0.1:0") as server:
        threading.Thread(target=server.serve_forever, args=(0.01,), daemon=True).start()
        one = Web(server, daemon, styles, settings)
        one.inbox, one.status = inbox, lambda test: state_of(appliance, test)
        yield one
        server.shutdown()
