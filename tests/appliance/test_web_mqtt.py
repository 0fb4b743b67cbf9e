"""Home Assistant, through a real broker: mosquitto."""

import json
import os
import queue
import shutil
import socket
import subprocess
import threading

import pytest

from appliance import config
from appliance.errors import Problem
from appliance.style import state
from appliance.web.gallery import Gallery
from appliance.web.mqtt import HomeAssistant

paho = pytest.importorskip("paho.mqtt.client", reason="paho-mqtt is not installed")
MOSQUITTO = shutil.which("mosquitto", path=os.environ["PATH"] + os.pathsep + "/usr/sbin")
pytestmark = pytest.mark.skipif(not MOSQUITTO, reason="mosquitto is not on this machine: apt install mosquitto")


class Home:
    """Stands in for Home Assistant: sees every message, and asks for things."""

    def __init__(self, port):
        self.seen, self.connected = queue.Queue(), threading.Event()
        self.client = paho.Client(paho.CallbackAPIVersion.VERSION2)
        self.client.username_pw_set("home", "secret")
        self.client.on_message = lambda client, data, message: self.seen.put(message)
        self.client.on_connect = lambda client, *_: client.subscribe("#", 1)
        self.client.on_subscribe = lambda *_: self.connected.set()
        self.client.connect("127.0.0.1", port)
        self.client.loop_start()
        assert self.connected.wait(20)

    def until(self, topic, test=lambda text: True):
        """The next text on a topic that passes the test."""
        while True:
            message = self.seen.get(timeout=30)
            text = message.payload.decode("utf-8", "replace")
            if message.topic.endswith(topic) and test(text):
                return text

    def close(self):
        self.client.disconnect()
        self.client.loop_stop()


@pytest.fixture
def broker(tmp_path):
    """Starts a broker that knows the user home, at always the same port; `end` ends it."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    folder = tmp_path / "broker"
    folder.mkdir()
    subprocess.run(["mosquitto_passwd", "-b", "-c", str(folder / "users"), "home", "secret"], check=True)
    (folder / "users").chmod(0o644)
    (folder / "conf").write_text(f"listener {port} 127.0.0.1\nallow_anonymous false\npassword_file {folder}/users\n")
    for one in (folder, *folder.parents):
        if one.stat().st_uid == os.geteuid() and not one.stat().st_mode & 0o001:
            one.chmod(one.stat().st_mode | 0o011)  # it gives up root
    running = []

    def start():
        running.append(subprocess.Popen([MOSQUITTO, "-c", str(folder / "conf")], stderr=subprocess.PIPE))
        for line in running[-1].stderr:
            if b"running" in line:
                break
        threading.Thread(target=running[-1].stderr.read, daemon=True).start()

    def end():
        running[-1].terminate()
        running[-1].wait(20)

    start()
    start.port, start.end, start.folder = port, end, folder
    yield start
    end()


@pytest.fixture
def home(web, broker, monkeypatch):
    """Home Assistant beside an appliance that is connected to the same broker."""
    monkeypatch.setattr("appliance.web.mqtt._OFTEN_S", 0.1)
    (broker.folder / "password").write_text("secret\n")
    place = f"127.0.0.1:{broker.port}"
    given = {"broker": place, "user": "home", "password_file": str(broker.folder / "password")}
    one = Home(broker.port)
    assistant = HomeAssistant(
        config.Mqtt.model_validate(given), (web.site._status, web.site._control), Gallery(web.folder)
    )
    assistant.start()
    one.web, one.broker, one.assistant = web, broker, assistant
    yield one
    assistant.stop()
    one.close()


def test_it_is_found_and_tells_what_runs(home):
    found = {}
    while len(found) < 4:
        message = home.seen.get(timeout=30)
        if message.topic.startswith("homeassistant/"):
            found[message.topic.split("/")[3]] = message, json.loads(message.payload.decode())
    message, select = found["style"]
    assert message.topic == f"homeassistant/select/{home.assistant.node}/style/config"
    assert "The Other One" in select["options"] and len(select["options"]) == 2
    assert found["temperature"][1]["device_class"] == "temperature"
    assert len({document["unique_id"] for _, document in found.values()}) == 4
    assert json.loads(home.until("/state"))["style"] == "The Other One"
    assert home.until("/availability") == "online"


def test_a_style_and_the_power_are_asked_for(home):
    title = next(one["title"] for one in Gallery(home.web.folder).list() if one["name"] == "tiny")
    home.until("/state", lambda text: json.loads(text)["style"] == "The Other One")
    home.client.publish(home.assistant.topic("style/set"), title)
    home.until("/state", lambda text: json.loads(text)["style"] == title)
    assert home.web.daemon.switcher.snapshot.style.name == "tiny" and state.read(home.web.folder).pinned == "tiny"
    for text, off in (("OFF", True), ("ON", False)):
        home.client.publish(home.assistant.topic("power/set"), text)
        home.until("/state", lambda state, text=text: json.loads(state)["power"] == text)
        assert home.web.daemon.switcher.snapshot.off is off


def test_nonsense_changes_nothing(home):
    home.until("/state")
    for text in (b"no such style", b"../x", b"\xff\xfe", b"", b"x" * 5000):
        home.client.publish(home.assistant.topic("style/set"), text)
    for _ in range(5):
        home.until("/state")  # what it shows is put right after each
    assert state.read(home.web.folder).pinned is None


def test_it_comes_back_with_the_broker_and_tells_everything_to_a_new_home(home):
    home.until("/availability", lambda text: text == "online")
    home.client.publish("homeassistant/status", "online")
    home.until("/style/config")
    home.broker.end()
    home.broker()
    home.until("/availability", lambda text: text == "online")
    home.until("/state", lambda text: json.loads(text)["style"] == "The Other One")


def test_it_is_offline_when_the_daemon_or_it_itself_ends(home):
    home.until("/availability", lambda text: text == "online")
    home.web.daemon.stop()
    home.until("/availability", lambda text: text == "offline")
    home.assistant._client._sock.close()  # as by a crash: the broker tells the will
    home.until("/availability", lambda text: text == "offline")


def test_a_wrong_password_is_said(web, broker, capfd):
    given = {"broker": f"127.0.0.1:{broker.port}", "user": "home"}
    one = HomeAssistant(config.Mqtt.model_validate(given), (web.site._status, web.site._control), Gallery(web.folder))
    said = threading.Event()
    told = one._client.on_connect
    one._client.on_connect = lambda *arguments: (told(*arguments), said.set())
    one.start()
    assert said.wait(20)
    one.stop()
    assert "refuses the connection: Not authorized" in capfd.readouterr().err


def test_a_password_that_cannot_be_read_is_a_problem(tmp_path):
    given = {"broker": "broker", "user": "home", "password_file": str(tmp_path / "none")}
    with pytest.raises(Problem, match="cannot read mqtt.password_file .*none: no such file"):
        HomeAssistant(config.Mqtt.model_validate(given), (tmp_path, tmp_path), Gallery(tmp_path))


@pytest.mark.parametrize(
    "text, place",
    [
        ("off", None),
        ("wall", ("wall", 1883)),
        ("wall:1884", ("wall", 1884)),
        ("[::1]", ("::1", 1883)),
        ("[::1]:99", ("::1", 99)),
        ("192.168.1.5", ("192.168.1.5", 1883)),
    ],
)
def test_the_place_of_a_broker(text, place):
    assert config.Mqtt(broker=text).place == place
