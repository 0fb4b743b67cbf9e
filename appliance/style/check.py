"""Whether the segments of a bundle fit together and fit what the manifest promises."""

from typing import Dict, Tuple, Union

from ..errors import BundleError
from . import tflite
from .manifest import Input, Manifest, Output, Plan, Shuffle, Upsample

# Real value of a pixel: byte / 255 on the way in; tanh, so (byte - 128) / 128, on the way out.
# As int8 both are the byte with its top bit flipped.
_INPUT_QUANTIZATION = {"int8": (1 / 255, -128), "uint8": (1 / 255, 0)}
_OUTPUT_QUANTIZATION = {"int8": (1 / 128, 0), "uint8": (1 / 128, 128)}

Ends = Tuple[tflite.Tensor, tflite.Tensor]


def check_files(manifest: Manifest, files: Dict[str, bytes]) -> None:
    """Raise BundleError unless every plan is a chain that runs from the manifest's input to its output."""
    preview = files.get("preview.jpg")
    if preview is None:
        raise BundleError("preview.jpg is missing: export the style again")
    if not (preview.startswith(b"\xff\xd8\xff") and preview.endswith(b"\xff\xd9")):
        raise BundleError("preview.jpg is not a JPEG picture")
    segments: Dict[str, Ends] = {}
    for plan in manifest.plans:
        for stage in plan.segments:
            for name in filter(None, (stage.segment, stage.edgetpu)):
                if name not in files:
                    raise BundleError(f"plan {plan.name} needs {name}, which is not in the bundle")
                if name not in segments:
                    segments[name] = _ends(name, files[name])
            if stage.edgetpu and segments[stage.edgetpu] != segments[stage.segment]:
                raise BundleError(f"{stage.edgetpu} and {stage.segment} have different ends: compile it again")
        _check_chain(plan, segments, manifest)


def _ends(name: str, data: bytes) -> Ends:
    """Input and output tensor of the segment `data`."""
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


def _check_chain(plan: Plan, segments: Dict[str, Ends], manifest: Manifest) -> None:
    first, _ = segments[plan.stages[0].segment]
    _check_end(plan.name, "input", first, manifest.input, _INPUT_QUANTIZATION, manifest.input.border)
    tensor, before = first, "input"
    for number, stage in enumerate(plan.stages, 1):
        if isinstance(stage, Upsample):
            _, height, width, channels = tensor.shape
            shape = (1, height * stage.factor, width * stage.factor, channels)
            tensor, before = tflite.Tensor(shape, tensor.dtype, tensor.scale, tensor.zero_point), f"stage {number}"
            continue
        if isinstance(stage, Shuffle):
            _, height, width, channels = tensor.shape
            shape = (1, height * stage.factor, width * stage.factor, channels // stage.factor**2)
            if channels % stage.factor**2:
                raise BundleError(f"plan {plan.name}: {channels} channels cannot be shuffled by {stage.factor}")
            tensor = tflite.Tensor(shape, tensor.dtype, tensor.scale, tensor.zero_point)
            continue
        takes_tensor, gives_tensor = segments[stage.segment]
        for what in ("shape", "dtype", "scale", "zero_point"):
            gives, takes = getattr(tensor, what), getattr(takes_tensor, what)
            if gives != takes:
                gives, takes = (_shape(gives), _shape(takes)) if what == "shape" else (gives, takes)
                raise BundleError(
                    f"plan {plan.name}: {before} gives {what.replace('_', '-')} {gives} but "
                    f"{stage.segment} takes {takes}: cut the segments from one network"
                )
        tensor, before = gives_tensor, stage.segment
    _check_end(plan.name, "output", tensor, manifest.output, _OUTPUT_QUANTIZATION)


def _check_end(
    plan: str, end: str, tensor: tflite.Tensor, promised: Union[Input, Output], quantization, border: int = 0
) -> None:
    shape = (1, promised.height + 2 * border, promised.width + 2 * border, promised.channels)
    if tensor.shape != shape:
        raise BundleError(
            f"plan {plan}: the network's {end} is {_shape(tensor.shape)} but the manifest says "
            f"{_shape(shape)} ({promised.pixels})"
        )
    scale, zero_point = quantization[tensor.dtype]
    if abs(tensor.scale - scale) > 1e-4 * scale or tensor.zero_point != zero_point:
        raise BundleError(
            f"plan {plan}: the network's {end} is quantised with scale {tensor.scale:.7g} and zero-point "
            f"{tensor.zero_point}: pixels need {scale:.7g} and {zero_point} as {tensor.dtype}"
        )


def _shape(shape) -> str:
    return "x".join(str(size) for size in shape)
