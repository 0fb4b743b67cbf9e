"""reconet bench: every plan timed, the fastest remembered for exactly this bundle."""

from dataclasses import replace
from types import SimpleNamespace

import pytest

from appliance import bench as module
from appliance import config, options, overhead
from appliance.cli import main
from appliance.engine.stylizer import Stylizer
from appliance.errors import Problem
from appliance.style import bundle, manifest, state, store

from .fake_v4l2 import Device


def test_every_plan_is_timed_at_every_size_worth_it(sized, monkeypatch):
    monkeypatch.setattr(options, "LADDER", [(96, 48), (128, 72)])
    timings = module.bench(sized, 2, 0, target=0.001)
    sizes = [(64, 32), (96, 48), (128, 72)]
    assert [one.size for one in timings] == [size for size in sizes for _ in range(3)]
    assert module.taken(timings, 0.001, ["split", "fused", "lowres"]).row[:2] == ("split", sizes[-1])
    hopeless = module.bench(sized, 2, 0, target=1e9)
    assert [one.size for one in hopeless] == sizes[:1] * 3
    assert module.taken(hopeless, 1e9, ["split", "fused", "lowres"]).fps == max(one.fps for one in hopeless)


def test_the_lite_plan_is_timed_last_and_taken_if_no_other_holds_the_rate(sized, monkeypatch):
    monkeypatch.setattr(options, "LADDER", [])
    fields = sized.manifest.model_dump(exclude_none=True)
    fields["plans"] = [dict(fields["plans"][1], name="lite")] + fields["plans"]
    style = bundle.Bundle(sized.path, manifest.build(fields), sized.files)
    assert list(options.sizes_of(style, "CPU")) == ["split", "fused", "lowres", "lite"]
    timings = module.bench(style, 2, 0, target=0.001)
    assert "lite" in [row[0] for row in module.table(timings)]
    assert module.taken(timings, 0.001, ["split", "fused", "lowres", "lite"]).plan == "split"
    timings = [one if one.plan == "lite" else replace(one, fps=0.0) for one in timings]
    assert module.taken(timings, 0.001, ["split", "fused", "lowres", "lite"]).plan == "lite"


def test_every_plan_is_timed_fastest_first(tiny):
    timings = module.bench(tiny, frames=3)
    assert sorted(one.plan for one in timings) == ["fused", "lowres", "split"]
    assert [one.median for one in timings] == sorted(one.median for one in timings)
    for one in timings:
        assert not one.fault and one.p99 >= one.median > 0 and "CPU" in one.runtime
        assert one.inference > 0 and one.copies > 0 and (one.numpy > 0) == (one.plan == "split")


def test_copies_of_kept_tensors_are_work_between_the_segments():
    stages = [("input", 1.0), ("encoder.tflite", 2.0), ("x2", 4.0), ("kept", 8.0), ("output", 16.0)]
    assert module._parts(stages) == (2.0, 12.0, 17.0)


def test_the_rate_is_that_of_all_the_frames_that_were_timed(tiny, monkeypatch):
    taken, rate = [], module.of_laps
    monkeypatch.setattr(module, "of_laps", lambda laps, device: taken.extend(laps) or rate(laps, device))
    timing = module.time_plan(tiny, "fused", frames=20)
    assert len(taken) == 20 and timing.fps == 1000 / rate(taken, timing.device)
    assert min(lap.run for lap in taken) < timing.median


def test_a_plan_that_does_not_run_comes_last_with_its_reason(tiny, monkeypatch):
    whole = Stylizer.__init__

    def refusing(self, bundle, plan=None, **options):
        if plan == "fused":
            raise Problem("op TRANSPOSE_CONV v9 is unknown")
        whole(self, bundle, plan, **options)

    monkeypatch.setattr(Stylizer, "__init__", refusing)
    timings = module.bench(tiny, frames=1)
    assert timings[-1].plan == "fused" and "TRANSPOSE_CONV" in timings[-1].fault


def test_choose_remembers_the_best_and_run_takes_it(styles, capsys, monkeypatch):
    timings = [
        module.Timing(plan, "x 1 (CPU)", 1.0, device="CPU", size=(64, 32), fps=fps)
        for plan, fps in (("lowres", 28.0), ("split", 20.0), ("fused", 25.0))
    ]
    monkeypatch.setattr(module, "bench", lambda *_: timings)
    assert main(["bench", "tiny", "--choose", "--target", "40"]) == 0
    out = capsys.readouterr().out
    assert "for 40 fps the appliance would take plan lowres at 64x32" in out and "lowres at 64x32 is saved" in out
    now = state.read(styles)
    assert now.chosen(store.find("tiny").digest, "CPU") == ("lowres", (64, 32))
    assert len(now.rows(store.find("tiny").digest, state.device("x 1", "CPU", 0))) == 3
    style = store.find("tiny")
    assert state.read(styles).choice(style.digest, "CPU") == "lowres"
    assert main(["run", "--style", "tiny", "--seconds", "0.1", "--every-frame"]) == 0
    assert "plan lowres" in capsys.readouterr().out
    # Another bundle of the same name is another matter.
    fields = style.manifest.model_dump(exclude_none=True)
    del fields["files"]
    preview = style.files["preview.jpg"][:-2] + b"\xff\xff\xd9"
    again = bundle.write(style.path, fields, dict(style.files, **{"preview.jpg": preview}))
    assert state.read(styles).choice(again.digest, "CPU") is None


@pytest.mark.parametrize(
    "engine, words",
    [
        ({}, None),
        ({"plan": "split"}, 'plan = "split"'),
        ({"size": "64x32", "plan": "fused"}, 'plan = "fused" and size = "64x32"'),
        ({"plan": "nope"}, None),  # it cannot be had, so the choice counts
        ({"plan": "lowres"}, None),
    ],
)
def test_a_configuration_that_overrides_the_choice_is_named(tiny, styles, capsys, monkeypatch, engine, words):
    timings = [module.Timing("lowres", "x 1 (CPU)", 1.0, device="CPU", size=(64, 32), fps=28.0)]
    monkeypatch.setattr(module, "bench", lambda *_: timings)
    monkeypatch.setattr(config, "load", lambda path: config.Settings.model_validate({"engine": engine}))
    assert main(["bench", "tiny", "--frames", "1"]) == 0
    out = capsys.readouterr().out
    assert ("overrides it" in out) == bool(words) and (words or "") in out


@pytest.mark.parametrize("target", ["0", "29.97", "121", "-1", "x"])
def test_a_target_that_is_no_rate_says_what_one_is(styles, capsys, target):
    with pytest.raises(SystemExit):
        main(["bench", "tiny", "--target=" + target])
    assert f"{target!r} is not a rate: give whole frames a second, from 1 to 120" in capsys.readouterr().err


def test_a_chosen_plan_that_does_not_load_gives_way_to_the_next(tiny, monkeypatch):
    from appliance.engine import stylizer

    load = stylizer.load
    monkeypatch.setattr(stylizer, "load", lambda plan, *rest: load(plan, *rest) if plan.name != "fused" else 1 / 0)
    assert Stylizer(tiny, prefer="fused").plan == "split"


def test_bench_prints_a_table(styles, capsys):
    assert main(["bench", "tiny", "--frames", "2"]) == 0
    out = capsys.readouterr().out
    assert "MEDIAN" in out and "split" in out and not (styles / state.NAME).exists()


def test_bench_prints_what_a_frame_costs_outside_of_the_network(styles, capsys):
    assert main(["bench", "tiny", "--frames", "1"]) == 0
    out = capsys.readouterr().out
    table = out[out.index("THREAD") :].splitlines()
    assert table[0].split() == ["THREAD", "STEP", "MS", "MB", "IN", "MB", "OUT"]
    for words in ("rows out of", "thin 1280x720 to 64x32", "expose", "input", "output", "enlarge 30x to"):
        assert any(words in line for line in table), words


def test_a_camera_and_a_card_that_are_there_are_measured(kernel, card, tiny_yuv, monkeypatch):
    monkeypatch.setattr(overhead, "glob", SimpleNamespace(glob=card.glob))
    device = kernel.devices["/dev/video0"] = Device(size=(128, 64))
    style = Stylizer(tiny_yuv)
    names = [step.name for step in overhead.steps(style, 2)]
    assert "rows out of /dev/video0" in names and "thin 128x64 to 64x32" in names
    assert "copy to /dev/dri/card0, a plane enlarges" in names and not device.streaming
    card.padding = 0
    names = [step.name for step in overhead.steps(style, 2)]
    assert "finish into /dev/dri/card0, a plane enlarges" in names
    assert card.calls.count("drmModeSetCrtc") == 0  # nothing is shown


def test_a_folder_that_cannot_be_written_is_reported(tmp_path):
    with pytest.raises(Problem, match="cannot be remembered"):
        state.choose(tmp_path / "none", "ab" * 32, "CPU", "split")
