"""What each plan of a network costs, counted: multiplications, bytes over the TPU's boundary, calls.

Every plan is the same function (see edgetpu.fold):

- split: segments with NumPy's nearest x2 between them;
- subpixel: each upsample and its convolution are one low-resolution convolution with 4C outputs, NumPy shuffles those;
- fused: each upsample and its convolution are one 4x4 transposed convolution of stride 2; one segment;
- lowres: everything after the residual blocks at a quarter of the resolution; one segment, NumPy shuffles the image.
"""

import math
from dataclasses import dataclass

from trainer.network import convolutions
from trainer.recipe import Network


@dataclass(frozen=True)
class Cost:
    """Multiplications a frame; bytes in and out of the TPU a frame, the image included; inferences a frame."""

    plan: str
    macs: int
    bytes_in: int
    bytes_out: int
    calls: int


def plan_costs(spec: Network, size: tuple[int, int]) -> list[Cost]:
    """The costs of all plans at size (height, width), multiples of 4, in int8."""
    height, width = size
    pixels, half, quarter = height * width, height * width // 4, height * width // 16
    first, second, third = spec.widths
    image = 3 * pixels
    head, channels, at = 0, 3, pixels
    for name, kernel, out, stride in convolutions(spec):
        if name == "decoder1":
            break
        at //= stride * stride
        head += at * kernel * kernel * channels * out
        channels = out
    nearest = head + half * 9 * third * second + pixels * 9 * second * first
    last = pixels * spec.last_kernel**2 * first * 3
    fused = head + half * 4 * third * second + pixels * 4 * second * first
    # In space-to-depth form a kernel of radius r on a picture cut into cells of 4 reaches ceil(r / 4) cells.
    reach = 2 * math.ceil((spec.last_kernel // 2) / 4) + 1
    lowres = head + quarter * (9 * third * 4 * second + 9 * 4 * second * 16 * first + reach**2 * 16 * first * 48)
    deep, middle = quarter * third, half * second
    return [
        Cost("split", nearest + last, image + 4 * deep + 4 * middle, deep + middle + image, 3),
        Cost("subpixel", nearest + last, image + middle + pixels * first, middle + pixels * first + image, 3),
        Cost("fused", fused + last, image, image, 1),
        Cost("lowres", lowres, image, image, 1),
    ]
