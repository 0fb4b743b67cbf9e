"""Folds operations next to a convolution into its kernel. Pure functions on NumPy arrays.

Each is exact, borders included, unless it says otherwise.
Kernels are (kh, kw, channels in, channels out), biases (channels out,). Convolutions have stride 1, odd sizes and
zero-"same" padding. Shuffled data hold each factor x factor cell of pixels in the channels of one: (H, W, C) becomes
(H/f, W/f, f*f*C), rows of a cell first, as tf.nn.space_to_depth has it.
"""

import numpy as np

from appliance.colour import TO_YUV

# Y, U, V to R, G, B, all as byte / 255 and U, V around 128 / 255.
_FULL_RANGE = np.linalg.inv(TO_YUV)
_LIMITED_RANGE = _FULL_RANGE * [255 / 219, 255 / 224, 255 / 224]


def affine_into_convolution(kernel: np.ndarray, scale: np.ndarray, shift: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """(kernel, bias) of the one convolution that equals a bias-free one followed by scale * x + shift."""
    return kernel * scale, shift


def bytes_into_convolution(kernel: np.ndarray) -> np.ndarray:
    """The kernel that takes 0..255 where `kernel` takes 0..1."""
    return kernel / 255


def yuv_into_convolution(
    kernel: np.ndarray, bias: np.ndarray, full_range: bool = False
) -> tuple[np.ndarray, np.ndarray]:
    """(kernel, bias) of the convolution that takes YUV where the given one takes RGB.

    YUV is BT.601 as byte / 255, RGB is 0..1 and not clipped. Within half a kernel of the border it is exact only on a
    picture with that much of black around it, without padding: zeros are black in RGB, but in YUV a green outside
    the RGB gamut.
    """
    matrix = _FULL_RANGE if full_range else _LIMITED_RANGE
    black = np.array([0 if full_range else 16, 128, 128]) / 255
    folded = np.einsum("hwrc,ry->hwyc", kernel, matrix)
    return folded, bias - np.einsum("hwyc,y->c", folded, black)


def bgrx_from_convolution(kernel: np.ndarray, bias: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """(kernel, bias) of the convolution that gives B, G, R, and G again, where the given one gives R, G, B,
    once or for each pixel of a cell.

    The fourth is ignored. It is not a column of zeros because that would have an int8 scale unlike all others.
    """
    order = np.array([2, 1, 0, 1]) + np.arange(0, len(bias), 3)[:, None]
    return kernel[..., order.ravel()], bias[order.ravel()]


def cells_into_cells(kernel: np.ndarray, bias: np.ndarray, outer: int, inner: int) -> tuple[np.ndarray, np.ndarray]:
    """(kernel, bias) of the convolution that gives cells of outer * inner pixels a side, rows first, where the given
    one gives cells of `outer` that each hold cells of `inner`.
    """

    def reordered(array):
        split = array.reshape(*array.shape[:-1], outer, outer, inner, inner, -1)
        return np.swapaxes(split, -4, -3).reshape(array.shape)

    return reordered(kernel), reordered(bias)


def nearest_into_transposed(kernel: np.ndarray) -> np.ndarray:
    """Nearest x2 followed by a 3x3 convolution, as one transposed convolution with stride 2 and "same" padding.

    Returns its kernel (4, 4, channels out, channels in), as tf.nn.conv2d_transpose takes it: the 3x3 kernel correlated
    with a 2x2 box. It takes 16 products per source pixel instead of 36.
    """
    if kernel.shape[:2] != (3, 3):
        raise ValueError(f"expected a 3x3 kernel, got {kernel.shape[0]}x{kernel.shape[1]}")
    spread = np.zeros((4, 4, *kernel.shape[2:]), kernel.dtype)
    for row in range(2):
        for column in range(2):
            spread[row : row + 3, column : column + 3] += kernel[::-1, ::-1]
    return spread.transpose(0, 1, 3, 2)


def at_low_resolution(
    kernel: np.ndarray, bias: np.ndarray, factor: int, upsample: int = 1
) -> tuple[np.ndarray, np.ndarray]:
    """Nearest upsampling by `upsample` and then a convolution, done on data shuffled by `factor`, without unshuffling.

    Returns (kernel, bias) of a convolution at the low resolution from factor**2 * C channels to (factor * upsample)**2
    * C' ones, whose output is the wanted one shuffled by factor * upsample. factor 1 takes plain data: nearest x2 and a
    3x3 become one convolution to 4 C' channels and a shuffle; upsample 1 makes it a plain convolution on shuffled data.
    """
    size, _, inputs, outputs = kernel.shape
    finer = factor * upsample
    # Output phase and tap, to the cell and the phase in it that the tap reads: the same for rows and columns.
    reads = {
        (phase, tap): divmod((phase + tap - size // 2) // upsample, factor)
        for phase in range(finer)
        for tap in range(size)
    }
    reach = max(abs(cell) for cell, _ in reads.values())
    low = np.zeros((2 * reach + 1, 2 * reach + 1, factor, factor, inputs, finer, finer, outputs), kernel.dtype)
    for (phase_y, tap_y), (cell_y, from_y) in reads.items():
        for (phase_x, tap_x), (cell_x, from_x) in reads.items():
            low[reach + cell_y, reach + cell_x, from_y, from_x, :, phase_y, phase_x] += kernel[tap_y, tap_x]
    width = 2 * reach + 1
    return low.reshape(width, width, factor**2 * inputs, finer**2 * outputs), np.tile(bias, finer**2)
