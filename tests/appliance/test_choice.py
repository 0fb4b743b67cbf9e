"""Which plan and size is chosen, and in which order they are measured."""

import pytest

from appliance import choice
from appliance.camera.sizes import LADDER, Offer, choose_size, way
from appliance.choice import LITE, Measured

SMALL, MIDDLE, LARGE = (320, 180), (640, 360), (1280, 720)
PLANS = ["fused", "lowres"]
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
        (
            {"fused": (200, 50, 12), "lowres": (400, 100, 25)},
            30,
            ("fused", MIDDLE),
        ),  # of equal sizes the preferred plan
        ({"fused": (100, 25, 6), "lowres": (400, 100, 25)}, 30, ("lowres", MIDDLE)),  # the larger picture
        ({"fused": (900, 225, 56), "lowres": (950, 235, 60)}, 30, ("fused", LARGE)),
        ({"fused": (2, 0.5, 0.1), "lowres": (8, 2, 0.5)}, 30, ("lowres", SMALL)),  # none holds it: the fastest
        ({"fused": (100, 29, 6), "lowres": (8, 2, 0.5)}, 30, ("fused", MIDDLE)),  # no measurement is exact
        ({"fused": (100, 29, 6), "lowres": (200, 40, 9)}, 30, ("lowres", MIDDLE)),  # but one that reaches it is better
        ({"fused": (100, 28.6, 6), "lowres": (200, 29.5, 9)}, 30, ("lowres", MIDDLE)),  # or else the faster
        ({"fused": (100, 28.6, 6), "lowres": (200, 28.5, 9)}, 30, ("fused", MIDDLE)),
        ({"fused": (0, 0, 0), "lowres": (8, 2, 0.5)}, 30, ("lowres", SMALL)),  # it does not run
        ({"fused": (200, 50, 12), "lowres": (400, 100, 25)}, 10, ("fused", LARGE)),
    ],
)
def test_the_largest_that_holds_the_rate_is_chosen_else_the_fastest(truth, target, chosen):
    rows = measured(truth, target)
    assert choice.best(rows, target, PLANS)[:2] == chosen
    every = [Measured(plan, size, fps) for plan in PLANS for size, fps in zip(SIZES[plan], truth[plan])]
    assert choice.best(every, target, PLANS)[:2] == chosen  # what was left out made no difference


def test_no_more_is_measured_than_can_matter():
    rows = measured({"fused": (200, 50, 12), "lowres": (400, 100, 25)}, 30)
    assert [row[:2] for row in rows] == [("fused", SMALL), ("fused", MIDDLE), ("fused", LARGE), ("lowres", LARGE)]
    rows = measured({"fused": (2, 0.5, 0.1), "lowres": (8, 2, 0.5)}, 30)
    assert [row[:2] for row in rows] == [("fused", SMALL), ("lowres", SMALL)]
    rows = measured({"fused": (200, 29, 12), "lowres": (400, 40, 25)}, 30)  # of a size that only just holds it, all
    assert [row[:2] for row in rows[3:]] == [("lowres", MIDDLE), ("lowres", LARGE)]


@pytest.mark.parametrize(
    "truth, chosen",
    [
        ({LITE: (900, 400, 99), "fused": (40, 9, 2)}, ("fused", SMALL)),  # the smallest of another plan comes before it
        ({LITE: (900, 40, 9), "fused": (20, 9, 2)}, (LITE, MIDDLE)),  # the largest that holds the rate
        ({LITE: (8, 2, 1), "fused": (2, 1, 0.1)}, (LITE, SMALL)),  # none holds it: the fastest of all
        ({LITE: (8, 2, 1), "fused": (9, 1, 0.1)}, ("fused", SMALL)),
        ({LITE: (90, 40, 9), "fused": (0, 0, 0)}, (LITE, MIDDLE)),
    ],
)
def test_the_lite_plan_is_the_last_resort(truth, chosen):
    sizes = {plan: [SMALL, MIDDLE, LARGE] for plan in truth}  # whatever the order
    assert choice.best(measured(truth, 30, sizes), 30, list(truth))[:2] == chosen
    every = [Measured(plan, size, fps) for plan in truth for size, fps in zip(sizes[plan], truth[plan])]
    assert choice.best(every, 30, list(truth))[:2] == chosen


def test_the_lite_plan_is_measured_when_every_other_misses_and_not_before():
    sizes = {plan: [SMALL, MIDDLE] for plan in (LITE, "fused", "split")}
    rows = measured({LITE: (90, 40), "fused": (20, 5), "split": (40, 9)}, 30, sizes)
    assert [row[:2] for row in rows] == [("fused", SMALL), ("split", SMALL), ("split", MIDDLE)]
    rows = measured({LITE: (90, 40), "fused": (20, 5), "split": (4, 1)}, 30, sizes)
    assert [row[:2] for row in rows] == [("fused", SMALL), ("split", SMALL), (LITE, SMALL), (LITE, MIDDLE)]
    assert "no other holds it" in choice.reason(rows[-1], 30, True)


def test_what_is_known_of_the_lite_plan_hides_no_other():
    known = [Measured(LITE, MIDDLE, 90.0)]  # by bench
    assert choice.following({"fused": [SMALL, MIDDLE], LITE: [MIDDLE]}, known, 30) == ("fused", SMALL)


@pytest.mark.parametrize(
    "truth, tried",
    [
        ({LITE: 90, "fused": 40, "split": 50}, ["fused"]),  # it holds the rate
        ({LITE: 90, "fused": 2, "split": 50}, ["fused", LITE]),
        ({LITE: 9, "fused": 2, "split": 50}, ["fused", LITE]),  # it misses it too, but a picture is there
        ({LITE: 90, "fused": 0, "split": 50}, ["fused", "split"]),  # the first does not run
        ({LITE: 0, "fused": 2, "split": 50}, ["fused", LITE, "split"]),
        ({"fused": 2, "split": 3, "lowres": 50}, ["fused", "split", "lowres"]),
    ],
)
def test_the_lite_plan_comes_next_before_the_first_picture(truth, tried):
    sizes, rows = {plan: [SMALL, MIDDLE] for plan in truth}, []
    while True:
        pair = choice.opening(sizes, rows, 30)
        if pair is None:
            break
        rows.append(Measured(*pair, truth[pair[0]]))
    assert [row[:2] for row in rows] == [(plan, SMALL) for plan in tried]


def test_nothing_is_chosen_of_what_does_not_run():
    assert choice.best([Measured("fused", SMALL, 0.0)], 30, PLANS) is None


def test_rungs_are_ever_smaller_and_faster():
    rows = [
        Measured("fused", LARGE, 12),
        Measured("fused", MIDDLE, 50),
        Measured("lowres", MIDDLE, 90),
        Measured("fused", (424, 240), 52),  # hardly faster
        Measured("lowres", SMALL, 200),
        Measured("fused", SMALL, 180),
    ]
    assert choice.rungs(rows, rows[1]) == [rows[1], rows[4]]
    assert choice.rungs(rows, rows[4]) == [rows[4]]
    lite = Measured(LITE, (424, 240), 900)
    tiny = Measured(LITE, (160, 88), 2000)
    assert choice.rungs([tiny, lite, *rows], rows[1]) == [rows[1], rows[4], tiny]


@pytest.mark.parametrize("network", LADDER)
def test_a_common_camera_has_a_size_from_which_a_whole_step_leads_to_each(network):
    common = [(640, 360), (640, 480), (848, 480), (960, 540), (1024, 576), (1280, 720), (1920, 1080)]
    found = way(choose_size([Offer(size, 30.0) for size in common], network), network)
    assert not found.resampled
