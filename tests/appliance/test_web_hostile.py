"""What the page's server does about those who do not mean well: nothing is lost, and the picture goes on."""

import json
import re
import socket
import threading

import pytest

from appliance.web import server as server_module
from appliance.web.guard import Guard, Refused, host_name

HOST = b"Host: localhost\r\n"


def status_of(answer):
    """The status in the first line of an answer; None where there was no answer."""
    found = re.match(rb"HTTP/1\.[01] (\d{3}) ", answer)
    return int(found.group(1)) if found else None


@pytest.fixture
def picture_goes_on(web):
    """Afterwards, nothing is lost: the same styles, and frames."""
    yield
    assert web.get("/api/status")[0] == 200
    assert web.files() == ["other.reconet", "tiny.reconet"] and list(web.inbox.iterdir()) == []
    with web.daemon.monitor.changed:
        web.daemon.monitor.seen.clear()
    web.daemon.monitor.until(lambda frame: True)
    assert web.daemon.thread.is_alive()


pytestmark = pytest.mark.usefixtures("picture_goes_on")


def test_a_name_that_was_rebound_to_this_address_is_refused(web):
    for host in (
        "evil.example",
        "evil.example:8080",
        "127.0.0.1.evil.example",
        "",
        "[::1",
        "localhost:x",
        "a b",
        "0x7f.1",
    ):
        answer = web.raw(b"GET /api/status HTTP/1.1\r\nHost: " + host.encode() + b"\r\n\r\n")
        assert status_of(answer) == 421, host
        assert status_of(web.raw(b"GET / HTTP/1.1\r\nHost: " + host.encode() + b"\r\n\r\n")) == 421
    for head in (b"", HOST + b"Host: evil.example\r\n"):
        assert status_of(web.raw(b"GET / HTTP/1.1\r\n" + head + b"\r\n")) == 400
    for host in ("localhost", "127.0.0.1:8080", "[::1]:8080", "LOCALHOST", "192.168.1.7", socket.gethostname()):
        assert status_of(web.raw(b"GET / HTTP/1.1\r\nHost: " + host.encode() + b"\r\n\r\n")) == 200, host


def test_names_that_are_configured_are_known(web):
    guard = Guard(web.folder, ["Wall.example"])
    guard.check_host("wall.EXAMPLE:80")
    with pytest.raises(Refused):
        Guard(web.folder).check_host("wall.example")
    assert host_name("[fe80::1]") == "fe80::1"


def test_a_page_of_another_site_changes_nothing(web):
    own = {"Origin": web.address, "Sec-Fetch-Site": "same-origin"}
    body = json.dumps({"style": "tiny"})
    for headers, expected in (
        ({"X-Reconet": ""}, 403),  # what a form can send
        ({"X-Reconet": "", "Content-Type": "text/plain"}, 403),
        ({"Origin": "http://evil.example"}, 403),
        ({"Origin": "null"}, 403),
        ({"Origin": f"http://localhost:{web.port}"}, 403),  # another name of this machine: another site
        ({"Sec-Fetch-Site": "cross-site"}, 403),
        ({"Sec-Fetch-Site": "same-site"}, 403),
        (own, 200),
    ):
        assert web.ask("POST", "/api/use", body, headers)[0] == expected, headers
    # Nor does it see anything, or use the token that somebody types elsewhere.
    for path in ("/stream", "/snapshot", "/api/status", "/api/styles", "/metrics"):
        assert web.get(path, Sec_Fetch_Site="cross-site")[0] == 403
    assert web.ask("POST", "/api/login", '{"token": "x"}', {"Origin": "http://evil.example"})[0] == 403
    assert web.ask("OPTIONS", "/api/use", headers={"Origin": "http://evil.example"})[0] == 405
    assert web.get("/", Sec_Fetch_Site="cross-site")[0] == 200  # a link to the page
    assert "Access-Control-Allow-Origin" not in web.get("/api/status")[2]


def test_no_path_leads_elsewhere(web):
    secret = web.folder.parent / "secret.reconet"
    secret.write_bytes(b"secret")
    for path in (
        "/../../../../etc/passwd",
        "/%2e%2e/%2e%2e/etc/passwd",
        "//etc/passwd",
        "/app.js/../../guard.py",
        "/page/index.html",
        "/preview/../secret.reconet",
        "/preview/%2e%2e%2fsecret.reconet",
        "/preview/..%5csecret.reconet",
        "/preview/.state.json",
        "/preview/.web.json",
        "/preview/tiny.reconet%00",
        "/preview/tiny.reconet/",
        "/preview/" + "a" * 5000 + ".reconet",
        "http://localhost/api/status",
        "*",
    ):
        status, content, _ = web.get(path)
        assert status in (404, 431), path
        assert b"root:" not in str(content).encode() and "secret" not in str(content)
    for name in ("../secret.reconet", "%2e%2e%2fsecret.reconet", ".last_good.reconet", "..", "", "tiny.reconet%0a"):
        assert web.ask("DELETE", "/api/styles/" + name)[0] == 404
    assert secret.read_bytes() == b"secret"


def test_nothing_of_a_request_is_repeated_in_the_answer(web):
    for request in (
        b"GET /%0d%0aSet-Cookie:%20evil=1 HTTP/1.1\r\n" + HOST + b"\r\n",
        b"GET /<script>evil</script> HTTP/1.1\r\n" + HOST + b"\r\n",
        b"evil /x HTTP/1.1\r\n" + HOST + b"\r\n",
        b"GET / HTTP/evil\r\n" + HOST + b"\r\n",
        b"GET / HTTP/1.1\r\n" + HOST + b"Cookie: reconet=evil\r\n evil: 1\r\n\r\n",
        b"GET /api/status HTTP/1.1\r\n" + HOST + b"Origin: evil\r\n\r\n",
        b"PUT /api/styles/evil HTTP/1.1\r\n" + HOST + b"X-Reconet: 1\r\nContent-Length: 0\r\n\r\n",
    ):
        assert b"evil" not in web.raw(request)
    status, answer, headers = web.post("/api/use", style="x\r\nSet-Cookie: evil=1")
    assert status == 409 and "Set-Cookie" not in headers and "\n" not in answer["problem"]


REQUESTS = [
    (b"", None),
    (b"\r\n", None),
    (b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03", 400),  # TLS
    (b"GET /\r\n", 505),  # HTTP/0.9
    (b"GET / HTTP/2.0\r\n\r\n", 505),
    (b"GET / HTTP/1.1\r\nno colon\r\n\r\n", 400),
    (b"GET /" + b"a" * 100000 + b" HTTP/1.1\r\n\r\n", 431),
    (b"GET / HTTP/1.1\r\n" + HOST + b"X: " + b"a" * 100000 + b"\r\n\r\n", 431),
    (b"GET / HTTP/1.1\r\n" + HOST + b"X: 1\r\n" * 200 + b"\r\n", 431),
    (b"TRACE / HTTP/1.1\r\n" + HOST + b"\r\n", 405),
    (b"POST / HTTP/1.1\r\n" + HOST + b"X-Reconet: 1\r\n\r\n", 405),
    (b"DELETE /api/styles HTTP/1.1\r\n" + HOST + b"X-Reconet: 1\r\n\r\n", 405),
]


def test_requests_that_are_none(web):
    for request, expected in REQUESTS:
        answer = web.raw(request)
        assert status_of(answer) == expected, request[:50]
        assert b"Traceback" not in answer and b"Python" not in answer


def put(headers, body=b""):
    return b"PUT /api/styles HTTP/1.1\r\n" + HOST + b"X-Reconet: 1\r\n" + headers + b"\r\n" + body


def test_uploads_that_are_refused_before_they_are_read(web):
    for headers, expected in (
        (b"", 411),
        (b"Transfer-Encoding: chunked\r\n", 411),
        (b"Transfer-Encoding: chunked\r\nContent-Length: 5\r\n", 411),
        (b"Content-Length: 5\r\nContent-Length: 6\r\n", 400),
        (b"Content-Length: -1\r\n", 400),
        (b"Content-Length: +5\r\n", 400),
        (b"Content-Length: 5, 5\r\n", 400),
        (b"Content-Length: 0x10\r\n", 400),
        (b"Content-Length: 1_000\r\n", 400),
        (b"Content-Length: \xb2\r\n", 400),
        (b"Content-Length: 99999999999999999999\r\n", 400),
        (b"Content-Length: 67108865\r\n", 413),
        (b"Content-Length: 67108865\r\nExpect: 100-continue\r\n", 413),
    ):
        assert status_of(web.raw(put(headers, b"5\r\nhello\r\n0\r\n\r\n"))) == expected, headers


def test_uploads_that_end_early_or_are_nothing(web):
    assert status_of(web.raw(put(b"Content-Length: 1000\r\n", b"only this"))) == 400
    assert status_of(web.raw(put(b"Content-Length: 0\r\n"))) == 409
    answer = web.raw(put(b"Content-Length: 4\r\nExpect: 100-continue\r\n", b"nope"))
    assert answer.startswith(b"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 409 ")
    assert web.ask("PUT", "/api/styles", b"x", {"X-Reconet": ""})[0] == 403


def test_a_slow_upload_keeps_nobody_from_anything_but_uploads(web):
    with web.connect() as slow:
        slow.sendall(put(b"Content-Length: 1000\r\n", b"one byte, then"))
        while not web.site._uploading.locked():
            web.get("/api/status")
        status, answer, _ = web.ask("PUT", "/api/styles", b"another")
        assert status == 409 and "another style is being added" in answer["problem"]
        assert web.get("/snapshot")[0] == 200
    while web.site._uploading.locked():
        web.get("/api/status")


def test_documents_that_are_none(web):
    for body in (
        "",
        "[]",
        "null",
        "{",
        "[" * 4000,
        '"x"',
        "\x00",
        '{"style": "tiny", "more": 1}',
        "{}",
        '{"style": 1e999}',
    ):
        assert web.ask("POST", "/api/use", body)[0] in (400, 409), body
    assert web.ask("POST", "/api/use", b"\xff\xfe{}")[0] == 400
    assert web.ask("POST", "/api/use", b'{"style": "' + b"x" * 5000 + b'"}')[0] == 413
    for token in (None, "", 3, ["x"], "x" * 201, "\ud800"):
        assert web.post("/api/login", token=token)[0] in (200, 400)


def test_who_sends_slowly_is_let_go(web, monkeypatch):
    monkeypatch.setattr(server_module, "_HEAD_S", 0.2)
    with web.connect() as slow:
        slow.sendall(b"GET / HTTP/1.1\r\n")
        received = b"-"
        for _ in range(200):  # a byte at a time: the whole head has a limit, not each byte
            try:
                slow.sendall(b"X")
                slow.settimeout(0.02)
                received = slow.recv(1000)
                break
            except socket.timeout:
                pass
            except OSError:
                received = b""
                break
        assert received == b""


def test_who_reads_slowly_is_let_go_and_others_see_the_picture(web, monkeypatch):
    monkeypatch.setattr(server_module, "_STALL_S", 0.3)
    picture = web.site._picture
    monkeypatch.setattr("appliance.web.picture.encoded", lambda frame: b"\xff\xd8" + bytes(1 << 20))
    with web.connect() as slow:
        slow.sendall(b"GET /stream HTTP/1.1\r\n" + HOST + b"\r\n")
        while not picture.viewers:
            web.get("/api/status")
        assert web.get("/snapshot")[0] == 200
        while picture.viewers:  # without anything being read
            web.get("/api/status")


def test_viewers_are_limited(web):
    picture = web.site._picture
    picture._most = 2
    with picture.watched(), picture.watched():
        status, answer, headers = web.get("/stream")
        assert status == 503 and "there are 2 viewers already" in answer["problem"] and headers["Retry-After"] == "5"
    assert web.get("/snapshot")[0] == 200


def test_two_hundred_connections_of_one_keep_no_other_out(web):
    crowd = [web.connect() for _ in range(200)]
    try:
        with web.connect("127.0.0.2") as other:
            other.sendall(b"GET /api/status HTTP/1.1\r\n" + HOST + b"\r\n")
            assert status_of(other.recv(1000)) == 200
        refused = 0
        for one in crowd:
            one.setblocking(False)
            try:
                refused += status_of(one.recv(1000)) == 503
            except BlockingIOError:
                pass
        assert refused == 200 - 32
    finally:
        for one in crowd:
            one.close()
    while web.server._open["127.0.0.1"] > 1:
        threading.Event().wait(0.01)


def test_requests_at_the_same_time(web):
    answers = []

    def several():
        for path in ("/api/status", "/snapshot", "/api/styles", "/metrics", "/nothing"):
            answers.append(web.get(path)[0])

    threads = [threading.Thread(target=several) for _ in range(10)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(answers) == 40 * [200] + 10 * [404]
