"""Optical flow: sampling, warping and resizing. Coordinates are pixels, x to the right, y down; a flow's last axis is
(x, y).
"""

from jaxtyping import Float, Shaped
from keras import ops

from trainer.shapes import Array, Flow, Maps


def grid(height: int, width: int) -> Float[Array, "{height} {width} 2"]:
    """Pixel coordinates."""
    x, y = ops.meshgrid(ops.arange(width, dtype="float32"), ops.arange(height, dtype="float32"))
    return ops.stack([x, y], axis=-1)


def sample(
    images: Shaped[Array, "batch rows columns channels"], points: Flow
) -> Float[Array, "batch height width channels"]:
    """Bilinear samples of images at points, pixels; beyond the border the border's pixel."""
    batch, height, width, channels = images.shape
    x = ops.clip(points[..., 0], 0, width - 1)
    y = ops.clip(points[..., 1], 0, height - 1)
    left, top = ops.floor(x), ops.floor(y)
    fx, fy = (x - left)[..., None], (y - top)[..., None]
    left, top = ops.cast(left, "int32"), ops.cast(top, "int32")
    right, bottom = ops.minimum(left + 1, width - 1), ops.minimum(top + 1, height - 1)
    flat = ops.reshape(images, (batch * height * width, channels))
    first = ops.reshape(ops.arange(batch) * (height * width), (batch, 1, 1))

    def at(row, column):
        return ops.take(flat, first + row * width + column, axis=0)

    upper = at(top, left) * (1 - fx) + at(top, right) * fx
    lower = at(bottom, left) * (1 - fx) + at(bottom, right) * fx
    return upper * (1 - fy) + lower * fy


def inside(
    points: Float[Array, "batch rows columns 2"], height: int, width: int
) -> Float[Array, "batch rows columns 1"]:
    """1.0 where points lie within a picture of height x width, else 0.0."""
    x, y = points[..., :1], points[..., 1:]
    return ops.cast((x >= 0) & (x <= width - 1) & (y >= 0) & (y <= height - 1), "float32")


def warp(images: Maps, flow: Flow) -> Maps:
    """images seen from the frame in which flow starts: result(p) = images(p + flow(p))."""
    height, width = flow.shape[1:3]
    return sample(images, grid(height, width)[None] + flow)


def downscale(field: Maps, factor: int) -> Float[Array, "batch height//{factor} width//{factor} channels"]:
    """Averages over factor x factor cells. A flow's values shrink with it: divide them by factor."""
    batch, height, width, channels = field.shape
    cells = ops.reshape(field, (batch, height // factor, factor, width // factor, factor, channels))
    return ops.mean(cells, axis=(2, 4))
