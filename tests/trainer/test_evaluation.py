import numpy as np
import pytest

from trainer.evaluation import blob_share, fine_power, snr_db, stability_error


def test_snr_of_a_tenth_of_noise_is_20_db(rng):
    signal = rng.choice([-1.0, 1.0], size=(20, 20, 3))
    assert snr_db(signal, signal * 0.9) == pytest.approx(20, abs=1e-6)


def test_stability_error_is_rms_over_visible_pixels_relative_to_contrast(rng):
    current = rng.uniform(size=(30, 40, 3))
    warped = current + 0.05
    mask = np.zeros((30, 40), bool)
    mask[5:10] = True
    warped[20:] = 9  # hidden, must not count
    absolute, relative = stability_error(current, warped, mask)
    assert absolute == pytest.approx(0.05)
    assert relative == pytest.approx(0.05 / current.std((0, 1)).mean())


def test_blobs_are_large_connected_and_saturated():
    image = np.full((100, 100, 3), 128, "uint8")
    image[10:40, 10:40] = 255  # 900 pixels
    image[60:80, 60:80] = 0  # 400: not more than 400
    image[50, ::2] = 255  # scattered
    image[85:, :, 0] = 255  # one channel only
    assert blob_share(image) == pytest.approx(0.09)


def test_white_and_black_of_the_frame_are_no_blobs():
    image, frame = np.full((2, 100, 100, 3), 128, "uint8")
    image[10:40, 10:40] = 255
    image[60:90, 60:90] = 0
    frame[:50], frame[60:90, 60:75] = 245, 10  # the white one is there, and half of the black one
    assert blob_share(image, frame) == pytest.approx(0.045)


@pytest.mark.parametrize("period, fine", [(3, True), (8, False)])
def test_fine_power_is_that_of_periods_below_4_pixels(period, fine):
    wave = 128 + 60 * np.sin(2 * np.pi * np.arange(256) / period)
    image = np.repeat(np.tile(wave, (144, 1))[..., None], 3, -1).astype("uint8")
    assert fine_power(image) == pytest.approx(float(fine), abs=0.02)
    assert fine_power(image[:40, :60]) == pytest.approx(float(fine), abs=0.1)
