"""The public photographs: fetched once, from where it stopped, and what goes wrong in words."""

import hashlib
import io
import threading
import zipfile
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import numpy as np
import pytest
from PIL import Image

from appliance.errors import Problem
from trainer.data import fetch


@pytest.fixture(scope="module")
def archive_bytes():
    file, rng = io.BytesIO(), np.random.default_rng(0)
    with zipfile.ZipFile(file, "w") as archive:
        archive.writestr("set/README.txt", "photographs")
        for i, size in enumerate([(64, 48), (20, 48), (64, 48), (64, 48)]):
            picture = io.BytesIO()
            Image.fromarray(rng.integers(0, 255, (*size[::-1], 3), "uint8")).save(picture, "JPEG")
            archive.writestr(f"set/{i}.jpg", picture.getvalue())
    return file.getvalue()


class Server(ThreadingHTTPServer):
    """Serves `content`. The first answers, `cuts` of them, end after a third of what was asked for; `asked` has the
    Range of each request.
    """

    def __init__(self, content):
        super().__init__(("127.0.0.1", 0), Handler)
        self.content, self.cuts, self.ranges, self.asked = content, 0, True, []
        threading.Thread(target=self.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True).start()

    @property
    def url(self):
        return f"http://127.0.0.1:{self.server_port}/set.zip"


class Handler(BaseHTTPRequestHandler):
    def do_GET(self):
        asked, whole = self.headers.get("Range"), self.server.content
        self.server.asked.append(asked)
        start = int(asked[len("bytes=") : -1]) if asked and self.server.ranges else 0
        self.send_response(206 if start else 200)
        self.send_header("Content-Length", str(len(whole) - start))
        self.end_headers()
        rest = whole[start:]
        if self.server.cuts:
            self.server.cuts -= 1
            rest = rest[: len(rest) // 3]
        self.wfile.write(rest)

    def log_message(self, *_):
        pass


@pytest.fixture
def server(archive_bytes, tmp_path, monkeypatch):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    with Server(archive_bytes) as one:
        yield one
        one.shutdown()


def archive(server, content, **changes):
    fields = {"bytes": len(content), "sha256": hashlib.sha256(content).hexdigest(), "count": 2, "size": (40, 60)}
    return fetch.Archive(**{"name": "set", "url": server.url, **fields, **changes})


def test_photographs_are_fetched_once_and_only_what_is_wanted_is_kept(server, archive_bytes, tmp_path):
    one = archive(server, archive_bytes)
    folder = fetch.photographs(one)
    assert sorted(path.name for path in folder.iterdir()) == ["0.jpg", "2.jpg"]
    assert fetch.photographs(one) == folder and server.asked == [None]
    assert [path.name for path in (tmp_path / "reconet/photos").iterdir()] == ["set"]


def test_a_download_goes_on_where_it_stopped(server, archive_bytes, tmp_path):
    server.cuts = 2
    fetch.photographs(archive(server, archive_bytes))
    third = len(archive_bytes) // 3
    assert server.asked[:2] == [None, f"bytes={third}-"] and len(server.asked) == 3


def test_a_part_of_an_earlier_run_is_used_and_a_server_that_cannot_resume_starts_over(server, archive_bytes, tmp_path):
    part = tmp_path / "reconet/photos/set.part"
    part.parent.mkdir(parents=True)
    part.write_bytes(archive_bytes[:1000])
    server.ranges = False
    fetch.photographs(archive(server, archive_bytes))
    assert server.asked == ["bytes=1000-"]


def test_another_file_than_expected_is_removed(server, archive_bytes, tmp_path):
    with pytest.raises(Problem, match="has changed, so the download was deleted; use --photos DIR"):
        fetch.photographs(archive(server, archive_bytes, sha256="0" * 64))
    assert not list((tmp_path / "reconet/photos").iterdir())


def test_without_a_network_it_says_what_to_do(server, archive_bytes, tmp_path):
    one = archive(server, archive_bytes)
    server.shutdown()
    server.server_close()
    with pytest.raises(Problem, match="cannot download .*refused.*; run again when online, use your own with --photos"):
        fetch.photographs(one)
    (tmp_path / "reconet/photos/set.zip").write_bytes(archive_bytes)  # brought by hand
    assert len(list(fetch.photographs(one).iterdir())) == 2


def test_a_full_disk_is_named_and_the_next_run_starts_there(server, archive_bytes, tmp_path, monkeypatch):
    def full(*_):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(fetch.shutil, "copyfileobj", full)
    with pytest.raises(Problem, match="reconet/photos: no space left on device: free some space"):
        fetch.photographs(archive(server, archive_bytes))
    assert [path.name for path in (tmp_path / "reconet/photos").iterdir()] == ["set.zip"]
    monkeypatch.undo()
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    fetch.photographs(archive(server, archive_bytes))
    assert server.asked == [None]
