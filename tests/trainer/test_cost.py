"""The counted costs of the plans, from a network's layers and from exported files."""

import numpy as np
import pytest

from trainer.edgetpu import cost
from trainer.edgetpu.convert import convert
from trainer.edgetpu.cost import Layer, plan_costs, plans
from trainer.edgetpu.cut import cut
from trainer.edgetpu.reader import read
from trainer.edgetpu.student import fold
from trainer.sections import Network


def half(*widths, blocks=4):
    """A network of three strides of 2, 5x5 at its entry, whose image comes out in cells of 2x2 pixels."""
    return Network(widths=widths, blocks=blocks, strides=(2, 2, 2), first_kernel=5)


@pytest.mark.parametrize("skips", [False, True])
def test_costs_of_the_plans_at_512x216(skips):
    """GMAC, and MB over the boundary beside the image, worked out by hand for 32/64/128 and four blocks.

    With skips `split` hands on 512x216x32 and 256x108x64 bytes, out and in again.
    """
    costs = {cost.plan: cost for cost in plan_costs(Network(skips=skips), (216, 512))}
    for plan, gmac, extra in (("split", 13.44, 23.89 if skips else 13.27), ("fused", 11.18, 0), ("lowres", 20.99, 0)):
        counted = costs.pop(plan)
        assert counted.macs / 1e9 == pytest.approx(gmac, abs=0.01)
        assert (counted.bytes_in + counted.bytes_out - 2 * 331776) / 1e6 == pytest.approx(extra, abs=0.01)
        assert counted.calls == (3 if plan == "split" else 1)
    assert not costs


@pytest.mark.parametrize(
    ("widths", "gmac", "largest"), [((32, 96, 192), 12.7, 1.8), ((32, 96, 128), 6.8, 1.8), ((64, 128, 192), 15.5, 3.5)]
)
def test_costs_of_half_resolution_networks_at_640x360(widths, gmac, largest):
    """GMAC and MiB as others counted them."""
    (segment,) = plans(half(*widths), (360, 640), colours=4)["fused"].segments
    assert segment.macs / 1e9 == pytest.approx(gmac, abs=0.1)
    assert segment.largest / 2**20 == pytest.approx(largest, abs=0.05)
    assert (segment.bytes_in, segment.bytes_out) == (3 * 640 * 360, 4 * 640 * 360)


@pytest.mark.parametrize("plan", ["split", "fused", "lowres"])
def test_half_resolution_networks_give_the_whole_image(plan):
    """The smallest ones, counted by hand: cells of 2x2 at half the size, of 8x8 at an eighth."""
    made = plans(half(1, 1, 1, blocks=1), (16, 32), colours=3)[plan]
    assert made.segments[0].bytes_in == made.segments[-1].bytes_out == 16 * 32 * 3
    assert made.segments[-1].bytes_back == made.segments[-1].bytes_out  # 12 and 192 channels need no padding
    head = 128 * 25 * 3 + 32 * 9 + 8 * 9 + 2 * 8 * 9
    tail = {
        "split": 32 * 9 + 128 * 9 + 128 * 9 * 12,
        "fused": 32 * 4 + 128 * 4 + 128 * 9 * 12,
        "lowres": 8 * 9 * 4 + 8 * 9 * 4 * 16 + 8 * 9 * 16 * 12 * 16,
    }
    assert sum(segment.macs for segment in made.segments) == head + tail[plan]
    assert made.copied >= 16 * 32 * 3  # NumPy takes the cells apart


def test_macs_are_those_of_the_real_network():
    from benchmarks.flops import flops
    from trainer import network

    spec, size = Network(widths=(4, 8, 8), blocks=2, first_kernel=5), (32, 48)
    model = network.build(spec, "affine")
    counted = flops(lambda x: model(x)["image"], np.zeros((1, *size, 3), "float32"))
    assert 2 * plan_costs(spec, size)[0].macs == counted


@pytest.mark.parametrize("strides, skips", [((1, 2, 2), False), ((2, 2, 2), False), ((2, 2, 2), True)], ids=str)
@pytest.mark.parametrize("plan", ["split", "fused", "lowres"])
def test_exported_files_cost_what_their_layers_do(plan, strides, skips):
    from trainer import network

    spec = Network(widths=(4, 8, 12), blocks=1, strides=strides, skips=skips)
    frames = np.zeros((1, 16, 24, 3), "float32")
    whole = convert(fold(network.build(spec, "affine"), spec), spec, frames, plan)
    files = [stage for stage in (cut(whole) if plan == "split" else [whole]) if not isinstance(stage, int)]
    for scale, size in ((1, (16, 24)), (4, (32, 48))):
        expected = plans(spec, size)[plan].segments
        found = [cost.of_model(read(data), scale) for data in files]
        for one, other in zip(found, expected, strict=True):
            exact = ("macs", "cycles", "bytes_out", "bytes_back")
            assert [getattr(one, name) for name in exact] == pytest.approx([getattr(other, name) for name in exact])
            for name in ("bytes_in", "largest"):  # a strided entry has a border of black
                assert getattr(other, name) <= getattr(one, name) <= 1.25 * getattr(other, name)
            assert one.parameters == pytest.approx(other.parameters, abs=200)  # shapes, zero biases


def test_cycles_are_the_compilers():
    """The compiler wrote 39,438,352 for fifty of 7x7, 32 to 32 channels, at 128x128; the first takes 3."""
    chain = [Layer(128 * 128, 49, 3, 32), *[Layer(128 * 128, 49, 32, 32)] * 49]
    assert sum(layer.cycles for layer in chain) == pytest.approx(39_438_352, rel=0.001)
    assert Layer(10, 9, 1, 64, depthwise=True).cycles == 2 * Layer(10, 9, 4, 64).cycles
    assert Layer(10, 9, 5, 5).cycles == Layer(10, 9, 8, 8).cycles


def test_padding_to_four_channels_on_the_way_back():
    assert cost.segment([], [(10, 3)], [(10, 3)]).bytes_back == 40
    assert cost.segment([], [(10, 3)], [(10, 4)]).bytes_back == 40  # BGRX costs nothing over the link
