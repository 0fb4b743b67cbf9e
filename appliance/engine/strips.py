"""Running a segment in horizontal strips, one after the other: the same result in a fraction of the memory.

tflite_runtime unrolls a convolution in memory, kernel size times its input, and copies that once more. At the full size
of a picture this is most of the memory of a style. docs/appliance.md has what strips cost in time. ai_edge_litert does
not unroll.
"""

from typing import List, NamedTuple, Tuple

_ROWS = 24  # of a strip; with fewer, computing shared rows twice costs more than the cache saves


class Strip(NamedTuple):
    """The input's rows from `top` on. Of the segment's result for them, rows `first` to `end` are as in the whole."""

    top: int
    first: int
    end: int


def strips_of(height: int, reach: int) -> Tuple[int, List[Strip]]:
    """(rows of each strip, strips that together cover `height` rows); (0, []) where a strip would not be smaller.

    `reach` is from how many rows above and below it a row is computed. All strips have the same height, so one
    interpreter serves them all. The first and last strips end at the picture's edges.
    """
    most = max(_ROWS, 12 * reach)
    if height <= most:
        return 0, []
    count = -(-(height - 2 * reach) // (most - 2 * reach))
    step = -(-(height - 2 * reach) // count)
    rows = step + 2 * reach
    tops = [min(i * step, height - rows) for i in range(count)]
    return rows, [Strip(top, reach if top else 0, rows if top == height - rows else rows - reach) for top in tops]
