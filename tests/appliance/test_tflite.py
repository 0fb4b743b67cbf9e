import struct

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from appliance.errors import BundleError
from appliance.style import flatbuffer, tflite


def read(data):
    """A Model, or None when refused. Anything else that is raised fails the test."""
    try:
        return tflite.read(data)
    except BundleError:
        return None


@pytest.fixture
def segment(tiny):
    return tiny.files[tiny.manifest.plans[0].stages[0].segment]


def test_ends_of_a_real_segment(segment):
    model = tflite.read(segment)
    assert len(model.inputs) == len(model.outputs) == 1
    end = model.inputs[0]
    assert end.shape == (1, 32, 64, 3) and end.dtype in ("int8", "uint8")
    assert end.scale == pytest.approx(1 / 255, rel=1e-4)
    assert not model.dtypes & tflite.FLOATS


def test_reach_of_convolutions_that_keep_the_size(tiny):
    """The first decoder is one convolution of 3x3, the second two; the others scale, or leave the picture's edge."""
    reaches = {name: tflite.reach(data) for name, data in tiny.files.items() if name.endswith(".tflite")}
    assert reaches == {
        "encoder.tflite": None,
        "decoder1.tflite": 1,
        "decoder2.tflite": 2,
        "fused.tflite": None,
        "lowres.tflite": None,
    }


@pytest.mark.parametrize("stride", [1, 2])
def test_no_reach_with_a_stride(tiny, stride):
    data = tiny.files["decoder1.tflite"]
    graph = flatbuffer.Table(data, flatbuffer.u32(data, 0)).tables(2)[0]
    place = graph.tables(3)[0].table(4).field(stride)  # in Conv2DOptions: across, down
    assert tflite.reach(data[:place] + struct.pack("<i", 2) + data[place + 4 :]) is None


@pytest.mark.parametrize(
    "data", [b"", b"TFL3", b"\0\0\0\0TFL3", b"\xff\xff\xff\x7fTFL3", bytes(4) + b"TFL3" + bytes(99)]
)
def test_nonsense(data):
    assert read(data) is None


def test_every_truncation(segment):
    for size in list(range(0, len(segment), max(1, len(segment) // 500))):
        read(segment[:size])


def test_every_early_offset_replaced(segment):
    model = tflite.read(segment)
    for place in range(0, len(segment) - 4, max(4, len(segment) // 2000 * 4)):
        for value in (0, 1, 0x7FFFFFFF, 0xFFFFFFFF, len(segment)):
            read(segment[:place] + struct.pack("<I", value) + segment[place + 4 :])
    assert tflite.read(segment) == model


@settings(deadline=None, max_examples=300)
@given(st.binary(max_size=400))
def test_random_bytes_behind_the_identifier(data):
    read(struct.pack("<I", 8 + len(data) // 2) + b"TFL3" + data)


@pytest.mark.parametrize(
    "name, place, number",
    [
        ("decoder2.tflite", 2276, 0x80000000),
        ("fused.tflite", 488, 0x6E5D),
        ("fused.tflite", 21096, 0xB31DF406),
    ],
)
def test_what_crashed_an_old_runtime_is_refused(tiny, name, place, number):
    """Found by fuzzing tflite_runtime 2.7, which follows offsets out of the file."""
    data = tiny.files[name]
    assert read(data) and read(data[:place] + struct.pack("<I", number) + data[place + 4 :]) is None
