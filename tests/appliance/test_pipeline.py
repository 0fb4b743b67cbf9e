import threading

import numpy as np
import pytest

from appliance.errors import Problem
from appliance.frames import Frame
from appliance.pipeline import Pipeline


class Camera:
    fps, monotonic, yuv_size = 30.0, False, None

    def __init__(self, count=10, live=False, fail_at=None, gate=None):
        self.live, self.count, self.fail_at, self.gate = live, count, fail_at, gate
        self.closed = False

    def frames(self, stop):
        try:
            index = 0
            while index != self.count and not stop.is_set():
                if index == self.fail_at:
                    raise Problem("the camera was unplugged")
                yield Frame(np.full((8, 8, 3), index % 256, np.uint8), 100 + index / self.fps, index)
                index += 1
            if self.gate:
                self.gate.set()
        finally:
            self.closed = True


class Style:
    """Adds a constant to every pixel."""

    input_size = output_size = (8, 8)
    channels = 3
    input_format = output_format = "rgb"
    stage_ms = [("input", 1.0), ("network", 2.0)]

    def __init__(self, add=1, gate=None, fail=False):
        self.add, self.gate, self.fail = add, gate, fail

    def prepare(self, frame):
        return frame

    def run(self, frame):
        if self.fail:
            raise RuntimeError("the network broke")
        if self.gate:
            self.gate.wait()
        return frame

    def settle(self, frame):
        return frame

    def finish(self, frame, out):
        np.add(frame, self.add, out=out)


class Display:
    formats = ("rgb",)
    draws = False

    def __init__(self, fail_at=None, on_show=None):
        self.frames, self.state, self.fail_at, self.on_show = [], "open", fail_at, on_show

    def show(self, frame):
        if self.fail_at == len(self.frames):
            raise Problem("disk full")
        self.frames.append(frame)
        if self.on_show:
            self.on_show(frame)
        return True

    def finish(self):
        self.state = "finished"

    def discard(self):
        self.state = "discarded"


def test_every_frame_of_a_file_in_order():
    camera, display = Camera(200), Display()
    counters = Pipeline(camera, Style(), display).run()
    assert [frame.index for frame in display.frames] == list(range(200))
    assert [int(frame.pixels[0, 0, 0]) for frame in display.frames] == list(range(1, 201))
    assert (counters.captured, counters.stylised, counters.shown, counters.dropped) == (200, 200, 200, 0)
    assert list(counters.median_ms) == ["prepare", "input", "network", "finish", "show"]
    assert counters.median_ms["network"] == 2.0 and counters.fps > 0
    assert display.state == "finished" and camera.closed


def test_a_live_camera_never_waits():
    gate = threading.Event()  # set when the camera is done: until then the style hangs on its first frame
    display = Display()
    counters = Pipeline(Camera(50, live=True, gate=gate), Style(gate=gate), display).run()
    assert counters.captured == 50 and counters.shown <= 2
    assert counters.dropped == 50 - counters.shown
    assert display.frames[-1].index == 49


def test_seconds_are_the_sources_own_for_a_file():
    display = Display()
    Pipeline(Camera(1000), Style(), display, seconds=2).run()
    assert len(display.frames) == 60 and display.state == "finished"


def test_seconds_end_a_live_camera():
    camera, display = Camera(-1, live=True), Display()
    Pipeline(camera, Style(), display, seconds=0.05).run()
    assert display.frames and display.state == "finished" and camera.closed


@pytest.mark.parametrize("live", [False, True])
def test_stop_finishes_what_was_shown(live):
    display = Display()
    pipeline = Pipeline(Camera(-1, live=live), Style(), display)
    display.on_show = lambda frame: pipeline.stop()
    pipeline.run()
    assert display.frames and display.state == "finished"


@pytest.mark.parametrize("live", [False, True])
@pytest.mark.parametrize(
    "camera, style, display, error",
    [
        (dict(fail_at=5), {}, {}, "unplugged"),
        ({}, dict(fail=True), {}, "broke"),
        ({}, {}, dict(fail_at=0), "disk full"),
    ],
)
def test_a_failure_anywhere_ends_everything(live, camera, style, display, error):
    camera, display = Camera(-1, live=live, **camera), Display(**display)
    before = threading.active_count()
    with pytest.raises(Exception, match=error):
        Pipeline(camera, Style(**style), display).run()
    assert display.state == "discarded" and camera.closed and threading.active_count() == before


def test_a_style_is_swapped_between_two_frames():
    display = Display()
    pipeline = Pipeline(Camera(100), Style(add=1), display)

    def swap(frame):
        if frame.index == 20:
            pipeline.stylizer = Style(add=101)

    display.on_show = swap
    pipeline.run()
    added = [int(frame.pixels[0, 0, 0]) - frame.index for frame in display.frames]
    assert set(added[:21]) == {1} and set(added[25:]) == {101} and added == sorted(added)


def test_watch_sees_source_and_stylised():
    pairs = []
    Pipeline(Camera(5), Style(add=3), Display(), watch=lambda *pair: pairs.append(pair)).run()
    assert len(pairs) == 5 and all((stylised == source + 3).all() for source, stylised in pairs)


def test_the_thread_that_stylises_does_nothing_but_that():
    threads = {}

    class Watched(Style):
        def prepare(self, frame):
            threads["prepare"] = threading.current_thread().name
            return frame.copy()

        def run(self, frame):
            threads["run"] = threading.current_thread().name
            return super().run(frame)

        def finish(self, frame, out):
            threads["finish"] = threading.current_thread().name
            super().finish(frame, out)

    Pipeline(Camera(3), Watched(), Display()).run()
    assert threads == {"prepare": "capture", "run": "stylise", "finish": "show"}


def test_a_frame_prepared_for_another_style_is_prepared_again():
    first, second, display = Style(add=1), Style(add=100), Display()
    pipeline = Pipeline(Camera(2), first, display)
    first.prepare = lambda frame: setattr(pipeline, "stylizer", second) or frame  # swapped while it is prepared
    second.prepare = lambda frame: frame + 1
    pipeline.run()
    assert [int(frame.pixels[0, 0, 0]) for frame in display.frames] == [101, 102]


def test_bgrx_styles_are_shown_as_rgb():
    class Bgrx(Style):
        channels, output_format = 4, "bgrx"

        def finish(self, frame, out):
            out[...] = (1, 2, 3, 4)

    display = Display()
    Pipeline(Camera(1), Bgrx(), display).run()
    assert display.frames[0].pixels[0, 0].tolist() == [3, 2, 1]


def test_bgrx_is_left_as_it_is_for_a_display_that_takes_it():
    class Bgrx(Style):
        channels, output_format = 4, "bgrx"

        def finish(self, frame, out):
            out[...] = (1, 2, 3, 4)

    display = Display()
    display.formats = ("rgb", "bgrx")
    Pipeline(Camera(1), Bgrx(), display).run()
    assert display.frames[0].pixels[0, 0].tolist() == [1, 2, 3, 4] and display.frames[0].format == "bgrx"


def test_a_display_that_draws_gets_frames_that_are_yet_to_be_drawn():
    class Draws(Display):
        draws = True

    display, made = Draws(), []
    display.on_show = lambda frame: made.append(frame.whole().pixels)
    Pipeline(Camera(2), Style(add=5), display).run()
    plain = Display()
    Pipeline(Camera(2), Style(add=5), plain).run()
    assert all(frame.draw for frame in display.frames) and not any(frame.draw for frame in plain.frames)
    assert [picture.tolist() for picture in made] == [frame.pixels.tolist() for frame in plain.frames]


def test_a_network_gets_the_pixels_that_it_takes():
    display = Display()
    Pipeline(Camera(1), Yuv(add=0), display).run()
    assert display.frames[0].pixels[0, 0].tolist() == [16, 128, 128]  # black


def test_the_camera_gets_the_size_that_the_network_takes():
    camera = Camera()
    camera.yuv_size = (1, 1)
    pipeline = Pipeline(camera, Style(), Display())
    assert camera.yuv_size is None
    pipeline.stylizer = Yuv()
    assert camera.yuv_size == (8, 8)
    pipeline.stylizer = None
    assert camera.yuv_size == (0, 0)


class Reducing(Camera):
    """Frames are YUV of the wanted size, filled with its width. `taken(index)` is called after a frame is made and
    before it is delivered."""

    def frames(self, stop):
        for frame in super().frames(stop):
            size = self.yuv_size
            frame = Frame(np.full(size[::-1] + (3,), size[0], np.uint8), frame.timestamp, frame.index, "yuv", size)
            self.taken(frame.index)
            yield frame


class Yuv(Style):
    input_format = "yuv"


class SmallYuv(Yuv):
    input_size = output_size = (4, 4)


@pytest.mark.parametrize("before", [None, SmallYuv(add=0)])
def test_a_frame_that_was_reduced_for_another_style_is_dropped(before):
    camera, display = Reducing(6), Display()
    pipeline = Pipeline(camera, before, display)

    def swap(index):
        if index == 3:
            pipeline.stylizer = Yuv(add=100)

    camera.taken = swap
    pipeline.run()
    shown = {frame.index: int(frame.pixels[0, 0, 0]) for frame in display.frames}
    assert {index: value for index, value in shown.items() if index >= 3} == {4: 108, 5: 108}


def test_no_frame_is_shown_before_it_was_taken():
    class Early(Camera):
        monotonic, fps = True, 1e-9  # stamped years ahead

    assert Pipeline(Early(3), Style(), Display()).run().median_ms["latency"] == 0


def test_without_a_style_frames_are_dropped():
    display = Display()
    Pipeline(Camera(5), None, display).run()
    assert display.frames == [] and display.state == "finished"


def test_what_cannot_be_seen_is_not_counted():
    class Dark(Display):
        def show(self, frame):
            return False

    assert Pipeline(Camera(5), Style(), Dark()).run().shown == 0


def test_while_it_is_quiet_the_network_does_not_run():
    runs, shown = [], threading.Event()

    class Counted(Style):
        def run(self, frame):
            runs.append(1)
            return super().run(frame)

    pipeline = Pipeline(Camera(-1, live=True), Counted(), Display(on_show=lambda frame: shown.set()))
    thread = threading.Thread(target=pipeline.run)
    thread.start()
    for _ in range(3):
        assert shown.wait(30)
        with pipeline.quiet():
            before, captured = len(runs), pipeline.counters.captured
            while pipeline.counters.captured < captured + 20:  # the camera goes on
                thread.join(0.001)
            assert len(runs) == before
        shown.clear()
    assert shown.wait(30)
    pipeline.stop()
    thread.join(30)
    assert not thread.is_alive()


def test_a_network_that_never_ends_does_not_hold_up_who_wants_quiet(monkeypatch):
    monkeypatch.setattr("appliance.pipeline._PATIENT_S", 0.01)
    ends, begun = threading.Event(), threading.Event()

    class Frozen(Style):
        def run(self, frame):
            begun.set()
            ends.wait(30)
            return frame

    pipeline = Pipeline(Camera(1), Frozen(), Display())
    thread = threading.Thread(target=pipeline.run)
    thread.start()
    begun.wait(30)
    with pipeline.quiet():
        assert thread.is_alive()
    ends.set()
    thread.join(30)
    assert not thread.is_alive()


def test_the_possible_rate_is_that_of_the_network_and_starts_afresh_with_each():
    pipeline = Pipeline(Camera(6), Style(), Display())
    assert pipeline.counters.possible_fps is None
    for _ in range(3):
        pipeline.counters.ran(20.0)
    assert pipeline.counters.possible_fps is None  # too few to say
    pipeline.counters.ran(20.0)
    assert pipeline.counters.possible_fps == 50
    pipeline.stylizer = Style()
    assert pipeline.counters.possible_fps is None
    pipeline.run()
    assert pipeline.counters.possible_fps > 0
