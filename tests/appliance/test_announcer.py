import threading
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest

from appliance.display import announcer
from appliance.display.announcer import Announcer
from appliance.frames import Frame, undrawn
from appliance.window import Latest

from .steps import interrupted_at_each_step


class Monitor:
    def __init__(self, size=(640, 360)):
        self.size, self.mode, self.fault, self.seen, self.finished = size, None, None, [], 0

    def connect(self):
        return not self.fault

    def show(self, frame):
        if self.fault:
            return False
        self.seen.append(frame.pixels)
        return True

    def finish(self):
        self.finished += 1


@pytest.fixture
def clock(monkeypatch):
    now = [100.0]
    monkeypatch.setattr(announcer.time, "monotonic", lambda: now[0])
    return now


def frame(index=0):
    return Frame(np.full((72, 128, 4), 7, np.uint8), index / 30, index, "bgrx")


def test_a_caption_is_over_the_picture_for_a_while(clock):
    monitor = Monitor()
    screen = Announcer(monitor)
    screen.caption("The Scream", 3.0)
    for clock[0] in (100.0, 102.9, 103.1):
        assert screen.show(frame())
    assert [(pixels == 7).all() for pixels in monitor.seen] == [False, False, True]
    screen.notice = "too hot"
    screen.show(frame())
    assert not (monitor.seen[-1] == 7).all()
    original = frame()
    screen.show(original)
    assert (original.pixels == 7).all()  # the caption is never painted into what others hold


def test_a_slate_stays_until_the_next_picture(clock):
    monitor, calls = Monitor((1920, 1080)), []
    screen = Announcer(monitor, lambda seen: calls.append(screen.slate))
    assert screen.silence == float("inf")
    assert screen.show_slate("No camera", "plug one in") and screen.slate == ("No camera", "plug one in")
    assert monitor.seen[0].shape == (540, 960, 4)  # whole numbers fill the screen
    screen.show(frame())
    assert screen.slate is None and screen.silence == 0 and calls == [("No camera", "plug one in"), None]
    clock[0] += 5
    assert screen.silence == 5


def test_a_slate_that_cannot_be_seen_is_not_on_the_screen():
    monitor, calls = Monitor(), []
    screen = Announcer(monitor, calls.append)
    monitor.fault = "no monitor"
    assert not screen.show_slate("Starting") and not screen.show(frame())
    assert screen.slate is None and calls == [False, False] and screen.fault == "no monitor"


def test_what_cannot_be_seen_for_no_reason_is_not_reported():
    monitor, calls = Monitor(), []
    screen = Announcer(monitor, calls.append)
    monitor.connect, monitor.show = lambda: False, lambda frame: False
    assert not screen.show_slate("Starting") and not screen.show(frame()) and calls == []


def test_a_caption_does_not_stay_for_the_time_of_the_one_before(clock, monkeypatch):
    """At each step of setting a caption, the pipeline shows a frame at which it is over and the one before is not."""
    painted = []
    monkeypatch.setattr(announcer, "caption", lambda pixels, text: painted.append(text) or pixels)
    screen = Announcer(Monitor())

    def show():
        clock[0] += 2
        assert screen.show(frame())
        clock[0] -= 2

    interrupted_at_each_step(
        lambda: screen.caption("short", 1.0), show, lambda: screen.caption("before", 3.0), "announcer.py"
    )
    assert set(painted) == {"before"}


def test_the_last_word():
    monitor = Monitor()
    screen = Announcer(monitor)
    screen.close("Shutting down")
    assert len(monitor.seen) == 1 and not screen.show(frame()) and not screen.show_slate("No camera")
    screen.finish()
    assert len(monitor.seen) == 1 and monitor.finished == 0
    screen.release()
    assert monitor.finished == 1


def test_another_monitor():
    first, second = Monitor(), Monitor()
    screen = Announcer(first)
    screen.swap(second)
    screen.show(frame())
    assert first.finished == 1 and first.seen == [] and len(second.seen) == 1


def test_pictures_and_words_take_turns():
    """A monitor is for one thread at a time."""
    inside, overlaps = threading.Lock(), []

    class Slow(Monitor):
        def show(self, frame):
            overlaps.append(not inside.acquire(blocking=False))
            inside.release()
            return True

    screen = Announcer(Slow())
    threads = [
        threading.Thread(target=lambda: [screen.show(frame()) for _ in range(200)]),
        threading.Thread(target=lambda: [screen.show_slate("Words") for _ in range(20)]),
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(overlaps) == 220 and not any(overlaps)


def test_a_picture_that_is_yet_to_be_drawn_is_drawn_for_who_reads_it(clock):
    """A caption, a fade and who watches; otherwise it reaches the monitor as it is."""

    def lazy(value):
        return Frame(undrawn((72, 128, 4)), 0.0, 0, "bgrx", draw=lambda out: out.fill(value))

    monitor, latest = Monitor(), Latest()
    screen = Announcer(monitor)
    screen.watch, screen.fades = latest.offer, 1.0
    screen.show(lazy(200))
    assert monitor.seen[-1].strides == (0, 0, 0)
    screen.caption("The Scream", 1.0)
    screen.show(lazy(200))
    assert monitor.seen[-1].max() > 200 and (monitor.seen[-1][0] == 200).all()
    clock[0] += 2
    screen.show(lazy(100))
    screen.fade()
    clock[0] += 0.5
    screen.show(lazy(200))
    assert (monitor.seen[-1] == 150).all()
    with ThreadPoolExecutor() as pool:
        waiting = pool.submit(latest.next, 30)
        while not waiting.done():
            screen.show(lazy(40))
    assert (waiting.result().pixels == waiting.result().pixels[0, 0]).all() and waiting.result().draw is None
