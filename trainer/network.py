"""ReCoNet in Keras 3 (Gao et al., "ReCoNet: Real-time Coherent Video Style Transfer Network", ACCV 2018).

An encoder of three convolutions (strides 1, 2, 2 in the paper), residual blocks, and a decoder that upsamples twice by
nearest neighbour. With strides 2, 2, 2 the last convolution gives the image in cells of 2 x 2 pixels, at half the
size. With `skips`, each convolution of the decoder adds the encoder's plane of the same size before its rectifier. The
connections are those of U-Net (Ronneberger et al., 2015), but planes are added, as in LinkNet (Chaurasia and
Culurciello, 2017). Without them all detail has to pass the residual blocks' plane: 1/8 of the frame's width and height
with strides 2, 2, 2.

Every convolution but the last is followed by a normalisation, one of

- "instance": instance normalisation, as the paper has it;
- "frn": filter response normalisation with thresholded linear units (Singh and Krishnan, CVPR 2020), which does not
  produce the saturated blobs of instance normalisation;
- "batch": batch normalisation, by the statistics of the batch at hand (Ioffe and Szegedy, ICML 2015); see folding.py;
- "affine": a fixed scale and shift per channel, which folds into the convolution, so that an Edge TPU can run it.

Padding is zero-"same" everywhere and the image enters as 0..1, so black and padding are the same number and folding is
exact at borders.

In "bfloat16" precision the convolutions run and activations are kept in bfloat16; weights, statistics and the image
stay in float32.
"""

import keras
from keras import layers, ops

from trainer.sections import Network

EPSILON = 1e-5


@keras.saving.register_keras_serializable("reconet")
class Affine(layers.Layer):
    """y = scale * x + shift, per channel. Computed in float32, returned in x's type."""

    def build(self, shape):
        self.scale = self.add_weight(shape=(shape[-1],), initializer="ones", name="scale", autocast=False)
        self.shift = self.add_weight(shape=(shape[-1],), initializer="zeros", name="shift", autocast=False)

    def call(self, x):
        scale, shift = self.coefficients(ops.cast(x, "float32"))
        return ops.cast(ops.cast(x, "float32") * scale + shift, x.dtype)

    def coefficients(self, x):
        """The scale and shift applied to x (B, H, W, C), float32."""
        return self.scale, self.shift

    def constants(self, x):
        """The fixed scale and shift (C,) that approximate this layer on the activations x (B, H, W, C)."""
        return ops.convert_to_numpy(self.scale), ops.convert_to_numpy(self.shift)


@keras.saving.register_keras_serializable("reconet")
class InstanceNorm(Affine):
    """Zero mean and unit variance over each picture's plane, then scale and shift."""

    def coefficients(self, x):
        mean, variance = ops.moments(x, axes=(1, 2), keepdims=True)
        scale = self.scale * ops.rsqrt(variance + EPSILON)
        return scale, self.shift - mean * scale

    def constants(self, x):
        mean, variance = ops.moments(x, axes=(1, 2))
        mean, deviation = ops.mean(mean, 0), ops.sqrt(ops.mean(variance, 0) + EPSILON)
        scale = ops.convert_to_numpy(self.scale / deviation)
        return scale, ops.convert_to_numpy(self.shift) - scale * ops.convert_to_numpy(mean)


@keras.saving.register_keras_serializable("reconet")
class BatchNorm(Affine):
    """Zero mean and unit variance over the planes of all pictures together, then scale and shift."""

    def coefficients(self, x):
        mean, variance = ops.moments(x, axes=(0, 1, 2))
        scale = self.scale * ops.rsqrt(variance + EPSILON)
        return scale, self.shift - mean * scale

    def constants(self, x):
        return tuple(ops.convert_to_numpy(value) for value in self.coefficients(ops.cast(x, "float32")))


@keras.saving.register_keras_serializable("reconet")
class FilterResponseNorm(Affine):
    """Unit mean square over each picture's plane, then scale and shift (no mean is subtracted)."""

    def coefficients(self, x):
        return self.scale * ops.rsqrt(ops.mean(ops.square(x), axis=(1, 2), keepdims=True) + EPSILON), self.shift

    def constants(self, x):
        rms = ops.sqrt(ops.mean(ops.square(x), axis=(0, 1, 2)) + EPSILON)
        return ops.convert_to_numpy(self.scale / rms), ops.convert_to_numpy(self.shift)


@keras.saving.register_keras_serializable("reconet")
class Threshold(layers.Layer):
    """max(x, threshold), a learned threshold per channel: the thresholded linear unit of FRN."""

    def build(self, shape):
        self.threshold = self.add_weight(shape=(shape[-1],), initializer="zeros", name="threshold", autocast=False)

    def call(self, x):
        return ops.cast(ops.maximum(ops.cast(x, "float32"), self.threshold), x.dtype)


# "none" and "affine" are the same network: one is trained from scratch for comparison, the other distilled.
NORMS = {
    "instance": InstanceNorm,
    "batch": BatchNorm,
    "frn": FilterResponseNorm,
    "affine": Affine,
    "none": Affine,
}

# Each convolution of the decoder, and the encoder's whose plane is as large and as deep.
SKIPS = {"decoder1": "encoder2", "decoder2": "encoder1"}


def convolutions(spec: Network) -> list[tuple[str, int, int, int]]:
    """(name, kernel size, output channels, stride) of every convolution, in order of execution."""
    first, second, third = spec.widths
    blocks = [(f"block{i}{part}", 3, third, 1) for i in range(1, spec.blocks + 1) for part in "ab"]
    return [
        ("encoder1", spec.first_kernel, first, spec.strides[0]),
        ("encoder2", 3, second, spec.strides[1]),
        ("encoder3", 3, third, spec.strides[2]),
        *blocks,
        ("decoder1", 3, second, 1),
        ("decoder2", 3, first, 1),
        ("image", spec.last_kernel, 3 * spec.cell**2, 1),
    ]


def reach(spec: Network) -> int:
    """How far from a border, in pixels, its padding affects the image; a multiple of the stride."""
    pixels, step = 0, 1
    for name, kernel, _, stride in convolutions(spec):
        if name.startswith("decoder"):
            step //= 2
        pixels += kernel // 2 * step
        step *= stride
    return -(-pixels // spec.stride) * spec.stride


def build(spec: Network, norm: str, precision: str = "float32") -> keras.Model:
    """A network (B, H, W, 3) in 0..1 -> {"image": (B, H, W, 3) in -1..1, "encoded": (B, H/S, W/S, C), "residual":
    likewise}.

    H and W are multiples of S, the product of the strides. "encoded" is the encoder's output, on which the
    feature-level temporal loss acts.
    """
    policy = "mixed_bfloat16" if precision == "bfloat16" else "float32"
    shape = {name: (kernel, width, stride) for name, kernel, width, stride in convolutions(spec)}

    def conv(x, name):
        kernel, width, stride = shape[name]
        # "same" padding of a strided convolution is asymmetric; the black border that the board adds is not.
        pad = name == "encoder1" and stride > 1
        if pad:
            x = layers.ZeroPadding2D(kernel // 2, name=f"{name}_pad", dtype=policy)(x)
        x = layers.Conv2D(
            width,
            kernel,
            stride,
            padding="valid" if pad else "same",
            use_bias=False,
            kernel_initializer="he_normal",
            name=name,
            dtype=policy,
        )(x)
        return NORMS[norm](name=f"{name}_norm", dtype=policy)(x)

    def rectify(x, name):
        return (Threshold if norm == "frn" else layers.ReLU)(name=f"{name}_relu", dtype=policy)(x)

    pixels = x = keras.Input((None, None, 3), name="pixels")
    planes = {}
    for name in ("encoder1", "encoder2", "encoder3"):
        x = planes[name] = rectify(conv(x, name), name)
    encoded = x
    for i in range(1, spec.blocks + 1):
        y = rectify(conv(x, f"block{i}a"), f"block{i}a")
        x = rectify(layers.Add(name=f"block{i}_sum", dtype=policy)([x, conv(y, f"block{i}b")]), f"block{i}")
    residual = x
    for name, plane in SKIPS.items():
        x = conv(layers.UpSampling2D(2, name=f"{name}_up", dtype=policy)(x), name)
        if spec.skips:
            x = layers.Add(name=f"{name}_sum", dtype=policy)([x, planes[plane]])
        x = rectify(x, name)
    # Small initial weights keep tanh out of saturation, where a wide last convolution would get stuck.
    x = layers.Conv2D(
        3 * spec.cell**2,
        spec.last_kernel,
        padding="same",
        kernel_initializer=AlikeInCells(spec.cell),
        name="image",
        dtype=policy,
    )(x)
    image = layers.Activation("tanh", dtype="float32")(x)
    if spec.cell > 1:
        image = DepthToSpace(spec.cell, dtype="float32")(image)
    return keras.Model(pixels, {"image": image, "encoded": encoded, "residual": residual})


@keras.saving.register_keras_serializable("reconet")
class AlikeInCells(keras.initializers.Initializer):
    """The same small kernel for every pixel of a cell, so that training starts without a pattern of cells (Aitken et
    al., "Checkerboard artifact free sub-pixel convolution", 2017).
    """

    def __init__(self, cell: int):
        self.cell = cell

    def __call__(self, shape, dtype=None):
        one = keras.initializers.RandomNormal(stddev=0.01)((*shape[:-1], 3), dtype)
        return ops.tile(one, (1, 1, 1, self.cell**2))

    def get_config(self):
        return {"cell": self.cell}


@keras.saving.register_keras_serializable("reconet")
class DepthToSpace(layers.Layer):
    """(B, H, W, f * f * 3) to (B, f * H, f * W, 3): a cell of f x f pixels out of each pixel's channels, by rows."""

    def __init__(self, factor: int, **kwargs):
        super().__init__(**kwargs)
        self.factor = factor

    def call(self, x):
        batch, height, width, _ = ops.shape(x)
        f = self.factor
        cells = ops.transpose(ops.reshape(x, (batch, height, width, f, f, 3)), (0, 1, 3, 2, 4, 5))
        return ops.reshape(cells, (batch, height * f, width * f, 3))

    def compute_output_shape(self, shape):
        batch, height, width, _ = shape
        return batch, height and height * self.factor, width and width * self.factor, 3

    def get_config(self):
        return {**super().get_config(), "factor": self.factor}
