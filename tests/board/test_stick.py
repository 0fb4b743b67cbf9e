"""An Edge TPU on USB that is pulled while it computes, and plugged in again.

Not a real one: the kernel's files about it are made by hand, and libedgetpu is a stand-in that calls abort() when they
are gone, as libedgetpu does. systemd, the daemon, its confinement and the interpreter are real.
"""

import subprocess

from appliance.engine import devices
from appliance.style import bundle

from .board import BARS, FOLDER, SQUARES
from .debian import ROOT
from .guest import BOOT, wait_for

_SYSFS, _NODE = "/run/usb/2-1", "/dev/bus/usb/002/004"
_MODULE = "/usr/lib/reconet/appliance/engine/devices.py"
_LIBRARY = "/usr/lib/aarch64-linux-gnu/libedgetpu.so.1"
_FIELDS = {"idVendor": "18d1", "idProduct": "9302", "busnum": 2, "devnum": 4, "speed": 5000}


def _plug(board):
    files = "; ".join(f"echo {value} > {_SYSFS}/{name}" for name, value in _FIELDS.items())
    board.run(f"mkdir -p {_SYSFS} $(dirname {_NODE}); touch {_NODE}; chmod 666 {_NODE}; {files}")


def _pull(board):
    board.run(f"rm -rf {_SYSFS} {_NODE}")


def _stand_in(folder):
    library = folder / "libedgetpu.so.1"
    source = ROOT / "tests/appliance/stand_in_delegate.c"
    subprocess.run(["aarch64-linux-gnu-gcc", "-O1", "-shared", "-fPIC", "-o", library, source], check=True)
    return library.read_bytes()


def _style(folder):
    """A small style whose only plan is compiled, and its networks for the CPU."""
    tiny = bundle.read(ROOT / "tests/data/tiny.reconet")
    fields = tiny.manifest.model_dump(exclude_none=True, exclude={"files"})
    fields.update(name="stick", plans=[{"name": "fused", "stages": [{"segment": "fused.tflite", "edgetpu": "tpu"}]}])
    files = {name: tiny.files[name] for name in ("fused.tflite", "preview.jpg")}
    files["tpu"] = (ROOT / "tests/data/custom_op.tflite").read_bytes()
    return bundle.write(folder / "stick.reconet", fields, files).path.read_bytes()


def _runs_on(board, device):
    def look():
        status = board.status()
        runs = status and status["style"] == "stick" and device in status["runtime"]
        return runs and status["fps"] and not status["slate"] and status

    return wait_for(look, lambda: f"stick on {device}: {board.status()} {board.journal()[-5:]}", BOOT)


def _follows_the_camera(board):
    """From squares, which it films now, to bars and back; without the lower part, where the title comes and goes."""
    squares = board.screen()[:360].astype(int)
    for pattern in (BARS, SQUARES):
        board.film(pattern)
        wait_for(
            lambda pattern=pattern: (abs(board.screen()[:360] - squares).mean() > 5) == (pattern == BARS),
            f"pattern {pattern}",
        )


def test_pulled_and_plugged_in_again(board, tmp_path):
    text = (ROOT / "appliance/engine/devices.py").read_text()
    board.put(text.replace(str(devices.USB), "/run/usb").encode(), "/run/devices.py")
    board.put(_stand_in(tmp_path), _LIBRARY)
    board.film(SQUARES)
    try:
        _plug(board)
        board.run(f"systemctl stop reconet; ldconfig; mount --bind /run/devices.py {_MODULE}", BOOT)
        board.override(f"Environment=STAND_IN_EDGETPU=pulled:{_NODE}")
        board.put(_style(tmp_path), f"{FOLDER}/stick.reconet")
        board.run("systemctl start reconet", BOOT)
        _runs_on(board, "TPU")
        pid, since = board.pid(), board.now()
        _pull(board)
        wait_for(lambda: board.pid() not in (0, pid), "another process", BOOT)
        assert "CPU" in _runs_on(board, "CPU")["runtime"]
        board.logged("USB transfer error", since)
        board.logged("status=6/ABRT", since)
        _follows_the_camera(board)
        pid = board.pid()
        _plug(board)
        _runs_on(board, "TPU")
        assert board.pid() == pid
    finally:
        board.override("")
        board.run(
            f"rm -f {FOLDER}/stick.reconet {_LIBRARY}; ldconfig; umount {_MODULE}; systemctl restart reconet", BOOT
        )
        _pull(board)
    board.shows(board.wait_until_running()["style"])
