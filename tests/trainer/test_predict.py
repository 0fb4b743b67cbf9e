"""Predicted latencies: what the constants give, a bundle's predictions, and the command."""

import json
from pathlib import Path

import pytest

from appliance.errors import Problem
from appliance.style import bundle
from trainer import cli
from trainer.edgetpu import cost, predict
from trainer.edgetpu.cost import Layer, Plan, Segment
from trainer.edgetpu.predict import HOSTS, Guess
from trainer.sections import Network

from .test_cost import half

DATA = Path(__file__).parents[1] / "data"
TINY, KEPT = DATA / "tiny.reconet", DATA / "tiny_kept.reconet"
SIZES = (176, 320), (216, 512), (360, 640), (720, 1280)


def of(layers, bytes_in=16, bytes_out=16):
    return Plan([cost.segment(layers, [(bytes_in, 1)], [(bytes_out / 4, 4)])])


@pytest.mark.parametrize(("count", "ms"), [(10, 7.82), (50, 40.73), (75, 61.6)])
def test_intervals_hold_what_was_measured_of_convolutions_like_ours(count, ms):
    chain = [Layer(128 * 128, 49, 3, 32), *[Layer(128 * 128, 49, 32, 32)] * (count - 1)]
    guess = predict.tpu(of(chain), HOSTS["usb3-max"])
    assert guess.low < ms < guess.high
    assert guess.ms == pytest.approx(ms, rel=0.1)


@pytest.mark.parametrize("host", HOSTS)
@pytest.mark.parametrize("size", SIZES, ids=str)
def test_every_plan_of_every_network_is_predicted(host, size):
    for spec in (Network(), Network(widths=(4, 8, 8), blocks=1), half(32, 96, 128)):
        for plan in cost.plans(spec, size).values():
            for guess in (predict.tpu(plan, HOSTS[host]), predict.cpu(plan, size[0] * size[1])):
                assert 0 < guess.low < guess.ms < guess.high


def test_a_larger_picture_takes_longer():
    for name in ("split", "fused", "lowres"):
        times = [predict.frame(cost.plans(Network(), size)[name], size[0] * size[1]) for size in SIZES]
        for ends in zip(*times, strict=True):
            assert list(ends) == sorted(ends)


@pytest.mark.parametrize("field", Segment._fields)
def test_more_work_never_takes_less(field):
    one = cost.segment([Layer(1000, 9, 32, 32)], [(1000, 3)], [(1000, 3)])
    more = one._replace(**{field: 100_000_000})
    least, most = (predict.tpu(Plan([segment])) for segment in (one, more))
    assert all(a <= b for a, b in zip(least, most, strict=True))


def test_half_the_clock_takes_twice_as_long_on_the_chip_and_as_long_over_the_link():
    chip, link = of([Layer(128 * 128, 49, 32, 32)] * 50), of([], 1_000_000, 1_000_000)
    fast, slow = HOSTS["usb3-max"], HOSTS["usb3-std"]
    assert predict.tpu(chip, slow).ms == pytest.approx(2 * predict.tpu(chip, fast).ms, rel=0.02)
    assert predict.tpu(link, slow) == pytest.approx(predict.tpu(link, fast))
    assert predict.tpu(link, HOSTS["usb2"]).ms > 2 * predict.tpu(link, fast).ms > predict.tpu(link).ms


def test_parameters_that_do_not_stay_on_the_chip_cross_the_link():
    least = cost.segment([], [(16, 1)], [(16, 1)])
    within, beyond = (Plan([least._replace(parameters=megabytes << 20)]) for megabytes in (7, 9))
    linear = predict.ALL.parameters * (2 << 20) / 1e6
    assert predict.tpu(beyond).ms - predict.tpu(within).ms > linear + 2
    beside = Plan([least._replace(parameters=2 << 20, largest=4 << 20)])  # a large activation takes the cache
    assert predict.tpu(beside).ms > predict.tpu(Plan([beside.segments[0]._replace(largest=1000)])).ms + 1


def test_int8_ends_cost_the_cpu_and_the_fourth_byte_nothing():
    size = 360, 640
    plan, bgrx = (cost.plans(Network(), size, colours)["fused"] for colours in (3, 4))
    signed = plan._replace(signed=6 * 640 * 360)
    assert predict.cpu(signed, 640 * 360).ms == pytest.approx(predict.cpu(plan, 640 * 360).ms + 15.2, abs=0.1)
    assert predict.tpu(signed) == predict.tpu(plan)
    assert bgrx.segments[0].bytes_back == plan.segments[0].bytes_back


def test_errors_of_independent_guesses_do_not_add_up():
    assert predict.together([Guess(10, 7, 13), Guess(20, 16, 24)]) == Guess(30, 25, 35)


def test_a_whole_frame_of_the_half_resolution_network_at_640x360_is_predicted_at_30_a_second():
    plan = cost.plans(half(32, 96, 128), (360, 640), colours=4)["fused"]
    guess = predict.frame(plan, 640 * 360)
    assert guess.high < 1000 / 30


@pytest.mark.parametrize(("path", "plans"), [(TINY, ["split", "fused", "lowres"]), (KEPT, ["split"])])
def test_a_bundle_is_predicted_from_its_segments(path, plans):
    found, (_, counted) = predict.predictions(path), predict.plans(path)
    assert [one.plan for one in found] == plans
    expected = cost.plans(Network(widths=(8, 16, 16), blocks=2, skips=path == KEPT), (32, 64))
    for one in found:
        plan = expected[one.plan]
        assert counted[one.plan].copied == plan.copied
        assert one.size == "64x32"
        assert one.low < one.ms < one.high and one.ms == pytest.approx(one.tpu_ms + one.cpu_ms, abs=0.011)
        assert one.tpu_ms == pytest.approx(predict.tpu(plan).ms, abs=0.02)
        assert one.largest_activation == predict.largest(plan)
        assert one.parameter_bytes == pytest.approx(predict.parameters(plan), abs=1000)


def test_another_size_scales_what_depends_on_it():
    small, large = (predict.predictions(TINY, size) for size in ((32, 64), (360, 640)))
    for one, other in zip(small, large, strict=True):
        assert other.size == "640x360" and other.parameter_bytes == one.parameter_bytes
        assert other.largest_activation == pytest.approx(one.largest_activation * 640 * 360 / (64 * 32))
        assert other.cpu_ms > 50 * one.cpu_ms


def test_uint8_ends_save_the_cpu_work():
    signed, unsigned = (predict.predictions(DATA / f"{name}.reconet", (360, 640)) for name in ("tiny", "tiny_uint8"))
    for one, other in zip(signed, unsigned, strict=True):
        assert one.cpu_ms - other.cpu_ms == pytest.approx(6 * 640 * 360 / 1e6 * predict.SIGNED.ms, rel=0.01)


def test_the_command_prints_json(capsys):
    assert cli.main(["predict", str(TINY), "--size", "640x360", "--host", "usb2", "--json"]) == 0
    found = json.loads(capsys.readouterr().out)
    keys = "plan", "size", "ms", "low", "high", "tpu_ms", "cpu_ms", "largest_activation", "parameter_bytes"
    assert [tuple(one) for one in found] == [keys] * 3
    assert {one["size"] for one in found} == {"640x360"}


def test_the_command_prints_a_table(capsys):
    assert cli.main(["predict", str(TINY)]) == 0
    shown = capsys.readouterr().out
    assert all(word in shown for word in ("Predicted, not measured", "dev-board", "64x32", "lowres"))


def test_the_command_knows_the_hosts():
    assert cli.HOSTS == tuple(HOSTS)


def test_a_damaged_bundle_is_refused_in_one_line(tmp_path):
    broken = tmp_path / "broken.reconet"
    broken.write_bytes(TINY.read_bytes()[:-100])
    with pytest.raises(Problem, match="broken.reconet") as refused:
        predict.predictions(broken)
    assert "\n" not in str(refused.value)


def test_a_bundle_without_its_recipe_is_predicted_all_the_same(tmp_path):
    whole = bundle.read(TINY)
    fields = whole.manifest.model_dump(exclude_none=True) | {"provenance": {"trainer": "0.1.0"}}
    fields.pop("files")
    bundle.write(tmp_path / "plain.reconet", fields, whole.files)
    assert predict.predictions(tmp_path / "plain.reconet") == predict.predictions(TINY)
