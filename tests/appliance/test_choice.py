"""Which plan and size is chosen, and in which order they are measured."""

import pytest

from appliance import choice
from appliance.camera.sizes import LADDER, Offer, choose_size, way
from appliance.choice import Measured

SMALL, MIDDLE, LARGE = (320, 180), (640, 360), (1280, 720)
PLANS = ["fused", "lite"]
SIZES = {plan: [SMALL, MIDDLE, LARGE] for plan in PLANS}


def measured(truth, target, sizes=SIZES):
    """The rows as they are measured, where `truth` has the rates by plan, the smallest size first."""
    rows = []
    while True:
        pair = choice.following(sizes, rows, target)
        if pair is None:
            return rows
        rows.append(Measured(*pair, truth[pair[0]][sizes[pair[0]].index(pair[1])]))


@pytest.mark.parametrize(
    "truth, target, chosen",
    [
        ({"fused": (200, 50, 12), "lite": (400, 100, 25)}, 30, ("fused", MIDDLE)),  # of equal sizes the preferred plan
        ({"fused": (100, 25, 6), "lite": (400, 100, 25)}, 30, ("lite", MIDDLE)),  # the larger picture
        ({"fused": (900, 225, 56), "lite": (950, 235, 60)}, 30, ("fused", LARGE)),
        ({"fused": (2, 0.5, 0.1), "lite": (8, 2, 0.5)}, 30, ("lite", SMALL)),  # none holds it: the fastest
        ({"fused": (100, 29, 6), "lite": (8, 2, 0.5)}, 30, ("fused", MIDDLE)),  # no measurement is exact
        ({"fused": (0, 0, 0), "lite": (8, 2, 0.5)}, 30, ("lite", SMALL)),  # it does not run
        ({"fused": (200, 50, 12), "lite": (400, 100, 25)}, 10, ("fused", LARGE)),
    ],
)
def test_the_largest_that_holds_the_rate_is_chosen_else_the_fastest(truth, target, chosen):
    rows = measured(truth, target)
    assert choice.best(rows, target, PLANS)[:2] == chosen
    every = [Measured(plan, size, fps) for plan in PLANS for size, fps in zip(SIZES[plan], truth[plan])]
    assert choice.best(every, target, PLANS)[:2] == chosen  # what was left out made no difference


def test_no_more_is_measured_than_can_matter():
    rows = measured({"fused": (200, 50, 12), "lite": (400, 100, 25)}, 30)
    assert [row[:2] for row in rows] == [("fused", SMALL), ("fused", MIDDLE), ("fused", LARGE), ("lite", LARGE)]
    rows = measured({"fused": (2, 0.5, 0.1), "lite": (8, 2, 0.5)}, 30)
    assert [row[:2] for row in rows] == [("fused", SMALL), ("lite", SMALL)]


def test_nothing_is_chosen_of_what_does_not_run():
    assert choice.best([Measured("fused", SMALL, 0.0)], 30, PLANS) is None


def test_rungs_are_ever_smaller_and_faster():
    rows = [
        Measured("fused", LARGE, 12),
        Measured("fused", MIDDLE, 50),
        Measured("lite", MIDDLE, 90),
        Measured("fused", (424, 240), 52),  # hardly faster
        Measured("lite", SMALL, 200),
        Measured("fused", SMALL, 180),
    ]
    assert choice.rungs(rows, rows[1]) == [rows[1], rows[4]]
    assert choice.rungs(rows, rows[4]) == [rows[4]]


@pytest.mark.parametrize("network", LADDER)
def test_a_common_camera_has_a_size_from_which_a_whole_step_leads_to_each(network):
    common = [(640, 360), (640, 480), (848, 480), (960, 540), (1024, 576), (1280, 720), (1920, 1080)]
    found = way(choose_size([Offer(size, 30.0) for size in common], network), network)
    assert not found.resampled
