"""What the picture is compared with: the frame as a painter simplifies it, with local contrast and in flat facets.

Not in the paper. Instance normalisation raises contrast by itself; networks without it draw what they are shown, and
beside the others their pictures look like tinted photographs.
"""

import jax
import numpy as np
from jaxtyping import Float
from keras import ops

from trainer.flow import downscale
from trainer.losses import luma
from trainer.sections import Style
from trainer.shapes import Array, Images

SECTORS = 8
EVEN = 2 / 255  # a sector whose luminance deviates less than this is flat
SHARPNESS = 8
STRUCTURE = 0.08  # deviation of luma within 24 x 24 pixels or so, relative to it, at which content counts in full
DARK = 0.3  # added to that luma


def simplified(frames: Images, style: Style) -> Images:
    """Frames in 0..1 with local contrast and in facets: clarified(), then faceted()."""
    if style.clarity:
        frames = clarified(frames, style.clarity)
    return faceted(frames, style.facets) if style.facets else frames


def clarified(frames: Images, amount: float, cell: int = 8) -> Images:
    """Frames with more local contrast: amount times the difference of luminance from its mean over about 5 x 5 cells is
    added, and the result kept within 0..1. A photographer's "clarity": an unsharp mask of large radius.
    """
    plane = luma(frames)
    mean = ops.average_pool(downscale(plane, cell), 5, strides=1, padding="same")
    mean = ops.image.resize(mean, frames.shape[1:3], interpolation="bilinear")
    return ops.clip(frames + amount * (plane - mean), 0.0, 1.0)


def structure(frames: Images, flat: float, cell: int = 8) -> Float[Array, "batch height//{cell} width//{cell} 1"]:
    """How much content counts in each cell of the frames: 1 at edges, eyes and letters, `flat` in an even sky.

    A painter leaves a sky to the brush and a face to the sitter. With one weight for both, content is either too weak
    for the face or too strong for strokes in the sky.
    """
    plane = luma(frames)
    mean, square = downscale(plane, cell), downscale(ops.square(plane), cell)
    mean, square = (ops.average_pool(maps, 3, strides=1, padding="same") for maps in (mean, square))
    deviation = ops.sqrt(ops.maximum(square - ops.square(mean), 1e-8))
    return flat + (1 - flat) * ops.minimum(deviation / (STRUCTURE * (mean + DARK)), 1.0)


def faceted(frames: Images, radius: int) -> Images:
    """The generalised Kuwahara filter (Papari, Petkov and Campisi 2007): each pixel becomes the mean of the sectors
    around it, weighted by how flat they are. Flat facets meet in sharp edges; what is smaller than radius goes.
    """
    kernels = ops.convert_to_tensor(_sectors(radius)[:, :, None, :])
    margin = ((0, 0), (radius, radius), (radius, radius), (0, 0))
    frames = ops.pad(frames, margin, mode="reflect")
    planes = ops.concatenate([frames, luma(frames), ops.square(luma(frames))], axis=-1)
    planes = ops.transpose(planes, (3, 0, 1, 2))
    channels, batch, height, width = planes.shape
    means = jax.lax.conv_general_dilated(
        ops.reshape(planes, (channels * batch, height, width, 1)),
        kernels,
        (1, 1),
        "VALID",
        dimension_numbers=("NHWC", "HWIO", "NHWC"),
        precision=jax.lax.Precision.HIGHEST,  # the variance is a small difference of large numbers
    )
    means = ops.reshape(means, (channels, batch, *means.shape[1:]))
    variance = ops.maximum(means[4] - ops.square(means[3]), 0.0)
    weight = 1 / (1 + (variance / EVEN**2 + 1e-6) ** (SHARPNESS / 2))
    mixed = ops.sum(weight * means[:3], axis=-1) / ops.sum(weight, axis=-1)
    return ops.transpose(mixed, (1, 2, 3, 0))


def _sectors(radius: int) -> Float[np.ndarray, "2*radius+1 2*radius+1 sectors"]:
    # Smooth in angle and distance: hard sectors leave the filter's own shape in the picture.
    y, x = np.mgrid[-radius : radius + 1, -radius : radius + 1].astype("float32")
    near = np.exp(-(x**2 + y**2) / (2 * (radius / 2) ** 2))
    towards = np.arange(SECTORS) * 2 * np.pi / SECTORS
    angle = np.angle(np.exp(1j * (np.arctan2(y, x)[..., None] - towards)))
    share = np.exp(-((angle / (np.pi / SECTORS)) ** 2) / 2)
    share[radius, radius] = SECTORS**-0.5
    kernels = near[..., None] * share
    return (kernels / kernels.sum((0, 1))).astype("float32")
