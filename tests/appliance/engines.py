"""Stand-ins for interpreters, frames of noise, and what a Stylizer makes of them."""

import numpy as np

from appliance.engine import stylizer
from appliance.engine.interpreter import Runtime
from appliance.style import bundle, manifest

from .conftest import manifest_fields

noise = np.random.RandomState(0)


def frame(width=64, height=32):
    return noise.randint(0, 256, (height, width, 3)).astype(np.uint8)


def stylised(engine, pixels):
    out = np.empty_like(pixels)
    engine.stylize(pixels, out)
    return out


class Stub:
    """An interpreter that paints everything in one value."""

    def __init__(self, value, size=(64, 32), dtype=np.int8):
        self.tensors = [np.zeros((1, size[1], size[0], 3), dtype) for _ in range(2)]
        self.value = value

    def get_input_details(self):
        return [{"index": 0}]

    def get_output_details(self):
        return [{"index": 1}]

    def tensor(self, index):
        return lambda: self.tensors[index]

    def invoke(self):
        self.tensors[1][...] = self.value


def stub_bundle(tiny, *plans):
    made = [
        {"name": name, "stages": [{"segment": "cpu", **({"edgetpu": "tpu"} if compiled else {})}]}
        for name, compiled in plans
    ]
    fields = dict(manifest_fields(tiny), name="stub", plans=made, files={})
    return bundle.Bundle(tiny.path, manifest.build(fields), {"cpu": b"cpu", "tpu": b"tpu"})


def refuse(data):
    raise ValueError("op TILE v3 is unknown")


def use(monkeypatch, **devices):
    monkeypatch.setattr(
        stylizer,
        "runtimes",
        lambda threads, reference: [
            Runtime(name, "1.0", "TPU" if name == "pycoral" else "CPU", load) for name, load in devices.items()
        ],
    )
