import numpy as np
import pytest

from appliance.camera.virtual import VirtualCamera
from appliance.engine.stillness import EDGE, MOVED, STILL, Average, Motion, Stillness

SIZE = (256, 108)  # the last row of blocks is cut short


def room():
    """Flat on the left, full of detail on the right: (108, 256, 3)."""
    y, x = np.mgrid[:108, :256] / 30.0
    detail = np.kron(np.random.RandomState(1).randint(-60, 60, (54, 128)), np.ones((2, 2))) * (x > 4)
    return np.repeat((120 + 40 * np.sin(x) * np.cos(y) + detail)[..., None], 3, 2)


ROOM = room()


def sensed(levels, sigma=0.0, rng=np.random):
    return np.clip(np.rint(levels + sigma * rng.standard_normal(levels.shape)), 0, 255).astype(np.uint8)


def film(levels, sigma, frames, seed=0):
    rng = np.random.RandomState(seed)
    return [sensed(levels, sigma, rng) for _ in range(frames)]


def change(pictures):
    return np.mean([np.abs(a.astype(int) - b).mean() for a, b in zip(pictures, pictures[1:])])


def seen(frames, stillness=0.75):
    still = Stillness(stillness)
    return [still.before(frame)[0].copy() for frame in frames], still


@pytest.mark.parametrize("sigma", [0.7, 2, 6])
def test_noise_is_learnt_and_taken_for_still(sigma):
    frames = film(ROOM, sigma, 50)
    made, _ = seen(frames)
    assert change(made[30:]) < 0.26 * change(frames[30:])
    assert np.abs(np.mean(made[30:], 0) - ROOM)[..., 0].mean() < 0.25 * sigma + 0.6  # and the picture is not shifted
    assert abs((np.mean(made[30:], 0) - np.clip(ROOM, 0, 255)).mean()) < 0.5


@pytest.mark.parametrize("sigma", [0, 2])
def test_what_moves_leaves_no_ghost(sigma):
    rng, still = np.random.RandomState(0), Stillness(0.75)
    for number in range(30):
        picture = ROOM.copy()
        left = 5 * number
        picture[30:70, left : left + 40] = 240
        average, _ = still.before(sensed(picture, sigma, rng))
        if number > 1:
            behind = np.s_[30:70, : left - 4]
            assert np.abs(average[behind].astype(int) - picture[behind].clip(0, 255)).mean() < 4
        inside = np.s_[30:70, left : left + 40]
        assert np.abs(average[inside].astype(int) - picture[inside]).mean() < 2 * sigma + 0.5


@pytest.mark.parametrize("step", [1, 3])
@pytest.mark.parametrize("sigma", [0, 3])
def test_a_slow_pan_is_no_noise(step, sigma):
    wide = VirtualCamera(paced=False).picture(48).astype(float)
    clean = [wide[60:276, step * n : step * n + 384] for n in range(40)]
    made, _ = seen([sensed(levels, sigma) for levels in clean])
    behind = np.mean([np.abs(a - b).mean() for a, b in zip(made[1:], clean[1:])])
    standing = np.mean([np.abs(a - b).mean() for a, b in zip(clean, clean[1:])])
    assert behind < sigma + 0.1 * standing


def test_a_cut_counts_whole_at_once():
    frames = film(ROOM, 2, 20) + film(ROOM[:, ::-1] * 0.7, 2, 3)
    made, still = seen(frames)
    assert np.array_equal(made[20], frames[20])
    other = sensed(ROOM + 3)
    average, judged = still.before(other, jumped=True)
    assert np.array_equal(average, other) and np.array_equal(still.behind(other, judged), other)


def test_what_moved_in_a_frame_that_was_never_drawn_has_moved_in_the_next_one():
    still, picture = Stillness(0.75), np.zeros((108, 256, 4), np.uint8)
    for frame in film(ROOM, 1, 20):
        _, judged = still.before(frame)
        still.behind(picture, judged)
    moved = ROOM.copy()
    moved[48:64, 96:112] = 240
    still.before(sensed(moved))  # dropped: nobody drew it
    for _ in range(3):  # it stands there by now
        _, judged = still.before(sensed(moved))
    drawn = still.behind(picture + 200, judged)
    assert (drawn[48:64, 96:112] == 200).all()  # and not a mean of 200 and 0, a ghost
    assert (drawn[:, :32] < 200).all() and (drawn[:, 160:] < 200).all()
    _, judged = still.before(sensed(moved))
    assert judged.blocks[3, 6] == STILL  # once drawn, it is forgotten


def test_a_reset_starts_a_new_film():
    frames = film(ROOM, 2, 15)
    made, still = seen(frames)
    still.reset()
    assert np.array_equal([still.before(frame)[0].copy() for frame in frames], made)


def test_blocks_beside_what_moves_are_edges():
    motion, average = Motion(), sensed(ROOM)
    frame = average.copy()
    frame[48:64, 96:112] += 60
    blocks = motion.judge(frame, average)
    assert blocks.shape == (7, 16)
    assert blocks[3, 3:10].tolist() == [EDGE, EDGE, MOVED, MOVED, MOVED, EDGE, EDGE]
    assert blocks[:, :3].max() == STILL and np.count_nonzero(blocks == MOVED) == 5


@pytest.mark.parametrize("stillness, left", [(0.0, 0), (0.1, 0), (0.5, 50), (0.75, 75), (0.9, 87.5), (1.0, 87.5)])
@pytest.mark.parametrize("shape", [(108, 256, 4), (54, 128, 16), (108, 250, 3)])  # pixels, cells, odd rows of bytes
def test_the_average_keeps_its_share(stillness, left, shape):
    average, blocks = Average(stillness), np.full((7, 16), STILL, np.uint8)
    blocks[2, 5], blocks[2, 6] = MOVED, EDGE
    average.update(np.full(shape, 100, np.uint8), blocks, SIZE)
    new = np.zeros(shape, np.uint8)
    for _ in range(2):  # each band has its turn
        made = average.update(new, blocks, SIZE)
    rows, columns = (shape[0] / 108, shape[1] / 256)
    at = lambda row, column: made[int(row * 16 * rows + 4), int((column * 16 + 8) * columns)]  # noqa: E731
    assert np.abs(at(0, 0).astype(int) - left).max() <= 2 and np.abs(at(6, 15).astype(int) - left).max() <= 2
    assert np.array_equal(at(2, 5), [0] * shape[2])
    assert np.abs(at(2, 6).astype(int) - min(left, 50)).max() <= 1


def test_a_picture_of_another_shape_starts_over():
    average = Average(0.75)
    average.update(np.full((108, 256, 4), 9, np.uint8), None, SIZE)
    other = np.full((54, 128, 4), 200, np.uint8)
    assert np.array_equal(average.update(other, np.zeros((4, 8), np.uint8), (128, 54)), other)


def test_rounding_does_not_drift():
    frames = film(np.full((108, 256, 3), 100.0), 3, 200)
    made, _ = seen(frames)
    assert abs(made[-1].mean() - 100) < 0.4
