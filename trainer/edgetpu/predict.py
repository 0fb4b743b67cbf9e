"""Predicts how long a frame takes with an Edge TPU: the call, counted and fitted, and the CPU's part, estimated.

A call takes the sum of four things, each in proportion to a count: cycles that Google's compiler would estimate,
parameters read on the chip, bytes over the link, and a constant. The constants are fitted to published
measurements (benchmarks/fit.py; docs/edgetpu.md has the evidence). This project has not run on an Edge TPU.
"""

import json
import math
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import NamedTuple

from rich.table import Table

from appliance.choice import LITE
from appliance.errors import Problem
from appliance.style import bundle
from trainer.edgetpu import cost, reader
from trainer.edgetpu.cost import Plan
from trainer.edgetpu.rules import cache_left


class Constants(NamedTuple):
    """Milliseconds per million cycles, per megabyte of parameters, per megabyte over PCIe, and per call over PCIe."""

    cycles: float
    parameters: float
    link: float
    call: float


class Host(NamedTuple):
    """How the Edge TPU is attached: its clock, as a share of 500 MHz; ms per megabyte to it and back and per call, None
    for those of the fit; and the factor by which these may be off.
    """

    clock: float = 1.0
    to: float | None = None
    back: float | None = None
    call: float | None = None
    spread: float = 1.0


class Guess(NamedTuple):
    """Milliseconds with their interval."""

    ms: float
    low: float
    high: float


@dataclass(frozen=True)
class Prediction:
    """One plan at one size: milliseconds of a frame with interval, the two parts of it, bytes."""

    plan: str
    size: str
    ms: float
    low: float
    high: float
    tpu_ms: float
    cpu_ms: float
    largest_activation: int
    parameter_bytes: int


# `python -m benchmarks.fit` prints these: fitted to all measured latencies, and with one source left out, with the
# factor by which the prediction of that source is then off (root mean square).
ALL = Constants(0.9367, 0.2791, 2.273, 0.5272)
WITHOUT = {
    "coral.ai": (Constants(0.937, 0.2809, 2.273, 0.5272), 1.070),
    "chain": (Constants(1.28, 0.2234, 2.246, 0.5314), 1.336),
    "mobilenet": (Constants(0.9345, 0.3297, 2.218, 0.317), 1.111),
    "prisma": (Constants(0.927, 0.2775, 2.277, 0.5404), 1.077),
}
# A USB Accelerator's link was measured on a Jetson Nano (USB_LINK in benchmarks/latencies.py): what returns over USB
# comes in packets of 1,024 bytes. std and usb2 run the chip at half its clock.
HOSTS = {
    "dev-board": Host(),
    "usb3-max": Host(1.0, 3.21, 32.3, 0.29, 1.5),
    "usb3-std": Host(0.5, 3.21, 32.3, 0.29, 1.5),
    "usb2": Host(0.5, 27.7, 84.1, 0.37, 1.5),
}

# The CPU's work per frame, in ms per million pixels of the network's picture, on the board's Cortex-A53. It is
# estimated, not measured on a board. The camera's picture is assumed to be twice as wide and high.
CPU = {
    "copy the camera's rows": Guess(10.9, 4.3, 21.7),
    "thin": Guess(15.2, 8.7, 26.0),
    "bring to the exposure": Guess(17.4, 13.0, 21.7),
    "lay the output out": Guess(8.7, 4.3, 13.0),
    "write to the screen": Guess(4.3, 2.2, 8.7),
}
SIGNED = Guess(11.0, 8.0, 15.0)  # ms per million bytes that Google's runtime converts between int8 and uint8
# ms per thousand million multiplications of TensorFlow Lite on the board's four cores, published for nine models: see
# benchmarks/seed.py.
MULTIPLIED = Guess(285.5, 244.5, 405.6)
COPIED = Guess(1.0, 0.5, 2.0)  # ms per million bytes that NumPy writes


def tpu(plan: Plan, host: Host = HOSTS["dev-board"]) -> Guess:
    """Milliseconds in the calls of a plan.

    The interval is the widest of those from leaving out each source in turn: the prediction of a fit without that
    source, multiplied and divided by the factor by which that fit is off for it.
    """
    guesses = [(_calls(plan, host, constants), factor) for constants, factor in WITHOUT.values()]
    fixed = _link(plan, host, ALL) * (1 - 1 / host.spread)
    low = min(ms / factor for ms, factor in guesses) - fixed
    high = max(ms * factor for ms, factor in guesses) + _link(plan, host, ALL) * (host.spread - 1)
    return Guess(_calls(plan, host, ALL), max(low, 0.0), high)


def _calls(plan: Plan, host: Host, constants: Constants) -> float:
    work = sum(s.cycles for s in plan.segments) * constants.cycles + parameters(plan) * constants.parameters
    return work / 1e6 / host.clock + _link(plan, host, constants)


def _link(plan: Plan, host: Host, constants: Constants) -> float:
    """Milliseconds over the link: inputs, outputs as they leave the chip, parameters that are not cached, the calls."""
    streamed = max(0, parameters(plan) - cache_left(largest(plan)))
    to = streamed + sum(s.bytes_in for s in plan.segments)
    back = sum(s.bytes_back for s in plan.segments)
    rates = (constants.link if rate is None else rate for rate in (host.to, host.back))
    call = constants.call if host.call is None else host.call
    return sum(moved * rate for moved, rate in zip((to, back), rates, strict=True)) / 1e6 + len(plan.segments) * call


def cpu(plan: Plan, pixels: int) -> Guess:
    """Milliseconds of the CPU's part of a frame, for the number of pixels of the network's picture."""
    parts = [(guess, pixels) for guess in CPU.values()]
    return together(_times(guess, n / 1e6) for guess, n in [*parts, (SIGNED, plan.signed), (COPIED, plan.copied)])


def network_on_cpu(plan: Plan) -> Guess:
    """Milliseconds in the calls of a plan on the Dev Board's four Cortex-A53 cores, without an Edge TPU."""
    return _times(MULTIPLIED, sum(segment.macs for segment in plan.segments) / 1e9)


def frame(plan: Plan, pixels: int, host: Host = HOSTS["dev-board"]) -> Guess:
    """Milliseconds from the camera to the screen, if the steps run in sequence. The appliance overlaps them."""
    return together([tpu(plan, host), cpu(plan, pixels)])


def together(guesses) -> Guess:
    """The sum of estimates whose errors are independent."""
    guesses = list(guesses)
    ms = sum(guess.ms for guess in guesses)
    below, above = (math.hypot(*(guess[i] - guess.ms for guess in guesses)) for i in (1, 2))
    return Guess(ms, ms - below, ms + above)


def _times(guess: Guess, factor: float) -> Guess:
    return Guess(*(value * factor for value in guess))


def parameters(plan: Plan) -> int:
    return sum(segment.parameters for segment in plan.segments)


def largest(plan: Plan) -> float:
    return max(segment.largest for segment in plan.segments)


def plans(path: Path, size: tuple[int, int] | None = None) -> tuple[tuple[int, int], dict[str, Plan]]:
    """((height, width), the plans) of a bundle, for pictures of a size (height, width) or its own. Raises Problem.

    They are counted from its segments, whatever the network, and scaled for another size.
    """
    files = bundle.read(path)
    takes, gives = files.manifest.input, files.manifest.output
    size = size or (takes.height, takes.width)
    scale = size[0] * size[1] / (takes.height * takes.width)
    image = size[0] * size[1] * gives.channels
    made = {}
    for plan in files.manifest.plans:
        segments, copied, signed, drawn = [], 0.0, 0.0, 0.0
        for stage in plan.stages:
            if hasattr(stage, "segment"):
                try:
                    model = reader.read(files.files[stage.segment])
                except Problem as problem:
                    raise Problem(f"{path}: {stage.segment}: {problem}") from None
                segments.append(cost.of_model(model, scale))
                copied += scale * sum(map(reader.weight, model.inputs[1:]))  # what earlier segments kept
                drawn = scale * reader.weight(model.outputs[0])
                ends = (t for t in (*model.inputs, *model.outputs) if t.dtype == "INT8")
                signed += scale * sum(reader.weight(tensor) for tensor in ends)
            else:
                copied += image if hasattr(stage, "shuffle") else drawn * stage.factor**2
        made[plan.name] = Plan(segments, copied, signed)
    return size, made


def predictions(path: Path, size: tuple[int, int] | None = None, host: str = "dev-board") -> list[Prediction]:
    """The prediction for each plan of a bundle, in its order: of the plan lite without an Edge TPU. size is (height,
    width). Raises Problem.
    """
    (height, width), found = plans(path, size)
    made = []
    for name, plan in found.items():
        parts = tpu(plan, HOSTS[host]), cpu(plan, height * width)
        if name == LITE:
            parts = Guess(0, 0, 0), together([network_on_cpu(plan), parts[1]])
        whole = together(parts)
        ms, low, high, on_tpu, on_cpu = (round(ms, 2) for ms in (*whole, *(part.ms for part in parts)))
        size_of = f"{width}x{height}"
        made.append(Prediction(name, size_of, ms, low, high, on_tpu, on_cpu, round(largest(plan)), parameters(plan)))
    return made


def to_json(found: list[Prediction]) -> str:
    return json.dumps([asdict(one) for one in found], indent=2)


def report(found: list[Prediction], host: str = "dev-board") -> Table:
    """A table of predictions."""
    made = Table(title=f"Predicted, not measured: {host}", title_justify="left")
    for head in ("plan", "size", "ms a frame (interval)", "TPU", "CPU", "frames a second"):
        made.add_column(head, justify="left" if head == "plan" else "right")
    for head in ("largest activation", "parameters"):
        made.add_column(head, justify="right")
    for one in found:
        interval = f"{one.ms:.0f} ({one.low:.0f} to {one.high:.0f})"
        times = f"{one.tpu_ms:.1f}", f"{one.cpu_ms:.1f}", f"{1e3 / one.ms:.0f}"
        made.add_row(one.plan, one.size, interval, *times, f"{one.largest_activation:,}", f"{one.parameter_bytes:,}")
    return made
