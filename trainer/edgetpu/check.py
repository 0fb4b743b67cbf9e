"""Predicts, without the compiler, which operations of a model the Edge TPU compiler maps.

The verdicts are conservative: an operation is called mapped only where no rule speaks against it. Whether a model
compiles at all cannot be predicted from its operations; it fails for some large activations.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import groupby
from pathlib import Path

from rich.console import Group
from rich.markup import escape
from rich.table import Table
from rich.text import Text

from appliance.errors import Problem
from appliance.style import bundle
from trainer.edgetpu import darwinn
from trainer.edgetpu.predict import ALL
from trainer.edgetpu.reader import DAMAGE, Size, read
from trainer.edgetpu.rules import CONVERSIONS, DELEGATE, DEPENDS, MAPPED, NOT_MAPPED, cache_left, judge, refused

OUTSIDE = "after the first operation that is not mapped: one subgraph"
COLOURS = {MAPPED: "green", DEPENDS: "yellow", NOT_MAPPED: "red"}


@dataclass(frozen=True)
class Verdict:
    """The prediction for the operation at `index` in execution order; `verdict` is one of rules.VERDICTS."""

    index: int
    name: str
    version: int
    verdict: str
    reason: str


@dataclass(frozen=True)
class Summary:
    """The models of one plan together. `cache` is how many bytes of parameters stay on the chip beside the plan's
    largest activation, by the least ever seen; `fits` says whether all do. For compiled models Google's compiler has
    decided: `streamed` bytes cross the link with every frame.
    """

    sizes: dict[str, Size]
    streamed: int | None = None

    @property
    def parameters(self) -> int:
        return sum(size.parameters for size in self.sizes.values())

    @property
    def cache(self) -> int:
        return cache_left(max(size.largest for size in self.sizes.values()))

    @property
    def fits(self) -> bool:
        return self.parameters <= self.cache if self.streamed is None else not self.streamed


def check_model(data: bytes) -> list[Verdict]:
    """The verdicts on a .tflite file's operations, in execution order. Raises Problem when it is not one.

    The compiler makes one subgraph: what depends on an operation that is not mapped runs on the CPU, except after
    conversions at the start of the model. What only follows one in execution order is called doubtful, and so is
    everything after a doubtful one.
    """
    model = read(data)
    operations, sources = model.operations, model.sources
    if any(op.name == DELEGATE for op in operations):
        return [_left(i, op) for i, op in enumerate(operations)]
    for op in operations:
        if refused(op):
            reason = f"{op.name} version {op.version}: the compiler cannot read this file"
            return [Verdict(i, o.name, o.version, NOT_MAPPED, reason) for i, o in enumerate(operations)]
    try:
        judged = [judge(op) for op in operations]
    except DAMAGE:
        raise Problem("a damaged TensorFlow Lite file") from None
    verdicts: list[Verdict] = []
    lost: set[int] = set()  # tensors that come from the CPU
    head, doubtful = True, ""
    for i, (op, (inputs, outputs), (verdict, reason)) in enumerate(zip(operations, sources, judged, strict=True)):
        if lost.intersection(inputs):
            verdict, reason = NOT_MAPPED, OUTSIDE
        elif verdict == MAPPED and doubtful:
            verdict, reason = DEPENDS, f"after {doubtful}: one subgraph"
        if verdict != MAPPED and not (head and op.name in CONVERSIONS):
            doubtful = (
                doubtful or f"{op.name} ({i}), which {'is not' if verdict == NOT_MAPPED else 'may not be'} mapped"
            )
            lost.update(outputs if verdict == NOT_MAPPED else ())
        head = head and op.name in CONVERSIONS and verdict == NOT_MAPPED
        verdicts.append(Verdict(i, op.name, op.version, verdict, reason))
    return verdicts


def _left(i, op):
    if op.name == DELEGATE:
        return Verdict(i, op.name, op.version, MAPPED, "compiled already")
    return Verdict(i, op.name, op.version, NOT_MAPPED, "left to the CPU when the file was compiled")


def summary(models: dict[str, bytes]) -> Summary:
    """The sizes of a plan's models, from name to the bytes of the .tflite file. Raises Problem."""
    found = {name: _named(name, lambda data=data: read(data)) for name, data in models.items()}
    packages = [package for model in found.values() for package in model.packages]
    streamed = sum(package.streamed for package in packages) if packages else None
    return Summary({name: model.size for name, model in found.items()}, streamed)


def headline(name: str, verdicts: list[Verdict]) -> Text:
    """One line: how many operations of the model got each verdict."""
    counts = (f"{sum(v.verdict == verdict for v in verdicts)} {verdict}" for verdict in COLOURS)
    return Text(f"{name}: {', '.join(counts)}")


def table(verdicts: list[Verdict]) -> Table:
    """A table of one model's verdicts; consecutive operations that are alike share a row."""
    made = Table("#", "operation", "version", "predicted", "why")
    for key, alike in groupby(verdicts, lambda v: (v.name, v.version, v.verdict, v.reason)):
        run = list(alike)
        place = str(run[0].index) if len(run) == 1 else f"{run[0].index}-{run[-1].index}"
        name, version, verdict, reason = key
        made.add_row(place, escape(name), str(version), f"[{COLOURS[verdict]}]{verdict}[/]", escape(reason))
    return made


def size_table(name: str, plan: Summary) -> Table:
    """A table of a plan's bytes, with its parameters against the cache."""
    if plan.streamed is None:
        fits = "fit" if plan.fits else "may not fit"
        title = f"parameters {fits} in the {plan.cache / 2**20:.1f} MiB seen cached beside such activations"
    else:
        title = "all parameters are cached" if plan.fits else f"{plan.streamed:,} bytes cross the link with every frame"
    title = f"{escape(name)}: {title}"
    made = Table("model", title=title, title_justify="left", show_footer=len(plan.sizes) > 1)
    made.columns[0].footer = "in all"
    for heading, total in (
        ("bytes in", sum(size.inputs for size in plan.sizes.values())),
        ("bytes out", sum(size.outputs for size in plan.sizes.values())),
        ("largest activation", ""),
        ("parameters", plan.parameters),
    ):
        made.add_column(heading, footer=f"{total:,}" if total != "" else "", justify="right")
    for model, size in plan.sizes.items():
        largest = f"{size.largest:,} ({'x'.join(map(str, size.shape))})"
        made.add_row(model, f"{size.inputs:,}", f"{size.outputs:,}", largest, f"{size.parameters:,}")
    return made


def compiled_table(packages: list[darwinn.Package]) -> Table:
    """A table of the estimates that Google's compiler wrote into a compiled file, for each Edge TPU operation."""
    made = Table("Edge TPU operation", title="Estimated by Google's compiler", title_justify="left")
    for heading in ("cycles", "ms", "parameters cached", "streamed", "activations a tile", "in", "out", "runtime"):
        made.add_column(heading, justify="right")
    for i, package in enumerate(packages):
        ends: dict[str, list[darwinn.Layer]] = {"in": [], "out": []}
        for one in package.executables:
            ends["in"] += one.inputs
            ends["out"] += one.outputs
        made.add_row(
            str(i),
            f"{package.cycles:,}" if package.cycles else "not given",
            f"{package.cycles * ALL.cycles / 1e6:.2f}" if package.cycles else "",
            f"{package.cached:,}",
            f"{package.streamed:,}",
            f"{package.narrow_memory:,}",
            *("\n".join(map(_end, layers)) for layers in ends.values()),
            str(package.runtime),
        )
    return made


def _end(layer: darwinn.Layer) -> str:
    pieces = f" in {layer.tiles} tiles" if layer.tiles > 1 else ""
    return f"{'x'.join(map(str, layer.shape))}: {layer.bytes:,} B{pieces}"


def report(path: Path) -> Group:
    """Tables about a .tflite file, or about every plan of a .reconet bundle. Raises Problem."""
    if path.suffix == bundle.SUFFIX:
        files = bundle.read(path)
        plans = {
            plan.name: [stage.segment for stage in plan.stages if hasattr(stage, "segment")]
            for plan in files.manifest.plans
        }
        return Group(
            *(part for plan, names in plans.items() for part in _plan(plan, {n: files.files[n] for n in names}))
        )
    try:
        data = path.read_bytes()
    except OSError as error:
        raise Problem(f"{path}: {error.strerror}") from None
    return Group(*_plan(path.name, {str(path): data}))


def _plan(name: str, models: dict[str, bytes]) -> Iterator[Text | Table]:
    for model, data in models.items():
        verdicts = _named(model, lambda data=data: check_model(data))
        yield headline(model, verdicts)
        yield table(verdicts)
        if packages := read(data).packages:
            yield compiled_table(packages)
    yield size_table(name, summary(models))


def _named(name, function):
    try:
        return function()
    except Problem as problem:
        raise Problem(f"{name}: {problem}") from None
