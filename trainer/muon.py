"""Muon for convolutions (Jordan et al., "Muon: An optimizer for hidden layers in neural networks", 2024).

The momentum of a kernel's gradient, as a matrix of what one output channel sees by output channels, is replaced by the
nearest matrix with equal singular values: every direction learns at the same rate. What is not a kernel, and the last
convolution, which a small step must not saturate, are left to Adam.
"""

import keras
from keras import ops


class Muon(keras.optimizers.Muon):
    """keras.optimizers.Muon, which takes 2-D weights only, for kernels (H, W, in, out); without weight decay.

    learning_rate is Adam's: the step is scaled to the size of Adam's (Liu et al., arXiv 2502.16982).
    """

    def __init__(self, learning_rate, **options):
        super().__init__(learning_rate, weight_decay=None, adam_weight_decay=None, **options)

    def _should_use_adamw(self, variable):
        return len(variable.shape) != 4 or variable.path.startswith("image/")

    def zeropower_via_newtonschulz5(self, x, steps):
        flat = super().zeropower_via_newtonschulz5(ops.reshape(x, (-1, x.shape[-1])), steps)
        return ops.reshape(flat, x.shape)

    def lr_adjust(self, x):
        return x * max(x.shape[-1], x.shape[0] * x.shape[1] * x.shape[2]) ** 0.5 * self.rms_rate
