"""The sections of the configuration: every key with its default, what it means, and what is allowed."""

from typing import Any, List, Optional, Tuple

from pydantic import Field, model_validator
from typing_extensions import Annotated, Literal

from .fields import KNOWN_KEY, Section, key, length, no_less, number
from .places import STATUS, STYLES

_TIME = r"([01]?[0-9]|2[0-3]):[0-5][0-9]"
_FILE = r"/[^\x00-\x1f\x7f]{1,200}"


KeyName = Annotated[str, KNOWN_KEY]


class Camera(Section):
    """Where the picture comes from."""

    device: str = key(
        "auto",
        "The capture device; auto takes the first one that works. csi: a Raspberry Pi's ribbon cable. virtual: "
        "photographs.",
        '"auto", "csi", "virtual" or a device, such as "/dev/video1"',
        pattern=rf"^(auto|csi|virtual|/dev{_FILE})$",
    )
    # Even, because YUYV pairs the pixels of a row, and pairs of rows are usually averaged.
    width: Annotated[int, no_less(160)] = length(
        160, 4096, "Width to ask the camera for, in pixels; 0 takes the size that suits the style best."
    )
    height: Annotated[int, no_less(120)] = length(120, 4096, "Height to ask the camera for, in pixels; 0 as for width.")
    fps: int = number(30, 1, 120, "Frames per second to ask the camera for.")
    mirror: bool = key(False, "Whether to swap left and right, as in a mirror.", "true or false")
    format: Literal["auto", "YUYV", "UYVY", "NV12", "YU12", "MJPG"] = key(
        "auto",
        "The format of the camera's pictures; auto takes the cheapest that is fast enough.",
        '"auto", "YUYV", "UYVY", "NV12", "YU12" or "MJPG"',
    )

    @model_validator(mode="after")
    def _both(self) -> "Camera":
        if bool(self.width) != bool(self.height):
            raise ValueError("width and height are needed together, or neither")
        return self


class Display(Section):
    """Where the picture goes."""

    connector: str = key(
        "auto",
        "The DRM connector; auto takes the first one with a monitor; none needs no monitor.",
        '"auto", "none" or a connector, such as "HDMI-A-1"',
        pattern=r"^(auto|none|[A-Za-z]{1,16}(-[A-Za-z]{1,2})?-[0-9]{1,3})$",
    )
    mode: str = key(
        "preferred",
        "The monitor's mode, in pixels; preferred is the one that the monitor asks for.",
        '"preferred" or a size, such as "1920x1080"',
        pattern=r"^(preferred|[1-9][0-9]{2,3}x[1-9][0-9]{2,3})$",
    )

    rotate: Literal[0, 90, 180, 270] = key(
        0, "Degrees to rotate the picture clockwise, for a monitor mounted on its side.", "0, 90, 180 or 270"
    )
    fit: Literal["contain", "cover"] = key(
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


class Style(Section):
    """Which style is shown."""

    name: str = key(
        "newest",
        "The style to show; newest shows each new file in the folder.",
        '"newest" or the name of a style: lower-case letters, digits and _',
        pattern=r"^[a-z0-9_]{1,64}$",
    )
    folder: str = key(
        str(STYLES),
        "The folder to watch for .reconet files.",
        "an absolute path of a folder",
        pattern=f"^{_FILE}$",
    )
    every: str = key(
        "off",
        "After how long it is the next style's turn, unless one is pinned.",
        '"off" or a time, such as "30 s", "10 min" or "2 h"',
        pattern=r"^(off|[1-9][0-9]{0,3} ?(s|min|h))$",
    )
    order: Literal["name", "shuffle"] = key(
        "name", "The order of turns: by the files' names, or shuffled.", '"name" or "shuffle"'
    )
    fade: float = key(
        1.0, "Seconds in which one style fades into the next; 0 is at once.", "a number from 0 to 5", ge=0, le=5
    )
    quiet: str = key(
        "off",
        "Hours of each day, local time, in which the screen is black.",
        '"off" or two times, such as "23:00-7:00"',
        pattern=rf"^(off|{_TIME}-{_TIME})$",
    )

    @property
    def seconds(self) -> Optional[int]:
        """The length of a turn; None without turns."""
        if self.every == "off":
            return None
        number = self.every.rstrip(" sminh")
        return int(number) * {"s": 1, "min": 60, "h": 3600}[self.every[len(number) :].strip()]

    @property
    def hours(self) -> Optional[Tuple[int, int]]:
        """When the quiet hours begin and end, in minutes after midnight; None without them."""
        if self.quiet == "off":
            return None
        begin, end = (60 * int(hour) + int(minute) for hour, minute in (t.split(":") for t in self.quiet.split("-")))
        return begin, end


class Engine(Section):
    """How the style is computed."""

    plan: str = key(
        "auto",
        "The plan of the style; auto takes what was measured to be best here.",
        '"auto" or the name of a plan: lower-case letters, digits and _',
        pattern=r"^[a-z0-9_]{1,64}$",
    )
    size: str = key(
        "auto",
        "The size of the picture in pixels; auto takes the largest that was measured to hold target_fps here.",
        '"auto" or a size, such as "640x360"',
        pattern=r"^(auto|[1-9][0-9]{1,3}x[1-9][0-9]{1,3})$",
    )
    target_fps: int = number(0, 0, 120, "Frames per second that the size is chosen for; 0 is camera.fps.")
    runtime: Literal["auto", "pycoral", "libedgetpu", "tflite_runtime", "ai_edge_litert"] = key(
        "auto",
        "The TensorFlow Lite runtime; auto takes the fastest one installed.",
        '"auto", "pycoral", "libedgetpu", "tflite_runtime" or "ai_edge_litert"',
    )
    device: str = key(
        "auto",
        "The Edge TPU; auto takes the first one. usb is a stick, pci a card. Of several, the first is number 0.",
        '"auto", "usb", "pci", or one of several, such as "usb:0"',
        pattern=r"^(auto|(usb|pci)(:[0-9])?)$",
    )
    threads: int = number(0, 0, 64, "CPU threads; 0 is one per CPU.")
    tpu_missing: Literal["cpu", "slate"] = key(
        "cpu",
        "Without an Edge TPU: cpu runs compiled styles on the CPU, slowly; slate says so on the screen and waits.",
        '"cpu" or "slate"',
    )
    stillness: float = key(
        0.75,
        "The share of the last picture that is kept where nothing moves; 0 turns stillness off.",
        "a number from 0 to 1",
        ge=0,
        le=1,
    )


def _one_key(default: str, what: str) -> Any:
    return key(
        default,
        f"The key that {what}.",
        '"off", a key such as "right", "f1", "nextsong" or "btn_0", or the number of a key',
        pattern=r"^[a-z0-9_]{1,16}$",
    )


class Keys(Section):
    """Keys of a keyboard or a remote."""

    device: str = key(
        "off",
        "The input device; auto takes all there are.",
        '"off", "auto" or a device, such as "/dev/input/event0"',
        pattern=rf"^(off|auto|/dev/input{_FILE})$",
    )
    next: KeyName = _one_key("right", "shows the next style")
    previous: KeyName = _one_key("left", "shows the previous style")
    pin: KeyName = _one_key("enter", "pins the style that is shown, or unpins it")
    power: KeyName = _one_key("space", "switches the picture off and on")


def _one_button(what: str) -> Any:
    return key(
        "off",
        f"The GPIO line of the button that {what}.",
        '"off", or a chip and a line, such as "gpiochip0:17"',
        pattern=r"^(off|gpiochip[0-9]{1,4}:[0-9]{1,4})$",
    )


class Buttons(Section):
    """Buttons between a GPIO line and ground."""

    next: str = _one_button("shows the next style")
    previous: str = _one_button("shows the previous style")
    pin: str = _one_button("pins the style that is shown, or unpins it")
    power: str = _one_button("switches the picture off and on")


class Host(Section):
    """How the daemon reports to the system."""

    status: str = key(
        str(STATUS),
        "The file that reconet status reads, written once a second.",
        "an absolute path of a file",
        pattern=f"^{_FILE}$",
    )
    watchdog: bool = key(
        True, "Whether to report frames to systemd, which restarts the daemon when they stop.", "true or false"
    )


HostName = Annotated[str, Field(pattern=r"^[A-Za-z0-9]([A-Za-z0-9.-]{0,251}[A-Za-z0-9])?$")]


class Web(Section):
    """The page that reconet-web.service serves."""

    enabled: bool = key(
        False,
        "Whether to start reconet-web.service with the daemon; systemctl enable reconet-web does so too.",
        "true or false",
    )
    bind: str = key(
        "127.0.0.1:8080",
        "Address and port to listen at. Beyond this machine, as at 0.0.0.0:8080, a token is needed.",
        'an address and a port, such as "127.0.0.1:8080" or "[::]:8080"',
        pattern=r"^([0-9.]{7,15}|\[[0-9A-Fa-f:.]{2,45}\]|localhost):[0-9]{1,5}$",
    )
    hosts: List[HostName] = key(
        [],
        "Names by which browsers may call this machine, besides its own, NAME.local and its addresses.",
        'a list of names, such as ["wall.example.org"]',
        max_length=16,
    )
    fps: int = number(10, 1, 30, "Frames per second of the picture on the page.")


class Mqtt(Section):
    """The broker that Home Assistant uses. reconet-web.service talks to it."""

    broker: str = key(
        "off",
        "The broker's name or address, and its port if it is not 1883.",
        '"off" or a broker, such as "homeassistant.local" or "192.168.1.5:1884"',
        pattern=r"^(off|[A-Za-z0-9]([A-Za-z0-9.-]{0,251}[A-Za-z0-9])?(:[0-9]{1,5})?|\[[0-9A-Fa-f:.]{2,45}\](:[0-9]{1,5})?)$",
    )
    user: str = key("", "The user's name at the broker.", "a name, or nothing", pattern=r"^[ -~]{0,100}$")
    password_file: str = key(
        "",
        "A file with the password, which the group reconet may read.",
        "an absolute path of a file, or nothing",
        pattern=f"^({_FILE})?$",
    )

    @property
    def place(self) -> Optional[Tuple[str, int]]:
        """Host and port of the broker; None without one."""
        if self.broker == "off":
            return None
        host, _, port = self.broker.rpartition(":") if not self.broker.endswith("]") else (self.broker, "", "")
        return (host.strip("[]"), int(port)) if host and port.isdecimal() else (self.broker.strip("[]"), 1883)


class Settings(Section):
    """The whole file, one section each."""

    camera: Camera = Camera()
    display: Display = Display()
    style: Style = Style()
    engine: Engine = Engine()
    keys: Keys = Keys()
    buttons: Buttons = Buttons()
    host: Host = Host()
    web: Web = Web()
    mqtt: Mqtt = Mqtt()
