"""The loss terms of ReCoNet (Gao et al., ACCV 2018) and a few more, each a pure function of arrays that returns
a scalar.

Content and style are divided by the energy of their targets, so that their weights compare across styles, layers and
sizes. Images are (B, H, W, 3) in 0..1; feature maps are (B, h, w, C).
"""

import jax
from jaxtyping import Float
from keras import ops

from appliance.colour import BLUE, LUMA, RED
from trainer.flow import downscale
from trainer.shapes import Array, Images, Maps, Mask, Scalar


def luma(images: Float[Array, "*rest 3"]) -> Float[Array, "*rest 1"]:
    """Luma of RGB images (BT.601)."""
    return ops.sum(images * ops.array(LUMA, dtype=images.dtype), axis=-1, keepdims=True)


def coloured(
    y: Float[Array, "*rest 1"], red: Float[Array, "*rest 1"], blue: Float[Array, "*rest 1"]
) -> Float[Array, "*rest 3"]:
    """RGB of luma y and the differences red = R - Y and blue = B - Y."""
    return y + ops.concatenate([red, -(LUMA[0] * red + LUMA[2] * blue) / LUMA[1], blue], axis=-1)


def chroma(images: Images) -> Scalar:
    """RMS of the colour differences U and V, each within -0.5..0.5 (BT.601, full range)."""
    y = luma(images)[..., 0]
    u, v = (images[..., 2] - y) / BLUE, (images[..., 0] - y) / RED
    return ops.sqrt(ops.mean(ops.square(u) + ops.square(v)) / 2)


def gram(features: Maps) -> Float[Array, "batch channels channels"]:
    """Gram matrices: channel correlations averaged over the plane (Gatys et al., CVPR 2016)."""
    batch, height, width, channels = features.shape
    flat = ops.reshape(ops.cast(features, "float32"), (batch, height * width, channels))
    return ops.matmul(ops.transpose(flat, (0, 2, 1)), flat) / (height * width)


def content(features: Float[Array, "*shape"], targets: Float[Array, "*shape"], where: Array | float = 1.0) -> Scalar:
    """Squared distance of two feature maps over the target's energy. `where` (B, h, w, 1) weights places."""
    features, targets = ops.cast(features, "float32"), ops.cast(targets, "float32")
    return ops.mean(where * ops.square(features - targets)) / (ops.mean(ops.square(targets)) + 1e-8)


def style(grams: list, targets: list) -> Scalar:
    """Squared Frobenius distance of Gram matrices (B, C, C) to a target (C, C) over the target's norm, mean over layers
    (lists).
    """
    terms = [
        ops.mean(ops.sum(ops.square(g - t), axis=(1, 2))) / ops.sum(ops.square(t))
        for g, t in zip(grams, targets, strict=True)
    ]
    return sum(terms) / len(terms)


def sliced(
    made: Float[Array, "samples batch points directions"], wanted: Float[Array, "samples points directions"]
) -> Float[Array, " samples"]:
    """Squared sliced Wasserstein distances of feature vectors to a painting's, over the painting's energy (Bonneel et
    al., 2015; Heitz et al., CVPR 2021).

    Both are projections on unit directions. They are sorted, and compared in that order.
    """
    made, wanted = _sorted(made), _sorted(wanted)
    distances = ops.mean(ops.square(made - wanted[:, None]), axis=(1, 2, 3))
    return distances / (ops.mean(ops.square(wanted), axis=(1, 2)) + 1e-8)


def _sorted(samples: Float[Array, "*batch points directions"]) -> Float[Array, "*batch directions points"]:
    """The samples' points in ascending order for each direction. Of 2048 points, two that differ by less than 1/4096 of
    their size may stay as they are: the low bits of a key are the point's number, so that one array is sorted instead
    of two.
    """
    rows = ops.swapaxes(samples, -1, -2)
    bits = jax.lax.bitcast_convert_type(jax.lax.stop_gradient(rows), "int32")
    ascending = bits ^ ((bits >> 31) & 0x7FFFFFFF)  # the order of floats as that of integers
    low = (1 << (rows.shape[-1] - 1).bit_length()) - 1
    keys = ops.sort((ascending & ~low) | ops.arange(rows.shape[-1], dtype="int32"), axis=-1)
    return ops.take_along_axis(rows, keys & low, axis=-1)


def total_variation(images: Maps) -> Scalar:
    """Mean squared difference of neighbouring pixels."""
    across = ops.mean(ops.square(images[:, :, 1:] - images[:, :, :-1]))
    down = ops.mean(ops.square(images[:, 1:] - images[:, :-1]))
    return across + down


def tone(
    images: Images,
    frames: Images,
    where: Float[Array, "batch height//{cell} width//{cell} 1"] | float = 1.0,
    cell: int = 8,
) -> Scalar:
    """Mean squared difference of luminance averaged over cell x cell pixels: bright areas stay bright, whatever their
    colours and strokes. `where` weights the cells.

    Not in the paper. Gram matrices are satisfied by fine strokes of one colour on a flat ground; this restores the
    painting's other colours.
    """
    return ops.mean(where * ops.square(downscale(luma(images), cell) - downscale(luma(frames), cell)))


def colour(images: Images, frames: Images, cell: int = 16) -> Scalar:
    """Mean squared difference of U and V averaged over cell x cell pixels: objects keep their colours. The mean is over
    three channels, of which the middle one is 0.
    """
    return ops.mean(ops.square(_differences(images, cell) - _differences(frames, cell)))


def vivid(images: Images, frames: Images, cell: int = 8, full: float = 0.15) -> Scalar:
    """colour(), but counted where the frame has colour: from 0 where it is grey to 1 where (U, V) is
    `full` long. A red coat stays red, and the painting colours what had no colour of its own.
    """
    theirs = _differences(frames, cell)
    strength = ops.minimum(ops.sum(ops.square(theirs), axis=-1, keepdims=True) / full**2, 1.0)
    return ops.mean(strength * ops.square(_differences(images, cell) - theirs))


def _differences(pictures: Images, cell: int) -> Float[Array, "batch rows columns 3"]:
    shrunk = downscale(pictures[:, : pictures.shape[1] // cell * cell, : pictures.shape[2] // cell * cell], cell)
    return (shrunk - luma(shrunk)) / ops.array([RED, 1.0, BLUE], dtype=shrunk.dtype) * ops.array([1.0, 0.0, 1.0])


def detail(images: Maps) -> Float[Array, "batch height-2 width-2 channels"]:
    """Each pixel less the mean of its four neighbours."""
    around = images[:, :-2, 1:-1] + images[:, 2:, 1:-1] + images[:, 1:-1, :-2] + images[:, 1:-1, 2:]
    return images[:, 1:-1, 1:-1] - around / 4


def high_pass(images: Images) -> Scalar:
    """Mean square of the luminance's finest detail."""
    return ops.mean(ops.square(detail(luma(images))))


def lattice(images: Maps, periods: tuple[int, ...] = (2, 4, 8, 16), window: int = 40) -> Scalar | float:
    """Energy of detail that repeats with the period of the network's grid, summed over periods (pixels).

    Detail is averaged, for each of the places in a period, over the periods within a window of about `window` pixels.
    Strokes average out; a repeating pattern does not. Not in the paper: on flat ground a network draws ticks that
    depend only on the phase of its strides. Periods whose window does not fit are left out.
    """
    fine = ops.pad(detail(images), ((0, 0), (1, 1), (1, 1), (0, 0)))
    batch, height, width, channels = fine.shape
    energy = 0.0
    for period in periods:
        count = max(4, window // period)
        side = period * count
        rows, columns = height // side, width // side
        if rows and columns:
            cut = fine[:, : rows * side, : columns * side]
            cells = ops.reshape(cut, (batch, rows, count, period, columns, count, period, channels))
            energy = energy + ops.mean(ops.square(ops.mean(cells, axis=(2, 5))))
    return energy


def colour_moments(images: Images, cell: int = 8) -> tuple[Float[Array, " 3"], Float[Array, "3 3"]]:
    """Mean and covariance of the colours of a batch, each averaged over cell x cell pixels."""
    images = images[:, : images.shape[1] // cell * cell, : images.shape[2] // cell * cell]
    colours = ops.reshape(downscale(images, cell), (-1, 3))
    mean = ops.mean(colours, axis=0)
    centred = colours - mean
    return mean, ops.mean(centred[:, :, None] * centred[:, None, :], axis=0)


def palette(moments: tuple, targets: tuple) -> Scalar:
    """Squared distance of two pairs of colour moments, each over its target's norm.

    Not in the paper. The whole batch shares the painting's colours; content and style decide which
    picture gets which.
    """
    return sum(ops.sum(ops.square(m - t)) / ops.sum(ops.square(t)) for m, t in zip(moments, targets, strict=True))


def feature_temporal(current: Maps, warped: Maps, mask: Mask) -> Scalar:
    """Squared distance of encoder features to the previous frame's, warped, where mask is 1; over their
    energy (ReCoNet, equation 3).
    """
    current, warped = ops.cast(current, "float32"), ops.cast(warped, "float32")
    return _masked_mean(ops.square(current - warped), mask) / (ops.mean(ops.square(current)) + 1e-8)


def output_temporal(output: Images, warped_output: Images, frame: Images, warped_frame: Images, mask: Mask) -> Scalar:
    """Squared change of the output beyond the input's change of luminance, where mask is 1 (ReCoNet, equation 4)."""
    return _masked_mean(ops.square((output - warped_output) - (luma(frame) - luma(warped_frame))), mask)


def frame_difference(
    output: Maps, previous_output: Maps, frame: Maps, previous_frame: Maps, plain: Float[Array, " batch"]
) -> Scalar:
    """Squared distance of the output's change to the input's, mean over the pairs for which plain is 1.

    For video without flow (Xu et al., "Frame Difference-Based Temporal Loss for Video Stylization", arXiv 2102.05822).
    The arrays are images or feature maps.
    """
    maps = (output, previous_output, frame, previous_frame)
    output, previous_output, frame, previous_frame = (ops.cast(array, "float32") for array in maps)
    change = (output - previous_output) - (frame - previous_frame)
    return ops.sum(ops.mean(ops.square(change), axis=(1, 2, 3)) * plain) / ops.maximum(ops.sum(plain), 1.0)


def _masked_mean(values, mask):
    return ops.sum(values * mask) / (ops.sum(mask) * values.shape[-1] + 1e-8)
