"""status.json: what the daemon is doing, written once a second for `reconet status`."""

import os
import time
from pathlib import Path
from typing import Dict, List, Optional, Union

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, ValidationError
from typing_extensions import Annotated, Literal

from .. import __version__
from ..errors import Problem
from ..files import Pending, cannot_write

STALE_S = 5.0

# Names of files and messages of libraries end up on a terminal.
Line = Annotated[str, AfterValidator(lambda text: str(Problem(text)))]
Count = Annotated[int, Field(ge=0)]
Positive = Annotated[float, Field(ge=0, allow_inf_nan=False)]


class Status(BaseModel):
    """The state of the daemon at `time` (seconds since 1970, UTC).

    `format` is the version of this document. A field may be added without a new one; it goes up when the meaning of a
    field changes or a field goes away.
    `style`, `digest`, `plan`, `size` and `runtime` are None while no style runs; `digest` is that of its bundle.
    `measured_fps` is the rate that plan and size had when they were measured, `target_fps` the one that was wanted, and
    `why` says why they were chosen. `pinned` is what `reconet use` asked for: a style, or "newest". `slate` is what the
    screen says instead of the picture or over it. `camera` and `display` say what is in use, or what is wrong with it.
    `fps` is frames shown per second during the last five, `ms` the median milliseconds of each stage, in their order,
    `shown` the number of frames since the start, `dropped` the number of those that a live camera gave in vain,
    `longest_gap_ms` the longest time between two frames shown in the last minute. `brightness` is that of slates, `off`
    whether it was switched off. `config` says what is wrong with the configuration. `temperature` (degC), `clock_mhz`
    and `hot` are those of the Edge TPU. `refused` has a line for each refused bundle. `uptime` is in seconds.
    """

    # A daemon that is newer than the command which reads this may say more.
    model_config = ConfigDict(extra="ignore", frozen=True)

    format: Literal[1] = 1
    style: Optional[Line] = None
    digest: Optional[Line] = None
    plan: Optional[Line] = None
    size: Optional[Line] = None
    measured_fps: Optional[Positive] = None
    target_fps: Optional[Positive] = None
    why: Optional[Line] = None
    runtime: Optional[Line] = None
    pinned: Optional[Line] = None
    slate: Optional[Line] = None
    brightness: Annotated[float, Field(ge=0, le=1)] = 1.0
    off: bool = False
    camera: Optional[Line] = None
    display: Optional[Line] = None
    config: Optional[Line] = None
    fps: Positive = 0.0
    ms: Dict[Line, Positive] = {}
    shown: Count = 0
    dropped: Count = 0
    longest_gap_ms: Positive = 0.0
    temperature: Optional[Annotated[float, Field(allow_inf_nan=False)]] = None
    clock_mhz: Optional[Count] = None
    hot: bool = False
    refused: List[Line] = []
    uptime: Positive = 0.0
    pid: int = Field(default_factory=os.getpid, ge=1, le=1 << 22)
    version: Line = __version__
    time: float = Field(default_factory=time.time, ge=0, allow_inf_nan=False)


def write(path: Union[str, Path], status: Status) -> None:
    """Write the document: a reader sees it whole or the one before. Raises Problem when the place cannot be written."""
    pending = Pending(path)
    try:
        pending.path.write_text(status.model_dump_json(indent=1) + "\n", "utf-8")
        # Not `commit`: it waits for the disk, and nobody misses this file after a power cut.
        os.replace(str(pending.path), str(pending.target))
    except OSError as error:
        raise cannot_write(path, error) from error
    finally:
        pending.discard()


def read(path: Union[str, Path], now: Optional[float] = None) -> Status:
    """The document at `path`. `now`, in seconds since 1970, is the present by default.

    Raises Problem when there is none, when it is damaged, and when it is older than `STALE_S`.
    """
    try:
        data = Path(path).read_bytes()
    except (FileNotFoundError, NotADirectoryError):
        raise Problem(f"the daemon is not running (there is no {path}): systemctl start reconet") from None
    except OSError as error:
        why = (error.strerror or str(error)).lower()
        raise Problem(f"cannot read {path}: {why}: use sudo, or see host.status in the configuration") from error
    try:
        status = Status.model_validate_json(data)
    except ValidationError as error:
        first = error.errors(include_url=False)[0]
        where = ".".join(str(part)[:40] for part in first["loc"])
        raise Problem(
            f"{path} is damaged: {where + ': ' if where else ''}{first['msg'][:200]}: "
            "systemctl restart reconet writes a new one"
        ) from None
    # Either way: the clock of a board that has just booted may jump.
    age = abs((time.time() if now is None else now) - status.time)
    if age <= STALE_S:
        return status
    if _lives(status.pid):
        raise Problem(
            f"the daemon (process {status.pid}) has not written {path} for {age:.0f} s: "
            "journalctl -u reconet may say why; systemctl restart reconet"
        )
    raise Problem(
        f"the daemon is not running ({path} was left by process {status.pid}): "
        "journalctl -u reconet may say why; systemctl start reconet"
    )


def summary(status: Status) -> str:
    """The state in a few words, such as "starry_night 14.8 fps, TPU 61 degC"."""
    words = status.slate or (f"{status.style} {status.fps:.1f} fps" if status.style else "no style")
    if status.temperature is None:
        return words
    return f"{words}, TPU {status.temperature:.0f} degC" + (" (too hot)" if status.hot else "")


def lines(status: Status) -> List[str]:
    """The state for a terminal."""
    style = (status.style or "none") + (" (pinned)" if status.style and status.style == status.pinned else "")
    rows = [("style", ", ".join(filter(None, (style, status.runtime))))]
    if status.size:
        rows.append(("size", choice(status)))
    rows += [
        (
            "picture",
            f"{status.fps:.1f} fps, longest gap {status.longest_gap_ms:.0f} ms, {status.dropped} frames dropped",
        ),
    ]
    rows += [(name, text) for name, text in (("camera", status.camera), ("display", status.display)) if text]
    if status.ms:
        rows.append(("ms", ", ".join(f"{stage} {milliseconds:.2f}" for stage, milliseconds in status.ms.items())))
    rows.append(("TPU", _tpu(status)))
    if status.slate:
        rows.append(("screen", status.slate))
    rows += [("config", status.config)] if status.config else []
    rows += [("refused", reason) for reason in status.refused]
    rows.append(("daemon", f"{status.version}, process {status.pid}, up {_duration(status.uptime)}"))
    return [f"{name:<8} {text}" for name, text in rows]


def choice(status: Status) -> str:
    """Size and plan, and why: "640x360 by plan fused, measured at 41.2 fps of 30 wanted: configured"."""
    measured = f", measured at {status.measured_fps:.1f} fps" if status.measured_fps else ""
    wanted = f" of {status.target_fps:g} wanted" if measured and status.target_fps else ""
    return f"{status.size} by plan {status.plan}{measured}{wanted}" + (f": {status.why}" if status.why else "")


def _tpu(status: Status) -> str:
    if status.temperature is None:
        return "temperature unknown"
    return (
        f"{status.temperature:.1f} degC"
        + (f", {status.clock_mhz} MHz" if status.clock_mhz else "")
        + (", too hot: cool the board" if status.hot else "")
    )


def _duration(seconds: float) -> str:
    minutes, seconds = divmod(int(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    days, hours = divmod(hours, 24)
    return (f"{days} d " if days else "") + f"{hours}:{minutes:02}:{seconds:02}"


def _lives(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        pass
    return True
