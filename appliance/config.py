"""The settings: /etc/reconet/config.toml, where every key is optional."""

import importlib
import json
import textwrap
from pathlib import Path
from typing import Any, List, Optional, Tuple, Union

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, ValidationError
from typing_extensions import Annotated, Literal

from .errors import Problem
from .places import CONFIG, STATUS, STYLES

PATH = CONFIG
# Four times a file that explains every key. TOML parsers take time and memory quadratic in the length of a dotted key.
MAX_BYTES = 8 << 10

_FILE = r"/[^\x00-\x1f\x7f]{1,200}"
_HEADER = """\
# ReCoNet on the Edge TPU. Every key is optional; the values here are the defaults.
# After a change: systemctl reload reconet
"""


def _key(default: Any, description: str, allowed: str, **bounds: Any) -> Any:
    return Field(default, description=description, json_schema_extra={"allowed": allowed}, **bounds)


def _number(default: int, low: int, high: int, description: str) -> Any:
    return _key(default, description, f"a whole number from {low} to {high}", ge=low, le=high)


def _length(low: int, high: int, description: str) -> Any:
    return _key(0, description, f"0, or an even number from {low} to {high}", ge=0, le=high, multiple_of=2)


def _no_less(low: int) -> AfterValidator:
    """Refuses numbers from 1 to `low` - 1."""

    def check(value: int) -> int:
        if 0 < value < low:
            raise ValueError(f"less than {low}")
        return value

    return AfterValidator(check)


class _Section(BaseModel):
    model_config = ConfigDict(extra="forbid", strict=True, frozen=True)


class Camera(_Section):
    """Where the picture comes from."""

    device: str = _key(
        "auto",
        "The capture device; auto takes the first one that works. csi: a Raspberry Pi's ribbon cable. virtual: "
        "photographs.",
        '"auto", "csi", "virtual" or a device, such as "/dev/video1"',
        pattern=rf"^(auto|csi|virtual|/dev{_FILE})$",
    )
    # Even, because YUYV pairs the pixels of a row, and pairs of rows are usually averaged.
    width: Annotated[int, _no_less(160)] = _length(
        160, 4096, "Width to ask the camera for, in pixels; 0 takes the size that suits the style best."
    )
    height: Annotated[int, _no_less(120)] = _length(
        120, 4096, "Height to ask the camera for, in pixels; 0 as for width."
    )
    fps: int = _number(30, 1, 120, "Frames per second to ask the camera for.")
    mirror: bool = _key(False, "Whether to swap left and right, as in a mirror.", "true or false")
    format: Literal["auto", "YUYV", "UYVY", "NV12", "YU12", "MJPG"] = _key(
        "auto",
        "The format of the camera's pictures; auto takes the cheapest that is fast enough.",
        '"auto", "YUYV", "UYVY", "NV12", "YU12" or "MJPG"',
    )


class Display(_Section):
    """Where the picture goes."""

    connector: str = _key(
        "auto",
        "The DRM connector; auto takes the first one with a monitor; none needs no monitor.",
        '"auto", "none" or a connector, such as "HDMI-A-1"',
        pattern=r"^(auto|none|[A-Za-z]{1,16}(-[A-Za-z]{1,2})?-[0-9]{1,3})$",
    )
    mode: str = _key(
        "preferred",
        "The monitor's mode, in pixels; preferred is the one that the monitor asks for.",
        '"preferred" or a size, such as "1920x1080"',
        pattern=r"^(preferred|[1-9][0-9]{2,3}x[1-9][0-9]{2,3})$",
    )

    rotate: Literal[0, 90, 180, 270] = _key(
        0, "Degrees to rotate the picture clockwise, for a monitor mounted on its side.", "0, 90, 180 or 270"
    )
    fit: Literal["contain", "cover"] = _key(
        "contain",
        "When picture and monitor differ in shape: contain adds bars; cover fills the monitor and crops the picture.",
        '"contain" or "cover"',
    )

    @property
    def size(self) -> Optional[Tuple[int, int]]:
        """(width, height) in pixels of `mode`; None for the preferred one."""
        if self.mode == "preferred":
            return None
        width, height = self.mode.split("x")
        return int(width), int(height)


class Style(_Section):
    """Which style is shown."""

    name: str = _key(
        "newest",
        "The style to show; newest shows each new file in the folder.",
        '"newest" or the name of a style: lower-case letters, digits and _',
        pattern=r"^[a-z0-9_]{1,64}$",
    )
    folder: str = _key(
        str(STYLES),
        "The folder to watch for .reconet files.",
        "an absolute path of a folder",
        pattern=f"^{_FILE}$",
    )


class Engine(_Section):
    """How the style is computed."""

    plan: str = _key(
        "auto",
        "The plan of the style; auto takes what was measured to be best here.",
        '"auto" or the name of a plan: lower-case letters, digits and _',
        pattern=r"^[a-z0-9_]{1,64}$",
    )
    size: str = _key(
        "auto",
        "The size of the picture in pixels; auto takes the largest that was measured to hold target_fps here.",
        '"auto" or a size, such as "640x360"',
        pattern=r"^(auto|[1-9][0-9]{1,3}x[1-9][0-9]{1,3})$",
    )
    target_fps: int = _number(0, 0, 120, "Frames per second that the size is chosen for; 0 is camera.fps.")
    runtime: Literal["auto", "pycoral", "libedgetpu", "tflite_runtime", "ai_edge_litert"] = _key(
        "auto",
        "The TensorFlow Lite runtime; auto takes the fastest one installed.",
        '"auto", "pycoral", "libedgetpu", "tflite_runtime" or "ai_edge_litert"',
    )
    threads: int = _number(0, 0, 64, "CPU threads; 0 is one per CPU.")
    tpu_missing: Literal["cpu", "slate"] = _key(
        "cpu",
        "Without an Edge TPU: cpu runs compiled styles on the CPU, slowly; slate says so on the screen and waits.",
        '"cpu" or "slate"',
    )
    stillness: float = _key(
        0.75,
        "The share of the last picture that is kept where nothing moves; 0 turns stillness off.",
        "a number from 0 to 1",
        ge=0,
        le=1,
    )


class Host(_Section):
    """How the daemon reports to the system."""

    status: str = _key(
        str(STATUS),
        "The file that reconet status reads, written once a second.",
        "an absolute path of a file",
        pattern=f"^{_FILE}$",
    )
    watchdog: bool = _key(
        True, "Whether to report frames to systemd, which restarts the daemon when they stop.", "true or false"
    )


HostName = Annotated[str, Field(pattern=r"^[A-Za-z0-9]([A-Za-z0-9.-]{0,251}[A-Za-z0-9])?$")]


class Web(_Section):
    """The page that reconet-web.service serves, when it is enabled."""

    bind: str = _key(
        "127.0.0.1:8080",
        "Address and port to listen at. Beyond this machine, as at 0.0.0.0:8080, a token is needed.",
        'an address and a port, such as "127.0.0.1:8080" or "[::]:8080"',
        pattern=r"^([0-9.]{7,15}|\[[0-9A-Fa-f:.]{2,45}\]|localhost):[0-9]{1,5}$",
    )
    hosts: List[HostName] = _key(
        [],
        "Names by which browsers may call this machine, besides its own, NAME.local and its addresses.",
        'a list of names, such as ["wall.example.org"]',
        max_length=16,
    )
    fps: int = _number(10, 1, 30, "Frames per second of the picture on the page.")


class Settings(_Section):
    """The whole file, one section each."""

    camera: Camera = Camera()
    display: Display = Display()
    style: Style = Style()
    engine: Engine = Engine()
    host: Host = Host()
    web: Web = Web()


def load(path: Union[str, Path] = PATH) -> Settings:
    """The settings in the file at `path`. Only PATH may be missing: the defaults then apply.

    Raises Problem: one line with file, key, value and what is allowed.
    """
    try:
        with open(str(path), "rb") as file:
            data = file.read(MAX_BYTES + 1)
    except FileNotFoundError:
        if Path(path) == PATH:
            return Settings()
        raise Problem(f"cannot read {path}: no such file: check the path after --config") from None
    except OSError as error:
        raise Problem(
            f"cannot read {path}: {(error.strerror or str(error)).lower()}: "
            "make it a file that this user may read, or remove it to take the defaults"
        ) from error
    if len(data) > MAX_BYTES:
        raise Problem(f"{path}: longer than {MAX_BYTES} bytes: shorten its comments, or remove it to take the defaults")
    toml = _parser(path)
    try:
        fields = toml.loads(data.decode("utf-8"))
    except (ValueError, RecursionError) as error:
        raise Problem(
            f"{path}: not valid TOML: {str(error)[:200]}: fix it, or remove it to take the defaults"
        ) from error
    try:
        return Settings.model_validate(fields)
    except ValidationError as error:
        raise Problem(f"{path}: {_fault(error.errors(include_url=False)[0])}") from None


def defaults_as_toml() -> str:
    """The text of a configuration file with every key at its default, explained in comments."""
    lines = [_HEADER]
    for section, model in _sections():
        lines += [f"# {model.__doc__}", f"[{section}]"]
        for key, field in model.model_fields.items():
            comment = f"{field.description} Allowed: {_allowed(field)}."
            lines += textwrap.wrap(comment, 100, initial_indent="# ", subsequent_indent="# ")
            lines += [f"{key} = {_toml(field.default)}", ""]
    return "\n".join(lines)


def _sections() -> List[Tuple[str, Any]]:
    return [(name, field.annotation) for name, field in Settings.model_fields.items()]


def _allowed(field: Any) -> str:
    return str(field.json_schema_extra["allowed"])


def _parser(path: Union[str, Path]) -> Any:
    for name in ("tomllib", "tomli"):
        try:
            return importlib.import_module(name)
        except ImportError:
            continue
    raise Problem(f"cannot read {path}: this Python has no TOML parser: pip install tomli")


def _toml(value: Any) -> str:
    return json.dumps(value, ensure_ascii=False, default=str)


def _fault(error: Any) -> str:
    """What a pydantic error means: key, value, and what is allowed."""
    sections = dict(_sections())
    where, value = ".".join(str(part)[:60] for part in error["loc"]), _shown(error["input"])
    section, key = (error["loc"] + (None,))[:2]
    if section not in sections:
        return f"{where} = {value}: unknown section: allowed are " + ", ".join(f"[{name}]" for name in sections)
    fields = sections[section].model_fields
    if key is None:
        return f"{where} = {value}: allowed is a section [{section}] with " + ", ".join(fields)
    if key not in fields:
        return f"{where} = {value}: unknown key: allowed in [{section}] are " + ", ".join(fields)
    return f"{where} = {value}: allowed is {_allowed(fields[key])}"


def _shown(value: Any) -> str:
    try:
        text = _toml(value)
    except (ValueError, RecursionError):  # a number of thousands of digits, deeply nested tables
        return "..."
    return text if len(text) <= 60 else text[:60] + "..."
