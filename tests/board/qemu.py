"""A QEMU that emulates the board, in a folder of its own: any process can start, watch and end it."""

import contextlib
import json
import os
import re
import signal
import socket
import subprocess
import time
from pathlib import Path
from typing import Optional

from .build import Image

# The board's own core; -cpu max is three times as slow.
MACHINE = "-M virt,gic-version=3 -cpu cortex-a53 -m 1024 -accel tcg,thread=multi".split()
# With kernel page table isolation, which the board's own core does not need, each system call flushes the emulated TLB:
# a boot takes half as long again. The other mitigations only cost time here.
KERNEL = "root=/dev/vda rw quiet console=ttyAMA0 loglevel=1 systemd.show_status=false kpti=off mitigations=off"
SCREEN = (1280, 720)
NICE = 5


def start(folder: Path, image: Image, kernel: str = "", share: Optional[Path] = None, aside: bool = False) -> None:
    """Power on. The disk keeps what an earlier guest in this folder wrote to it.

    A machine `aside` has one processor instead of two, and other machines go first.
    """
    folder.mkdir(parents=True, exist_ok=True)
    disk = folder / "disk.qcow2"
    if not disk.exists():
        subprocess.run(
            ["qemu-img", "create", "-q", "-f", "qcow2", "-F", "raw", "-b", str(image.disk), str(disk)], check=True
        )
    for name in ("control", "qmp", "pid"):
        (folder / name).unlink(missing_ok=True)
    devices = [
        "virtio-blk-pci,drive=disk",
        f"virtio-gpu-pci,xres={SCREEN[0]},yres={SCREEN[1]}",
        "virtio-rng-pci",
        "virtio-net-pci,netdev=net,romfile=",
        "virtio-serial-pci",
        "virtserialport,chardev=control,name=control",
    ]
    command = [
        *(["nice", "-n", str(NICE)] if aside else []),
        "qemu-system-aarch64",
        *MACHINE,
        "-smp",
        "1" if aside else "2",
        "-kernel",
        str(image.kernel),
        "-initrd",
        str(image.initrd),
        "-append",
        f"{KERNEL} {kernel}",
        "-nodefaults",
        "-no-user-config",
        "-display",
        "none",
        "-drive",
        f"if=none,id=disk,format=qcow2,file={disk}",
        "-chardev",
        f"socket,id=control,path={folder / 'control'},server=on,wait=off",
        "-qmp",
        f"unix:{folder / 'qmp'},server=on,wait=off",
        "-netdev",
        "user,id=net,restrict=on",
        "-serial",
        f"file:{folder / 'console'}",
        "-pidfile",
        str(folder / "pid"),
        "-daemonize",
    ]
    for device in devices:
        command += ["-device", device]
    if share:
        command += ["-virtfs", f"local,path={share},mount_tag=share,security_model=none,readonly=on"]
    subprocess.run(command, check=True)
    if aside:
        # Where the kernel weighs sessions first, niceness counts only within one, and this is one of its own.
        with contextlib.suppress(OSError):
            Path(f"/proc/{pid(folder)}/autogroup").write_text(str(NICE))


def pid(folder: Path) -> Optional[int]:
    """The process, or None when the power is off."""
    try:
        number = int((folder / "pid").read_text())
        os.kill(number, 0)
        return number
    except (OSError, ValueError):
        return None


def kill(folder: Path) -> None:
    """Cut the power. What the guest has not synced to its disk is lost."""
    number = pid(folder)
    if number:
        os.kill(number, signal.SIGKILL)
        while pid(folder):
            time.sleep(0.02)


def forward(folder: Path, port: int) -> int:
    """Forward a free TCP port of this machine's loopback to the guest's port. Returns its number."""
    qmp(folder, "human-monitor-command", **{"command-line": f"hostfwd_add net tcp:127.0.0.1:0-:{port}"})
    said = qmp(folder, "human-monitor-command", **{"command-line": "info usernet"})
    return int(re.search(rf"HOST_FORWARD\]\s+\d+\s+127\.0\.0\.1\s+(\d+)\s+\S+\s+{port}\b", said).group(1))


def qmp(folder: Path, command: str, **arguments):
    """One command of the QEMU Machine Protocol."""
    with socket.socket(socket.AF_UNIX) as connection:
        connection.connect(str(folder / "qmp"))
        lines = connection.makefile("rw")
        lines.readline()  # the greeting
        for name, body in (("qmp_capabilities", {}), (command, arguments)):
            lines.write(json.dumps({"execute": name, "arguments": body}) + "\n")
            lines.flush()
            reply = {}
            while not reply.keys() & {"return", "error"}:  # between them, events
                reply = json.loads(lines.readline())
            if "error" in reply:
                raise RuntimeError(f"QEMU refuses {name}: {reply['error']['desc']}")
    return reply["return"]
