"""For which sizes of picture a style can be built, and its segments built for one."""

from typing import Callable, Dict, List, Optional, Tuple

from ..errors import BundleError, Problem
from .manifest import Manifest, Plan, Segment, Shuffle, Size, Sizes, Upsample, size_name
from .resize import Plane, Planes, Resizable

_SHARE = 0.98  # of a view that has to be in a picture of another aspect
_LEAST, _MOST = 32, 4096  # pixels of a side, where the style does not say
_STEP = 0.9  # from one candidate's width to the next smaller one, at most


def check(manifest: Manifest, size: Size) -> None:
    """Raise Problem, which names the nearest sizes, when the style cannot be built for `size`."""
    if manifest.has(size):
        return
    if manifest.sizes is None:
        raise Problem(
            f"style {manifest.name} is for {size_name(manifest.size)} only, not {size_name(size)}: "
            "take that size, or export the style again for others"
        )
    stride, least, most = manifest.sizes.stride, manifest.sizes.min, manifest.sizes.max
    sides = [sorted({_multiple(side, stride, least, most, up) for up in (False, True)}) for side in size]
    near = sorted(
        ((width, height) for width in sides[0] for height in sides[1]),
        key=lambda one: abs(one[0] - size[0]) + abs(one[1] - size[1]),
    )
    raise Problem(
        f"style {manifest.name} cannot be built for {size_name(size)}: width and height are multiples of {stride} "
        f"from {least} to {most}: take {' or '.join(map(size_name, near[:2]))}"
    )


def within(manifest: Manifest, most: Size) -> Size:
    """The largest size that is no wider and no higher than `most`. Raises Problem as `check` does where none is."""
    size = most
    if manifest.sizes is not None and not manifest.has(most):
        stride = manifest.sizes.stride
        width, height = (min(side, manifest.sizes.max) // stride * stride for side in most)
        size = width, height
    elif manifest.sizes is None and manifest.size[0] <= most[0] and manifest.size[1] <= most[1]:
        size = manifest.size
    check(manifest, size if manifest.has(size) else most)
    return size


def candidates(
    manifest: Manifest, aspect: Tuple[int, int], least: Size = (160, 90), most: Size = (1920, 1080)
) -> List[Size]:
    """Sizes worth a try for a view of `aspect` (width, height), the largest first, each a tenth narrower or more.

    They have that very aspect where there are three or more of such; else 98 % of the view or more is in each. Without
    sizes to choose from, the only one, whatever its aspect.
    """
    if manifest.sizes is None:
        return [manifest.size]
    stride, (across, down) = manifest.sizes.stride, aspect
    near = []
    for height in range(stride * -(-least[1] // stride), most[1] + 1, stride):
        width = stride * round(height * across / down / stride)
        share = min(width * down / (height * across), height * across / (width * down)) if width else 0.0
        if share >= _SHARE and least[0] <= width <= most[0] and manifest.has((width, height)):
            near.append((width, height))
    exact = [size for size in near if size[0] * down == size[1] * across]
    chosen: List[Size] = []
    for size in reversed(exact if len(exact) >= 3 else near):
        if not chosen or size[0] <= _STEP * chosen[-1][0]:
            chosen.append(size)
    return chosen


def segment_planes(manifest: Manifest, plan: Plan, size: Size, ends: Callable[[str, Plane], Planes]) -> List[Planes]:
    """(height, width) of each segment's inputs and outputs, for pictures of `size`; `ends(name, plane)` are those of
    the segment `name` for inputs of `plane`.

    Raises BundleError when a kept tensor has not the size of the inputs of the segment that takes it.
    """
    width, height = (side + 2 * manifest.input.border for side in size)
    planes: List[Planes] = []
    kept: List[Plane] = []
    for stage in plan.stages:
        if isinstance(stage, Segment):
            inputs, outputs = ends(stage.segment, (height, width))
            for plane in inputs[1:]:
                left = kept.pop() if kept else (0, 0)
                if left != plane:
                    raise BundleError(
                        f"plan {plan.name} for {size_name(size)}: {stage.segment} takes inputs of {width}x{height} "
                        f"but what is kept for it is {left[1]}x{left[0]}: cut the segments from one network"
                    )
            kept += outputs[1:]
            planes.append((inputs, outputs))
            height, width = outputs[0]
        elif isinstance(stage, Upsample):
            height, width = height * stage.factor, width * stage.factor
    return planes


def build(manifest: Manifest, files: Dict[str, bytes], plan: Plan, size: Optional[Size] = None) -> List[bytes]:
    """The plan's segments for the CPU, in order, for pictures of `size`. Raises Problem."""
    if size is None or size == manifest.size:
        return [files[segment.segment] for segment in plan.segments]
    check(manifest, size)
    networks = {name: Resizable(files[name]) for name in {segment.segment for segment in plan.segments}}
    planes = segment_planes(manifest, plan, size, lambda name, plane: networks[name].ends(plane))
    return [networks[segment.segment].at(inputs[0]) for segment, (inputs, _) in zip(plan.segments, planes)]


def inferred(manifest: Manifest, files: Dict[str, bytes]) -> Optional[Sizes]:
    """For which sizes the networks of a style can be built that does not say, as none of format 1 does; None where they
    cannot. The stride is the least by which a picture can grow so that what every plan makes of it grows likewise."""
    for stride in (1, 2, 4, 8, 16, 32, 64):
        if any(side % stride for side in manifest.size):
            return None
        size = manifest.size[0] + stride, manifest.size[1] + stride
        try:
            if all(_made(manifest, files, plan, size) == manifest.output_size(size) for plan in manifest.plans):
                least = max(stride * -(-_LEAST // stride), stride)
                return Sizes(stride=stride, min=min(least, *manifest.size), max=_MOST // stride * stride)
        except BundleError:
            continue
    return None


def _made(manifest: Manifest, files: Dict[str, bytes], plan: Plan, size: Size) -> Size:
    """The size of what the plan's networks would make of a picture of `size`. Raises BundleError."""
    networks = {segment.segment: Resizable(files[segment.segment]) for segment in plan.segments}
    _, outputs = segment_planes(manifest, plan, size, lambda name, plane: networks[name].ends(plane))[-1]
    height, width = outputs[0]
    last = plan.stages[-1]
    factor = last.factor if isinstance(last, Shuffle) else 1
    return width * factor, height * factor


def _multiple(side: int, stride: int, least: int, most: int, up: bool) -> int:
    """The multiple of `stride` next to `side`, above or below it, within bounds."""
    low, high = -(-least // stride), most // stride
    return stride * min(max(-(-side // stride) if up else side // stride, low), high)
