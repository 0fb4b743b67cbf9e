"""Stillness: where nothing moves, most of the picture stays from one frame to the next.

Sensor noise makes a network draw different strokes in every frame. So its input and its output are both averaged
recursively over time, block by block, while the input differs from its average by no more than noise. A block that
differs by more is taken as it is, so that moving objects leave no ghost.

The averages work in place, on words of eight bytes: with the lowest bit of every byte of a ^ b cleared,
(a & b) + ((a ^ b) >> 1) and (a | b) - ((a ^ b) >> 1) are (a + b) / 2 in every byte, rounded down and up.
"""

from functools import lru_cache
from typing import List, NamedTuple, Optional, Tuple

import numpy as np

BLOCK = 16  # pixels; a block is judged as a whole
STILL, EDGE, MOVED = 0, 1, 2
_THIN = 4  # every 4th pixel of every 4th row is compared
_CUT = 0.6  # when more of the blocks move, all count as moving
_BAND = 3  # rows of blocks that are averaged at a time
_WORDS = [np.dtype(word) for word in (np.uint8, np.uint64)]
_EVEN = {word: word.type(0xFEFEFEFEFEFEFEFE & np.iinfo(word).max) for word in _WORDS}
_ONE = {word: word.type(1) for word in _WORDS}
_FORGOTTEN = 30  # after as many frames that were not drawn, the one before them no longer counts
_KEPT = (0.0, 0.5, 0.75, 0.875)


class Motion:
    """Decides which blocks move, against a noise floor that it estimates for each of them.

    Noise is much the same in flat and in detailed blocks; motion changes detail and leaves flat blocks alone. So the
    floor rises only while both change alike. It falls wherever there is less change.
    """

    def __init__(self, channel: int = 0):
        """`channel` is the one to compare: luma, or what comes closest to it."""
        self._channel = channel
        self.reset()

    def judge(self, frame: np.ndarray, average: np.ndarray) -> np.ndarray:
        """STILL, MOVED or EDGE (at most two from MOVED) for each block of 16x16 pixels, uint8 (rows, columns).

        `frame` and `average`, that of the frames before it, are uint8 (H, W, 3).
        """
        frame, average = frame[..., self._channel], average[..., self._channel]
        old, sizes = _thinned(average), _sample_counts(frame.shape)
        difference = _thinned(frame) - old
        shift, change = np.abs(_block_sums(difference)) / sizes, _block_sums(np.abs(difference)) / sizes
        moved = (change > 1.8 * self._floor + 1.5) | (shift > 1.25 * self._floor + 1.0)
        self._count += 1
        if self._count % 2:  # every other frame suffices, at half the cost
            self._learn(shift, change, _block_sums(np.abs(_thinned(average[:, 1:]) - old)))
        moving = np.count_nonzero(moved)
        if moving > _CUT * moved.size:
            return np.full(moved.shape, MOVED, np.uint8)
        if not moving:
            return np.asarray(moved.view(np.uint8))
        moved = _grown(moved)
        # What a network draws here depends on what moved there: its planes reach further than a block.
        return np.asarray(moved.astype(np.uint8) + _grown(_grown(moved)))

    def reset(self) -> None:
        """Forget the noise floor: another film follows."""
        self._floor = np.float32(0.5)
        self._count = 0

    def _learn(self, shift: np.ndarray, change: np.ndarray, detail: np.ndarray) -> None:
        floor = np.broadcast_to(self._floor, change.shape)
        by_detail, quarter = change.ravel()[np.argsort(detail, axis=None)], change.size // 4
        if by_detail[-quarter - 1 :].mean() < 2 * by_detail[: quarter + 1].mean() + 0.5:
            most = 3 * np.sort(floor, axis=None)[floor.size // 2] + 0.5
            rising = np.where(shift < 0.5 * change, 1.4 * floor + 0.2, floor)
            rising = np.minimum(rising, most)
        else:
            rising = floor
        self._floor = np.where(change < floor, floor + 0.4 * (change - floor), np.minimum(change, rising))


class Average:
    """The recursive average of pictures, uint8 (rows, columns, channels), in an array of its own.

    A picture may be as large as the frame, or have the channels of several of its pixels in each column.
    """

    def __init__(self, stillness: float):
        """`stillness` is the share of the average that each new picture leaves: the closest of 0, 1/2, 3/4 and 7/8."""
        self._halvings = min(range(len(_KEPT)), key=lambda n: abs(_KEPT[n] - stillness))
        self.reset()

    def reset(self) -> None:
        """Forget the past: the next picture counts whole."""
        self.picture: Optional[np.ndarray] = None
        self._count = 0

    def update(self, new: np.ndarray, blocks: Optional[np.ndarray], size: Tuple[int, int]) -> np.ndarray:
        """Include a contiguous picture and return the average. The caller must change neither.

        `blocks` is Motion.judge() of the picture's frame, and `size` that frame's (width, height). None means that
        everything moves. Where nothing moves, every other band of rows is skipped, alternately, which halves the cost.
        """
        if self.picture is None or self.picture.shape != new.shape:
            self.picture = new.copy()
        elif blocks is None or not self._halvings or blocks.min() == MOVED:
            np.copyto(self.picture, new)
        else:
            self._blend(self.picture, new, blocks, size)
        return self.picture

    def _blend(self, old: np.ndarray, new: np.ndarray, blocks: np.ndarray, size: Tuple[int, int]) -> None:
        old, fresh = _words(old), _words(new)
        bands, row, column, starts = _layout(new.shape[:2], old.shape[1], size)
        self._count += 1
        for number, rows in enumerate(bands):
            turn = (number + self._count) % 2
            band = blocks[number * _BAND : (number + 1) * _BAND]
            if not band.any():
                if turn:
                    self._average(old[rows], fresh[rows])
                continue
            hot = np.concatenate(([False], (band == MOVED).any(0), [False]))
            turns = np.flatnonzero(hot[1:] != hot[:-1])
            for first, end in zip(turns[::2], turns[1::2]):  # whole columns of the band
                part = rows, slice(starts[first], starts[end])
                old[part] = fresh[part]
            if turn:
                edge = (band == EDGE)[:, column][row[rows] - number * _BAND] if self._halvings > 1 else None
                self._average(old[rows], fresh[rows], edge)

    def _average(self, old: np.ndarray, new: np.ndarray, edge: Optional[np.ndarray] = None) -> None:
        """Blend new into old with a weight of 1/2, halved as often as `stillness` asks; of 1/2 where `edge` is set."""
        made, half = np.empty_like(old), np.empty_like(old)
        for left in range(self._halvings - 1, -1, -1):
            new = _mean(old, new, (left + self._count // 2) % 2, half, made if left else old)
            if edge is not None and left == self._halvings - 1 > 0:
                difference = np.bitwise_xor(made, old)
                difference &= -edge.astype(old.dtype)  # all bits of a word or none
                old ^= difference


class Judged(NamedTuple):
    """A frame's number, its (width, height), and what moved (Motion.judge) since the last frame that was drawn; None
    for everything."""

    number: int
    size: Tuple[int, int]
    blocks: Optional[np.ndarray]


class Stillness:
    """Both averages of a film: of the network's input and of its output.

    One thread may call `before` while another calls `behind`. What moved in a frame that is never drawn counts as
    moving in the next frame that is.
    """

    def __init__(self, stillness: float, channel: int = 0):
        """See Motion and Average."""
        self._motion = Motion(channel)
        # Averaging the input any further would cost more time than the flicker that it removes is worth.
        self._seen, self._drawn = Average(min(stillness, 0.5)), Average(stillness)
        self._number, self._latest_drawn = 0, 0
        self._since: List[Judged] = []  # frames that came after the one that was drawn last

    def before(self, frame: np.ndarray, jumped: bool = False) -> Tuple[np.ndarray, Judged]:
        """The network's input for a frame, uint8 (H, W, 3), valid until the next call, and what `behind` takes.

        `jumped`: earlier frames say nothing about this one.
        """
        average, size, blocks = self._seen.picture, (frame.shape[1], frame.shape[0]), None
        if not jumped and average is not None and average.shape == frame.shape:
            blocks = self._motion.judge(frame, average)
        self._number += 1
        self._since = [judged for judged in self._since if judged.number > self._latest_drawn]
        self._since = self._since[-_FORGOTTEN:] + [Judged(self._number, size, blocks)]
        every = [judged.blocks for judged in self._since]
        known = [each for each in every if each is not None]
        moved = np.max(known, axis=0) if len(known) == len(every) <= _FORGOTTEN else None
        return self._seen.update(frame, blocks, size), Judged(self._number, size, moved)

    def behind(self, picture: np.ndarray, judged: Judged) -> np.ndarray:
        """What to show, given the picture that was drawn for a frame."""
        self._latest_drawn = judged.number
        return self._drawn.update(picture, judged.blocks, judged.size)

    def reset(self) -> None:
        """Forget the past: the next frame counts whole. No other method may be running."""
        self._motion.reset()
        self._seen.reset()
        self._drawn.reset()
        self._since = []


@lru_cache(maxsize=4)
def _layout(
    shape: Tuple[int, int], words: int, size: Tuple[int, int]
) -> Tuple[List[slice], np.ndarray, np.ndarray, List[int]]:
    """The rows of each band; the row of blocks of each row and the column of each word; where columns start."""
    row = np.arange(shape[0]) * size[1] // shape[0] // BLOCK
    column = np.arange(words) * shape[1] // words * size[0] // shape[1] // BLOCK
    ends = np.searchsorted(row, np.arange(0, row[-1] + 1 + _BAND, _BAND)).tolist()
    starts = np.searchsorted(column, np.arange(column[-1] + 2)).tolist()
    return [slice(*pair) for pair in zip(ends, ends[1:])], row, column, starts


def _words(picture: np.ndarray) -> np.ndarray:
    """A contiguous picture as (rows, words), of the largest words that fit its rows."""
    rows = picture.reshape(len(picture), -1)
    return rows.view(np.uint8 if rows.shape[1] % 8 else np.uint64)


def _mean(a: np.ndarray, b: np.ndarray, up: int, half: np.ndarray, out: np.ndarray) -> np.ndarray:
    """out = (a + b) / 2 in every byte, rounded up or down. `half` is scratch; `out` may be a."""
    np.bitwise_xor(a, b, out=half)
    half &= _EVEN[a.dtype]
    half >>= _ONE[a.dtype]
    if up:
        np.bitwise_or(a, b, out=out)
        out -= half
    else:
        np.bitwise_and(a, b, out=out)
        out += half
    return out


def _thinned(channel: np.ndarray) -> np.ndarray:
    """Every 4th pixel of every 4th row, int16, with zeros up to whole blocks."""
    height, width = channel.shape
    side = BLOCK // _THIN
    samples = np.zeros((-(-height // BLOCK) * side, -(-width // BLOCK) * side), np.int16)
    thin = channel[_THIN // 2 :: _THIN, _THIN // 2 :: _THIN]
    samples[: thin.shape[0], : thin.shape[1]] = thin
    return samples


@lru_cache(maxsize=2)
def _sample_counts(shape: Tuple[int, int]) -> np.ndarray:
    """The number of samples in each block: fewer at the right and at the bottom."""
    return np.asarray(np.maximum(_block_sums(_thinned(np.ones(shape, np.uint8))), 1), np.float32)


def _block_sums(samples: np.ndarray) -> np.ndarray:
    rows = samples[0::4] + samples[1::4] + samples[2::4] + samples[3::4]
    return np.asarray(rows[:, 0::4] + rows[:, 1::4] + rows[:, 2::4] + rows[:, 3::4])


def _grown(blocks: np.ndarray) -> np.ndarray:
    """The blocks that are set, and their neighbours above, below, left and right."""
    grown = np.array(blocks)
    grown[1:] |= blocks[:-1]
    grown[:-1] |= blocks[1:]
    grown[:, 1:] |= blocks[:, :-1]
    grown[:, :-1] |= blocks[:, 1:]
    return grown
