"""The counted costs of the plans."""

import numpy as np
import pytest

from trainer.edgetpu.cost import plan_costs
from trainer.recipe import Network


def test_costs_of_the_plans_at_512x216():
    """GMAC, and MB over the boundary beside the image, worked out by hand for 32/64/128 and four blocks."""
    costs = {cost.plan: cost for cost in plan_costs(Network(), (216, 512))}
    for plan, gmac, extra in (
        ("split", 13.44, 13.27),
        ("subpixel", 13.44, 10.62),
        ("fused", 11.18, 0),
        ("lowres", 20.99, 0),
    ):
        cost = costs[plan]
        assert cost.macs / 1e9 == pytest.approx(gmac, abs=0.01)
        assert (cost.bytes_in + cost.bytes_out - 2 * 331776) / 1e6 == pytest.approx(extra, abs=0.01)
    assert [cost.calls for cost in costs.values()] == [3, 3, 1, 1]


def test_macs_are_those_of_the_real_network():
    from benchmarks.flops import flops
    from trainer import network

    spec, size = Network(widths=(4, 8, 8), blocks=2, first_kernel=5), (32, 48)
    model = network.build(spec, "affine")
    counted = flops(lambda x: model(x)["image"], np.zeros((1, *size, 3), "float32"))
    assert 2 * plan_costs(spec, size)[0].macs == counted
