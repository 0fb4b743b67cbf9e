"""Data parallelism over all accelerators of the machine, through keras.distribution."""

import jax
import keras
from rich.console import Console


def spread(batch: int) -> None:
    """Distributes models built from now on over as many devices as divide the batch. On one device it does nothing."""
    devices = keras.distribution.list_devices()
    count = max(n for n in range(1, len(devices) + 1) if batch % n == 0)
    if count < len(devices):
        Console(stderr=True).print(f"{count} of {len(devices)} devices: a batch of {batch} cannot be divided further")
    distribution = keras.distribution.DataParallel(devices=devices[:count]) if count > 1 else None
    keras.distribution.set_distribution(distribution)


def replicate(arrays):
    """A tree of arrays, copied to every device."""
    return jax.tree.map(lambda array: _place(array, ()), arrays)


def scatter(arrays):
    """A tree of arrays (steps, batch, ...), each device with its part of the batch; (steps,) is copied to all."""
    return jax.tree.map(lambda array: _place(array, (None, "batch") if array.ndim > 1 else ()), arrays)


def _place(array, axes):
    distribution = keras.distribution.distribution()
    if distribution is None:
        return jax.numpy.asarray(array)
    axes = (*axes, *[None] * (jax.numpy.ndim(array) - len(axes)))
    layout = keras.distribution.TensorLayout(axes, distribution.device_mesh)
    return keras.distribution.distribute_tensor(jax.numpy.asarray(array), layout)
