"""A trained student as plain convolutions, ready to be quantised: {name: (kernel, bias)} in order of execution.

Kernels are (kh, kw, channels in, channels out), biases (channels out,), float32.
"""

import keras
import numpy as np
from keras import ops

from trainer.edgetpu.fold import affine_into_convolution, bgrx_from_convolution, yuv_into_convolution
from trainer.network import SKIPS, convolutions
from trainer.sections import Network


def fold(student: keras.Model, spec: Network) -> dict[str, tuple[np.ndarray, np.ndarray]]:
    """A student's convolutions with its affine layers folded in: {name: (kernel, bias)}, float32, in order of
    execution.
    """
    folded = {}
    for name, *_ in convolutions(spec):
        layer = student.get_layer(name)
        if name == "image":
            kernel, bias = layer.get_weights()
            folded[name] = np.array(kernel), np.array(bias)
        else:
            scale, shift = (np.array(array) for array in student.get_layer(f"{name}_norm").get_weights())
            folded[name] = affine_into_convolution(np.array(layer.kernel), scale, shift)
    return folded


def equalise(
    folded: dict[str, tuple[np.ndarray, np.ndarray]], spec: Network, peaks: dict[str, np.ndarray]
) -> dict[str, tuple[np.ndarray, np.ndarray]]:
    """The same function with the ranges of its activations' channels brought closer together, for int8's one scale per
    tensor.

    A channel between two convolutions is multiplied by s in the first and divided by s in the second; a rectifier
    commutes with any s > 0, so only rounding changes. Here s is the square root of (largest channel's peak / this
    channel's peak): going all the way would move the spread into the kernels. peaks are those of channel_peaks. After
    Nagel et al., "Data-Free Quantization Through Weight Equalization and Bias Correction", ICCV 2019, section 4.1.
    """
    equal = dict(folded)
    for sources, targets in _channel_groups(spec):
        peak = np.max([peaks[name] for name in sources], axis=0)
        scale = np.sqrt(peak.max() / np.maximum(peak, 1e-3 * peak.max()))
        for name in sources:
            equal[name] = affine_into_convolution(equal[name][0], scale, equal[name][1] * scale)
        for name in targets:
            equal[name] = equal[name][0] / scale[:, None], equal[name][1]
    return equal


def for_pixels(folded: dict[str, tuple[np.ndarray, np.ndarray]], takes: str, gives: str) -> dict:
    """The network that takes "rgb" or "yuv" and gives "rgb" or "bgrx", from one that takes and gives RGB.

    YUV needs a black border, see border(), and then the first convolution has no padding.
    """
    made = dict(folded)
    if takes == "yuv":
        made["encoder1"] = yuv_into_convolution(*folded["encoder1"])
    if gives == "bgrx":
        made["image"] = bgrx_from_convolution(*folded["image"])
    return made


def keep_zero(kernel: np.ndarray, bias: np.ndarray, zero: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """(kernel, bias) with the kernel as int8 will round it, and the same result as before on pixels of value `zero`.

    U and V lie around 128, so what int8 rounds off their kernels would add a constant to every pixel. Removed here it
    costs nothing; left in, it costs 1.5 to 2 dB of the whole network's SNR. int8 has one scale for each channel out.
    """
    scale = np.maximum(np.abs(kernel).max((0, 1, 2)), 1e-12) / 127
    rounded = np.round(kernel / scale) * scale
    kept = bias + np.einsum("hwic,i->c", kernel - rounded, zero)
    return rounded.astype(kernel.dtype), kept.astype(bias.dtype)


def border(spec: Network, takes: str) -> int:
    """The width in pixels of the black border around the network's input.

    None in RGB, where zero padding is black already; but a strided first convolution pads all sides alike,
    which no TensorFlow Lite convolution does.
    """
    return spec.first_kernel // 2 if takes == "yuv" or spec.strides[0] > 1 else 0


def channel_peaks(student: keras.Model, spec: Network, frames: np.ndarray) -> dict[str, np.ndarray]:
    """The largest value of each channel (C,) after each convolution's rectifier on frames (N, H, W, 3) in 0..1.

    The second convolution of a residual block, and with skips those of the decoder, are rectified after the sum.
    """
    rectifiers = {name: name[:-1] if _ends_block(name) else name for name, *_ in convolutions(spec)[:-1]}
    probe = keras.Model(student.input, {n: student.get_layer(f"{r}_relu").output for n, r in rectifiers.items()})
    peaks = {name: np.float32(0) for name in rectifiers}
    for frame in frames:
        for name, activation in probe(frame[None]).items():
            peaks[name] = np.maximum(peaks[name], ops.convert_to_numpy(ops.max(activation, axis=(0, 1, 2))))
    return peaks


def _channel_groups(spec):
    """(convolutions that write, convolutions that read) the same channels; what is added together is one group."""
    blocks = range(1, spec.blocks + 1)
    readers = {"encoder1": "encoder2", "encoder2": "encoder3", "decoder1": "decoder2", "decoder2": "image"}
    if spec.skips:
        planes = [([plane, name], [readers[plane], readers[name]]) for name, plane in SKIPS.items()]
    else:
        planes = [([name], [reader]) for name, reader in readers.items()]
    stream = ["encoder3", *(f"block{i}b" for i in blocks)], [*(f"block{i}a" for i in blocks), "decoder1"]
    return [*planes, *(([f"block{i}a"], [f"block{i}b"]) for i in blocks), stream]


def _ends_block(name):
    return name.startswith("block") and name.endswith("b")
