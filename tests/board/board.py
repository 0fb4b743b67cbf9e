"""The board as a whole: a guest with the appliance in it, and what it should show."""

import itertools
import json
from pathlib import Path
from typing import Dict, List, Optional

import numpy as np

from appliance.camera.sizes import choose_size
from appliance.style.bundle import Bundle, read, write

from . import expected, qemu
from .build import Image
from .debian import ROOT
from .guest import ACT, BOOT, Guest, wait_for

FOLDER = "/var/lib/reconet"
STATUS = "/run/reconet/status.json"
DROP_IN = "/run/systemd/system/reconet.service.d/test.conf"
SOAK = "board-soak@{}"  # the unit in overlay/, for so many seconds
SQUARES, BARS = 4, 1  # two of vivid's test patterns
STYLE = ROOT / "tests/data/tiny_yuv.reconet"
# Different exposures before the same networks make styles that can be distinguished on the screen.
STYLES = {"plain": {"mean": 0.45, "std": 0.25}, "bright": {"mean": 0.9, "std": 0.1}}
_VIVID = "/sys/bus/platform/drivers/vivid"
_RAW = "/root/picture.yuyv"


def small_styles(folder: Path) -> List[Path]:
    """Styles for emulated boards, which take seconds for a frame of full size."""
    bundle = read(STYLE)
    made = []
    for name, exposure in STYLES.items():
        manifest = bundle.manifest.model_dump(exclude_none=True)
        manifest.update(name=name, title=f"The {name} one", input={**manifest["input"], "exposure": exposure})
        made.append(write(folder / f"{name}.reconet", manifest, bundle.files).path)
    return made


class Board(Guest):
    """`styles`: the small styles in its folder, by name, oldest first."""

    def __init__(self, folder: Path, image: Image, styles: List[Path], aside: bool = False):
        super().__init__(folder, image, aside)
        self.files = {path.stem: path.read_bytes() for path in styles}
        self.styles: Dict[str, Bundle] = {path.stem: read(path) for path in styles}
        self._pictures: Dict[tuple, np.ndarray] = {}

    # Status and journal

    def status(self) -> Optional[dict]:
        """The status file, or None when there is none; `reconet status` takes seconds here."""
        found = self.run(f"cat {STATUS}", check=False)
        return json.loads(found.out) if found.code == 0 and found.out else None

    def pid(self) -> int:
        """The daemon's process id; 0 while there is none."""
        return int(self.run("systemctl show --value --property MainPID reconet").out)

    def clock(self) -> float:
        """Seconds from power-on, on the guest's own clock."""
        return float(self.run("cat /proc/uptime").out.split()[0])

    def now(self) -> str:
        """The journal's present end, as a cursor."""
        mark = "systemd-cat --identifier=board echo here && journalctl --sync && "
        return self.run(mark + "journalctl --quiet --lines 0 --show-cursor").out.rpartition("-- cursor: ")[2].strip()

    def journal(self, after: str = "", unit: str = "reconet") -> List[str]:
        """The lines of the service, and of systemd about it, after that cursor."""
        return [str(entry["MESSAGE"]) for entry in self._entries(after, unit)]

    def _entries(self, after: str, unit: str = "reconet") -> List[dict]:
        # Not --after-cursor, which also skips the first line of the unit when the cursor is another's.
        since = f"--cursor '{after}'" if after else "--boot"
        lines = self.run(f"journalctl --quiet --unit {unit} --output json {since}").out.splitlines()
        return [json.loads(line) for line in lines]

    def logged(self, words: str, after: str = "") -> str:
        """Wait for a line with these words in the journal, after that cursor."""
        return str(self._logged(words, after)["MESSAGE"])

    def logged_at(self, words: str, after: str = "") -> float:
        """When that line was logged, on the guest's clock."""
        return int(self._logged(words, after)["__MONOTONIC_TIMESTAMP"]) / 1e6

    def _logged(self, words: str, after: str) -> dict:
        def look():
            return next((entry for entry in self._entries(after) if words in str(entry["MESSAGE"])), None)

        return wait_for(look, lambda: f"{words!r} in the journal: {self.journal(after)}")

    # The screen

    def learn(self) -> None:
        """Take both test patterns from the camera, which has to be free, and stylise them on this machine."""
        if self._pictures:
            return
        offered = expected.offers(self.run("v4l2-ctl -d /dev/video0 --list-formats-ext").out)
        for pattern, (name, bundle) in itertools.product((BARS, SQUARES), self.styles.items()):
            width, height = choose_size(offered, (bundle.manifest.input.width, bundle.manifest.input.height))
            self.run(
                f"v4l2-ctl -d /dev/video0 -c test_pattern={pattern} && rm -f {_RAW} && "
                f"v4l2-ctl -d /dev/video0 --set-fmt-video=width={width},height={height},pixelformat=YUYV "
                f"--stream-mmap --stream-count=1 --stream-to={_RAW}"
            )
            yuyv = np.frombuffer(self.get(_RAW), np.uint8).reshape(height, width, 2)
            self._pictures[name, pattern] = expected.enlarged(expected.stylised(bundle, yuyv))

    def likeness(self, style: str, pattern: int, screen: Optional[np.ndarray] = None, part: float = 1.0) -> float:
        """The PSNR, in dB, of the upper `part` of the screen to that test pattern in that style."""
        picture = self._pictures[style, pattern]
        screen = self.screen() if screen is None else screen
        rows = round(part * len(picture))
        return expected.likeness(expected.picture_on(screen, picture)[:rows], picture[:rows])

    def film(self, pattern: int) -> None:
        """Point the camera at another test pattern."""
        self.run(f"v4l2-ctl -d /dev/video0 -c test_pattern={pattern}")

    def shows(self, style: str, seconds: float = ACT) -> None:
        """Wait until the screen shows both test patterns in that style: it follows the camera."""
        for pattern in (BARS, SQUARES):
            self.film(pattern)
            self._wait_for_picture(style, pattern, seconds)
        status = wait_for(self.status, "a status")
        assert (status["style"], status["slate"]) == (style, None), status

    def _wait_for_picture(self, style: str, pattern: int, seconds: float) -> None:
        wait_for(
            lambda: self.likeness(style, pattern) > expected.ALIKE,
            lambda: f"pattern {pattern} in style {style}: {self.likeness(style, pattern):.1f} dB, {self.status()}",
            seconds,
        )

    def says(self, words: str, seconds: float = ACT) -> str:
        """Wait for a slate with these words, in the status and on the screen. Returns its whole text."""

        def look():
            slate = (self.status() or {}).get("slate") or ""
            title, _, text = slate.partition(": ")
            likeness = expected.likeness(self.screen(), expected.slate_of(title, text))
            return words in slate and likeness > expected.SAID and slate

        return wait_for(look, lambda: f"a slate with {words!r}: {self.status()}", seconds)

    # Actions

    def wait_until_running(self, seconds: float = BOOT) -> dict:
        """Wait for a picture, by the status alone."""

        def look():
            status = self.status()
            return status and status["style"] and status["fps"] > 0 and not status["slate"] and status

        return wait_for(look, lambda: f"a running style: {self.status()}", seconds)

    def drop(self, name: str) -> None:
        """Put a style into the folder as `mdt push` does: as mendel, writing to the file itself."""
        self.run(f"runuser -u mendel -- sh -c 'cat > {FOLDER}/{name}.reconet'", data=self.files[name])

    def restore(self) -> None:
        """Put the small styles back as they were installed."""
        for name, data in self.files.items():
            self.run(
                f"cd {FOLDER} && install -o mendel -g reconet -m 664 /dev/stdin .restored && "
                f"mv .restored {name}.reconet",
                data=data,
            )

    def unplug(self) -> None:
        """Unplug the camera while it is in use."""
        self.run(f"echo vivid.0 > {_VIVID}/unbind")

    def plug(self) -> None:
        self.run(f"echo vivid.0 > {_VIVID}/bind")

    def override(self, text: str) -> None:
        """Add settings to the unit until the next boot; "" removes them."""
        self.run(
            f"mkdir -p $(dirname {DROP_IN}) && cat > {DROP_IN} && systemctl daemon-reload",
            data=f"[Service]\n{text}\n".encode(),
        )

    def renew(self) -> None:
        """Cut the power and put in a new disk."""
        self.power_cut()
        (self.folder / "disk.qcow2").unlink()

    def settle(self) -> None:
        """Make it run and show a picture; from a new disk, if nothing else helps."""
        if qemu.pid(self.folder):
            try:
                self.wait_until_running(ACT)
                return
            except AssertionError:
                self.renew()
        self.boot()
        self.wait_until_running()
        self.run("systemctl stop reconet")
        self.learn()
        self.run("systemctl start reconet")
        self.wait_until_running()
