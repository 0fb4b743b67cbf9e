"""Checks that a bundle's segments fit together and fit the manifest."""

from dataclasses import replace
from functools import lru_cache
from typing import Callable, Dict, List, Tuple

from ..errors import BundleError
from . import tflite
from .manifest import Manifest, Plan, Shuffle, Size, Upsample, size_name
from .resize import Plane, Resizable
from .sizes import segment_planes

# Real value of a pixel: byte / 255 on the way in; tanh, so (byte - 128) / 128, on the way out.
# As int8 both are the byte with its top bit flipped.
_INPUT_QUANTIZATION = {"int8": (1 / 255, -128), "uint8": (1 / 255, 0)}
_OUTPUT_QUANTIZATION = {"int8": (1 / 128, 0), "uint8": (1 / 128, 128)}

Quantization = Dict[str, Tuple[float, int]]  # scale and zero-point by type
Ends = Tuple[tflite.Tensor, tflite.Tensor]


def check_files(manifest: Manifest, files: Dict[str, bytes]) -> None:
    """Raise BundleError unless every plan is a chain from the manifest's input to its output, for each size."""
    preview = files.get("preview.jpg")
    if preview is None:
        raise BundleError("preview.jpg is missing: export the style again")
    if not (preview.startswith(b"\xff\xd8\xff") and preview.endswith(b"\xff\xd9")):
        raise BundleError("preview.jpg is not a JPEG picture")

    @lru_cache(maxsize=None)
    def ends(name: str) -> Ends:
        return _ends(name, files[name])

    network = lru_cache(maxsize=None)(lambda name: Resizable(files[name]))

    @lru_cache(maxsize=None)
    def output(name: str, plane: Plane) -> Plane:
        try:
            return network(name).output(plane)
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
            built = stored if size == manifest.size else _built(plan, stored, manifest, size, output)
            _check_chain(plan, built, manifest, size)
            for name, segment, wanted in zip(names, plan.segments, built):
                if ends(name) != wanted:
                    raise BundleError(
                        f"{name} and {segment.segment} for {size_name(size)} have different ends: compile it again"
                    )


def _built(
    plan: Plan, stored: List[Ends], manifest: Manifest, size: Size, output: Callable[[str, Plane], Plane]
) -> List[Ends]:
    """The input and output tensors of the plan's segments when they are built for `size`."""

    def resized(tensor: tflite.Tensor, plane: Plane) -> tflite.Tensor:
        return replace(tensor, shape=(1,) + plane + tensor.shape[3:])

    planes = segment_planes(manifest, plan, size, output)
    return [(resized(takes, before), resized(gives, after)) for (takes, gives), (before, after) in zip(stored, planes)]


def _ends(name: str, data: bytes) -> Ends:
    """The input and output tensor of the segment `data`."""
    try:
        model = tflite.read(data)
    except BundleError as error:
        raise BundleError(f"{name}: {error}") from None
    if len(model.inputs) != 1 or len(model.outputs) != 1:
        raise BundleError(
            f"{name} has {len(model.inputs)} inputs and {len(model.outputs)} outputs: a segment has one of each"
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
    return model.inputs[0], model.outputs[0]


def _check_chain(plan: Plan, segments: List[Ends], manifest: Manifest, size: Size) -> None:
    """Raise BundleError unless segments with these ends lead from a picture of `size` to its output."""
    first, rest, border = segments[0][0], iter(segments), manifest.input.border
    width, height = size
    shape = (1, height + 2 * border, width + 2 * border, manifest.input.channels)
    _check_end(plan.name, "input", first, shape, manifest.input.pixels, _INPUT_QUANTIZATION)
    tensor, before = first, "input"
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
        takes_tensor, gives_tensor = next(rest)
        for what in ("shape", "dtype", "scale", "zero_point"):
            gives, takes = getattr(tensor, what), getattr(takes_tensor, what)
            if gives != takes:
                gives, takes = (_shape(gives), _shape(takes)) if what == "shape" else (gives, takes)
                raise BundleError(
                    f"plan {plan.name}: {before} gives {what.replace('_', '-')} {gives} but "
                    f"{stage.segment} takes {takes}: cut the segments from one network"
                )
        tensor, before = gives_tensor, stage.segment
    width, height = manifest.output_size(size)
    shape = (1, height, width, manifest.output.channels)
    _check_end(plan.name, "output", tensor, shape, manifest.output.pixels, _OUTPUT_QUANTIZATION)


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
