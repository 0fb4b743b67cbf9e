"""Which TensorFlow Lite operations the Edge TPU compiler maps: a table of facts, and where each comes from.

The names in brackets are the sources:
  [table]   coral.ai/docs/edgetpu/models-intro, "Supported operations" and "Model requirements" (runtime 14); most of it
            is reprinted at developer.axis.com/computer-vision/on-device/system-on-chip/artpec-7/supported-ops
  [#N]      issue N of github.com/google-coral/edgetpu
  [pairs]   models and their compiled files in public repositories, listed in docs/edgetpu.md
  [2.5]     what TensorFlow Lite 2.5 loads, of the same year (2021) as edgetpu_compiler 16
"""

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np

VERDICTS = MAPPED, DEPENDS, NOT_MAPPED = ("mapped", "depends", "not mapped")
DELEGATE = "edgetpu-custom-op"
# {bytes of the largest activation: bytes of parameters}: with an activation of at least that size, at least so many
# bytes of parameters were seen cached on the chip, in
# SRGAN [pairs], with 128x128x32 convolutions (Result.xlsx of iwatake2222/EdgeTPU_Analysis), and in the compiler's logs.
LEAST_CACHE = (3 << 20, int(1.43 * 2**20)), (1 << 19, int(5.01 * 2**20)), (0, int(7.7 * 2**20))
SOFTMAX_MOST = 16000  # elements [table]
RESHAPE_MOST = 94400  # elements of the largest one seen mapped [pairs]; [table] warns of large ones
EIGHT_BITS = ("INT8", "UINT8")


@dataclass(frozen=True)
class Tensor:
    """shape: as stored; fixed: every dimension is known; constant: its bytes, or None for a computed tensor; variable:
    state that the model keeps between calls.
    """

    shape: tuple[int, ...]
    dtype: str
    fixed: bool
    constant: bytes | None
    variable: bool

    def integers(self) -> np.ndarray | None:
        """A constant's values where they are int32 or int64, flat; else None."""
        if self.constant is None or self.dtype not in ("INT32", "INT64"):
            return None
        return np.frombuffer(self.constant, self.dtype.lower())


@dataclass(frozen=True)
class Operation:
    """One operation as the rules see it; an omitted input is None; options are the schema's, or None."""

    name: str
    version: int
    inputs: list[Tensor | None]
    outputs: list[Tensor]
    options: Any

    @property
    def activations(self) -> list[Tensor]:
        """What is computed: every output, and every input that is neither constant nor state."""
        given = [t for t in self.inputs if t is not None and t.constant is None and not t.variable]
        return given + self.outputs

    def option(self, name: str) -> Any:
        return getattr(self.options, name, None)

    def given(self, i: int) -> Tensor | None:
        return self.inputs[i] if i < len(self.inputs) else None


Finding = tuple[str, str] | None  # (verdict, reason), or None when no rule applies
Condition = Callable[[Operation], Finding]


@dataclass(frozen=True)
class Rule:
    """newest: the highest version known to map; refused: from this version on the compiler cannot read the file."""

    verdict: str
    newest: int = 1
    conditions: tuple[Condition, ...] = ()
    reason: str = ""
    refused: float = math.inf


def common(op: Operation) -> Finding:
    """What holds for every operation [table: Model requirements]."""
    for activation in op.activations:
        if activation.dtype not in EIGHT_BITS:
            return NOT_MAPPED, f"{activation.dtype}: the Edge TPU computes in 8 bits only"
        if any(extent != 1 for extent in activation.shape[:-3]):
            return NOT_MAPPED, f"shape {activation.shape}: only the three innermost dimensions may exceed 1"
    for tensor in op.inputs:
        if tensor is not None and tensor.constant is not None and tensor.dtype not in (*EIGHT_BITS, "INT32"):
            return NOT_MAPPED, f"a {tensor.dtype} constant: the Edge TPU computes in 8 bits only"
    if not all(tensor.fixed for tensor in op.activations):
        # [table] demands fixed sizes, yet [pairs] have models with an open batch that were compiled for a batch of 1.
        return DEPENDS, "a dimension is not fixed"
    return None


def _not_fused(op):
    if op.option("fusedActivationFunction"):
        return NOT_MAPPED, "a fused activation function"


def _constant_weights(op):
    weights = op.given(1)
    if weights is None or weights.constant is None:
        return NOT_MAPPED, "weights that are not constant"


def _same_dilation(op):
    """A kernel of height or width 1 has no dilation that way, and is mapped [pairs]."""
    height, width = op.inputs[1].shape[1:3]
    if height > 1 and width > 1 and op.option("dilationHFactor") != op.option("dilationWFactor"):
        return NOT_MAPPED, "different dilation in height and width"


def _not_grouped(op):
    if op.inputs[1].shape[-1] != op.inputs[0].shape[-1]:
        return DEPENDS, "a convolution in groups"


def _default_weights_format(op):
    if op.option("weightsFormat"):
        return NOT_MAPPED, "weights that are not in the default format"


def _output_of_one_dimension(op):
    if any(extent != 1 for extent in op.outputs[0].shape[:-1]):
        return DEPENDS, "an output of more than one dimension"


def _alike_or_constant(op):
    """[table] has no limits here; broadcasting was seen mapped [pairs] for constants only."""
    shapes = {tensor.shape for tensor in op.activations}
    if len(shapes) > 1:
        return DEPENDS, "broadcasting between computed tensors"


def _zero_constants(op):
    constants = [t for t in op.inputs if t is not None and t.constant is not None]
    if not constants:
        return None
    if len(op.inputs) != 2 or any(any(t.constant) for t in constants):
        return NOT_MAPPED, "a constant input that is not one of two and zero"
    return DEPENDS, "a constant input"


def _axis_option(op):
    if (op.option("axis") or 0) % len(op.outputs[0].shape) == 0:
        return NOT_MAPPED, "packing along the batch"


def _not_along_batch(i):
    def condition(op):
        axes, rank = op.given(i).integers() if op.given(i) else None, len(op.activations[0].shape)
        if axes is None:
            return NOT_MAPPED, "axes that are not constant"
        if rank > 1 and any(axis % rank == 0 for axis in axes):
            return NOT_MAPPED, "along the batch"

    return condition


def _not_split_along_batch(op):
    """A split into one piece is mapped [pairs]."""
    return _not_along_batch(0)(op) if len(op.outputs) > 1 else None


def _depth_of_four(op):
    shape = op.inputs[0].shape
    if any(axis % len(shape) == len(shape) - 1 for axis in op.inputs[1].integers()) and shape[-1] % 4:
        return NOT_MAPPED, f"over {shape[-1]} channels, not a multiple of 4"


def _batch_not_padded(op):
    paddings = op.given(1).integers() if op.given(1) else None
    if paddings is None:
        return NOT_MAPPED, "paddings that are not constant"
    if len(op.inputs[0].shape) > 1 and any(paddings[:2]):
        return NOT_MAPPED, "padding of the batch"


def _slope_per_channel(op):
    slope = op.given(1)
    if slope is None or slope.constant is None or any(extent != 1 for extent in slope.shape[:-1]):
        return NOT_MAPPED, "slopes that are not constants, one a channel"


def _stride_one(op):
    strides = op.given(3).integers() if op.given(3) else None
    if strides is None or any(stride != 1 for stride in strides):
        return NOT_MAPPED, "strides other than 1"
    if op.option("ellipsisMask") or op.option("newAxisMask"):
        return NOT_MAPPED, "an ellipsis or a new axis"


def _softmax_size(op):
    shape = op.inputs[0].shape
    if any(extent != 1 for extent in shape[:-1]):
        return NOT_MAPPED, f"over {shape}: one dimension only"
    if math.prod(shape) > SOFTMAX_MOST:
        # [table] sets the limit, yet [pairs] have 16384 elements mapped.
        return DEPENDS, f"over {math.prod(shape)} elements, {SOFTMAX_MOST} are documented"


def _reshape_size(op):
    if math.prod(op.outputs[0].shape) > RESHAPE_MOST:
        return DEPENDS, f"{math.prod(op.outputs[0].shape)} elements: large reshapes are not always mapped"


_RESIZE = "some sizes are not mapped, to keep precision"  # [table], [#31]; [pairs] have both outcomes
_EVERY_BATCH = (_not_along_batch(1),)

# No comment: in [table], and seen mapped at that version in [pairs]. "[table] alone": never seen mapped; the version is
# that of the 8-bit operation in [2.5].
RULES = {
    "ADD": Rule(MAPPED, 2, (_alike_or_constant,)),
    "AVERAGE_POOL_2D": Rule(MAPPED, 2, (_not_fused,)),
    "CONCATENATION": Rule(MAPPED, 2, (_not_fused, _zero_constants)),
    "CONV_2D": Rule(MAPPED, 3, (_constant_weights, _same_dilation, _not_grouped), refused=6),  # refused: [#631]
    "DEPTHWISE_CONV_2D": Rule(MAPPED, 3, (_constant_weights, _same_dilation)),
    "EXPAND_DIMS": Rule(MAPPED, 1),  # [table] alone
    "FULLY_CONNECTED": Rule(MAPPED, 4, (_constant_weights, _default_weights_format, _output_of_one_dimension)),
    "L2_NORMALIZATION": Rule(MAPPED, 2),  # [table] alone
    "LOGISTIC": Rule(MAPPED, 2),
    "MAXIMUM": Rule(MAPPED, 2, (_alike_or_constant,)),
    "MAX_POOL_2D": Rule(MAPPED, 2, (_not_fused,)),
    "MEAN": Rule(MAPPED, 2, (*_EVERY_BATCH, _depth_of_four)),
    "MINIMUM": Rule(MAPPED, 2, (_alike_or_constant,)),  # [table] alone
    "MUL": Rule(MAPPED, 2, (_alike_or_constant,)),
    "PACK": Rule(MAPPED, 2, (_axis_option,)),  # [table] alone
    "PAD": Rule(MAPPED, 2, (_batch_not_padded,)),
    "PRELU": Rule(MAPPED, 1, (_slope_per_channel,)),
    "QUANTIZE": Rule(MAPPED, 2),
    "REDUCE_MAX": Rule(MAPPED, 2, _EVERY_BATCH),  # [table] alone
    "REDUCE_MIN": Rule(MAPPED, 2, _EVERY_BATCH),  # [table] alone
    "RELU": Rule(MAPPED, 2),
    "RELU6": Rule(MAPPED, 2),  # [table] alone
    "RELU_N1_TO_1": Rule(MAPPED, 1),  # [table] alone
    "RESHAPE": Rule(MAPPED, 1, (_reshape_size,)),
    "RESIZE_BILINEAR": Rule(DEPENDS, 3, reason=_RESIZE),
    "RESIZE_NEAREST_NEIGHBOR": Rule(DEPENDS, 3, reason=_RESIZE),
    "RSQRT": Rule(DEPENDS, 2, reason="documented, but never seen mapped"),  # [table] alone
    "SLICE": Rule(MAPPED, 2),  # [table] alone
    "SOFTMAX": Rule(MAPPED, 2, (_softmax_size,)),
    "SPACE_TO_DEPTH": Rule(MAPPED, 2),  # [table] alone
    "SPLIT": Rule(MAPPED, 2, (_not_split_along_batch,)),
    "SQUARED_DIFFERENCE": Rule(DEPENDS, 2, reason="documented, but never seen mapped"),  # [table] alone
    "SQUEEZE": Rule(MAPPED, 1),  # [table] alone
    "STRIDED_SLICE": Rule(MAPPED, 2, (_stride_one,)),  # [table] alone
    "SUB": Rule(MAPPED, 2, (_alike_or_constant,)),
    "SUM": Rule(MAPPED, 2, _EVERY_BATCH),  # [table] alone
    "TANH": Rule(MAPPED, 2),
    # Not in [table], but mapped once, from 1x1 to 33x33, in [pairs]; refused: [2.5].
    "TILE": Rule(DEPENDS, 2, reason="not documented, but seen mapped once", refused=3),
    "TRANSPOSE": Rule(DEPENDS, 5, reason="some are not mapped", refused=6),  # [#433]; refused: [2.5]
    # Mapped in [pairs] at version 2, 3x3 with stride 2 and 1x1; not always, say [#684] and [#686]; refused: [#845].
    "TRANSPOSE_CONV": Rule(DEPENDS, 3, reason="some sizes are not mapped", refused=4),
    "UNIDIRECTIONAL_SEQUENCE_LSTM": Rule(MAPPED, 1),
}
# If one of these is not mapped at the start of a model, what follows is still mapped [pairs].
CONVERSIONS = ("CAST", "DEQUANTIZE", "QUANTIZE")


def judge(op: Operation) -> tuple[str, str]:
    """(verdict, reason) for one operation by itself; the reason is empty where it is mapped."""
    rule = RULES.get(op.name)
    if rule is None:
        return NOT_MAPPED, "the Edge TPU has no such operation"
    worst = rule.verdict, rule.reason
    if worst[0] == MAPPED and op.version > rule.newest:
        worst = DEPENDS, f"version {op.version}, known to be mapped up to {rule.newest}"
    for condition in (common, *rule.conditions):  # in order: later rules rely on what earlier ones require
        finding = condition(op)
        if finding and finding[0] == NOT_MAPPED:
            return finding
        worst = finding if finding and worst[0] == MAPPED else worst
    return worst


def refused(op: Operation) -> bool:
    """Whether the compiler cannot read a file with this operation: then nothing in it is mapped."""
    return op.name in RULES and op.version >= RULES[op.name].refused


def cache_left(largest: float) -> int:
    """Bytes of parameters that stay cached beside a largest activation of that many bytes: the least ever seen."""
    return next(left for activation, left in LEAST_CACHE if largest >= activation)
