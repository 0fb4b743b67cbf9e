"""What a network costs, counted: multiplications, the compiler's cycles, bytes over the Edge TPU's boundary, calls.

Every plan is the same function (see edgetpu.fold):

- split: segments with NumPy's nearest x2 between them;
- fused: each upsample and its convolution are one 4x4 transposed convolution of stride 2; one segment;
- lowres: everything after the residual blocks at their resolution; one segment, NumPy shuffles the image.

Skips cost bytes where segments hand their planes on, in split, and NumPy copies those. The additions are not counted.
"""

import math
from dataclasses import dataclass
from typing import NamedTuple

from trainer.edgetpu.reader import Model, weight
from trainer.edgetpu.rules import Operation
from trainer.network import SKIPS, convolutions
from trainer.sections import Network

# Google's compiler estimates 1,024 multiplications a cycle, channels rounded up to 4, and a depthwise convolution as if
# it had this many input channels: fitted to the cycles in public compiled files, see benchmarks/cycles.py.
MACS_A_CYCLE = 1024
DEPTHWISE_INPUTS = 8


class Layer(NamedTuple):
    """A convolution: pixels made, kernel taps at each, input channels (of one group), output channels.

    For a transposed convolution, pixels are those of its input, and it makes `makes` output pixels from each.
    """

    pixels: float
    taps: int
    inputs: int
    outputs: int
    makes: int = 1
    depthwise: bool = False

    @property
    def macs(self) -> float:
        return self.pixels * self.taps * self.inputs * self.outputs

    @property
    def cycles(self) -> float:
        """What Google's compiler would estimate for it."""
        inputs = DEPTHWISE_INPUTS if self.depthwise else _fours(self.inputs)
        return self.pixels * self.taps * inputs * _fours(self.outputs) / MACS_A_CYCLE


class Segment(NamedTuple):
    """The work of one call. Bytes are those of all its int8 or uint8 inputs or outputs; `bytes_back` is `bytes_out`
    with channels padded to a multiple of 4, as they leave the chip; `largest` is the largest activation.
    """

    macs: float
    cycles: float
    bytes_in: float
    bytes_out: float
    bytes_back: float
    parameters: int
    largest: float


class Plan(NamedTuple):
    """A plan's calls in order, the bytes that NumPy writes between and after them, and the bytes of int8 inputs and
    outputs, which Google's runtime converts one at a time.
    """

    segments: list[Segment]
    copied: float = 0.0
    signed: float = 0.0


@dataclass(frozen=True)
class Cost:
    """Multiplications a frame; bytes in and out of the TPU a frame, the image included; inferences a frame."""

    plan: str
    macs: int
    bytes_in: int
    bytes_out: int
    calls: int


def plan_costs(spec: Network, size: tuple[int, int]) -> list[Cost]:
    """The costs of all plans of a recipe's network at size (height, width), multiples of its stride, in int8."""
    return [
        Cost(
            name,
            round(sum(s.macs for s in plan.segments)),
            round(sum(s.bytes_in for s in plan.segments)),
            round(sum(s.bytes_out for s in plan.segments)),
            len(plan.segments),
        )
        for name, plan in plans(spec, size).items()
    ]


def plans(spec: Network, size: tuple[int, int], colours: int = 3) -> dict[str, Plan]:
    """Every plan of a network at size (height, width), with uint8 at all ends and an image of `colours` channels.

    Where the strides shrink by more than the upsamples enlarge, each output pixel's channels hold a cell of image
    pixels.
    """
    pixels, channels, made = size[0] * size[1], 3, {}
    for name, kernel, outputs, stride in convolutions(spec):
        pixels = pixels * 4 if name.startswith("decoder") else pixels // stride**2
        made[name] = Layer(pixels, kernel**2, channels, outputs)
        channels = outputs
    *head, one, two, last = made.values()
    kept = {name: [_gives(made[plane])] if spec.skips else [] for name, plane in SKIPS.items()}
    cell = round(size[0] * size[1] / last.pixels)
    last = last._replace(outputs=colours * cell)
    takes, trunk, middle = (size[0] * size[1], 3), _gives(head[-1]), _gives(one)
    # Each source pixel of a 4x4 transposed convolution is multiplied by 16 taps, which make 4 pixels.
    transposed = [layer._replace(pixels=layer.pixels // 4, taps=16, makes=4) for layer in (one, two)]
    small = trunk[0]
    # In space-to-depth form a kernel of radius r on a picture cut into cells of 4 reaches ceil(r / 4) cells.
    reach = 2 * math.ceil((math.isqrt(last.taps) // 2) / 4) + 1
    low = [
        Layer(small, 9, one.inputs, 4 * one.outputs),
        Layer(small, 9, 4 * two.inputs, 16 * two.outputs),
        Layer(small, reach**2, 16 * last.inputs, 16 * last.outputs),
    ]
    image = float(size[0] * size[1] * colours)
    shuffled = image if cell > 1 else 0.0
    larger = [(4 * count, depth) for count, depth in (trunk, middle)]
    split = [
        segment(head, [takes], [trunk, *kept["decoder2"], *kept["decoder1"]]),
        segment([one], [larger[0], *kept["decoder1"]], [middle]),
        segment([two, last], [larger[1], *kept["decoder2"]], [_gives(last)]),
    ]
    copied = _bytes([*larger, *kept["decoder1"], *kept["decoder2"]])
    return {
        "split": Plan(split, copied + shuffled),
        "fused": Plan([segment([*head, *transposed, last], [takes], [_gives(last)])], shuffled),
        "lowres": Plan([segment([*head, *low], [takes], [_gives(low[-1])])], image),
    }


def segment(layers: list[Layer], takes: list[tuple[float, int]], gives: list[tuple[float, int]]) -> Segment:
    """The cost of one call; takes and gives are the (pixels, channels) of its inputs and outputs. Parameters are int8
    kernels and int32 biases.
    """
    parameters = sum(layer.taps * layer.inputs * layer.outputs + 4 * layer.outputs for layer in layers)
    activations = [layer.pixels * layer.makes * layer.outputs for layer in layers]
    return Segment(
        sum(layer.macs for layer in layers),
        sum(layer.cycles for layer in layers),
        _bytes(takes),
        _bytes(gives),
        _bytes([(pixels, _fours(channels)) for pixels, channels in gives]),
        parameters,
        max(*activations, *(pixels * channels for pixels, channels in (*takes, *gives))),
    )


def of_model(model: Model, scale: float = 1.0) -> Segment:
    """The cost of a .tflite file's model, for pictures of `scale` times the pixels that it was exported for."""
    layers = [layer._replace(pixels=layer.pixels * scale) for layer in layers_of(model)]
    size = model.size
    back = sum(weight(t) // t.shape[-1] * _fours(t.shape[-1]) for t in model.outputs)
    return Segment(
        sum(layer.macs for layer in layers),
        sum(layer.cycles for layer in layers),
        size.inputs * scale,
        size.outputs * scale,
        back * scale,
        size.parameters,
        size.largest * scale,
    )


def layers_of(model: Model) -> list[Layer]:
    """The convolutions and products of a model. Products with a whole vector count as one pixel."""
    return [layer for op in model.operations if (layer := _layer(op))]


def _layer(op: Operation) -> Layer | None:
    if op.name not in ("CONV_2D", "DEPTHWISE_CONV_2D", "TRANSPOSE_CONV", "FULLY_CONNECTED"):
        return None
    _, kernel, *more = (tensor.shape if tensor else () for tensor in op.inputs)
    made = op.outputs[0].shape
    if op.name == "FULLY_CONNECTED":
        return Layer(1, 1, kernel[1], kernel[0])
    outputs, high, wide, inputs = kernel
    pixels = made[1] * made[2]
    if op.name == "DEPTHWISE_CONV_2D":
        return Layer(pixels, high * wide, 1, inputs, depthwise=True)
    if op.name == "TRANSPOSE_CONV":  # each tap of each source pixel is used once
        source = more[0][1] * more[0][2]
        return Layer(source, high * wide, inputs, outputs, pixels // source)
    return Layer(pixels, high * wide, inputs, outputs)


def _gives(layer: Layer) -> tuple[float, int]:
    return layer.pixels, layer.outputs


def _bytes(tensors: list[tuple[float, int]]) -> float:
    return sum(pixels * channels for pixels, channels in tensors)


def _fours(channels: int) -> int:
    return -(-channels // 4) * 4
