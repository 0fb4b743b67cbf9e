"""An HTTP server, one request per connection. Slow, oversized and excess clients do not affect the others."""

import contextlib
import io
import json
import socket
import socketserver
import sys
import threading
import time
from collections import Counter
from http.server import BaseHTTPRequestHandler
from typing import Any, Callable, Dict, Optional, Tuple

from ..errors import Problem
from ..host import systemd
from .guard import Refused, network

_MOST_HEAD = 16 << 10
_HEAD_S, _STALL_S = 10.0, 10.0  # for a request's whole head; without a byte sent or received
_LINGER_S, _LINGER_BYTES = 2.0, 1 << 20
_BUSY = b"HTTP/1.1 503 Service Unavailable\r\nRetry-After: 2\r\nContent-Length: 0\r\nConnection: close\r\n\r\n"
_ALWAYS = {
    "Cache-Control": "no-store",
    "Connection": "close",
    "Content-Security-Policy": "default-src 'none'; connect-src 'self'; img-src 'self'; script-src 'self'; "
    "style-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Referrer-Policy": "no-referrer",
    "X-Content-Type-Options": "nosniff",
}


Headers = Dict[str, str]


class Bounded(io.RawIOBase):
    """Reads from a connection, with limits on time and bytes. Raises socket.timeout and Refused."""

    def __init__(self, connection: socket.socket):
        self._connection = connection
        self._left, self._until = 0, 0.0

    def allow(self, size: int, seconds: float) -> None:
        """Allow `size` more bytes, within `seconds` from now."""
        self._left += size
        self._until = time.monotonic() + seconds

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int:
        view = memoryview(buffer)[: self._left]
        if not len(view):
            raise Refused(431, "the head of the request is too long")
        seconds = self._until - time.monotonic()
        if seconds <= 0:
            raise socket.timeout("slow")
        self._connection.settimeout(min(seconds, _STALL_S))
        size = self._connection.recv_into(view)
        self._left -= size
        return size


class Request(BaseHTTPRequestHandler):
    """One request. `server.answer(request)` answers it, or raises Refused or Problem."""

    protocol_version, server_version, sys_version = "HTTP/1.1", "reconet", ""
    server: "Server"

    def setup(self) -> None:
        super().setup()
        self.connection.setsockopt(
            socket.SOL_SOCKET, socket.SO_SNDBUF, 128 << 10
        )  # a larger buffer would fill with old pictures
        self.bounded = Bounded(self.connection)
        self.rfile = io.BufferedReader(self.bounded, 4096)

    def handle(self) -> None:
        self.bounded.allow(_MOST_HEAD, _HEAD_S)
        self.close_connection, self._answered = True, False
        try:
            self.handle_one_request()
        except Refused as refused:
            self.refuse(refused.status, str(refused))
        self.close_connection = True
        if self._answered:
            self._linger()

    def answer(self) -> None:
        try:
            if self.request_version not in ("HTTP/1.0", "HTTP/1.1"):
                raise Refused(505, "use HTTP/1.1")
            self.connection.settimeout(_STALL_S)
            self.server.answer(self)
        except Refused as refused:
            self.refuse(refused.status, str(refused), {"Retry-After": str(refused.wait)} if refused.wait else {})
        except Problem as problem:
            self.refuse(409, str(problem))

    do_GET = do_POST = do_PUT = do_DELETE = answer

    @property
    def length(self) -> int:
        """The length of the body. Raises Refused when it is missing or ambiguous."""
        lengths = self.headers.get_all("Content-Length", [])
        if "Transfer-Encoding" in self.headers or not lengths:
            raise Refused(411, "send a Content-Length, and no Transfer-Encoding")
        if len(lengths) > 1 or not (lengths[0].isascii() and lengths[0].isdigit()) or len(lengths[0]) > 15:
            raise Refused(400, "the Content-Length is not a number")
        return int(lengths[0])

    def body(self, most: int, seconds: float) -> Any:
        """The body, up to `most` bytes, as a file with its size. Raises Refused."""
        size = self.length
        if size > most:
            raise Refused(413, f"too large: {most} bytes are allowed")
        if self.headers.get("Expect", "").lower() == "100-continue":
            self.wfile.write(b"HTTP/1.1 100 Continue\r\n\r\n")
        self.bounded.allow(size, seconds)
        return self.rfile, size

    def fields(self) -> Dict[str, Any]:
        """The body, a JSON object. Raises Refused."""
        file, size = self.body(4 << 10, _HEAD_S)
        try:
            value = json.loads(file.read(size).decode())
        except (ValueError, RecursionError):
            value = None
        if not isinstance(value, dict):
            raise Refused(400, "the body is not a JSON object")
        return value

    def reply(
        self, content: Any, kind: str = "application/json", status: int = 200, headers: Optional[Headers] = None
    ) -> None:
        """Answer with bytes, or with a JSON document."""
        data = content if isinstance(content, bytes) else json.dumps(content).encode()
        self.begin(kind, status, {"Content-Length": str(len(data)), **(headers or {})})
        self.wfile.write(data)

    def begin(self, kind: str, status: int = 200, headers: Optional[Headers] = None) -> None:
        """Send the head of an answer. No value may come from the request."""
        self._answered = True
        self.send_response_only(status)
        for name, value in {"Content-Type": kind, **_ALWAYS, **(headers or {})}.items():
            self.send_header(name, value)
        self.end_headers()

    def refuse(self, status: int, text: str, headers: Optional[Headers] = None) -> None:
        if self._answered:
            return
        with contextlib.suppress(OSError):
            self.request_version = "HTTP/1.1"  # it is not set when the request line cannot be read
            self.reply({"problem": str(Problem(text))}, status=status, headers=headers)

    def send_error(self, code: int, message: Optional[str] = None, explain: Optional[str] = None) -> None:
        """The base class found a fault in the head. Its message would repeat parts of the request."""
        self.refuse(405 if code == 501 else int(code), "this cannot be done" if code == 501 else "not understood")

    def handle_expect_100(self) -> bool:
        return True  # `body` does so, after the checks

    def log_message(self, format: str, *arguments: Any) -> None:
        pass  # the site logs what matters

    def _linger(self) -> None:
        """Read on for a moment: if the client is still sending, closing at once would destroy the answer."""
        with contextlib.suppress(OSError):
            self.connection.shutdown(socket.SHUT_WR)
            end, left = time.monotonic() + _LINGER_S, _LINGER_BYTES
            while left > 0 and time.monotonic() < end:
                self.connection.settimeout(_LINGER_S)
                data = self.connection.recv(1 << 16)
                if not data:
                    break
                left -= len(data)


class Server(socketserver.ThreadingMixIn, socketserver.TCPServer):
    """Listens at `place`, (host, port), for up to `most` connections at once, `most_each` from one client."""

    daemon_threads, block_on_close, allow_reuse_address = True, False, True
    request_queue_size = 128

    def __init__(self, place: Tuple[str, int], answer: Callable[[Request], None], most: int = 64, most_each: int = 32):
        self.answer = answer
        self._most, self._most_each = most, most_each
        self._open: "Counter[str]" = Counter()
        self._lock = threading.Lock()
        self.address_family = socket.AF_INET6 if ":" in place[0] else socket.AF_INET
        try:
            super().__init__(place, Request)
        except (OSError, OverflowError) as error:
            why = (getattr(error, "strerror", None) or str(error)).lower()
            raise Problem(f"cannot listen at {place[0]}, port {place[1]}: {why}: choose another with --bind") from error

    @property
    def name(self) -> str:
        """Its address and port, as in a URL."""
        host, port = self.socket.getsockname()[:2]
        return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"

    def process_request(self, request: Any, client_address: Any) -> None:
        client = network(client_address[0])
        with self._lock:
            full = sum(self._open.values()) >= self._most or self._open[client] >= self._most_each
            if not full:
                self._open[client] += 1
        if full:
            with contextlib.suppress(OSError):
                request.setblocking(False)
                request.send(_BUSY)
            self.shutdown_request(request)
            return
        try:
            super().process_request(request, client_address)
        except RuntimeError:  # no more threads
            self._left(client)
            raise

    def process_request_thread(self, request: Any, client_address: Any) -> None:
        try:
            super().process_request_thread(request, client_address)
        finally:
            self._left(network(client_address[0]))

    def _left(self, client: str) -> None:
        with self._lock:
            self._open[client] -= 1
            self._open += Counter()  # drops those at zero

    def handle_error(self, request: Any, client_address: Any) -> None:
        """Log a request that failed with a bug. That clients leave is normal."""
        if not isinstance(sys.exc_info()[1], (OSError, Refused)):
            systemd.log("a request failed", systemd.ERROR)
            super().handle_error(request, client_address)
