"""The daemon's socket: other programs on this machine get the picture and send requests through it.

The daemon has no network. `reconet web`, a separate process, is at the other end. A frame is kept only while somebody
waits for the next one. Without a connection, a single thread sleeps here.
"""

import contextlib
import os
import socket
import threading
from pathlib import Path
from typing import Any, Callable, Dict, Optional, Tuple

import numpy as np

from . import wire
from .display.announcer import Announcer
from .errors import Problem
from .frames import Frame
from .host import systemd
from .wire import Broken, Message, Stream

_MOST_CONNECTIONS = 8
_NO_FRAME_S = 2.0
_SILENT_S = 60.0  # until an idle connection is closed


class Latest:
    """The frames on the screen, for whoever waits for the next one."""

    def __init__(self) -> None:
        self._changed = threading.Condition()
        self._waiting, self._count = 0, 0
        self._frame: Optional[Frame] = None

    def offer(self, frame: Frame) -> None:
        """Pass on a frame that is shown, if somebody waits. Its pixels must not change afterwards."""
        if not self._waiting:
            return
        frame = frame.whole()
        with self._changed:
            self._frame, self._count = frame, self._count + 1
            self._changed.notify_all()

    def next(self, seconds: float = _NO_FRAME_S) -> Optional[Frame]:
        """The next frame; None when none is shown for `seconds`."""
        with self._changed:
            self._waiting, before = self._waiting + 1, self._count
            fresh = self._changed.wait_for(lambda: self._count != before, seconds)
            frame = self._frame if fresh else None
            self._waiting -= 1
            if not self._waiting:
                self._frame = None
        return frame


class Payload:
    """The `size` bytes that follow a request, as a file to read."""

    def __init__(self, file: Stream, size: int):
        self._file, self._left = file, size

    def read(self, most: int) -> bytes:
        """The next bytes, up to `most`; b"" at the end. Raises Broken when the sender is gone."""
        data = wire.exactly(self._file, min(most, self._left))
        self._left -= len(data)
        return data

    def skip(self) -> None:
        while self.read(1 << 16):
            pass


Order = Callable[[Message, Payload], Message]


class Window:
    """Answers requests at the socket `path`: "frame" with the next one on `screen`, others with `orders`, by name."""

    def __init__(self, path: Path, screen: Announcer, orders: Dict[str, Order]):
        self._path, self._latest, self._orders = path, Latest(), orders
        screen.watch = self._latest.offer
        self._free = threading.BoundedSemaphore(_MOST_CONNECTIONS)
        self._socket: Optional[socket.socket] = None
        self._closed = threading.Event()

    def open(self) -> None:
        """Start answering. If the socket cannot be created, the journal says why and the daemon runs without it."""
        part = self._path.with_name(self._path.name + ".part")
        listener = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        try:
            with contextlib.suppress(FileNotFoundError):
                os.unlink(str(part))
            listener.bind(str(part))
            os.chmod(str(part), 0o660)
            listener.listen(_MOST_CONNECTIONS)
            os.replace(str(part), str(self._path))
        except OSError as error:
            listener.close()
            systemd.log(f"no socket at {self._path}: {(error.strerror or str(error)).lower()}", systemd.WARNING)
            return
        self._socket = listener
        threading.Thread(target=self._accept, args=(listener,), name="window", daemon=True).start()

    def close(self) -> None:
        """Stop accepting connections, and remove the socket."""
        self._closed.set()
        if self._socket:
            with contextlib.suppress(OSError):
                self._socket.shutdown(socket.SHUT_RDWR)  # this ends `accept`
            self._socket.close()
            with contextlib.suppress(OSError):
                os.unlink(str(self._path))

    def _accept(self, listener: socket.socket) -> None:
        while True:
            self._free.acquire()
            try:
                connection, _ = listener.accept()
            except OSError:
                self._free.release()
                if self._closed.wait(1.0):
                    return
                continue
            threading.Thread(target=self._serve, args=(connection,), name="viewer", daemon=True).start()

    def _serve(self, connection: socket.socket) -> None:
        try:
            connection.settimeout(_SILENT_S)
            with connection, connection.makefile("rwb") as file:
                while not self._closed.is_set():
                    answer, payload = self._answer(wire.receive(file), file)
                    wire.send(file, answer, payload)
        except (OSError, Broken):  # they left
            pass
        finally:
            self._free.release()

    def _answer(self, request: Message, file: Stream) -> Tuple[Message, Any]:
        """Raises Broken when the rest of the connection cannot be understood."""
        order = request.get("do")
        if order == "frame":
            frame = self._latest.next()
            if frame is None:
                return {}, b""
            height, width = frame.pixels.shape[:2]
            return {"width": width, "height": height, "format": frame.format}, np.ascontiguousarray(
                frame.pixels
            ).reshape(-1)
        if order not in self._orders:
            raise Broken("an unknown request")
        size = request["bytes"]
        source = Payload(file, size)
        try:
            return self._orders[order](request, source), b""
        except Problem as problem:
            source.skip()
            return {"problem": str(problem)}, b""
