"""The protocol of the daemon's socket: a line of JSON, followed by as many bytes as its "bytes" says.

A request names what to "do". The answer holds the result, or one line as "problem".
"""

import json
import socket
from pathlib import Path
from typing import Any, Dict, Union

from .errors import Problem

MOST_LINE = 4 << 10
MOST_BYTES = 64 << 20

Message = Dict[str, Any]
Stream = Any  # a socket's binary file, for both directions
_PATIENT_S = 90.0  # for an answer: longer than the trial of a style takes


class Broken(Exception):
    """The other end is gone, or does not follow the protocol."""


def path(status: Union[str, Path]) -> Path:
    """Where the socket is: beside the file with the daemon's status."""
    return Path(status).with_name("control")


def send(file: Stream, message: Message, payload: Any = b"") -> None:
    """Send a message with `payload`, an object with the buffer interface. Raises OSError."""
    size = memoryview(payload).nbytes
    file.write(json.dumps(dict(message, bytes=size) if size else message).encode() + b"\n")
    if size:
        file.write(payload)
    file.flush()


def receive(file: Stream) -> Message:
    """The next message. Its payload, `message["bytes"]` long, is still to be read. Raises Broken and OSError."""
    line = file.readline(MOST_LINE + 1)
    try:
        message = json.loads(line.decode()) if line.endswith(b"\n") else None
    except (ValueError, RecursionError):
        message = None
    if not isinstance(message, dict):
        raise Broken("not a message" if line else "closed")
    size = message.setdefault("bytes", 0)
    if isinstance(size, bool) or not isinstance(size, int) or not 0 <= size <= MOST_BYTES:
        raise Broken("not a size")
    return message


def exactly(file: Stream, size: int) -> bytes:
    """The next `size` bytes. Raises Broken when there are fewer."""
    data: bytes = file.read(size)
    if len(data) != size:
        raise Broken("closed")
    return data


class Line:
    """A connection to the daemon whose socket is at `path`. Raises Problem when there is none."""

    def __init__(self, path: Path):
        self._socket = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        self._socket.settimeout(_PATIENT_S)
        try:
            self._socket.connect(str(path))
        except OSError as error:
            self._socket.close()
            raise Problem(
                f"the daemon does not answer at {path} ({(error.strerror or str(error)).lower()}): "
                "systemctl status reconet says why"
            ) from error
        self._file = self._socket.makefile("rwb")

    def __enter__(self) -> "Line":
        return self

    def __exit__(self, *_: object) -> None:
        try:
            self._file.close()
        except OSError:
            pass
        self._socket.close()

    def ask(self, do: str, upload: Any = None, **details: Any) -> Message:
        """The daemon's answer to a request; a payload is in its "data". Raises Problem with the daemon's reason.

        `upload`: a file to send, from its beginning.
        """
        try:
            if upload:
                size = upload.seek(0, 2)
                upload.seek(0)
                send(self._file, dict(details, do=do, bytes=size))
                for piece in iter(lambda: upload.read(1 << 16), b""):
                    self._file.write(piece)
                self._file.flush()
            else:
                send(self._file, dict(details, do=do))
            answer = receive(self._file)
            if answer["bytes"]:
                answer["data"] = exactly(self._file, answer["bytes"])
        except (OSError, Broken) as error:
            raise Problem("the daemon has ended meanwhile: try again when it runs") from error
        if "problem" in answer:
            raise Problem(answer["problem"])
        return answer
