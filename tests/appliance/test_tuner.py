"""The board chooses: real networks, at real sizes, and real trials in processes of their own where it says so."""

import queue

import pytest

from appliance import choice, options, pace, switcher, trial
from appliance.choice import Measured
from appliance.engine import interpreter
from appliance.loader import Surroundings
from appliance.style import bundle, state
from appliance.style.resize import Resizable

from .conftest import sized_fields
from .switching import Running

pytest.importorskip("inotify_simple", reason="inotify_simple is not installed")

LADDER = [(64, 32), (128, 72), (192, 108)]
PLANS = ["split", "fused", "lowres"]


@pytest.fixture(autouse=True)
def ladder(monkeypatch):
    monkeypatch.setattr(options, "LADDER", LADDER[1:])
    monkeypatch.setattr(switcher, "_LOOK_S", 0.01)


@pytest.fixture
def rates(monkeypatch):
    """Frames per second by (plan, size) that a trial measures, none of which takes place. `rates.tried` lists them."""

    class Rates(dict):
        tried, held = [], 0

    found = Rates()

    def measure(path, plan, size, *rest):
        found.tried.append((plan, size))
        with rest[-1]():
            found.held += 1
        return 1000 / found.get((plan, size), 1.0)

    monkeypatch.setattr(trial, "measure", measure)
    monkeypatch.setattr(trial, "passes", lambda *_: None)
    return found


@pytest.fixture
def put(folder, tiny_yuv):
    """Put a style that has every size into the folder; `compiled`: for the Edge TPU, for some sizes, by plan."""

    def write(name="a", compiled=None):
        fields, files = dict(sized_fields(tiny_yuv), name=name), dict(tiny_yuv.files)
        for plan in fields["plans"]:
            names = [stage["segment"] for stage in plan["stages"] if "segment" in stage]
            for size in (compiled or {}).get(plan["name"], []):
                if len(names) > 1:
                    raise NotImplementedError
                made = "{}_{}x{}_edgetpu.tflite".format(plan["name"], *size)
                # Stands in for what Google's compiler makes.
                files[made] = Resizable(files[names[0]]).at((size[1] + 2, size[0] + 2))
                plan.setdefault("edgetpu", {})["{}x{}".format(*size)] = [made]
        return bundle.write(folder / f"{name}.reconet", fields, files)

    return write


class Tuned(Running):
    def until(self, test):
        """The style that runs, as soon as it passes the test."""
        while self.now.style is None or not test(self.now.style):
            assert self.thread.is_alive()
            self.thread.join(0.01)
        return self.now.style


@pytest.fixture
def start():
    running = []

    def begin(folder, around=None, **engine):
        one = Tuned(folder, around, **engine)
        running.append(one)
        return one

    yield begin
    for one in running:
        one.close()


def device():
    here = interpreter.runtimes()[0]
    return state.device(str(here), "CPU", 0)


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
