"""The inputs and outputs of the network in an untrusted .tflite file, read without an interpreter.

Field numbers are those of TensorFlow's schema.fbs.
"""

from dataclasses import dataclass
from enum import IntEnum
from typing import FrozenSet, List, Optional, Tuple

from ..errors import BundleError
from .flatbuffer import MOST_TABLES, Table, malformed, u32

IDENTIFIER = b"TFL3"
DTYPES = (
    "float32",
    "float16",
    "int32",
    "uint8",
    "int64",
    "string",
    "bool",
    "int16",
    "complex64",
    "int8",
    "float64",
    "complex128",
    "uint64",
    "resource",
    "variant",
    "uint32",
    "uint16",
    "int4",
)
FLOATS = frozenset(("float32", "float16", "float64", "complex64", "complex128"))
MOST_ENDS = 16
HIGHEST_RANK = 8


class Op(IntEnum):
    """BuiltinOperator of TensorFlow's schema.fbs: those for which resize.py can compute the output's size."""

    ADD = 0
    AVERAGE_POOL_2D = 1
    CONCATENATION = 2
    CONV_2D = 3
    DEPTHWISE_CONV_2D = 4
    DEPTH_TO_SPACE = 5
    LOGISTIC = 14
    MAX_POOL_2D = 17
    MUL = 18
    RELU = 19
    RELU_N1_TO_1 = 20
    RELU6 = 21
    RESIZE_BILINEAR = 23
    SPACE_TO_DEPTH = 26
    TANH = 28
    PAD = 34
    SUB = 41
    PRELU = 54
    MAXIMUM = 55
    MINIMUM = 57
    PADV2 = 60
    TRANSPOSE_CONV = 67
    RESIZE_NEAREST = 97
    LEAKY_RELU = 98
    MIRROR_PAD = 100
    QUANTIZE = 114
    HARD_SWISH = 117


_POINTWISE = (Op.LOGISTIC, Op.RELU, Op.RELU6, Op.TANH, Op.QUANTIZE)


@dataclass(frozen=True)
class Tensor:
    """A network's input or output: real value = scale * (stored value - zero_point).

    `shape` holds -1 where the size is open; `scale` is 0.0 for a tensor that is not quantised.
    """

    shape: Tuple[int, ...]
    dtype: str
    scale: float
    zero_point: int


@dataclass(frozen=True)
class Model:
    """The inputs and outputs of a network, and all types of its tensors."""

    inputs: Tuple[Tensor, ...]
    outputs: Tuple[Tensor, ...]
    dtypes: FrozenSet[str]


def read(data: bytes) -> Model:
    """The network in `data`, the bytes of a .tflite file. Raises BundleError when it is malformed."""
    if data[4:8] != IDENTIFIER:
        raise BundleError("not a TensorFlow Lite file (no TFL3 identifier)")
    model = Table(data, u32(data, 0))
    subgraphs = model.tables(2)
    if len(subgraphs) != 1:
        raise BundleError(f"a TensorFlow Lite file with {len(subgraphs)} subgraphs: a network has one")
    buffers = model.tables(4)
    for buffer in buffers:
        buffer.hold(0, "B")
    graph = subgraphs[0]
    _check_graph(graph, len(buffers), len(model.tables(1)))
    tensors = [_tensor(table) for table in graph.tables(0)]
    ends = [tuple(tensors[number] for number in graph.numbers(field, "i", MOST_TABLES)) for field in (1, 2)]
    return Model(ends[0], ends[1], frozenset(tensor.dtype for tensor in tensors))


def reach(data: bytes) -> Optional[int]:
    """From how many rows above and below it, at most, a row of an output is computed, in the checked network `data`.

    None unless the network consists of zero-padded convolutions that keep the size, of sums and of pointwise operators.
    Only such a network gives the same for a part of a picture as for the whole, apart from the part's edges.
    """
    model = Table(data, u32(data, 0))
    graph = model.tables(2)[0]
    codes = [max(code.scalar(0, "b", 0), code.scalar(3, "i", 0)) for code in model.tables(1)]
    shapes = [tensor.numbers(0, "i", HIGHEST_RANK) for tensor in graph.tables(0)]
    inputs, outputs = (graph.numbers(field, "i", MOST_TABLES) for field in (1, 2))
    rows = dict.fromkeys(inputs, 0)  # of each computed tensor
    for operator in graph.tables(3):
        taken = [number for number in operator.numbers(1, "i", MOST_ENDS) if number >= 0]
        computed = [number for number in taken if number in rows]
        others = [shapes[number] for number in taken if number not in rows]
        own = _own_reach(operator, codes[operator.scalar(0, "I", 0)], len(computed), others)
        if own is None or taken[0] not in rows:
            return None
        made = own + max(rows[number] for number in computed)
        rows.update(dict.fromkeys(operator.numbers(2, "i", MOST_ENDS), made))
    return max(rows[number] for number in outputs) if rows.keys() >= set(outputs) else None


def _own_reach(operator: Table, code: int, computed: int, constants: List[Tuple[int, ...]]) -> Optional[int]:
    """As `reach`, of one operator that takes so many computed tensors, and constants of these shapes."""
    if code == Op.ADD and computed:
        # A constant may be one value, or one per channel, but not a picture.
        return None if any(set(shape[-3:-1]) - {1} for shape in constants) else 0
    if computed != 1:
        return None
    if code != Op.CONV_2D:
        return 0 if code in _POINTWISE else None
    # padding (0 is SAME), strides, and a dilation that is 1 where it is left out
    options = operator.table(4)
    kept = options and (
        options.scalar(0, "b", 0),
        *(options.scalar(n, "i", 0) for n in (1, 2)),
        *(options.scalar(n, "i", 1) for n in (4, 5)),
    ) == (0, 1, 1, 1, 1)
    if not kept or not constants or len(constants[0]) != 4:
        return None
    return constants[0][1] // 2  # the kernel's height


def _check_graph(graph: Table, buffers: int, codes: int) -> None:
    """Raise BundleError where something in `graph` points out of the file or to nothing: old runtimes follow it."""
    tensors = graph.tables(0)
    _check_references(graph, range(len(tensors)), MOST_TABLES)
    for tensor in tensors:
        if tensor.scalar(2, "I", 0) >= buffers:
            raise malformed()
        tensor.hold(3, "B")
        quantization = tensor.table(4)
        if quantization:
            quantization.hold(2, "f")
            quantization.hold(3, "q")
    for operator in graph.tables(3):
        if operator.scalar(0, "I", 0) >= codes:
            raise malformed()
        _check_references(operator, range(-1, len(tensors)), MOST_ENDS)
        operator.table(4)
        operator.hold(5, "B")


def _check_references(table: Table, allowed: range, most: int) -> None:
    """Raise BundleError unless the inputs and outputs of a graph or an operator are `allowed` numbers of tensors."""
    for field in (1, 2):
        if not all(number in allowed for number in table.numbers(field, "i", most)):
            raise malformed()


def _tensor(table: Table) -> Tensor:
    shape = table.numbers(0, "i", HIGHEST_RANK)
    signature = table.numbers(7, "i", HIGHEST_RANK)
    kind = table.scalar(1, "b", 0)
    if not 0 <= kind < len(DTYPES) or signature and len(signature) != len(shape):
        raise malformed()
    # A dynamic size is stored as 1 in the shape and as -1 in the signature.
    shape = tuple(-1 if -1 in pair else pair[0] for pair in zip(shape, signature or shape))
    quantization = table.table(4)
    scale = quantization.only(2, "f") if quantization else None
    zero_point = quantization.only(3, "q") if quantization else None
    if scale is None or zero_point is None:  # not quantised, or by channel
        scale, zero_point = 0.0, 0
    return Tensor(shape, DTYPES[kind], scale, zero_point)
