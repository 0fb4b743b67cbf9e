"""The board chooses again: rates that are missed, and plans and sizes that fail."""

import queue

import pytest

from appliance import pace, trial
from appliance.loader import Surroundings
from appliance.style import bundle, state

from .tuning import LADDER, PLANS, device, ladder, measured_rates, style_writer, switchers  # noqa: F401

pytest.importorskip("inotify_simple", reason="inotify_simple is not installed")


def test_a_size_that_cannot_be_had_is_passed_over_with_a_word(folder, put, start, rates):
    put()
    rates.update({("split", LADDER[0]): 99.0})
    one = start(folder, size="97x49")
    assert one.until(lambda style: "being measured" not in style.why).why == (
        "the largest measured that holds 30 fps; 97x49 as configured cannot be had"
    )


def test_what_bench_chose_is_taken_and_steps_down_too(folder, put, start, rates, monkeypatch):
    monkeypatch.setattr(pace, "_DOWN_S", 0.0)
    made, rate = put(), [40.0]
    rates.update({("split", LADDER[0]): 90.0, ("split", LADDER[1]): 50.0, ("split", LADDER[2]): 20.0})
    one = start(folder, Surroundings(lambda: rate[0]))
    one.until(lambda style: style.size == LADDER[1] and "being measured" not in style.why)
    state.choose(folder, made.digest, "CPU", "split", LADDER[2])
    style = one.until(lambda style: style.size == LADDER[2])
    assert style.why == "chosen by reconet bench"
    state.choose(folder, made.digest, "CPU", "split", LADDER[1])  # the same plan
    one.until(lambda style: style.size == LADDER[1] and style.why == "chosen by reconet bench")
    state.choose(folder, made.digest, "CPU", "split", LADDER[2])
    one.until(lambda style: style.size == LADDER[2])
    rate[0] = 5.0
    assert one.until(lambda style: style.size == LADDER[0]).why.startswith("stepped down from 192x108: 128x72 made 5.0")


def test_a_rate_that_is_missed_steps_down_and_up_again(folder, put, start, rates, monkeypatch):
    monkeypatch.setattr(pace, "_DOWN_S", 0.0)
    monkeypatch.setattr(pace, "_UP_S", 0.0)
    put()
    rates.update({("split", LADDER[0]): 90.0, ("split", LADDER[1]): 40.0})
    rate, heat = [40.0], [False]
    one = start(folder, Surroundings(lambda: rate[0], lambda: heat[0]))
    one.until(lambda style: style.size == LADDER[1] and "being measured" not in style.why)
    heat[0], rate[0] = True, 19.0
    style = one.until(lambda style: style.size == LADDER[0])
    assert style.why == "stepped down from 128x72: 128x72 made 19.0 fps of 30.0, the Edge TPU is too hot"
    rate[0] = 80.0
    one.passes()
    assert one.now.style.size == LADDER[0]  # it is hot still
    heat[0] = False
    assert one.until(lambda style: style.size == LADDER[1]).why.startswith("back at 128x72: 64x32 held 30.0 fps")
    sizes = [one.swapped.get(timeout=30).input_size for _ in range(4)]
    assert sizes == [LADDER[0], LADDER[1], LADDER[0], LADDER[1]]


def test_a_measurement_that_was_disturbed_is_made_again_once(folder, put, start, rates, monkeypatch):
    monkeypatch.setattr(pace, "_UP_S", 0.0)
    put()
    rates.update({(plan, size): 5.0 for plan in PLANS for size in LADDER})  # the board was just starting
    one = start(folder, Surroundings(lambda: 200.0))
    assert one.swapped.get(timeout=30).input_size == LADDER[0]
    rates.update({(plan, size): 90.0 for plan in PLANS for size in LADDER})
    one.until(lambda style: style.size == LADDER[2])
    tried = len(rates.tried)
    one.passes(10)
    assert len(rates.tried) == tried


def test_a_plan_that_fails_its_trial_is_passed_over_and_not_tried_again_and_again(
    folder, put, start, rates, monkeypatch
):
    put()
    rates.update({("fused", LADDER[0]): 90.0})
    measure = trial.measure

    def failing(path, plan, *rest):
        if plan == "split":
            rates.tried.append((plan, rest[0]))
            raise bundle.BundleError(f"{path}: crashed")
        return measure(path, plan, *rest)

    monkeypatch.setattr(trial, "measure", failing)
    one = start(folder)
    assert one.until(lambda style: "being measured" not in style.why).plan == "fused"
    one.passes(10)
    assert len(rates.tried) == len(set(rates.tried))


def test_a_size_that_fails_its_trial_is_remembered_where_a_smaller_one_runs(folder, put, start, rates, monkeypatch):
    put()
    rates.update({("split", LADDER[0]): 90.0, ("fused", LADDER[1]): 20.0, ("lowres", LADDER[1]): 20.0})
    measure = trial.measure

    def failing(path, plan, size, *rest):
        if plan == "split" and size != LADDER[0]:
            rates.tried.append((plan, size))
            raise bundle.BundleError(f"{path}: its trial run needed more memory")
        return measure(path, plan, size, *rest)

    monkeypatch.setattr(trial, "measure", failing)
    for _ in range(2):
        one = start(folder)
        one.until(lambda style: style.size == LADDER[0] and "being measured" not in style.why)
        one.passes()
        one.close()
        assert rates.tried == [("split", LADDER[0]), ("split", LADDER[1]), ("fused", LADDER[1]), ("lowres", LADDER[1])]


def test_the_attempt_is_noted_while_a_compiled_size_is_measured(folder, put, start, rates, tpu, monkeypatch):
    monkeypatch.setattr("appliance.loader.frame_ms", lambda stylizer: 5.0)
    noted = queue.Queue()
    load = tpu.load
    monkeypatch.setattr(tpu, "load", lambda data: (noted.put(state.read(folder).attempt), load(data))[-1])
    made = put(compiled={"fused": LADDER[:2]})
    tpu.plug()
    one = start(folder)
    one.until(lambda style: style.size == LADDER[1])
    attempts = [noted.get() for _ in range(noted.qsize())]
    assert len(attempts) >= 3 and all(attempt.bundle == made.digest for attempt in attempts)
