"""A size that misses its rate: down, and up again, on a clock of the test's own."""

from types import SimpleNamespace

import pytest

from appliance.choice import Measured
from appliance.pace import Pace

RUNGS = [Measured("fused", (640, 360), 40.0), Measured("fused", (512, 288), 60.0), Measured("fused", (320, 180), 150.0)]


@pytest.fixture
def clock():
    return SimpleNamespace(now=1000.0)


@pytest.fixture
def pace(clock):
    return Pace(RUNGS, 30.0, lambda: clock.now)


def passed(pace, clock, seconds, rate, hot=False):
    """The rungs that are taken, each with the seconds until then. `rate` gives that of a rung."""
    steps, begin = [], clock.now
    while clock.now < begin + seconds:
        clock.now += 0.5
        if pace.update(rate(pace.rung), hot):
            steps.append((clock.now - begin, pace.rung))
    return steps


def test_a_rate_that_holds_changes_nothing(pace, clock):
    assert passed(pace, clock, 7200, lambda rung: 40.0) == []
    assert passed(pace, clock, 7200, lambda rung: 28.0) == []  # a little less is no reason


def test_a_short_fall_changes_nothing(pace, clock):
    for _ in range(20):
        assert passed(pace, clock, 9, lambda rung: 10.0) == passed(pace, clock, 1, lambda rung: 40.0) == []


def test_a_rate_that_is_missed_steps_down_one_by_one_and_says_why(pace, clock):
    steps = passed(pace, clock, 60, lambda rung: (10.0, 20.0, 60.0)[rung])
    assert [rung for _, rung in steps] == [1, 2] and steps[0][0] == 10.5
    assert pace.why == "512x288 made 20.0 fps of 30.0" and pace.now == RUNGS[2]
    assert passed(pace, clock, 60, lambda rung: 1.0) == []  # there is no smaller one


def test_heat_steps_down_and_nothing_goes_up_before_it_is_over(pace, clock):
    assert [rung for _, rung in passed(pace, clock, 3600, lambda rung: (20.0, 30.0)[rung], hot=True)] == [1]
    assert "the Edge TPU is too hot" in pace.why
    assert [rung for _, rung in passed(pace, clock, 3600, lambda rung: 40.0)] == [0]


def test_each_try_doubles_the_time_before_the_next(pace, clock):
    steps = passed(pace, clock, 24 * 3600, lambda rung: (20.0, 60.0)[rung])
    ups = [at for at, rung in steps if rung == 0]
    downs = [at for at, rung in steps if rung == 1]
    waits = [up - down for down, up in zip(downs, ups)]
    assert waits[:8] == [60, 120, 240, 480, 960, 1920, 3600, 3600]
    assert len(steps) < 70  # in a day


def test_an_hour_at_the_largest_brings_the_first_pause_back(pace, clock):
    passed(pace, clock, 600, lambda rung: (20.0, 60.0)[rung])
    passed(pace, clock, 2 * 3600, lambda rung: 60.0)
    assert pace.rung == 0
    steps = passed(pace, clock, 80, lambda rung: (20.0, 60.0)[rung])
    assert [at for at, _ in steps] == [10.5, 70.5]


def test_without_frames_nothing_is_known(pace, clock):
    assert passed(pace, clock, 60, lambda rung: None) == []
    passed(pace, clock, 9, lambda rung: 10.0)
    passed(pace, clock, 1, lambda rung: None)
    assert passed(pace, clock, 9, lambda rung: 10.0) == []


def test_what_was_chosen_as_the_fastest_is_not_measured_by_what_it_never_had(clock):
    pace = Pace([Measured("lite", (640, 360), 8.0), Measured("lite", (320, 180), 9.0)], 30.0, lambda: clock.now)
    assert passed(pace, clock, 3600, lambda rung: 7.5) == []


def test_a_rate_far_above_the_measured_one_is_noticed_after_a_minute(pace, clock):
    passed(pace, clock, 3600, lambda rung: 55.0)
    assert not pace.surpassed
    passed(pace, clock, 59, lambda rung: 65.0)
    assert not pace.surpassed
    passed(pace, clock, 2, lambda rung: 65.0)
    assert pace.surpassed
    passed(pace, clock, 1, lambda rung: 40.0)
    assert not pace.surpassed
