"""`reconet web` itself."""

import argparse
import ipaddress
import os
import signal
import threading
from pathlib import Path
from typing import Optional, Tuple

from .. import byhand, config, wire
from ..errors import Problem
from ..host import signals, systemd
from . import guard
from .gallery import Gallery
from .guard import Guard
from .mqtt import HomeAssistant
from .picture import Picture
from .server import Server
from .site import Site

_STACK_BYTES = 512 << 10  # of a connection's thread; the default is 8 MB


def command(arguments: argparse.Namespace) -> int:
    """Do what the command line asks for. Raises Problem."""
    settings = byhand.found(arguments.config)
    folder = Path(settings.style.folder)
    if arguments.remove and arguments.action != "token":
        raise Problem("--remove is for reconet web token")
    if not arguments.action:
        return serve(settings, arguments.bind)
    if arguments.remove:
        guard.remove_token(folder)
        print("The token is removed. The page now serves this machine only, without a token.")
    else:
        print(guard.set_token(folder))
        print("This is the token. It is not shown again. Sessions of an earlier token have ended.")
    return 0


def serve(settings: config.Settings, bind: Optional[str] = None) -> int:
    """Answer at `bind`, or where the settings say, until SIGTERM or SIGINT. Raises Problem."""
    threading.stack_size(_STACK_BYTES)
    home = _home_assistant(settings)
    with listening(settings, bind or settings.web.bind) as server:
        thread = threading.Thread(target=server.serve_forever, name="web", daemon=True)
        over = threading.Event()
        with signals.handled({signal.SIGTERM: over.set, signal.SIGINT: over.set}):
            thread.start()
            if home:
                home.start()
            address = f"http://{server.name}/"
            systemd.log(f"the page is at {address}", systemd.NOTICE)
            systemd.ready(address)
            over.wait()
        if home:
            home.stop()
        server.shutdown()
    return 0


def _home_assistant(settings: config.Settings) -> Optional[HomeAssistant]:
    if settings.mqtt.place is None:
        return None
    status = Path(settings.host.status)
    return HomeAssistant(settings.mqtt, (status, wire.path(status)), Gallery(Path(settings.style.folder)))


def listening(settings: config.Settings, bind: str) -> Server:
    """A server for the appliance with these settings, at `bind`. Raises Problem."""
    host, port = place(bind)
    folder, status = Path(settings.style.folder), Path(settings.host.status)
    here = ipaddress.ip_address(host).is_loopback
    if not here and guard.read(folder) is None:
        raise Problem(f"beyond this machine, at {host}, a token is needed: sudo reconet web token makes one")
    site = Site(
        (status, wire.path(status), folder),
        Guard(folder, settings.web.hosts, everyone=here),
        Picture(wire.path(status), settings.web.fps),
        os.environ.get("CACHE_DIRECTORY"),  # systemd makes it
    )
    return Server((host, port), site.answer)


def place(text: str) -> Tuple[str, int]:
    """("127.0.0.1", 8080) of "127.0.0.1:8080", and so on. Raises Problem."""
    host, _, port = text.rpartition(":")
    host = {"localhost": "127.0.0.1", "*": "0.0.0.0"}.get(host, host.strip("[]"))
    try:
        ipaddress.ip_address(host)
        if not port.isdecimal() or int(port) > 65535:
            raise ValueError(port)
    except ValueError:
        raise Problem(f"{text} is not a valid address: give an address and a port, such as 127.0.0.1:8080") from None
    return host, int(port)
