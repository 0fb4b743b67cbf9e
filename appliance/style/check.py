"""Checks that a bundle's segments fit together and fit the manifest."""

from dataclasses import replace
from functools import lru_cache
from typing import Callable, Dict, List, NamedTuple, Tuple

from ..errors import BundleError
from . import tflite
from .manifest import KEEPING, Manifest, Plan, Shuffle, Size, Upsample, size_name
from .resize import Plane, Planes, Resizable
from .sizes import segment_planes

# Real value of a pixel: byte / 255 on the way in; tanh, so (byte - 128) / 128, on the way out.
# As int8 both are the byte with its top bit flipped.
_INPUT_QUANTIZATION = {"int8": (1 / 255, -128), "uint8": (1 / 255, 0)}
_OUTPUT_QUANTIZATION = {"int8": (1 / 128, 0), "uint8": (1 / 128, 128)}

Quantization = Dict[str, Tuple[float, int]]  # scale and zero-point by type


class Ends(NamedTuple):
    """The inputs and outputs of a segment."""

    inputs: Tuple[tflite.Tensor, ...]
    outputs: Tuple[tflite.Tensor, ...]


def check_files(manifest: Manifest, files: Dict[str, bytes]) -> None:
    """Raise BundleError unless every plan is a chain from the manifest's input to its output, for each size."""
    preview = files.get("preview.jpg")
    if preview is None:
        raise BundleError("preview.jpg is missing: export the style again")
    if not (preview.startswith(b"\xff\xd8\xff") and preview.endswith(b"\xff\xd9")):
        raise BundleError("preview.jpg is not a JPEG picture")

    @lru_cache(maxsize=None)
    def ends(name: str) -> Ends:
        return _ends(name, files[name], manifest.format)

    network = lru_cache(maxsize=None)(lambda name: Resizable(files[name]))

    @lru_cache(maxsize=None)
    def planes(name: str, plane: Plane) -> Planes:
        try:
            return network(name).ends(plane)
        except BundleError as error:
            raise BundleError(f"{name}: {error}") from None

    for plan in manifest.plans:
        compiled = manifest.compiled(plan)
        for name in [name for stage in plan.segments for name in (stage.segment, stage.edgetpu) if name] + [
            name for names in compiled.values() for name in names
        ]:
            if name not in files:
                raise BundleError(f"plan {plan.name} needs {name}, which is not in the bundle")
        stored = [ends(stage.segment) for stage in plan.segments]
        _check_chain(plan, stored, manifest, manifest.size)
        for stage in plan.segments:
            if stage.edgetpu and ends(stage.edgetpu) != ends(stage.segment):
                raise BundleError(f"{stage.edgetpu} and {stage.segment} have different ends: compile it again")
        sizes = dict(compiled) if manifest.format > 1 else {}
        if manifest.sizes:
            # Sides are linear in multiples of the stride, so one more proves the rest.
            stride = manifest.sizes.stride
            sizes.setdefault((manifest.size[0] + stride, manifest.size[1] + stride), [])
        for size, names in sizes.items():
            built = stored if size == manifest.size else _built(plan, stored, manifest, size, planes)
            _check_chain(plan, built, manifest, size)
            for name, segment, wanted in zip(names, plan.segments, built):
                if ends(name) != wanted:
                    raise BundleError(
                        f"{name} and {segment.segment} for {size_name(size)} have different ends: compile it again"
                    )


def _built(
    plan: Plan, stored: List[Ends], manifest: Manifest, size: Size, planes: Callable[[str, Plane], Planes]
) -> List[Ends]:
    """The ends of the plan's segments when they are built for `size`."""

    def resized(tensors: Tuple[tflite.Tensor, ...], sides: Tuple[Plane, ...]) -> Tuple[tflite.Tensor, ...]:
        return tuple(replace(one, shape=(1,) + plane + one.shape[3:]) for one, plane in zip(tensors, sides))

    made = segment_planes(manifest, plan, size, planes)
    return [
        Ends(resized(one.inputs, before), resized(one.outputs, after)) for one, (before, after) in zip(stored, made)
    ]


def _ends(name: str, data: bytes, number: int) -> Ends:
    """The ends of the segment `data` in a bundle of format `number`."""
    try:
        model = tflite.read(data)
    except BundleError as error:
        raise BundleError(f"{name}: {error}") from None
    counts = len(model.inputs), len(model.outputs)
    if not all(counts) or number < KEEPING and counts != (1, 1):
        rule = "one or more" if number >= KEEPING else "one"
        raise BundleError(
            f"{name} has {counts[0]} inputs and {counts[1]} outputs: in format {number} a segment has {rule} of each"
        )
    floats = sorted(model.dtypes & tflite.FLOATS)
    if floats:
        raise BundleError(f"{name} has {floats[0]} tensors: quantise it to int8")
    for tensor in model.inputs + model.outputs:
        if len(tensor.shape) != 4 or tensor.shape[0] != 1 or min(tensor.shape) < 1:
            raise BundleError(
                f"{name} has an end of shape {_shape(tensor.shape)}: it has to be a fixed 1 x height x width x channels"
            )
        if tensor.dtype not in ("int8", "uint8") or not 0 < tensor.scale < float("inf"):
            raise BundleError(
                f"{name} has an end of type {tensor.dtype} without a usable scale: it has to be quantised int8 or uint8"
            )
    first = model.inputs[0].shape
    for tensor in model.inputs:
        if tensor.shape[1:3] != first[1:3]:
            raise BundleError(
                f"{name} has inputs of {_shape(first)} and {_shape(tensor.shape)}: they need the same height and width"
            )
    return Ends(model.inputs, model.outputs)


def _check_chain(plan: Plan, segments: List[Ends], manifest: Manifest, size: Size) -> None:
    """Raise BundleError unless segments with these ends lead from a picture of `size` to its output."""
    first, rest, border = segments[0].inputs[0], iter(segments), manifest.input.border
    width, height = size
    shape = (1, height + 2 * border, width + 2 * border, manifest.input.channels)
    _check_end(plan.name, "input", first, shape, manifest.input.pixels, _INPUT_QUANTIZATION)
    tensor, before = first, "input"
    kept: List[Tuple[tflite.Tensor, str]] = []  # and which output of which segment it is
    for number, stage in enumerate(plan.stages, 1):
        if isinstance(stage, Upsample):
            _, height, width, channels = tensor.shape
            shape = (1, height * stage.factor, width * stage.factor, channels)
            tensor, before = replace(tensor, shape=shape), f"stage {number}"
            continue
        if isinstance(stage, Shuffle):
            _, height, width, channels = tensor.shape
            shape = (1, height * stage.factor, width * stage.factor, channels // stage.factor**2)
            if channels % stage.factor**2:
                raise BundleError(f"plan {plan.name}: {channels} channels cannot be shuffled by {stage.factor}")
            tensor = replace(tensor, shape=shape)
            continue
        ends = next(rest)
        _check_link(plan.name, tensor, before, ends.inputs[0], stage.segment)
        for place, takes in enumerate(ends.inputs[1:], 2):
            to = f"{stage.segment} (input {place})"
            if not kept:
                raise BundleError(
                    f"plan {plan.name}: {to} takes {_shape(takes.shape)} but no segment before it keeps a tensor "
                    "for it: cut the segments from one network"
                )
            _check_link(plan.name, *kept.pop(), takes, to)
        kept += [(one, f"{stage.segment} (output {place})") for place, one in enumerate(ends.outputs[1:], 2)]
        tensor, before = ends.outputs[0], stage.segment
    if kept:
        left, source = kept[-1]
        raise BundleError(
            f"plan {plan.name}: {source} gives {_shape(left.shape)} but no segment behind it takes it: "
            "cut the segments from one network"
        )
    width, height = manifest.output_size(size)
    shape = (1, height, width, manifest.output.channels)
    _check_end(plan.name, "output", tensor, shape, manifest.output.pixels, _OUTPUT_QUANTIZATION)


def _check_link(plan: str, gives: tflite.Tensor, source: str, takes: tflite.Tensor, to: str) -> None:
    """Raise BundleError unless what `source` gives is, byte for byte, what `to` takes."""
    for what in ("shape", "dtype", "scale", "zero_point"):
        given, taken = getattr(gives, what), getattr(takes, what)
        if given != taken:
            given, taken = (_shape(given), _shape(taken)) if what == "shape" else (given, taken)
            raise BundleError(
                f"plan {plan}: {source} gives {what.replace('_', '-')} {given} but {to} takes {taken}: "
                "cut the segments from one network"
            )


def _check_end(
    plan: str, end: str, tensor: tflite.Tensor, shape: Tuple[int, ...], pixels: str, quantization: Quantization
) -> None:
    if tensor.shape != shape:
        raise BundleError(
            f"plan {plan}: the network's {end} is {_shape(tensor.shape)} but the manifest says "
            f"{_shape(shape)} ({pixels})"
        )
    scale, zero_point = quantization[tensor.dtype]
    if abs(tensor.scale - scale) > 1e-4 * scale or tensor.zero_point != zero_point:
        raise BundleError(
            f"plan {plan}: the network's {end} is quantised with scale {tensor.scale:.7g} and zero-point "
            f"{tensor.zero_point}: pixels need {scale:.7g} and {zero_point} as {tensor.dtype}"
        )


def _shape(shape: Tuple[int, ...]) -> str:
    return "x".join(str(size) for size in shape)
