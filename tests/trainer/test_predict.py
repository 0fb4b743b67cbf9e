"""Predicted latencies: the fit, its intervals, the plans, the seed and a bundle's report."""

from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest

from appliance.errors import Problem
from appliance.style import bundle
from trainer.edgetpu import predict
from trainer.edgetpu.cost import plan_costs
from trainer.edgetpu.predict import Layer, Row, Segment
from trainer.edgetpu.published import MODELS
from trainer.recipe import Network

TINY = Path(__file__).parents[1] / "data" / "tiny.reconet"
SPECS = (Network(), Network(widths=(48, 96, 192), first_kernel=9, last_kernel=9), Network(widths=(4, 8, 8), blocks=1))


@pytest.fixture(scope="module")
def tpu():
    return predict.leave_one_out(predict.tpu_rows())


def test_the_fit_recovers_known_coefficients(rng):
    known = np.array([1 / 0.3, 2.5, 0.8])
    rows = [Row(str(i), tuple(work), float(known @ work)) for i, work in enumerate(rng.uniform(0.1, 50, (12, 3)))]
    assert predict.fit(rows) == pytest.approx(known, rel=1e-6)
    fitted = predict.leave_one_out(rows)
    assert fitted.ratios == pytest.approx(1)
    assert predict.predict((1, 2, 3), fitted) == pytest.approx([known @ (1, 2, 3)] * 3)


def test_the_fit_finds_known_coefficients_in_noise(rng):
    known = np.array([1 / 0.3, 2.5, 0.8])
    works = rng.uniform(0.1, 50, (200, 3))
    rows = [Row("", tuple(work), float(known @ work * noise)) for work, noise in zip(works, rng.lognormal(0, 0.1, 200))]
    assert predict.fit(rows) == pytest.approx(known, rel=0.2)


def test_what_was_fitted_is_physically_possible(tpu):
    array, link, call = tpu.coefficients
    assert 0.1 < 1 / array < 1
    assert 300 < 1e3 / link < 500  # PCIe Gen2 x1 carries 500 MB/s
    assert 0 < call < 2
    assert np.abs(1 / tpu.ratios - 1).max() < 0.1


def test_intervals_hold_a_published_latency_that_they_have_not_seen():
    """Eight models make the interval of the ninth: 8 in 9 are promised, and 9 trials may well miss twice."""
    rows = predict.tpu_rows()
    held = 0
    for i, row in enumerate(rows):
        guess = predict.predict(row.work, predict.leave_one_out(rows[:i] + rows[i + 1 :]))
        held += guess.low <= row.ms <= guess.high
    assert held >= 7


def test_intervals_hold_at_the_stated_rate_in_noise(rng):
    known, held, trials = np.array([3.5, 2.4, 0.8]), 0, 300
    for _ in range(trials):
        works = rng.uniform(0.1, 20, (10, 3))
        rows = [Row("", tuple(w), float(known @ w * rng.lognormal(0, 0.07))) for w in works]
        guess = predict.predict(rows[9].work, predict.leave_one_out(rows[:9]))
        held += guess.low <= rows[9].ms <= guess.high
    assert 0.84 < held / trials < 0.97  # 9 in 10, give or take


@pytest.mark.parametrize("unit", range(3))
def test_more_work_never_takes_less(tpu, unit):
    guesses = [predict.predict([10 + more * (i == unit) for i in range(3)], tpu) for more in (0, 1, 10, 100)]
    for less, more in pairwise(guesses):
        assert all(a <= b for a, b in zip(less, more))


def test_a_narrow_layer_costs_a_whole_step_of_the_array():
    assert Layer(100, 9, 64, 3).array_macs == Layer(100, 9, 64, 64).array_macs == Layer(100, 9, 64, 64).macs
    assert Layer(100, 9, 64, 65).array_macs == 2 * Layer(100, 9, 64, 64).macs
    assert Layer(100, 9, 1, 64).array_macs == 100 * 64 * 64  # depthwise: 9 of 64 rows


def test_parameters_beyond_the_cache_cross_the_link_with_every_frame():
    one = Segment(0, 10, 20, 5 << 20)
    assert predict.tpu_work([one])[1] == pytest.approx(30e-6)
    assert predict.tpu_work([one, one])[1] * 1e6 == pytest.approx(60 + (10 << 20) - predict.CACHE)


@pytest.mark.parametrize("spec", SPECS, ids=str)
@pytest.mark.parametrize("size", predict.SIZES, ids=str)
def test_every_plan_is_predicted_with_its_counted_bytes_and_calls(tpu, spec, size):
    plans = predict.plans(spec, size)
    guesses = {name: predict.predict_plan(plan, tpu) for name, plan in plans.items()}
    for cost in plan_costs(spec, size):
        guess, segments = guesses[cost.plan], plans[cost.plan].segments
        assert sum(s.bytes_in for s in segments) == cost.bytes_in
        assert sum(s.bytes_out for s in segments) == cost.bytes_out
        assert len(segments) == cost.calls
        assert sum(s.array_macs for s in segments) >= cost.macs
        assert 0 < guess.low <= guess.ms <= guess.high < np.inf
    assert guesses["fused"].ms < guesses["split"].ms


def test_plans_multiply_what_is_counted():
    """With widths that fill the array, only the two ends round up: 27 of 64 rows, and 3 of 64 columns."""
    spec, size = Network(widths=(64, 64, 64), blocks=1), (32, 48)
    for cost in plan_costs(spec, size)[:3]:
        pixels = 32 * 48
        ends = pixels * 64 * (64 - 27) + pixels * 9 * 64 * (64 - 3)
        segments = predict.plans(spec, size)[cost.plan].segments
        assert sum(s.array_macs for s in segments) == cost.macs + ends


def test_a_larger_picture_takes_longer(tpu):
    for name in ("split", "subpixel", "fused", "lowres"):
        times = [predict.predict_plan(predict.plans(Network(), size)[name], tpu).ms for size in predict.SIZES]
        assert times == sorted(times)


def test_the_seed_is_slow_on_the_cpu_and_fast_without(tpu):
    rows = predict.seed_rows()
    assert len(rows) == 3 * len(predict.SEEDS)
    for _, what, fps, guess in rows:
        assert 0 < guess.low <= guess.ms <= guess.high
        assert (guess.ms > 1000) == ("CPU" in what) == (fps < 1)


def test_published_rows_agree_with_themselves():
    for model in MODELS:
        macs = sum(model[f"macs_{kind}"] for kind in ("conv", "depthwise", "dense", "transposed"))
        assert model["array_macs"] > macs > model["parameters"] / 2
        assert model["cpu_ms"] > 10 * model["ms"]


def test_a_bundle_gives_a_report():
    made = predict.report(TINY)
    assert made.row_count == 4
    assert list(made.columns[0].cells) == ["64x32"] * 4
    assert "(8, 16, 16)" in made.title


def test_a_damaged_bundle_is_refused_in_one_line(tmp_path):
    broken = tmp_path / "broken.reconet"
    broken.write_bytes(TINY.read_bytes()[:-100])
    with pytest.raises(Problem, match="broken.reconet") as refused:
        predict.report(broken)
    assert "\n" not in str(refused.value)


def test_a_bundle_without_its_recipe_is_refused_in_one_line(tmp_path):
    whole = bundle.read(TINY)
    fields = whole.manifest.model_dump(exclude_none=True) | {"provenance": {"trainer": "0.1.0"}}
    fields.pop("files")
    bundle.write(tmp_path / "plain.reconet", fields, whole.files)
    with pytest.raises(Problem, match="holds no recipe") as refused:
        predict.report(tmp_path / "plain.reconet")
    assert "\n" not in str(refused.value)


def test_everything_is_printed(capsys, monkeypatch):
    monkeypatch.setenv("COLUMNS", "140")
    predict.main()
    shown = capsys.readouterr().out
    for word in ("MobileNet v1", "640x360", "lowres", "MB/s", "seed"):
        assert word in shown
