"""The same network for pictures of another size: only shapes in the file are rewritten.

The weights of a convolutional network do not depend on the picture's size. A .tflite file holds the size in the shape
of each computed tensor and in a few constants (the output shape of TRANSPOSE_CONV, the size of a resize). All of them
are 32-bit integers, so the rewritten file is as long as the original.
"""

import struct
from typing import Dict, Iterator, NamedTuple, Optional, Sequence, Tuple, Union

from ..errors import BundleError
from .flatbuffer import MOST_TABLES, Table, malformed, u32
from .tflite import HIGHEST_RANK, MOST_ENDS, Op, read

Plane = Tuple[int, int]  # height, width
Planes = Tuple[Tuple[Plane, ...], Tuple[Plane, ...]]  # of a network's inputs and of its outputs

_TWO_ALIKE = (Op.ADD, Op.SUB, Op.MUL, Op.MAXIMUM, Op.MINIMUM)
_ACTIVATIONS = (Op.LOGISTIC, Op.RELU, Op.RELU_N1_TO_1, Op.RELU6, Op.TANH, Op.PRELU, Op.LEAKY_RELU, Op.HARD_SWISH)
_EACH_VALUE = frozenset(_TWO_ALIKE + _ACTIVATIONS + (Op.QUANTIZE,))
_PADS = (Op.PAD, Op.PADV2, Op.MIRROR_PAD)
_RESIZES = (Op.RESIZE_BILINEAR, Op.RESIZE_NEAREST)
# Which input is a constant that holds a size, and which part of the output's shape that size is.
_SIZE_INPUT = {
    Op.TRANSPOSE_CONV: (0, slice(0, 4)),
    Op.RESIZE_BILINEAR: (1, slice(1, 3)),
    Op.RESIZE_NEAREST: (1, slice(1, 3)),
}
_FEWEST_INPUTS = {Op.TRANSPOSE_CONV: 3, Op.CONV_2D: 2, Op.DEPTHWISE_CONV_2D: 2, **dict.fromkeys(_PADS + _RESIZES, 2)}
_INT32 = 2  # TensorType
_SAME = 0  # Padding
_LONGEST_SIDE = 1 << 15
_LARGEST_TENSOR = (1 << 31) - 1


class _Operator(NamedTuple):
    code: Op
    inputs: Tuple[int, ...]
    outputs: Tuple[int, ...]
    options: Optional[Table]


class Resizable:
    """A network that can be built for other sizes, read from `data`, which `tflite.read` has checked. All its inputs
    have the same height and width.

    Raises BundleError for a network that may not work at other sizes.
    """

    def __init__(self, data: bytes):
        self._data = data
        model = Table(data, u32(data, 0))
        graph = model.tables(2)[0]
        tensors = graph.tables(0)
        codes = [max(code.scalar(0, "b", 0), code.scalar(3, "i", 0)) for code in model.tables(1)]
        self._shapes = [tensor.numbers(0, "i", HIGHEST_RANK) for tensor in tensors]
        self._types = [tensor.scalar(1, "b", 0) for tensor in tensors]
        # Each a (length, place of the first element); length 0 where there is none.
        self._shape_vectors = [tensor.vector(0) for tensor in tensors]
        self._signatures = [tensor.vector(7) for tensor in tensors]
        contents = [buffer.vector(0) for buffer in model.tables(4)]
        self._contents = [contents[tensor.scalar(2, "I", 0)] for tensor in tensors]
        self._operators = [
            _Operator(
                _known(codes[operator.scalar(0, "I", 0)]),
                operator.numbers(1, "i", MOST_ENDS),
                operator.numbers(2, "i", MOST_ENDS),
                operator.table(4),
            )
            for operator in graph.tables(3)
        ]
        self._inputs, self._outputs = (graph.numbers(field, "i", MOST_TABLES) for field in (1, 2))
        if not self._inputs or not self._outputs:
            raise _fixed("it has no input or no output")
        shape = self._shapes[self._inputs[0]]
        planes = self._planes((shape[1], shape[2])) if len(shape) == 4 else {}
        if not planes.keys() >= set(self._outputs) or any(self._shapes[n][1:3] != plane for n, plane in planes.items()):
            raise _fixed("its shapes do not follow from its input's")
        for number, sizes in self._sizes(planes).items():
            if self._constant(number, len(sizes)) != sizes:
                raise _fixed("a constant does not hold its output's size")

    def output(self, plane: Plane) -> Plane:
        """Height and width of the first output for inputs of height and width `plane`. Raises BundleError."""
        return self.ends(plane)[1][0]

    def ends(self, plane: Plane) -> Planes:
        """Height and width of each input and output for inputs of height and width `plane`. Raises BundleError."""
        planes = self._planes(plane)
        return tuple(planes[n] for n in self._inputs), tuple(planes[n] for n in self._outputs)

    def at(self, plane: Plane) -> bytes:
        """The network for inputs of height and width `plane`. Raises BundleError."""
        planes = self._planes(plane)
        if plane == self._shapes[self._inputs[0]][1:3]:
            return self._data
        return self._checked(self._patched(planes), planes)

    def _planes(self, plane: Plane) -> Dict[int, Plane]:
        """Height and width of every computed tensor, by its number."""
        planes: Dict[int, Plane] = dict.fromkeys(self._inputs, plane)
        for operator in self._operators:
            if len(operator.outputs) != 1 or operator.outputs[0] in planes:
                raise _fixed("an operator has not one output of its own")
            number = operator.outputs[0]
            shape = self._shapes[number]
            if len(shape) != 4 or shape[0] != 1:
                raise _fixed("a tensor is not of shape 1 x height x width x channels")
            planes[number] = made = self._made(operator, planes)
            if not all(0 < side <= _LONGEST_SIDE for side in made) or made[0] * made[1] * shape[3] > _LARGEST_TENSOR:
                raise BundleError(f"cannot be built for {plane[1]}x{plane[0]}: a tensor would be {made[1]}x{made[0]}")
        return planes

    def _made(self, operator: _Operator, planes: Dict[int, Plane]) -> Plane:
        """Height and width of the output of `operator`."""
        code, options = operator.code, operator.options
        computed = [planes[number] for number in operator.inputs if number in planes]
        others = [number for number in operator.inputs if number >= 0 and number not in planes]
        if not computed or not all(self._contents[number][0] for number in others):
            raise _fixed("an operator's input is computed nowhere")
        if code in _EACH_VALUE or code == Op.CONCATENATION:
            # A constant may be one value, or one per channel, but not a picture.
            if len(set(computed)) > 1 or any(set(self._shapes[number][-3:-1]) - {1} for number in others):
                raise _unknown(code)
            if code == Op.CONCATENATION and (others or _options(options, code).scalar(0, "i", 0) not in (3, -1)):
                raise _unknown(code)
            return computed[0]
        if len(computed) != 1 or len(operator.inputs) < _FEWEST_INPUTS.get(code, 1):
            raise _unknown(code)
        height, width = computed[0]
        if code in (Op.CONV_2D, Op.DEPTHWISE_CONV_2D, Op.TRANSPOSE_CONV):
            kernel = self._shapes[operator.inputs[1]] if operator.inputs[1] in others else ()
            if len(kernel) != 4:
                raise _unknown(code)
            return self._convolved(code, (height, width), kernel[1:3], _options(options, code))
        if code in (Op.AVERAGE_POOL_2D, Op.MAX_POOL_2D):
            options = _options(options, code)
            window = options.scalar(4, "i", 0), options.scalar(3, "i", 0)
            return _windows((height, width), window, _strides(options), (1, 1), options.scalar(0, "b", _SAME))
        if code in _PADS:
            pads = self._constant(operator.inputs[1], 8)
            return height + sum(pads[2:4]), width + sum(pads[4:6])
        if code in _RESIZES:
            return self._enlarged(operator, (height, width))
        block = _options(options, code).scalar(0, "i", 0)
        if code == Op.DEPTH_TO_SPACE:
            return height * block, width * block
        if block < 1 or height % block or width % block:  # SPACE_TO_DEPTH
            raise _fixed(f"{width}x{height} is not whole blocks of {block}")
        return height // block, width // block

    @staticmethod
    def _convolved(code: Op, plane: Plane, kernel: Sequence[int], options: Table) -> Plane:
        padding, strides = options.scalar(0, "b", _SAME), _strides(options)
        if code == Op.TRANSPOSE_CONV:
            beyond = [0 if padding == _SAME else side - stride for side, stride in zip(kernel, strides)]
            return plane[0] * strides[0] + beyond[0], plane[1] * strides[1] + beyond[1]
        first = 4 if code == Op.CONV_2D else 5  # DepthwiseConv2DOptions has depth_multiplier before them
        dilations = options.scalar(first + 1, "i", 1), options.scalar(first, "i", 1)
        return _windows(plane, kernel, strides, dilations, padding)

    def _enlarged(self, operator: _Operator, plane: Plane) -> Plane:
        """The size after a resize by the whole factors in the file."""
        before, after = self._shapes[operator.inputs[0]], self._shapes[operator.outputs[0]]
        if len(before) != 4 or min(before) < 1 or after[1] % before[1] or after[2] % before[2]:
            raise _fixed("a resize is not by whole factors")
        return plane[0] * (after[1] // before[1]), plane[1] * (after[2] // before[2])

    def _sizes(self, planes: Dict[int, Plane]) -> Dict[int, Tuple[int, ...]]:
        """The required content of the constants that hold sizes, by the number of their tensor."""
        sizes: Dict[int, Tuple[int, ...]] = {}
        for operator in self._operators:
            if operator.code in _SIZE_INPUT:
                place, part = _SIZE_INPUT[operator.code]
                number, made = operator.inputs[place], operator.outputs[0]
                shape = (1,) + planes[made] + self._shapes[made][3:]
                if sizes.setdefault(number, shape[part]) != shape[part]:
                    raise _fixed("two operators share the constant of their size")
        return sizes

    def _constant(self, number: int, count: int) -> Tuple[int, ...]:
        """The `count` int32 of a constant tensor."""
        length, first = self._contents[number] if number >= 0 else (0, 0)
        if length != 4 * count or self._types[number] != _INT32:
            raise _fixed("a size or padding is no constant of int32")
        return struct.unpack_from("<%di" % count, self._data, first)

    def _patched(self, planes: Dict[int, Plane]) -> bytes:
        """The file with all sizes rewritten."""
        patches: Dict[int, int] = {}

        def put(place: int, numbers: Sequence[int]) -> None:
            for at, number in zip(range(place, place + 4 * len(numbers), 4), numbers):
                if patches.setdefault(at, number) != number:
                    raise _fixed("tensors of different sizes share one shape")

        for number, plane in planes.items():
            for count, first in (self._shape_vectors[number], self._signatures[number]):
                if count:
                    put(first + 4, plane)
        for number, sizes in self._sizes(planes).items():
            put(self._contents[number][1], sizes)
        return b"".join(_pieces(self._data, patches))

    def _checked(self, data: bytes, planes: Dict[int, Plane]) -> bytes:
        """`data`, if it is sound, its shapes are as planned and all other constants are unchanged; else raises
        BundleError.

        This finds vectors and buffers that are shared or, in a hostile file, overlap.
        """
        read(data)
        made, sizes = Resizable(data), self._sizes(planes)
        for number, before in enumerate(self._shapes):
            shape = before[:1] + planes[number] + before[3:] if number in planes else before
            count, first = made._signatures[number]
            signature = struct.unpack_from("<%di" % count, data, first)
            computed = number in planes
            if made._shapes[number] != shape or computed and count and signature != shape:
                raise _fixed("tensors of different sizes share one shape")
            length, first = self._contents[number]
            if made._contents[number] != (length, first):
                raise malformed()
            if number not in sizes and data[first : first + length] != self._data[first : first + length]:
                raise _fixed("a constant shares the buffer of a size")
        return data


def _windows(plane: Plane, window: Sequence[int], strides: Plane, dilations: Plane, padding: int) -> Plane:
    """The number of windows that fit: ceil(n / stride) with padding, floor((n - window) / stride) + 1 without."""
    if padding == _SAME:
        made = [-(-side // stride) for side, stride in zip(plane, strides)]
    else:
        made = [
            (side - (size - 1) * dilation - 1) // stride + 1
            for side, size, stride, dilation in zip(plane, window, strides, dilations)
        ]
    return made[0], made[1]


def _strides(options: Table) -> Plane:
    across, down = (options.scalar(number, "i", 0) for number in (1, 2))
    if across < 1 or down < 1:
        raise malformed()
    return down, across


def _options(options: Optional[Table], code: Op) -> Table:
    if options is None:
        raise _unknown(code)
    return options


def _known(code: int) -> Op:
    try:
        return Op(code)
    except ValueError:
        raise _fixed(f"operator {code} of schema.fbs is not known") from None


def _unknown(code: Op) -> BundleError:
    return _fixed(f"an unusual {code.name}")


def _fixed(why: str) -> BundleError:
    return BundleError(f"cannot be built for another size: {why}")


def _pieces(data: bytes, patches: Dict[int, int]) -> Iterator[Union[bytes, memoryview]]:
    """`data` with the int32 at each place of `patches` replaced, in pieces that are not copies."""
    view, end = memoryview(data), 0
    for place in sorted(patches):
        if not end <= place <= len(data) - 4:
            raise malformed()
        yield view[end:place]
        yield struct.pack("<i", patches[place])
        end = place + 4
    yield view[end:]
