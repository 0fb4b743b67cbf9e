"""A .tflite file as the checker and the cost model see it: operations in order, and the sizes of tensors."""

import math
import struct
from dataclasses import dataclass

import numpy as np

from appliance.errors import Problem
from trainer.edgetpu import darwinn
from trainer.edgetpu.flatbuffer import operation, tensor_type, unpack
from trainer.edgetpu.rules import DELEGATE, Operation, Tensor

BITS = {"INT4": 4, "BOOL": 8, "RESOURCE": 0, "STRING": 0, "VARIANT": 0}
DAMAGE = LookupError, TypeError, ValueError, ArithmeticError, AttributeError, struct.error


@dataclass(frozen=True)
class Size:
    """Bytes of one model: all its inputs, all its outputs, its largest activation (with its shape), its parameters."""

    inputs: int
    outputs: int
    largest: int
    shape: tuple[int, ...]
    parameters: int


@dataclass(frozen=True)
class Model:
    """The main subgraph of a .tflite file.

    `sources` has the numbers of the tensors that each operation reads and writes; `packages` what Google's compiler
    wrote into each Edge TPU operation.
    """

    operations: list[Operation]
    sources: list[tuple[list[int], list[int]]]
    inputs: list[Tensor]
    outputs: list[Tensor]
    size: Size
    packages: list[darwinn.Package]


def read(data: bytes) -> Model:
    """The model in the bytes of a .tflite file. Raises Problem when it is not one, or damaged."""
    if data[4:8] != b"TFL3":
        raise Problem("not a TensorFlow Lite file (no TFL3 identifier)")
    try:
        return _model(unpack(data))
    except DAMAGE:
        raise Problem("a damaged TensorFlow Lite file") from None


def _model(model) -> Model:
    graph = model.subgraphs[0]
    tensors = [_tensor(model, tensor) for tensor in graph.tensors]
    operations, sources, packages = [], [], []
    for operator in graph.operators if graph.operators is not None else ():
        name, version = operation(model, operator)
        custom = model.operatorCodes[operator.opcodeIndex].customCode
        inputs, outputs = (
            list(map(int, ends)) if ends is not None else [] for ends in (operator.inputs, operator.outputs)
        )
        name = custom.decode(errors="replace") if name == "CUSTOM" and custom else name
        if name == DELEGATE and operator.customOptions is not None:
            packages.append(darwinn.read(np.asarray(operator.customOptions, "uint8").tobytes()))
        given = [tensors[i] if i >= 0 else None for i in inputs]
        operations.append(Operation(name, version, given, [tensors[i] for i in outputs], operator.builtinOptions))
        sources.append((inputs, outputs))
    heads, tails = ([tensors[i] for i in numbers] for numbers in (graph.inputs, graph.outputs))
    compiled = sum(package.cached + package.streamed for package in packages)
    return Model(operations, sources, heads, tails, _size(graph, tensors, compiled), packages)


def _tensor(model, tensor) -> Tensor:
    shape = tuple(map(int, tensor.shape)) if tensor.shape is not None else ()
    signature = shape if tensor.shapeSignature is None else tensor.shapeSignature
    stored = model.buffers[tensor.buffer].data if tensor.buffer else None
    constant = None if stored is None or len(stored) == 0 else np.asarray(stored, "uint8").tobytes()
    fixed = all(extent >= 0 for extent in (*shape, *signature))
    return Tensor(shape, tensor_type(tensor), fixed, constant, bool(tensor.isVariable))


def _size(graph, tensors, compiled: int) -> Size:
    largest = max((t for t in tensors if t.constant is None), key=weight)
    constants = {graph.tensors[i].buffer: len(t.constant) for i, t in enumerate(tensors) if t.constant is not None}
    inputs, outputs = (sum(weight(tensors[i]) for i in ends) for ends in (graph.inputs, graph.outputs))
    return Size(inputs, outputs, weight(largest), largest.shape, sum(constants.values()) + compiled)


def weight(tensor: Tensor) -> int:
    """The bytes of a tensor."""
    digits = "".join(c for c in tensor.dtype if c.isdigit())
    return math.prod(tensor.shape) * BITS.get(tensor.dtype, int(digits or 0)) // 8
