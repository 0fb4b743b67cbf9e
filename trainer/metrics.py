"""Numbers by which styles are judged. Pure functions on NumPy arrays."""

import numpy as np
from scipy import ndimage


def snr_db(reference: np.ndarray, other: np.ndarray) -> float:
    """Signal-to-noise ratio in dB: the reference's energy over the difference's. Give network outputs, -1..1."""
    noise = float(np.mean(np.square(reference.astype("float64") - other)))
    signal = float(np.mean(np.square(reference.astype("float64"))))
    return 10 * np.log10(signal / max(noise, 1e-20))


def ssim(reference: np.ndarray, other: np.ndarray) -> float:
    """Structural similarity of two images (H, W, 3) in 0..1 (Wang et al., 2004), mean over pixels and channels."""
    import tensorflow as tf

    images = (tf.constant(image, "float32") for image in (reference, other))
    return float(tf.image.ssim(*images, max_val=1.0))


def stability_error(current: np.ndarray, warped: np.ndarray, mask: np.ndarray) -> tuple[float, float]:
    """(absolute, relative) temporal error e_stab of a stylised pair.

    current and warped are (H, W, 3) in 0..1: a frame and the following one warped back onto it; mask (H, W) is true
    where pixels are visible in both. Absolute: RMS difference over mask. Relative: that over the mean of the channels'
    standard deviations in current.
    """
    error = float(np.sqrt(np.mean(np.square(current - warped)[mask])))
    return error, error / float(current.std(axis=(0, 1)).mean())


def blob_share(image: np.ndarray, least: int = 400) -> float:
    """Share of pixels of a uint8 image (H, W, 3) in saturated blobs: all channels > 250 or all < 5, more than `least`
    pixels connected.
    """
    total = 0
    for saturated in ((image > 250).all(axis=-1), (image < 5).all(axis=-1)):
        labels, _ = ndimage.label(saturated)
        areas = np.bincount(labels.ravel())[1:]
        total += int(areas[areas > least].sum())
    return total / (image.shape[0] * image.shape[1])
