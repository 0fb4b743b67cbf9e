"""Access control: the token, its sessions, and protection against requests that other sites make a browser send.

The styles' folder holds a hash (scrypt) of the token. A session is a cookie, signed with a key that changes with the
token. Without a token everyone who reaches the server is trusted, so it must then listen on this machine only.
"""

import hashlib
import hmac
import ipaddress
import secrets
import socket
import threading
import time
from collections import OrderedDict, deque
from http.cookies import CookieError, SimpleCookie
from pathlib import Path
from typing import Any, Deque, Optional, Sequence

from pydantic import BaseModel, ConfigDict, Field, ValidationError
from typing_extensions import Annotated, Literal

from ..errors import Problem
from ..files import read_small, replacing

NAME = ".web.json"
COOKIE = "reconet"
SESSION_S = 30 * 86400
_MOST_BYTES = 4 << 10
_COST = {"n": 1 << 14, "r": 8, "p": 1, "maxmem": 64 << 20}
_TRIES, _TRIES_OF_ALL, _MINUTE_S = 5, 30, 60.0
_MOST_ADDRESSES = 1000

Headers = Any  # what has `get`, as those of http.server
Hex = Annotated[str, Field(pattern=r"^[0-9a-f]{32,128}$")]


class Refused(Exception):
    """`status` is HTTP's, the text one line for the client. `wait`: seconds until another try may help."""

    def __init__(self, status: int, text: str, wait: int = 0):
        super().__init__(text)
        self.status, self.wait = status, wait


class Secret(BaseModel):
    """The file .web.json: the token's hash and its salt, and the key that signs sessions."""

    model_config = ConfigDict(extra="ignore", strict=True, frozen=True)

    version: Literal[1] = 1
    salt: Hex
    scrypt: Hex
    key: Hex


def set_token(folder: Path) -> str:
    """Make a new token and return it; only its hash is kept. Earlier sessions end. Raises Problem."""
    token, salt = secrets.token_urlsafe(18), secrets.token_bytes(16)
    secret = Secret(salt=salt.hex(), scrypt=_hash(token, salt), key=secrets.token_hex(32))
    with replacing(folder / NAME) as temporary:
        temporary.chmod(0o640)
        temporary.write_text(secret.model_dump_json(), "utf-8")
    return token


def remove_token(folder: Path) -> None:
    """Remove the token: nobody is asked for one from now on. Raises Problem."""
    try:
        (folder / NAME).unlink()
    except FileNotFoundError:
        pass
    except OSError as error:
        raise Problem(f"cannot remove {folder / NAME}: {(error.strerror or str(error)).lower()}") from error


def read(folder: Path) -> Optional[Secret]:
    """The stored secret; None when there is no token. Raises Problem."""
    path = folder / NAME
    try:
        return Secret.model_validate_json(read_small(path, _MOST_BYTES))
    except FileNotFoundError:
        return None
    except OSError as error:
        raise Problem(f"cannot read {path}: {(error.strerror or str(error)).lower()}") from error
    except ValidationError:
        raise Problem(f"{path} is damaged: sudo reconet web token makes a new one") from None


class Guard:
    """Checks requests against the current token in `folder`, and against the names in `hosts` of this machine.

    `everyone`: whether every client is trusted while there is no token.
    """

    def __init__(self, folder: Path, hosts: Sequence[str] = (), everyone: bool = False):
        self._folder, self._everyone = folder, everyone
        own = socket.gethostname().lower()
        self._hosts = {"localhost", own, own.split(".")[0] + ".local", *(host.lower() for host in hosts)}
        self._attempts = Attempts()
        self._hashing = threading.Lock()  # one at a time: each takes 16 MB
        self._known = b""  # a digest of the last token that was right, with the hash that it matched

    @property
    def asks(self) -> bool:
        """Whether there is a token."""
        return self._secret() is not None

    def check_host(self, host: Optional[str]) -> None:
        """Refuse a request for another host: a page there may have rebound its name to this address."""
        try:
            name = host_name(host or "")
            if name in self._hosts or ipaddress.ip_address(name):
                return
        except ValueError:
            pass
        raise Refused(421, "this name is not known here: use the address, or add the name to web.hosts")

    def check_origin(self, headers: Headers, changes: bool) -> None:
        """Refuse requests that a page of another site makes a browser send. `changes`: whether it changes anything.

        A change needs a header that no form can set and that browsers let no script of another site set.
        """
        site, origin, host = headers.get("Sec-Fetch-Site"), headers.get("Origin"), headers.get("Host")
        if site not in (None, "same-origin", "none") or origin not in (None, f"http://{host}", f"https://{host}"):
            raise Refused(403, "this request came from a page of another site")
        if changes and headers.get("X-Reconet") != "1":
            raise Refused(403, "a change needs the header X-Reconet: 1")

    def check_token(self, headers: Headers, address: str) -> None:
        """Refuse a client with neither a session nor the token."""
        secret = self._secret()
        if secret is None:
            return
        scheme, _, token = headers.get("Authorization", "").partition(" ")
        if scheme.lower() == "bearer" and token:
            self._check(secret, token.strip(), address)
        elif not _is_signed(_cookie(headers.get("Cookie", "")), secret):
            raise Refused(401, "a token is needed: reconet web token makes one")

    def session(self, token: str, address: str) -> Optional[str]:
        """The value of a session's cookie, in exchange for the token; None when there is no token. Raises Refused."""
        secret = self._secret()
        if secret is None:
            return None
        self._check(secret, token, address)
        until = str(int(time.time()) + SESSION_S)
        return f"{until}.{_signature(until, secret)}"

    def _secret(self) -> Optional[Secret]:
        try:
            secret = read(self._folder)
        except Problem as problem:
            raise Refused(503, str(problem)) from None
        if secret is None and not self._everyone:
            raise Refused(503, "the token was removed: sudo reconet web token makes one")
        return secret

    def _check(self, secret: Secret, token: str, address: str) -> None:
        digest = hashlib.sha256(f"{secret.scrypt} {token}".encode("utf-8", "replace")).digest()
        if hmac.compare_digest(digest, self._known):
            return
        self._attempts.take(address)
        with self._hashing:
            right = hmac.compare_digest(_hash(token, bytes.fromhex(secret.salt)), secret.scrypt)
        if not right:
            raise Refused(401, "this is not the token")
        self._known = digest
        self._attempts.forgive(address)


class Attempts:
    """How often wrong tokens may be tried: five times a minute from one address, thirty times from all."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._all: Deque[float] = deque()
        self._by_address: "OrderedDict[str, Deque[float]]" = OrderedDict()

    def take(self, address: str) -> None:
        """Count one attempt. Raises Refused when it is one too many."""
        now = time.monotonic()
        with self._lock:
            mine = self._by_address.setdefault(network(address), deque())
            self._by_address.move_to_end(network(address))
            while len(self._by_address) > _MOST_ADDRESSES:
                self._by_address.popitem(last=False)
            for times, most in ((mine, _TRIES), (self._all, _TRIES_OF_ALL)):
                while times and times[0] <= now - _MINUTE_S:
                    times.popleft()
                if len(times) >= most:
                    raise Refused(429, "too many wrong tokens: wait a minute", int(times[0] + _MINUTE_S - now) + 1)
            mine.append(now)
            self._all.append(now)

    def forgive(self, address: str) -> None:
        """The token was right: the attempt does not count."""
        with self._lock:
            self._by_address.pop(network(address), None)
            if self._all:
                self._all.pop()


def network(address: str) -> str:
    """What counts as one client: an IPv4 address, or the /64 of an IPv6 address."""
    try:
        ip = ipaddress.ip_address(address.split("%")[0])
    except ValueError:
        return address
    if isinstance(ip, ipaddress.IPv6Address) and not ip.ipv4_mapped:
        return str(ipaddress.ip_network(f"{ip}/64", strict=False))
    return str(ip)


def host_name(host: str) -> str:
    """The name in a Host header, without its port and brackets. Raises ValueError."""
    name, _, port = host.rpartition(":") if ":" in host and not host.endswith("]") else (host, "", "")
    if port and not port.isdecimal() or not name or name.startswith("[") != name.endswith("]"):
        raise ValueError("not a host")
    return name.strip("[]").lower()


def _hash(token: str, salt: bytes) -> str:
    return hashlib.scrypt(token.encode("utf-8", "replace"), salt=salt, **_COST).hex()


def _signature(until: str, secret: Secret) -> str:
    return hmac.new(bytes.fromhex(secret.key), until.encode(), hashlib.sha256).hexdigest()


def _is_signed(value: str, secret: Secret) -> bool:
    until, _, signature = value.partition(".")
    if not hmac.compare_digest(signature.encode(), _signature(until, secret).encode()):
        return False
    return int(until) > time.time()  # signed by us, so it is a number


def _cookie(header: str) -> str:
    try:
        return SimpleCookie(header)[COOKIE].value
    except (CookieError, KeyError):
        return ""
