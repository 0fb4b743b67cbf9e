"""The routes: the page, the picture, the styles, the status, and a few orders."""

import contextlib
import tempfile
import threading
from pathlib import Path
from typing import Any, Callable, Dict, Optional, Tuple
from urllib.parse import unquote

from ..errors import Problem
from ..host import status, systemd
from ..host.status import Status
from ..style.bundle import MAX_BYTES, SUFFIX
from ..wire import Line
from . import metrics
from .gallery import Gallery
from .guard import COOKIE, SESSION_S, Guard, Refused
from .picture import Picture
from .server import Request

_PAGE = Path(__file__).with_name("page")
_FILES = {
    "/": ("index.html", "text/html; charset=utf-8"),
    "/app.css": ("app.css", "text/css; charset=utf-8"),
    "/app.js": ("app.js", "text/javascript; charset=utf-8"),
    "/icon.svg": ("icon.svg", "image/svg+xml"),
}
_STILL_S = 3.0  # until there is a picture
_SAME_S = 5.0  # until the same one is sent again, to notice viewers who have left
_UPLOAD_S = 600.0
_BOUNDARY = "reconet-frame"

Route = Tuple[str, str]


class Site:
    """Answers requests. `paths`: of the daemon's status, its socket, and the styles. `inbox`: where uploads wait, or
    None for the system's folder for temporary files."""

    def __init__(self, paths: Tuple[Path, Path, Path], guard: Guard, picture: Picture, inbox: Optional[str]):
        self._status, self._control, folder = paths
        self._guard, self._picture, self._inbox = guard, picture, inbox
        self._gallery = Gallery(folder)
        self._uploading = threading.Lock()
        self._routes: Dict[Route, Callable[[Request], None]] = {
            ("GET", "/api/status"): self._tell,
            ("GET", "/api/styles"): lambda request: request.reply({"styles": self._gallery.list()}),
            ("PUT", "/api/styles"): self._upload,
            ("POST", "/api/use"): lambda request: self._order(request, "use", "style"),
            ("POST", "/api/turn"): lambda request: self._order(request, "turn", "step"),
            ("POST", "/api/power"): lambda request: self._order(request, "power", "on"),
            ("POST", "/api/dim"): lambda request: self._order(request, "dim", "brightness"),
            ("POST", "/api/restart"): lambda request: self._order(request, "restart"),
            ("POST", "/api/logout"): self._log_out,
            ("GET", "/metrics"): self._measure,
            ("GET", "/snapshot"): self._still,
            ("GET", "/stream"): self._stream,
        }

    def answer(self, request: Request) -> None:
        """Raises Refused and Problem."""
        method, path = request.command, request.path.partition("?")[0]
        address = request.client_address[0]
        if len(request.headers.get_all("Host", [])) != 1:
            raise Refused(400, "send exactly one Host header")
        self._guard.check_host(request.headers["Host"])
        if path in _FILES and method == "GET":
            name, kind = _FILES[path]
            return request.reply((_PAGE / name).read_bytes(), kind)
        self._guard.check_origin(request.headers, changes=method != "GET")
        if (method, path) == ("POST", "/api/login"):
            return self._log_in(request, address)
        self._guard.check_token(request.headers, address)
        route = self._routes.get((method, path))
        if route:
            return route(request)
        for prefix, wanted, serve in (
            ("/preview/", "GET", self._preview),
            ("/api/styles/", "DELETE", self._delete),
        ):
            if path.startswith(prefix) and method == wanted:
                return serve(request, _file(path[len(prefix) :]))
        known = path in _FILES or any(path == one for _, one in self._routes)
        raise Refused(405, "this cannot be done here") if known else Refused(404, "there is nothing here")

    def _now(self) -> Status:
        return status.read(self._status)

    def _tell(self, request: Request) -> None:
        answer: Dict[str, Any] = {"status": None, "problem": None, "token": self._guard.asks}
        try:
            now = self._now()
            answer.update(status=now.model_dump(mode="json"), summary=status.summary(now))
        except Problem as problem:
            answer["problem"] = str(problem)
        request.reply(answer)

    def _measure(self, request: Request) -> None:
        now = None
        with contextlib.suppress(Problem):
            now = self._now()
        request.reply(metrics.metrics(now, self._picture.viewers).encode(), metrics.KIND)

    def _still(self, request: Request) -> None:
        with self._picture.watched() as number:
            latest, jpeg = self._picture.next(number, _STILL_S)
        if latest == number:
            raise Refused(503, "there is no picture at present", 1)
        request.reply(jpeg, "image/jpeg")

    def _stream(self, request: Request) -> None:
        with self._picture.watched() as number:
            latest, jpeg = self._picture.next(number, _STILL_S)
            if not jpeg:
                raise Refused(503, "there is no picture at present", 1)
            request.begin(f"multipart/x-mixed-replace; boundary={_BOUNDARY}")
            while True:
                head = f"--{_BOUNDARY}\r\nContent-Type: image/jpeg\r\nContent-Length: {len(jpeg)}\r\n\r\n"
                request.wfile.write(head.encode() + jpeg + b"\r\n")
                latest, jpeg = self._picture.next(latest, _SAME_S)

    def _order(self, request: Request, do: str, *keys: str) -> None:
        fields = request.fields()
        if set(fields) != set(keys):
            raise Refused(400, f"expected fields: {', '.join(keys) or 'none'}")
        self._done(request, do, **fields)

    def _done(self, request: Request, do: str, upload: Any = None, **details: Any) -> None:
        """Ask the daemon and pass its answer on. Raises Problem with its reason."""
        with Line(self._control) as line:
            answer = line.ask(do, upload, **details)
        answer.pop("bytes", None)
        named = answer.get("style") or details.get("style") or details.get("file") or ""
        systemd.log(f"{do} {named}, asked for by {request.client_address[0]}", systemd.NOTICE)
        request.reply(answer)

    def _upload(self, request: Request) -> None:
        if not self._uploading.acquire(blocking=False):
            raise Refused(409, "another style is being added: wait until it is done")
        try:
            body, left = request.body(MAX_BYTES, _UPLOAD_S)
            # A file without a name leaves nothing behind, whatever happens.
            with tempfile.TemporaryFile(dir=self._inbox) as inbox:
                while left:
                    piece = body.read(min(left, 1 << 16))
                    if not piece:
                        raise Refused(400, "the upload was cut off: try again")
                    inbox.write(piece)
                    left -= len(piece)
                self._done(request, "add", inbox)
        finally:
            self._uploading.release()

    def _preview(self, request: Request, name: str) -> None:
        preview = self._gallery.preview(name) or (self._gallery.list() and self._gallery.preview(name))
        if not preview:
            raise Refused(404, "there is no such preview")
        request.reply(preview, "image/jpeg", headers={"Cache-Control": "private, max-age=31536000, immutable"})

    def _delete(self, request: Request, name: str) -> None:
        self._done(request, "delete", file=name)

    def _log_in(self, request: Request, address: str) -> None:
        token = request.fields().get("token")
        if not isinstance(token, str) or not 0 < len(token) <= 200:
            raise Refused(400, "expected field: token")
        cookie = self._guard.session(token, address)
        if cookie is None:
            return request.reply({})
        rules = f"Path=/; Max-Age={SESSION_S}; HttpOnly; SameSite=Strict"
        request.reply({}, headers={"Set-Cookie": f"{COOKIE}={cookie}; {rules}"})

    def _log_out(self, request: Request) -> None:
        request.reply({}, headers={"Set-Cookie": f"{COOKIE}=; Path=/; Max-Age=0; HttpOnly; SameSite=Strict"})


def _file(text: str) -> str:
    """The name of a style's file. Raises Refused for anything that could be a path."""
    name = unquote(text)
    if not name.endswith(SUFFIX) or name.startswith(".") or "/" in name or not name.isprintable() or len(name) > 255:
        raise Refused(404, "there is no such style")
    return name
