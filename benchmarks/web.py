"""What it costs that people watch the picture on the page. `make bench` runs it.

A picture of 640x360 is shown thirty times a second, by the daemon's own screen and socket, without camera and network.
`reconet web` is a process of its own; so are the viewers.
"""

import argparse
import os
import subprocess
import sys
import tempfile
import threading
import time
from pathlib import Path

import numpy as np

from appliance.display.announcer import Announcer
from appliance.display.none import NoMonitor
from appliance.frames import Frame
from appliance.window import Window

ROOT = Path(__file__).parents[1]
FPS, SIZE = 30, (640, 360)
VIEWER = """
import socket, sys
with socket.create_connection(("127.0.0.1", int(sys.argv[1]))) as connection:
    connection.sendall(b"GET /stream HTTP/1.1\\r\\nHost: localhost\\r\\n\\r\\n")
    while connection.recv(1 << 16): pass
"""


def main(argv=None) -> int:
    parser = argparse.ArgumentParser(prog="benchmarks.web", description=__doc__.split("\n")[0])
    parser.add_argument("--seconds", type=float, default=10.0)
    parser.add_argument("--viewers", type=int, default=10)
    parser.add_argument("--rounds", type=int, default=3)
    arguments = parser.parse_args(argv)
    with tempfile.TemporaryDirectory() as folder:
        measure(Path(folder), arguments)
    return 0


def measure(folder: Path, arguments: argparse.Namespace) -> None:
    (folder / "config.toml").write_text(f'[host]\nstatus = "{folder}/status.json"\n[style]\nfolder = "{folder}"\n')
    screen = Announcer(NoMonitor(SIZE))
    window = Window(folder / "control", screen, {})
    window.open()
    web = subprocess.Popen(
        [sys.executable, "-m", "appliance", "web", "--bind", "127.0.0.1:0", "--config", str(folder / "config.toml")],
        cwd=ROOT,
        stderr=subprocess.PIPE,
        text=True,
    )
    port = web.stderr.readline().strip().rstrip("/").rpartition(":")[2]
    print(f"{'viewers':>7}  {'fps':>6}  {'daemon, % of a core':>20}  {'reconet web, %':>15}")
    try:
        for _ in range(arguments.rounds):
            for viewers in (0, 1, arguments.viewers):
                crowd = [subprocess.Popen([sys.executable, "-c", VIEWER, port]) for _ in range(viewers)]
                show(screen, 2.0)
                own, other = time.process_time(), cpu(web.pid)
                fps = show(screen, arguments.seconds)
                shares = [100 * used / arguments.seconds for used in (time.process_time() - own, cpu(web.pid) - other)]
                print(f"{viewers:>7}  {fps:>6.2f}  {shares[0]:>20.2f}  {shares[1]:>15.2f}", flush=True)
                for one in crowd:
                    one.kill()
                    one.wait()
                show(screen, 1.0)
    finally:
        web.terminate()
        web.wait()
        window.close()


def show(screen: Announcer, seconds: float) -> float:
    """Show pictures for so long; returns frames per second."""
    noise = np.random.default_rng(0).integers(0, 255, (12, 20, 4), dtype=np.uint8)
    pictures = [np.kron(np.roll(noise, k, 1), np.ones((30, 32, 1), np.uint8)) for k in range(5)]
    start, shown, pause = time.monotonic(), 0, threading.Event()
    while time.monotonic() - start < seconds:
        screen.show(Frame(pictures[shown % 5].copy(), time.monotonic(), shown, "bgrx"))
        shown += 1
        pause.wait(max(0.0, start + shown / FPS - time.monotonic()))
    return shown / (time.monotonic() - start)


def cpu(pid: int) -> float:
    """Seconds of CPU time that a process has used."""
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


if __name__ == "__main__":
    sys.exit(main())
