"""A segment in horizontal strips, one after the other: what it makes is the same, the memory for it a fraction.

tflite_runtime unrolls a convolution in memory, kernel size times its input, and copies that once more. At the full size
of a picture this is by far the most of what a style takes. What strips cost in time is in docs/appliance.md.
ai_edge_litert does not unroll.
"""

from typing import List, NamedTuple, Tuple

_ROWS = 24  # of a strip; fewer cost more for the rows that two strips share than the cache gives back


class Strip(NamedTuple):
    """The rows from `top` on; of what the segment makes of them `first` to `end` are as in the whole."""

    top: int
    first: int
    end: int


def strips_of(height: int, reach: int) -> Tuple[int, List[Strip]]:
    """The rows of each strip, and strips that cover `height` rows together; (0, []) where one would not be smaller.

    `reach` is from how many rows above and below it a row is made. All strips are equally high, so that one
    interpreter serves them all; at the edges of the picture their edges are its own.
    """
    most = max(_ROWS, 12 * reach)
    if height <= most:
        return 0, []
    count = -(-(height - 2 * reach) // (most - 2 * reach))
    step = -(-(height - 2 * reach) // count)
    rows = step + 2 * reach
    tops = [min(i * step, height - rows) for i in range(count)]
    return rows, [Strip(top, reach if top else 0, rows if top == height - rows else rows - reach) for top in tops]
