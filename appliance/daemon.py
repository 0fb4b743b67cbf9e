"""The daemon: what runs on the board from power on to power off.

It connects camera, stylizer and monitor, and reports to systemd, the journal and `reconet status`.
"""

import contextlib
import os
import signal
import sys
import threading
import time
from pathlib import Path
from typing import Callable, List, NamedTuple, Optional, Tuple, Type, Union

from . import config, wire
from .camera.picamera2 import Picamera, is_csi
from .camera.v4l2 import V4l2Camera, as_configured
from .camera.virtual import VirtualDevice
from .display.announcer import Announcer
from .display.kms import KmsDisplay
from .display.none import NoMonitor
from .display.placing import Showing
from .engine import devices
from .errors import Problem
from .host import signals, status, systemd, tpu
from .loader import Surroundings
from .memory import return_large_blocks
from .orders import Orders
from .parts import Monitor
from .pipeline import Pipeline
from .playlist import Playlist
from .report import Changes, report
from .rest import Rest
from .snapshot import Snapshot
from .switcher import Switcher
from .window import Window

_TICK_S = 0.1
_SECOND = 1.0
_REPORT_S = 60.0  # between lines in the journal
_SILENT_S = 1.0  # without a picture until a slate says why
_PATIENT_S = 30.0  # for a style's first picture: it may want another size of a camera that opens slowly
_END_S = 1.5  # for the threads to end: the process should end within two
Read = Callable[[Union[str, Path]], config.Settings]


class Awaited(NamedTuple):
    """The first picture of a style: it has come when more than `shown` are. `until`: when it is overdue."""

    shown: int
    until: float


class Daemon:
    """One run of the daemon. `run` returns after `stop`; it raises what any of its threads raised."""

    def __init__(self, path: Union[str, Path] = config.PATH, read: Read = config.load):
        self._path, self._read = path, read
        self._settings = config.Settings()
        self._config_fault: Optional[str] = None
        self._load()
        self._started, self._reported, self._ready = time.monotonic(), 0.0, False
        self._awaited = Awaited(0, self._started + _PATIENT_S)
        self._seen = self._fed = 0.0  # when something was last on the screen, and when the watchdog was last fed
        self._stop, self._reload = threading.Event(), threading.Event()
        self._error: Optional[BaseException] = None
        self._status_fault: Optional[str] = None
        self._changes = Changes()
        self._tpu = tpu.read()
        settings = self._settings
        self.screen = Announcer(_monitor(settings), self._shown)
        self.camera = _kind(settings)(as_configured(settings.camera))
        self.pipeline = Pipeline(self.camera, None, self.screen)
        self._rest = Rest(self.pipeline, self.screen, self._snapshot, self._await)
        around = Surroundings(
            rate=lambda: self.pipeline.counters.possible_fps,
            hot=lambda: bool(self._tpu and self._tpu.hot),
            fits=lambda: self.camera.state.fits,
            quiet=self.pipeline.quiet,
        )
        self.switcher = Switcher(settings, self._rest.swap, self.screen.caption, around)
        self._playlist = Playlist(lambda: self._settings, self._snapshot)
        orders = Orders(lambda: self._settings, self._snapshot, self._stop, self._playlist)
        self._inputs = orders.inputs()
        self._window = Window(wire.path(settings.host.status), self.screen, orders.by_name())

    def stop(self) -> None:
        """Make `run` return soon. Safe from any thread, not from a signal handler (see host/signals.py)."""
        self._stop.set()

    def reload(self) -> None:
        """Read the configuration again soon. Safe from any thread, not from a signal handler."""
        self._reload.set()

    def run(self) -> None:
        """Run until `stop`. Raises the first exception of any thread."""
        return_large_blocks()
        threads = [
            threading.Thread(target=self._guard, args=(work,), name=name, daemon=True)
            for name, work in (
                ("pipeline", self.pipeline.run),
                ("styles", lambda: self.switcher.run(self._stop)),
                *((one.kind, lambda one=one: one.run(self._stop)) for one in self._inputs),
            )
        ]
        try:
            self._window.open()
            self._explain()
            for thread in threads:
                thread.start()
            second = 0.0
            while not self._stop.wait(_TICK_S):
                if self._reload.is_set():
                    self._reload.clear()
                    self._configure()
                if self.screen.silence > _SILENT_S and time.monotonic() - self._seen > _SILENT_S:
                    self._explain()
                if time.monotonic() - second >= _SECOND:
                    second = time.monotonic()
                    self._every_second()
        finally:
            try:
                self._end(threads)
            finally:
                if self._error:  # the first one, whatever failed on the way out
                    raise self._error

    def _end(self, threads: List[threading.Thread]) -> None:
        with contextlib.ExitStack() as stack:  # runs from the last line up, whatever any of them raises
            stack.callback(self._remove_status)
            stack.callback(self.screen.release)
            stack.callback(self.switcher.forgive)
            stack.callback(self._join, threads)
            stack.callback(self.pipeline.stop)
            stack.callback(self.screen.close, "Starting again" if self._error else "Shutting down")
            stack.callback(self._stop.set)
            stack.callback(self._window.close)
            stack.callback(systemd.stopping)

    def _join(self, threads: List[threading.Thread]) -> None:
        deadline = time.monotonic() + _END_S
        for thread in threads:
            if thread.ident:
                thread.join(max(0.0, deadline - time.monotonic()))

    def _remove_status(self) -> None:
        with contextlib.suppress(OSError):
            os.unlink(self._settings.host.status)

    def _guard(self, work: Callable[[], None]) -> None:
        try:
            work()
        except BaseException as error:  # raised again by run
            self._error = self._error or error
            self._stop.set()

    # From any thread

    def _snapshot(self) -> Snapshot:
        return self.switcher.snapshot

    def _await(self) -> None:
        """A style begins to run: its first picture is to come."""
        self._awaited = Awaited(self.pipeline.counters.shown, time.monotonic() + _PATIENT_S)

    def _shown(self, seen: bool) -> None:
        """A picture or slate was made. `seen`: it is on the screen; otherwise the monitor's fault says why it is not.

        Both feed the watchdog: a monitor that is switched off is no reason to restart.
        """
        now = time.monotonic()
        if seen and not self._ready:
            self._ready = True
            systemd.ready(status.summary(self._state()))
        due = systemd.watchdog_interval()
        if due and self._settings.host.watchdog and now - self._fed >= min(due, _SECOND) / 2:
            systemd.watchdog()
            self._fed = now
        if seen:
            self._seen = now

    # In the main thread

    def _load(self) -> None:
        """Read the configuration. A bad one is reported, and the settings stay as they are."""
        try:
            self._settings, self._config_fault = self._read(self._path), None
            devices.choose(self._settings.engine.device)
        except Problem as problem:
            self._config_fault = str(problem)
            systemd.log(self._config_fault, systemd.ERROR)

    def _configure(self) -> None:
        if self._ready:  # earlier, systemd would take the end of the reload for the end of the start
            systemd.reloading()
        before = self._settings
        self._load()
        if self._settings.host.status != before.host.status:
            with contextlib.suppress(OSError):  # nobody updates that file any more
                os.unlink(before.host.status)
        if self._settings.display != before.display:
            self.screen.swap(_monitor(self._settings))
        self.camera.configure(as_configured(self._settings.camera))
        if not isinstance(self.camera, _kind(self._settings)):
            systemd.log("for the other kind of camera: systemctl restart reconet", systemd.WARNING)
        if self._settings != before:
            self.switcher.configure(self._settings)
        if self._config_fault:
            self.screen.caption(self._config_fault, 10 * _SECOND)
        else:
            systemd.log(f"configuration read from {self._path}", systemd.NOTICE)
        if self._ready:
            systemd.ready(status.summary(self._state()))

    def _explain(self) -> None:
        """Show on a slate why there is no picture. Without a reason, show nothing: the watchdog then restarts this."""
        reason = self._rest.reason
        slate = ("Resting", reason) if reason else self._slate()
        if slate:
            self.screen.show_slate(*slate, black=bool(reason))

    def _slate(self) -> Optional[Tuple[str, str]]:
        fault = self.camera.fault
        if fault:
            return "No camera", fault
        slate = self.switcher.snapshot.slate
        if slate and slate.holds:
            return slate.title, slate.text
        if self.pipeline.counters.shown == self._awaited.shown and time.monotonic() < self._awaited.until:
            return "Starting", "Waiting for the first picture."
        return None

    def _every_second(self) -> None:
        self._tpu = tpu.read()
        camera = self.camera.state
        warning = self._tpu.warning if self._tpu else None
        self._changes.faults(camera=self.camera.fault, display=self.screen.fault, Edge_TPU=warning)
        self._changes.uses(camera=camera.path and f"{camera.path}, {camera.given}", display=self.screen.mode)
        self.screen.notice = warning
        self.screen.brightness, self.screen.fades = self.switcher.snapshot.brightness, self._settings.style.fade
        self._rest.look(self._settings)
        self._playlist.look(time.monotonic())
        now = self._state()
        try:
            status.write(self._settings.host.status, now)
            self._status_fault = None
        except Problem as problem:
            if not self._status_fault:
                systemd.log(str(problem), systemd.WARNING)
            self._status_fault = str(problem)
        systemd.status(status.summary(now))
        if time.monotonic() - self._reported >= _REPORT_S:
            self._reported = time.monotonic()
            systemd.log(
                status.summary(now), systemd.INFO, STYLE=now.style, FPS=round(now.fps, 1), TPU_TEMP=now.temperature
            )

    def _state(self) -> status.Status:
        camera = self.camera.state
        return report(
            self._snapshot(),
            self.pipeline.counters,
            self.screen,
            camera.fault or camera.path and f"{camera.path}, {camera.given}",
            self._tpu,
            self._config_fault,
            time.monotonic() - self._started,
        )


def _monitor(settings: config.Settings) -> Monitor:
    wanted = settings.display
    if wanted.connector == "none":
        return NoMonitor(wanted.size)
    return KmsDisplay(wanted.connector, wanted.size, showing=Showing(wanted.rotate, wanted.fit == "cover"))


def _kind(settings: config.Settings) -> "Union[Type[V4l2Camera], Type[Picamera], Type[VirtualDevice]]":
    device = settings.camera.device
    return VirtualDevice if device == "virtual" else Picamera if is_csi(device) else V4l2Camera


def serve(path: Optional[Union[str, Path]] = None, read: Read = config.load) -> int:
    """Run the daemon in this process until SIGTERM or SIGINT. SIGHUP reads the configuration again.

    Raises Problem. A bad configuration is one when run by hand; under systemd the screen has to show something, so the
    daemon continues with the defaults and reports what is wrong. `read` gives the settings.
    """
    path = path or config.PATH
    if not systemd.runs_this():
        read(path)
    daemon = Daemon(path, read)
    with signals.handled({signal.SIGTERM: daemon.stop, signal.SIGINT: daemon.stop, signal.SIGHUP: daemon.reload}):
        daemon.run()
    for stream in (sys.stdout, sys.stderr):
        stream.flush()
    # Do not wait for a network that is still computing a frame.
    os._exit(0)
