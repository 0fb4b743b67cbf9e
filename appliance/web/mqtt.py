"""Home Assistant: the style as a select, a switch, and sensors, through an MQTT broker.

Topics and documents follow its MQTT discovery (home-assistant.io/integrations/mqtt). Failures go to the journal. A lost
connection is opened again.
"""

import contextlib
import hashlib
import json
import queue
import socket
import threading
from pathlib import Path
from typing import Any, Dict, List, Optional, Tuple

from .. import __version__, config
from ..errors import Problem
from ..host import status, systemd
from ..wire import Line
from .gallery import Gallery

_PREFIX = "homeassistant"
_OFTEN_S = 5.0  # between looks at the status
_AGAIN_S = (1, 60)  # the first and the longest pause before another try
_WAITING = 8  # orders in the queue


class HomeAssistant:
    """Publishes the appliance at the broker of `settings`, and carries out Home Assistant's orders.

    `paths`: of the daemon's status and its socket. Raises Problem when it cannot start.
    """

    def __init__(self, settings: config.Mqtt, paths: Tuple[Path, Path], gallery: Gallery):
        try:
            from paho.mqtt.client import Client
            from paho.mqtt.enums import CallbackAPIVersion
        except ImportError as error:
            raise Problem("mqtt.broker needs the package paho-mqtt: pip install paho-mqtt") from error
        assert settings.place
        self._place, (self._status, self._control), self._gallery = settings.place, paths, gallery
        self.node = "reconet_" + _identity()
        self._orders: "queue.Queue[Tuple[str, Dict[str, Any]]]" = queue.Queue(_WAITING)
        self._told: Dict[str, str] = {}  # what was published last, by topic
        self._look = threading.Event()
        self._over = threading.Event()
        self._client = Client(CallbackAPIVersion.VERSION2, client_id=self.node)
        if settings.user:
            self._client.username_pw_set(settings.user, _password(settings.password_file))
        self._client.will_set(self.topic("availability"), "offline", retain=True)
        self._client.reconnect_delay_set(*_AGAIN_S)
        self._client.on_connect = self._connected
        self._client.on_disconnect = self._disconnected
        self._client.on_message = self._asked

    def topic(self, name: str) -> str:
        return f"{self.node}/{name}"

    def start(self) -> None:
        """Start, in separate threads."""
        self._client.connect_async(*self._place, keepalive=30)
        self._client.loop_start()
        for work in (self._tell, self._do):
            threading.Thread(target=work, name="mqtt", daemon=True).start()

    def stop(self) -> None:
        """Say goodbye to the broker and disconnect."""
        self._over.set()
        self._look.set()
        with contextlib.suppress(RuntimeError, ValueError):  # not connected
            self._client.publish(self.topic("availability"), "offline", retain=True).wait_for_publish(1.0)
        self._client.disconnect()
        self._client.loop_stop()

    # In the client's thread

    def _connected(self, client: Any, data: Any, flags: Any, reason: Any, properties: Any) -> None:
        if reason.is_failure:
            systemd.log(f"mqtt: the broker at {self._place[0]} refuses the connection: {reason}", systemd.WARNING)
            return
        systemd.log(f"mqtt: connected to {self._place[0]}", systemd.NOTICE)
        client.subscribe([(self.topic("style/set"), 1), (self.topic("power/set"), 1), (f"{_PREFIX}/status", 0)])
        self._told = {}
        self._look.set()

    def _disconnected(self, client: Any, data: Any, flags: Any, reason: Any, properties: Any) -> None:
        if reason.is_failure and not self._over.is_set():
            systemd.log(f"mqtt: the broker at {self._place[0]} is gone: {reason}", systemd.WARNING)

    def _asked(self, client: Any, data: Any, message: Any) -> None:
        text = message.payload[:300].decode("utf-8", "replace")
        if message.topic == f"{_PREFIX}/status":  # it has started anew and knows nothing
            self._told = {}
            self._look.set()
            return
        order: Tuple[str, Dict[str, Any]] = ("power", {"on": text == "ON"})
        if message.topic == self.topic("style/set"):
            order = ("use", {"style": self._names().get(text, text)})
        try:
            self._orders.put_nowait(order)
        except queue.Full:
            systemd.log("mqtt: too many orders at once", systemd.WARNING)

    # In threads of their own

    def _do(self) -> None:
        while True:
            do, details = self._orders.get()
            try:
                with Line(self._control) as line:
                    line.ask(do, **details)
                systemd.log(f"{do} {', '.join(map(str, details.values()))}, asked for by MQTT", systemd.NOTICE)
            except Problem as problem:
                systemd.log(f"mqtt: {do}: {problem}", systemd.WARNING)
            self._told.pop(self.topic("state"), None)  # so that Home Assistant stops showing what it asked for
            self._look.set()

    def _tell(self) -> None:
        while not self._over.is_set():
            self._look.wait(_OFTEN_S)
            self._look.clear()
            if not self._client.is_connected() or self._over.is_set():
                continue
            titles = {name: title for title, name in self._names().items()}
            for topic, document in discovery(self, list(titles.values())):
                self._publish(topic, json.dumps(document))
            now = self._now()
            if now:
                style = titles.get(now.style or "")
                state = {
                    "style": style,
                    "fps": round(now.fps, 1),
                    "temperature": now.temperature,
                    "power": "OFF" if now.off else "ON",
                }
                self._publish(self.topic("state"), json.dumps(state))
            self._publish(self.topic("availability"), "online" if now else "offline")

    def _publish(self, topic: str, text: str) -> None:
        if self._told.get(topic) != text:
            self._told[topic] = text
            self._client.publish(topic, text, qos=1, retain=True)

    def _now(self) -> Optional[status.Status]:
        try:
            return status.read(self._status)
        except Problem:
            return None

    def _names(self) -> Dict[str, str]:
        """The styles' names by label: the title, or the name where two share a title."""
        found = [(one["title"], one["name"]) for one in self._gallery.list() if one["name"]]
        titles = [title for title, _ in found]
        return {title if titles.count(title) == 1 else name: name for title, name in found}


def discovery(one: HomeAssistant, titles: List[str]) -> List[Tuple[str, Dict[str, Any]]]:
    """(topic, document) of each entity."""
    device = {"identifiers": [one.node], "name": f"ReCoNet {socket.gethostname()}", "sw_version": __version__}
    common = {"device": device, "availability_topic": one.topic("availability"), "state_topic": one.topic("state")}
    entities: List[Tuple[str, str, Dict[str, Any]]] = [
        ("select", "style", {"name": "Style", "options": titles, "icon": "mdi:palette"}),
        ("switch", "power", {"name": "Picture", "icon": "mdi:image-frame"}),
        ("sensor", "fps", {"name": "Rate", "unit_of_measurement": "fps", "state_class": "measurement"}),
        (
            "sensor",
            "temperature",
            {
                "name": "Edge TPU",
                "device_class": "temperature",
                "unit_of_measurement": "\u00b0C",
                "state_class": "measurement",
            },
        ),
    ]
    documents = []
    for kind, key, own in entities:
        document = {**common, **own, "unique_id": f"{one.node}_{key}", "value_template": f"{{{{ value_json.{key} }}}}"}
        if kind != "sensor":
            document["command_topic"] = one.topic(f"{key}/set")
        documents.append((f"{_PREFIX}/{kind}/{one.node}/{key}/config", document))
    return documents


def _identity() -> str:
    """Constant on one machine and different between machines, without revealing the machine's own ID."""
    try:
        machine = Path("/etc/machine-id").read_text().strip()
    except OSError:
        machine = ""
    return hashlib.sha256(f"reconet {machine or socket.gethostname()}".encode()).hexdigest()[:12]


def _password(path: str) -> Optional[str]:
    if not path:
        return None
    try:
        return Path(path).read_text("utf-8").rstrip("\n")
    except (OSError, ValueError) as error:
        why = getattr(error, "strerror", None) or "not text"
        raise Problem(f"cannot read mqtt.password_file {path}: {why.lower()}: chgrp reconet, chmod 640") from error
