"""Fixtures for tests of how the board chooses a plan and size: measured rates without trials, and a tuner."""

import pytest

from appliance import options, switcher, trial
from appliance.engine import interpreter
from appliance.style import bundle, state
from appliance.style.resize import Resizable

from .conftest import sized_fields
from .switching import Running

LADDER = [(64, 32), (128, 72), (192, 108)]
PLANS = ["split", "fused", "lowres"]


@pytest.fixture(autouse=True)
def ladder(monkeypatch):
    monkeypatch.setattr(options, "LADDER", LADDER[1:])
    monkeypatch.setattr(switcher, "_LOOK_S", 0.01)


@pytest.fixture(name="rates")
def measured_rates(monkeypatch):
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


@pytest.fixture(name="put")
def style_writer(folder, tiny_yuv):
    """Put a style that has every size into the folder; `compiled`: for the Edge TPU, for some sizes, by plan; `lite`:
    with a lite plan."""

    def write(name="a", compiled=None, lite=False):
        fields, files = dict(sized_fields(tiny_yuv), name=name), dict(tiny_yuv.files)
        if lite:  # first, although it is the last resort
            fields["plans"] = [dict(fields["plans"][1], name="lite")] + fields["plans"]
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


@pytest.fixture(name="start")
def switchers():
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
