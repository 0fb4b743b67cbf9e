"""The board chooses: real networks, at real sizes, and real trials in separate processes where it says so."""

import pytest

from appliance import choice, trial
from appliance.choice import Measured
from appliance.loader import Surroundings
from appliance.style import state

from .tuning import LADDER, PLANS, device, ladder, measured_rates, style_writer, switchers  # noqa: F401

pytest.importorskip("inotify_simple", reason="inotify_simple is not installed")


def test_real_trials_end_in_the_largest_picture_that_holds_the_rate(folder, put, start):
    """Whatever they measure on a machine that may be busy."""
    made = put()
    one = start(folder, target_fps=1)
    assert one.swapped.get(timeout=60).input_size == LADDER[0]
    style = one.until(lambda style: not style.why.startswith("the first"))
    one.close()
    rows = state.read(folder).rows(made.digest, device())
    assert rows[0][:2] == ("split", LADDER[0]) and all(row.fps > 0 for row in rows)
    best = choice.best(rows, 1, PLANS)
    assert (style.plan, style.size) == best[:2] and style.fps == pytest.approx(best.fps, abs=0.01)
    assert choice.following({plan: LADDER for plan in PLANS}, rows, 1) is None


def test_what_was_measured_is_taken_at_once_the_next_time(folder, put, start, rates):
    put()
    rates.update({("split", LADDER[0]): 90.0, ("split", LADDER[1]): 40.0, ("split", LADDER[2]): 20.0})
    rates[("fused", LADDER[2])] = 25.0
    one = start(folder)
    one.until(lambda style: style.size == LADDER[1])
    one.close()
    assert rates.tried == [("split", LADDER[0])] + [("split", size) for size in LADDER[1:]] + [
        ("fused", LADDER[2]),
        ("lowres", LADDER[2]),
    ]
    assert rates.held == len(rates.tried)
    two = start(folder)
    assert two.swapped.get(timeout=30).input_size == LADDER[1] and len(rates.tried) == 5
    assert (two.now.style.fps, two.now.style.target) == (40.0, 30.0)
    two.passes()
    assert two.swapped.empty() and len(rates.tried) == 5


def test_where_none_holds_the_rate_the_fastest_runs_from_the_start(folder, put, start, rates):
    put()
    rates.update({("split", LADDER[0]): 2.0, ("fused", LADDER[0]): 3.0, ("lowres", LADDER[0]): 8.0})
    one = start(folder)
    stylizer = one.swapped.get(timeout=30)
    assert stylizer.plan == "lowres" and one.now.style.why == "the fastest: none holds 30 fps"
    one.passes()
    assert one.swapped.empty() and len(rates.tried) == 3


def test_a_size_to_which_no_whole_step_leads_from_the_camera_is_not_taken(folder, put, start, rates):
    put()
    rates.update({(plan, size): 99.0 for plan in PLANS for size in LADDER})
    fits = [None]
    one = start(folder, Surroundings(fits=lambda: fits[0]))
    assert one.until(lambda style: style.size == LADDER[2]).fps == 99
    fits[0] = (LADDER[1],)  # a camera was plugged in
    assert one.until(lambda style: style.size == LADDER[1]).fps == 99
    fits[0] = LADDER[1:]
    one.until(lambda style: style.size == LADDER[2])


def test_the_lite_plan_runs_where_no_other_holds_the_rate_even_if_the_camera_has_to_be_scaled(
    folder, put, start, rates
):
    put(lite=True)
    rates.update({("lite", size): 1000 / size[0] for size in LADDER})  # 15, 7 and 5 fps
    one = start(folder, Surroundings(fits=lambda: LADDER[2:]), target_fps=7)
    style = one.until(lambda style: style.plan == "lite" and "being measured" not in style.why)
    assert style.size == LADDER[1] and "no other holds it" in style.why
    smallest = [(plan, LADDER[0]) for plan in ("split", "lite", "fused", "lowres")]
    assert rates.tried == [*smallest, ("lite", LADDER[1]), ("lite", LADDER[2])]


def test_a_slow_board_shows_the_lite_plan_while_the_others_are_measured(folder, put, start, rates):
    put(lite=True)
    rates.update({("lite", LADDER[0]): 9.0, ("split", LADDER[0]): 2.0, ("lowres", LADDER[0]): 40.0})
    one = start(folder)
    assert one.swapped.get(timeout=30).plan == "lite"  # it misses the rate as well
    assert one.until(lambda style: style.plan == "lowres").fps == 40
    assert [plan for plan, _ in rates.tried[:4]] == ["split", "lite", "fused", "lowres"]


def test_a_size_that_is_configured_may_be_scaled(folder, put, start, rates):
    put()
    one = start(folder, Surroundings(fits=lambda: LADDER[:1]), size="192x108")
    one.until(lambda style: style.size == LADDER[2])


def test_other_threads_are_another_device(folder, put, start, rates):
    put()
    rates.update({(plan, size): 99.0 for plan in PLANS for size in LADDER})
    for threads, tried in ((1, 3), (2, 6), (1, 6)):
        one = start(folder, threads=threads)
        one.until(lambda style: style.size == LADDER[-1])
        one.close()
        assert len(rates.tried) == tried


def test_a_plan_and_size_that_are_configured_are_taken(folder, put, start, rates):
    put()
    rates[("fused", (96, 48))] = 5.0
    one = start(folder, plan="fused", size="96x48")
    stylizer = one.swapped.get(timeout=30)
    assert (stylizer.plan, stylizer.input_size) == ("fused", (96, 48)) and one.now.style.why == "configured"
    one.passes()
    assert rates.tried == [("fused", (96, 48))] and one.swapped.empty()


def test_another_target_is_another_choice_without_a_new_trial_where_none_is_needed(folder, put, start, rates):
    put()
    rates.update({("split", LADDER[0]): 90.0, ("split", LADDER[1]): 40.0, ("split", LADDER[2]): 20.0})
    one = start(folder)
    one.until(lambda style: style.size == LADDER[1] and "being measured" not in style.why)
    tried = len(rates.tried)
    settings = one.settings(folder)
    one.switcher.configure(settings.model_copy(update={"camera": settings.camera.model_copy(update={"fps": 20})}))
    assert one.until(lambda style: style.size == LADDER[2]).target == 20
    assert len(rates.tried) == tried


def test_compiled_sizes_are_measured_in_the_daemon_after_a_trial_on_the_cpu(
    folder, put, start, rates, tpu, monkeypatch
):
    costs, proved = {LADDER[0]: 5.0, LADDER[1]: 20.0, LADDER[2]: 50.0}, []
    monkeypatch.setattr("appliance.loader.frame_ms", lambda stylizer: costs[stylizer.input_size])
    monkeypatch.setattr(trial, "passes", lambda path, seconds, plan, runtime, digest, size: proved.append((plan, size)))
    made = put(compiled={"fused": LADDER, "lowres": LADDER[1:]})
    tpu.plug()
    one = start(folder)
    style = one.until(lambda style: style.size == LADDER[1] and "being measured" not in style.why)
    assert style.device == "TPU" and style.plan == "fused" and style.fps == 50
    one.close()
    assert proved == [("fused", LADDER[0]), ("lowres", LADDER[1])] and rates.tried == []
    now = state.read(folder)
    assert now.attempt is None and len(now.proved) == 2
    assert {row[:2] for row in now.rows(made.digest, state.device("pycoral 2.0.0", "TPU", 0))} == {
        ("fused", LADDER[0]),
        ("fused", LADDER[1]),
        ("fused", LADDER[2]),
        ("lowres", LADDER[2]),
    }


def test_rows_of_the_state_are_of_their_device(tmp_path):
    memory = state.Memory(tmp_path, pytest.fail)
    memory.measured("ab", "x 1 CPU 4", [Measured("fused", (640, 360), 31.25)])
    memory.measured("ab", "x 1 CPU 4", [Measured("fused", (320, 180), 90.0)])
    now = state.read(tmp_path)
    assert now.rows("ab", "x 1 CPU 4") == [Measured("fused", (640, 360), 31.25), Measured("fused", (320, 180), 90.0)]
    assert now.rows("ab", "x 2 CPU 4") == now.rows("cd", "x 1 CPU 4") == []
    memory.measured("ab", "x 1 CPU 4", [Measured("fused", (1280, 720), 0.001)])  # very slow, but it runs
    assert state.read(tmp_path).rows("ab", "x 1 CPU 4")[-1].fps == 0.01


def test_a_state_of_before_sizes_is_read(tmp_path):
    (tmp_path / state.NAME).write_text(
        '{"version": 1, "choices": {"ab": {"CPU": "fused"}}, "proved": ["ab split x CPU"]}'
    )
    now = state.read(tmp_path, pytest.fail)
    assert now.chosen("ab", "CPU") == ("fused", None) and now.rows("ab", "x 1 CPU 4") == []
    state.choose(tmp_path, "ab", "CPU", "split", (640, 360))
    assert state.read(tmp_path).chosen("ab", "CPU") == ("split", (640, 360))
    assert state.read(tmp_path).choice("ab", "CPU") == "split"


def test_a_plan_that_an_earlier_version_chose_is_measured_at_all_sizes(folder, put, start, rates):
    made = put()
    rates.update({("lowres", LADDER[0]): 90.0, ("lowres", LADDER[1]): 40.0, ("lowres", LADDER[2]): 20.0})
    state.choose(folder, made.digest, "CPU", "lowres")
    one = start(folder)
    style = one.until(lambda style: style.size == LADDER[1])
    assert style.plan == "lowres" and {plan for plan, _ in rates.tried} == {"lowres"}
