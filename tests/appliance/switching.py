"""A switcher in its thread, and what it switches."""

import contextlib
import queue
import threading

import pytest

from appliance import config
from appliance.engine import devices, interpreter
from appliance.loader import Surroundings
from appliance.style import bundle
from appliance.switcher import Switcher


@pytest.fixture(name="folder")
def style_folder(tmp_path):
    folder = tmp_path / "styles"
    folder.mkdir()
    return folder


@pytest.fixture
def style(tiny):
    """Write the small style to a path, named after its file; another `title` makes it another bundle."""

    def write(path, name=None, title="A title", compiled=False):
        fields = tiny.manifest.model_dump(exclude_none=True)
        fields.update(name=name or path.stem, title=title)
        files = dict(tiny.files)
        if compiled:  # stands in for what Google's compiler makes
            for plan in fields["plans"]:
                for stage in plan["stages"]:
                    if "segment" in stage:
                        stage["edgetpu"] = "compiled_" + stage["segment"]
                        files[stage["edgetpu"]] = files[stage["segment"]]
        return bundle.write(path, fields, files)

    return write


class Running:
    """A switcher in its thread. What it swaps in and what it reports arrive in queues."""

    def __init__(self, folder, around=None, **engine):
        self.swapped, self.reported = queue.Queue(), queue.Queue()
        self.stop = threading.Event()
        self.switcher = Switcher(
            self.settings(folder, **engine), self.swapped.put, self._report, around or Surroundings()
        )
        self.looks, self._folder, self._free = 0, folder, threading.Event()
        self._free.set()
        notice = self.switcher._notice

        def counted(events):
            notice(events)
            self.looks += 1

        self.switcher._notice = counted
        self.thread = threading.Thread(target=self.switcher.run, args=(self.stop,), daemon=True)
        self.thread.start()

    def passes(self, rounds=3):
        """Wait until the switcher has gone round its loop a few times."""
        for _ in range(rounds):
            before = self.looks
            while self.looks == before:
                self.thread.join(0.005)

    @contextlib.contextmanager
    def held(self):
        """Files put into the folder inside the `with` block are noticed all at once, at its end."""
        self._free.clear()
        (self._folder / "hold.reconet").write_bytes(b"")
        self.reports("hold")
        yield
        self._free.set()

    def _report(self, text, seconds):
        self.reported.put(text)
        self._free.wait(30)

    @property
    def now(self):
        return self.switcher.snapshot

    @staticmethod
    def settings(folder, name="newest", **engine):
        return config.Settings.model_validate({"style": {"folder": str(folder), "name": name}, "engine": engine})

    def runs(self):
        """The name of the style that is swapped in next; None when one is taken out."""
        stylizer = self.swapped.get(timeout=30)
        return stylizer and stylizer.bundle.name

    def reports(self, words):
        """Wait for a message with these words, and return it."""
        while True:
            text = self.reported.get(timeout=30)
            if words in text:
                return text

    def close(self):
        self.stop.set()
        self.thread.join(30)
        assert not self.thread.is_alive()


@pytest.fixture
def start():
    running = []

    def begin(folder, **engine):
        running.append(Running(folder, **engine))
        return running[-1]

    yield begin
    for one in running:
        one.close()


class Tpu:
    """An Edge TPU that is absent at first. Its runtime computes on the CPU."""

    def __init__(self, device):
        self._device, self.fault, self.loads, self.before = device, None, 0, lambda: None

    def plug(self):
        self._device.write_text("")

    def hold(self):
        """Events: a load has begun; the next loads may end."""
        begun, end = threading.Event(), threading.Event()
        self.before = lambda: begun.set() or end.wait(30)
        return begun, end

    def load(self, data):
        self.loads += 1
        self.before()
        if self.fault:
            raise ValueError(self.fault)
        return self.cpu.load(data)


@pytest.fixture
def tpu(tmp_path, monkeypatch):
    device = tmp_path / "apex_0"
    one = Tpu(device)
    monkeypatch.setattr(devices, "APEX", device)
    one.cpu = interpreter.runtimes()[0]
    monkeypatch.setattr(interpreter, "_pycoral", lambda: interpreter.Runtime("pycoral", "2.0.0", "TPU", one.load))
    return one
