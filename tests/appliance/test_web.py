"""What the page's server answers to those who mean well."""

import io
import json
import re
import subprocess
import sys

import numpy as np
import pytest
from PIL import Image

from appliance import config, trial
from appliance.cli import main
from appliance.errors import BundleError, Problem
from appliance.host.status import Status
from appliance.style import state
from appliance.web import guard, run
from appliance.web.metrics import metrics
from appliance.web.picture import encoded


def test_the_page_is_whole_and_loads_nothing_from_elsewhere(web):
    status, page, headers = web.get("/")
    assert status == 200 and headers["Content-Type"] == "text/html; charset=utf-8"
    assert "default-src 'none'" in headers["Content-Security-Policy"] and headers["X-Content-Type-Options"] == "nosniff"
    parts = re.findall(r'(?:src|href)="(/[^"]+\.\w+)"', page.decode())
    assert len(parts) == 3
    for part in parts:
        status, content, _ = web.get(part)
        assert status == 200
        urls = re.findall(rb"https?://[^\s\"')]+", content + page)
        assert set(urls) <= {b"http://www.w3.org/2000/svg"}


def test_the_status_and_the_figures(web):
    status, answer, _ = web.get("/api/status")
    assert status == 200 and answer["problem"] is None and answer["token"] is False
    assert Status.model_validate(answer["status"]).style == "other" and answer["summary"].startswith("other")
    status, text, headers = web.get("/metrics")
    assert headers["Content-Type"].startswith("text/plain; version=0.0.4")
    assert "reconet_up 1\n" in text.decode() and 'reconet_style_info{style="other"' in text.decode()


def test_the_styles_and_their_previews(web, tiny):
    web.folder.joinpath("bad.reconet").write_bytes(b"nothing")
    styles = {one["file"]: one for one in web.get("/api/styles")[1]["styles"]}
    assert sorted(styles) == ["bad.reconet", "other.reconet", "tiny.reconet"]
    assert styles["other.reconet"]["title"] == "The Other One" and styles["other.reconet"]["size"] == "64x32"
    assert "not a style bundle" in styles["bad.reconet"]["problem"] and str(web.folder) not in str(styles)
    for one in styles.values():
        if one.get("preview"):
            status, content, headers = web.get(one["preview"])
            assert status == 200 and headers["Content-Type"] == "image/jpeg" and content == tiny.files["preview.jpg"]
    assert web.get("/preview/bad.reconet")[0] == 404


def test_a_still_and_a_stream_of_the_picture(web):
    status, jpeg, headers = web.get("/snapshot")
    assert status == 200 and headers["Content-Type"] == "image/jpeg"
    assert Image.open(io.BytesIO(jpeg)).size == (64, 32)
    with web.connect() as connection, connection.makefile("rb") as file:
        connection.sendall(b"GET /stream HTTP/1.1\r\nHost: localhost\r\n\r\n")
        pictures = set()
        while len(pictures) < 3:
            line = file.readline()
            assert line
            if line.startswith(b"Content-Length"):
                file.readline()
                pictures.add(file.read(int(line.split()[1])))
        assert web.site._picture.viewers == 1
    assert all(Image.open(io.BytesIO(one)).size == (64, 32) for one in pictures)
    picture = web.site._picture
    while picture.viewers or picture._runs:  # taken only while somebody watches
        web.get("/api/status")


@pytest.mark.parametrize("mode, channels", [("rgb", [200, 100, 50]), ("bgrx", [50, 100, 200, 0])])
def test_the_colours_of_a_picture(mode, channels):
    pixels = np.full((8, 16, len(channels)), channels, np.uint8)
    made = Image.open(io.BytesIO(encoded({"width": 16, "height": 8, "format": mode, "data": pixels.tobytes()})))
    assert np.abs(np.asarray(made).astype(int) - [200, 100, 50]).max() < 6
    assert encoded({"bytes": 0}) is None


def test_a_style_is_chosen(web):
    status, answer, _ = web.post("/api/use", style="tiny")
    assert status == 200 and answer["runs"] and web.daemon.switcher.snapshot.style.name == "tiny"
    status, answer, _ = web.post("/api/use", style="nothing")
    assert status == 409 and "no style 'nothing'" in answer["problem"]
    assert web.post("/api/use", style="newest")[0] == 200 and state.read(web.folder).pinned == "newest"
    assert web.post("/api/use", name="tiny")[0] == 400 and web.post("/api/use")[0] == 400


def test_a_style_is_added_and_deleted(web, style, tmp_path):
    data = style(tmp_path / "new_one.reconet", title="New").path.read_bytes()
    status, answer, _ = web.ask("PUT", "/api/styles", data)
    assert status == 200 and answer == {"style": "new_one", "title": "New", "runs": True}
    assert web.folder.joinpath("new_one.reconet").read_bytes() == data
    assert web.ask("DELETE", "/api/styles/new_one.reconet")[:2] == (200, {"deleted": "new_one.reconet"})
    assert web.files() == ["other.reconet", "tiny.reconet"] and list(web.inbox.iterdir()) == []


def test_a_bad_style_is_refused_with_the_daemons_reason_and_nothing_is_left(web, style, tmp_path, monkeypatch):
    status, answer, _ = web.ask("PUT", "/api/styles", b"PK\x03\x04" + bytes(300000))
    assert status == 409 and "truncated" in answer["problem"]

    def measure(path, *_):
        raise BundleError(f"{path}: it crashes")

    monkeypatch.setattr(trial, "measure", measure)
    status, answer, _ = web.ask("PUT", "/api/styles", style(tmp_path / "crash.reconet", title="C").path.read_bytes())
    assert status == 409 and answer["problem"].endswith("it crashes")
    assert web.files() == ["other.reconet", "tiny.reconet"] and list(web.inbox.iterdir()) == []
    assert web.daemon.switcher.snapshot.style.name == "other"


def test_brightness_and_restart(web, monkeypatch):
    assert web.post("/api/dim", brightness=0.5)[0] == 200
    web.status(lambda now: now.brightness == 0.5)
    status, answer, _ = web.post("/api/restart")
    assert status == 409 and "does not run under systemd" in answer["problem"]


def test_without_the_daemon_it_says_so(web, monkeypatch):
    monkeypatch.setattr("appliance.web.site._STILL_S", 0.1)
    web.daemon.stop()
    web.daemon.thread.join(10)
    status, answer, _ = web.get("/api/status")
    assert status == 200 and answer["status"] is None and "the daemon is not running" in answer["problem"]
    status, answer, _ = web.post("/api/use", style="tiny")
    assert status == 409 and "the daemon does not answer" in answer["problem"]
    assert b"reconet_up 0\n" in web.get("/metrics")[1]
    assert web.get("/snapshot")[0] == 503


def test_with_a_token_it_asks_for_it(web):
    token = web.token()
    for method, path in (("GET", "/api/status"), ("GET", "/stream"), ("GET", "/metrics"), ("POST", "/api/restart")):
        status, answer, _ = web.ask(method, path, b"{}" if method == "POST" else None)
        assert status == 401 and "token" in answer["problem"]
    assert web.get("/")[0] == 200
    status, answer, headers = web.post("/api/login", token="wrong")
    assert status == 401 and headers["Set-Cookie"] is None
    status, _, headers = web.post("/api/login", token=token)
    assert status == 200 and "HttpOnly; SameSite=Strict" in headers["Set-Cookie"]
    cookie = headers["Set-Cookie"].split(";")[0]
    assert web.get("/api/status", Cookie=cookie)[1]["token"] is True
    assert web.get("/metrics", Authorization=f"Bearer {token}")[0] == 200
    assert web.get("/metrics", Authorization="Bearer wrong")[0] == 401
    for forged in (
        cookie[:-1] + ("0" if cookie[-1] != "0" else "1"),
        cookie.replace("=1", "=2"),
        "reconet=",
        "reconet",
    ):
        assert web.get("/api/status", Cookie=forged)[0] == 401
    web.token()  # a new one ends the sessions of the old one
    assert web.get("/api/status", Cookie=cookie)[0] == 401
    assert token not in (web.folder / guard.NAME).read_text()


def test_a_session_ends(web, monkeypatch):
    token = web.token()
    monkeypatch.setattr(guard, "SESSION_S", -1)
    cookie = web.post("/api/login", token=token)[2]["Set-Cookie"].split(";")[0]
    assert web.get("/api/status", Cookie=cookie)[0] == 401


def test_wrong_tokens_are_limited(web):
    token = web.token()
    assert [web.post("/api/login", token="wrong")[0] for _ in range(6)] == [401] * 5 + [429]
    status, _, headers = web.post("/api/login", token=token)
    assert status == 429 and 0 < int(headers["Retry-After"]) <= 61


def test_limits_by_address():
    attempts = guard.Attempts()
    for number in range(30):
        attempts.take(f"10.0.0.{number // 3}")
    with pytest.raises(guard.Refused):
        attempts.take("10.0.1.1")  # thirty are enough, from wherever
    assert guard.network("2001:db8::1") == guard.network("2001:db8::2") != guard.network("2001:db8:1::1")
    assert guard.network("::ffff:10.0.0.1") != guard.network("::ffff:10.0.0.2")
    many = guard.Attempts()
    for number in range(5):
        many.take(f"10.1.0.{number}")
        many.forgive(f"10.1.0.{number}")
    assert len(many._by_address) == 0 and len(many._all) == 0


def test_beyond_this_machine_it_needs_a_token(tmp_path, styles):
    settings = config.Settings.model_validate({"style": {"folder": str(styles)}})
    with pytest.raises(Problem, match="beyond this machine, at 0.0.0.0, a token is needed: sudo reconet web token"):
        run.listening(settings, "0.0.0.0:0")
    guard.set_token(styles)
    with run.listening(settings, "0.0.0.0:0") as server:
        guard.remove_token(styles)
        with pytest.raises(guard.Refused, match="the token was removed"):
            server.answer.__self__._guard.check_token({}, "10.0.0.1")


def test_a_damaged_token_lets_nobody_in(web):
    (web.folder / guard.NAME).write_text("{}")
    status, answer, _ = web.get("/api/status")
    assert status == 503 and "is damaged: sudo reconet web token makes a new one" in answer["problem"]


@pytest.mark.parametrize("text", ["8080", ":8080", "localhost", "wall:80", "127.0.0.1:99999", "127.0.0.1:x", "1.2.3:1"])
def test_a_place_that_is_none(text):
    with pytest.raises(Problem, match="is not a valid address"):
        run.place(text)


def test_a_place():
    assert run.place("[::1]:80") == ("::1", 80) and run.place("localhost:0") == ("127.0.0.1", 0)


def test_a_place_that_is_taken(web):
    with pytest.raises(Problem, match="cannot listen at 127.0.0.1, port .* address already in use"):
        run.listening(web.settings, f"127.0.0.1:{web.port}")


def test_the_command_makes_and_removes_a_token(styles, tmp_path, capsys):
    (tmp_path / "config.toml").write_text(f'[style]\nfolder = "{styles}"\n')
    arguments = ["web", "--config", str(tmp_path / "config.toml")]
    assert main([*arguments, "token"]) == 0
    token = capsys.readouterr().out.splitlines()[0]
    one = guard.Guard(styles)
    one.check_token({"Authorization": f"Bearer {token}"}, "10.0.0.1")
    assert main([*arguments, "token", "--remove"]) == 0 and guard.read(styles) is None
    assert main([*arguments, "--remove"]) == 1 and "--remove is for reconet web token" in capsys.readouterr().err


@pytest.mark.parametrize("enabled, status", [("", 1), ("enabled = false", 1), ("enabled = true", 0)])
def test_the_command_says_whether_the_page_is_configured_to_start(tmp_path, enabled, status):
    (tmp_path / "config.toml").write_text(f"[web]\n{enabled}\n")
    assert main(["web", "--config", str(tmp_path / "config.toml"), "enabled"]) == status


def test_that_answer_needs_no_library_and_a_wrong_value_is_still_reported(tmp_path, capsys, monkeypatch):
    config = tmp_path / "config.toml"
    config.write_text('[web]\nenabled = "yes"\n')
    assert main(["web", "--config", str(config), "enabled"]) == 1
    assert "web.enabled" in capsys.readouterr().err
    config.write_text("")
    without = (
        "import sys; sys.modules.update(numpy=None, pydantic=None); from appliance.cli import main; sys.exit(main())"
    )
    asked = [sys.executable, "-c", without, "web", "--config", str(config), "enabled"]
    assert subprocess.run(asked, stdout=subprocess.PIPE).stdout == b"not enabled: [web] enabled is false\n"


def test_metrics_are_well_formed():
    now = Status(style='a"b\\c', ms={"x2": 1.5, 'y"': 2.0}, temperature=None, target_fps=None)
    text = metrics(now, 2)
    for line in text.splitlines():
        assert re.fullmatch(r'# (HELP|TYPE) \w+ .+|\w+(\{(\w+="([^"\\]|\\.)*",?)+\})? [0-9.e+-]+', line), line
    assert text.count("# TYPE reconet_stage_seconds gauge") == 1 and 'stage="x2"} 0.0015' in text
    assert metrics(None, 0).count("\n") == 6


def test_the_schema_describes_the_status(capsys):
    assert main(["status", "--schema"]) == 0
    schema = json.loads(capsys.readouterr().out)
    assert set(json.loads(Status().model_dump_json())) == set(schema["properties"])
    assert schema["properties"]["format"]["const"] == 1 and "millisecond" in schema["description"]
