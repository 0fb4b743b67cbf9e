"""Which plan and which runtime a Stylizer takes."""

import pytest

from appliance.engine import interpreter
from appliance.engine.interpreter import runtimes
from appliance.engine.stylizer import Stylizer
from appliance.errors import Problem

from .engines import Stub, frame, refuse, stub_bundle, stylised, use


def test_a_runtime_that_fails_gives_way_to_the_next(tiny, monkeypatch):
    use(monkeypatch, pycoral=refuse, tflite_runtime=lambda data: Stub(5))
    engine = Stylizer(stub_bundle(tiny, ("split", True)))
    assert str(engine.runtime) == "tflite_runtime 1.0"
    assert (stylised(engine, frame()) == 133).all()


def test_the_tpu_takes_only_plans_that_are_compiled(tiny, monkeypatch):
    loaded = []
    use(monkeypatch, pycoral=lambda data: loaded.append(data) or Stub(1), tflite_runtime=refuse)
    engine = Stylizer(stub_bundle(tiny, ("plain", False), ("compiled", True)))
    assert engine.plan == "compiled" and engine.runtime.device == "TPU" and loaded == [b"tpu"]


def test_a_plan_that_fails_gives_way_to_the_next(tiny, monkeypatch):
    calls = []

    def load(data):
        calls.append(data)
        return refuse(data) if len(calls) == 1 else Stub(0)

    use(monkeypatch, tflite_runtime=load)
    assert Stylizer(stub_bundle(tiny, ("first", False), ("second", False))).plan == "second"


def test_the_lite_plan_has_to_be_named(tiny, monkeypatch):
    use(monkeypatch, tflite_runtime=lambda data: Stub(0))
    style = stub_bundle(tiny, ("lite", False), ("fused", False))
    assert Stylizer(style).plan == Stylizer(style, prefer="lite").plan == "fused"
    assert Stylizer(style, plan="lite").plan == "lite"


def test_when_all_fail_the_reasons_are_given(tiny, monkeypatch):
    use(monkeypatch, tflite_runtime=refuse)
    with pytest.raises(Problem, match="does not run here: plan split on tflite_runtime 1.0: op TILE v3 is unknown"):
        Stylizer(stub_bundle(tiny, ("split", False)))


def test_unknown_plan_and_unknown_runtime(tiny):
    with pytest.raises(Problem, match="no plan 'fast': it has"):
        Stylizer(tiny, plan="fast")
    with pytest.raises(Problem, match="not on this machine"):
        Stylizer(tiny, runtime="cuda")


def test_no_runtime_at_all_says_what_to_install(monkeypatch):
    def missing(name):
        raise ImportError(name)

    monkeypatch.setattr(interpreter.importlib, "import_module", missing)
    with pytest.raises(Problem, match="pip install ai-edge-litert"):
        runtimes()


def test_it_says_what_it_runs(tiny):
    engine = Stylizer(tiny)
    stylised(engine, frame())
    assert engine.plan == tiny.manifest.plans[0].name
    assert engine.runtime.device == "CPU" and engine.runtime.name in str(engine.runtime)
    assert engine.input_size == engine.output_size == (64, 32)
    names = [name for name, _ in engine.stage_ms]
    assert names[0] == "input" and names[-1] == "output" and "x2" in names
    assert all(milliseconds >= 0 for _, milliseconds in engine.stage_ms)
