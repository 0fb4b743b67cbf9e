"""A keyboard that the kernel makes (uinput), and a line of the machine's own GPIO chip."""

import textwrap

from .guest import ACT, BOOT, wait_for

CONFIG = "/etc/reconet/config.toml"
RIGHT = 106

# Makes a keyboard, waits until the process has opened it, presses a key, and keeps the keyboard for a moment.
_KEYBOARD = textwrap.dedent("""
    import fcntl, glob, os, struct, sys, time

    process, key = sys.argv[1], int(sys.argv[2])
    UI_SET_EVBIT, UI_SET_KEYBIT, UI_DEV_SETUP, UI_DEV_CREATE = 0x40045564, 0x40045565, 0x405C5503, 0x5501
    UI_GET_SYSNAME_64 = 0x8040552C
    EV_SYN, EV_KEY, BUS_VIRTUAL = 0, 1, 6

    keyboard = os.open("/dev/uinput", os.O_WRONLY)
    fcntl.ioctl(keyboard, UI_SET_EVBIT, EV_KEY)
    fcntl.ioctl(keyboard, UI_SET_KEYBIT, key)
    setup = struct.pack("4H80sI", BUS_VIRTUAL, 1, 1, 1, b"keyboard of the tests", 0)
    fcntl.ioctl(keyboard, UI_DEV_SETUP, setup)
    fcntl.ioctl(keyboard, UI_DEV_CREATE)
    name = fcntl.ioctl(keyboard, UI_GET_SYSNAME_64, bytes(64)).rstrip(b"\\0").decode()

    def opened():
        nodes = {"/dev/input/" + os.path.basename(path)
                 for path in glob.glob("/sys/devices/virtual/input/%s/event*" % name)}
        for path in glob.glob("/proc/%s/fd/*" % process):
            try:
                if os.readlink(path) in nodes:
                    return True
            except FileNotFoundError:
                pass
        return False

    end = time.monotonic() + 60
    while not opened():
        if time.monotonic() > end:
            sys.exit("nobody has opened the keyboard")
        time.sleep(0.2)
    for value in (1, 0):
        os.write(keyboard, struct.pack("@llHHi", 0, 0, EV_KEY, key, value))
        os.write(keyboard, struct.pack("@llHHi", 0, 0, EV_SYN, 0, 0))
    time.sleep(5)  # what is still unread goes with the keyboard
""")


def _configure(board, change):
    """Apply an expression of sed to the configuration, and have the daemon read it."""
    since = board.now()
    board.run(f"cp {CONFIG} /run/config.toml && sed -i '{change}' {CONFIG} && systemctl reload reconet")
    board.logged("configuration read", since)


def _restore(board):
    board.run(f"cp /run/config.toml {CONFIG} && systemctl reload reconet")


def test_a_key_shows_the_next_style(board):
    before = board.wait_until_running()["style"]
    other = next(name for name in board.styles if name != before)
    board.put(_KEYBOARD.encode(), "/run/keyboard.py")
    board.run("modprobe -a uinput evdev")
    _configure(board, '/^\\[keys\\]/,/^\\[buttons\\]/ s/^device = "off"/device = "auto"/')
    try:
        board.run(f"python3 /run/keyboard.py {board.pid()} {RIGHT}", 2 * ACT)
        wait_for(lambda: (board.status() or {}).get("style") == other, lambda: f"{other}: {board.status()}")
        board.shows(other)
        assert any("next, asked for by keys" in line for line in board.journal())
    finally:
        _restore(board)
        board.run("reconet use --newest", BOOT)
    board.shows(before)


def test_the_kernel_gives_the_daemon_a_gpio_line(board):
    board.wait_until_running()
    board.run("mountpoint -q /sys/kernel/debug || mount -t debugfs debugfs /sys/kernel/debug")
    _configure(board, '/^\\[buttons\\]/,/^\\[host\\]/ s/^next = "off"/next = "gpiochip0:5"/')
    try:
        wait_for(
            lambda: "reconet" in board.run("cat /sys/kernel/debug/gpio").out, lambda: f"the line: {board.journal()}"
        )
    finally:
        _restore(board)
