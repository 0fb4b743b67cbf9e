"""What a Stylizer allocates, and what it leaves behind."""

import gc
import tracemalloc

import numpy as np

from appliance.engine import stages
from appliance.engine.stylizer import Stylizer
from appliance.style import bundle, manifest

from .conftest import manifest_fields
from .engines import Stub, frame, stylised, use


def test_a_style_that_is_gone_leaves_nothing_behind(tiny):
    """Of what was allocated in stages.py: the lists of which pixel goes where."""
    only = [tracemalloc.Filter(True, stages.__file__)]
    tracemalloc.start()
    try:
        engines = [Stylizer(tiny, plan=plan) for plan in ("split", "lowres")]
        for engine in engines:
            stylised(engine, frame())
        assert tracemalloc.take_snapshot().filter_traces(only).traces
        del engine, engines
        gc.collect()
        assert not tracemalloc.take_snapshot().filter_traces(only).traces
    finally:
        tracemalloc.stop()


def test_nothing_as_large_as_a_frame_is_allocated(tiny, monkeypatch):
    use(monkeypatch, tflite_runtime=lambda data: Stub(7, (256, 108) if data == b"first" else (512, 216)))
    # A frame of 256x108 goes in and one of 512x216 comes out.
    stages = [{"segment": "a"}, {"upsample": "nearest", "factor": 2}, {"segment": "b"}]
    fields = dict(
        manifest_fields(tiny),
        plans=[{"name": "split", "stages": stages}],
        input={"width": 256, "height": 108, "pixels": "rgb", "exposure": {"mean": 0.45, "std": 0.25}},
        output={"width": 512, "height": 216, "pixels": "rgb"},
        files={},
    )
    engine = Stylizer(bundle.Bundle(tiny.path, manifest.build(fields), {"a": b"first", "b": b"last"}))
    pixels, out = frame(256, 108), np.empty((216, 512, 3), np.uint8)
    engine.stylize(pixels, out)
    tracemalloc.start()
    try:
        for _ in range(200):  # until Python's free lists are full
            engine.stylize(pixels, out)
        before, _ = tracemalloc.get_traced_memory()
        for _ in range(20):
            engine.stylize(pixels, out)
        after, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert (out == 135).all()
    assert after - before < pixels.nbytes / 2 and peak - before < pixels.nbytes
