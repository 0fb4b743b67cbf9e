"""What the Edge TPU compiler is predicted to make of a model, without the compiler: a verdict for each operation.

The verdicts lean to the safe side: an operation is called mapped only where nothing speaks against it. Whether a whole
model is compiled at all, which fails for some large activations, cannot be told from the operations.
"""

import math
import struct
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import groupby
from pathlib import Path

import numpy as np
from rich.console import Group
from rich.markup import escape
from rich.table import Table
from rich.text import Text

from appliance.errors import Problem
from appliance.style import bundle
from trainer.edgetpu.flatbuffer import operation, tensor_type, unpack
from trainer.edgetpu.rules import (
    CACHE_BYTES,
    CONVERSIONS,
    DELEGATE,
    DEPENDS,
    MAPPED,
    NOT_MAPPED,
    Operation,
    Tensor,
    judge,
    refused,
)

BITS = {"INT4": 4, "BOOL": 8, "RESOURCE": 0, "STRING": 0, "VARIANT": 0}
DAMAGE = LookupError, TypeError, ValueError, ArithmeticError, AttributeError, struct.error
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
class Size:
    """Bytes of one model: all its inputs, all its outputs, its largest activation (with its shape), its constants."""

    inputs: int
    outputs: int
    largest: int
    shape: tuple[int, ...]
    parameters: int


@dataclass(frozen=True)
class Summary:
    """The models of one plan together; `fits` says whether their parameters share the on-chip cache."""

    sizes: dict[str, Size]

    @property
    def parameters(self) -> int:
        return sum(size.parameters for size in self.sizes.values())

    @property
    def fits(self) -> bool:
        return self.parameters <= CACHE_BYTES


def check_model(data: bytes) -> list[Verdict]:
    """The verdicts on a .tflite file's operations, in execution order. Raises Problem when it is no such file.

    The compiler makes one subgraph: what depends on an operation that is not mapped runs on the CPU, except behind
    conversions at the head of the model. What only follows one in execution order is called doubtful, and so is
    whatever follows a doubtful one.
    """
    operations, sources, _ = _read(data)
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
            verdict, reason = NOT_MAPPED, "after the first operation that is not mapped: one subgraph"
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
    return Summary({name: _named(name, lambda data=data: _read(data)[2]) for name, data in models.items()})


def headline(name: str, verdicts: list[Verdict]) -> Text:
    """One line: how many operations of the model called name got which verdict."""
    counts = (f"{sum(v.verdict == verdict for v in verdicts)} {verdict}" for verdict in COLOURS)
    return Text(f"{name}: {', '.join(counts)}")


def table(verdicts: list[Verdict]) -> Table:
    """A table of one model's verdicts; neighbours that are alike share a row."""
    made = Table("#", "operation", "version", "predicted", "why")
    for key, run in groupby(verdicts, lambda v: (v.name, v.version, v.verdict, v.reason)):
        run = list(run)
        place = str(run[0].index) if len(run) == 1 else f"{run[0].index}-{run[-1].index}"
        name, version, verdict, reason = key
        made.add_row(place, escape(name), str(version), f"[{COLOURS[verdict]}]{verdict}[/]", escape(reason))
    return made


def size_table(name: str, plan: Summary) -> Table:
    """A table of a plan's bytes, with its parameters against the cache."""
    fits = "fit" if plan.fits else "do not fit"
    title = f"{escape(name)}: parameters {fits} in the cache of {CACHE_BYTES / 2**20:.1f} MiB"
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


def report(path: Path) -> Group:
    """Tables about a .tflite file, or about every plan of a .reconet bundle. Raises Problem in one line."""
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
    yield size_table(name, summary(models))


def _named(name, function):
    try:
        return function()
    except Problem as problem:
        raise Problem(f"{name}: {problem}") from None


def _read(data: bytes) -> tuple[list[Operation], list[tuple[list[int], list[int]]], Size]:
    """The operations of the main subgraph, the numbers of their inputs and outputs, and the model's size."""
    if data[4:8] != b"TFL3":
        raise Problem("not a TensorFlow Lite file (no TFL3 identifier)")
    try:
        model = unpack(data)
        graph = model.subgraphs[0]
        tensors = [_tensor(model, tensor) for tensor in graph.tensors]
        operations, sources = [], []
        for operator in graph.operators if graph.operators is not None else ():
            name, version = operation(model, operator)
            custom = model.operatorCodes[operator.opcodeIndex].customCode
            inputs, outputs = (
                list(map(int, ends)) if ends is not None else [] for ends in (operator.inputs, operator.outputs)
            )
            name = custom.decode(errors="replace") if name == "CUSTOM" and custom else name
            given = [tensors[i] if i >= 0 else None for i in inputs]
            operations.append(Operation(name, version, given, [tensors[i] for i in outputs], operator.builtinOptions))
            sources.append((inputs, outputs))
        return operations, sources, _size(graph, model, tensors)
    except DAMAGE:
        raise Problem("a damaged TensorFlow Lite file") from None


def _tensor(model, tensor) -> Tensor:
    shape = tuple(map(int, tensor.shape)) if tensor.shape is not None else ()
    signature = shape if tensor.shapeSignature is None else tensor.shapeSignature
    stored = model.buffers[tensor.buffer].data if tensor.buffer else None
    constant = None if stored is None or len(stored) == 0 else np.asarray(stored, "uint8").tobytes()
    fixed = all(extent >= 0 for extent in (*shape, *signature))
    return Tensor(shape, tensor_type(tensor), fixed, constant, bool(tensor.isVariable))


def _size(graph, model, tensors) -> Size:
    largest = max((t for t in tensors if t.constant is None), key=_bytes)
    constants = {graph.tensors[i].buffer: len(t.constant) for i, t in enumerate(tensors) if t.constant is not None}
    inputs, outputs = (sum(_bytes(tensors[i]) for i in ends) for ends in (graph.inputs, graph.outputs))
    return Size(inputs, outputs, _bytes(largest), largest.shape, sum(constants.values()))


def _bytes(tensor: Tensor) -> int:
    digits = "".join(c for c in tensor.dtype if c.isdigit())
    return math.prod(tensor.shape) * BITS.get(tensor.dtype, int(digits or 0)) // 8
