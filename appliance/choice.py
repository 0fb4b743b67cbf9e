"""Which plan and size of a style a device runs: decided on what was measured there, nothing else.

A row says how many frames a second one plan makes at one size. The largest picture that holds the wanted rate is
chosen; of equal sizes the plan that the bundle prefers, of those that reach the rate, or else the fastest. Where none
holds it, the fastest is. The plan LITE, another network, is the last resort: it counts only where no other plan holds
the rate at any size.
"""

from typing import Dict, List, NamedTuple, Optional, Sequence, Tuple

from .frames import Size

LITE = "lite"  # the plan that is not the style's network, but a smaller one

_HOLDS = 0.95  # of the wanted rate: no measurement is exact, and cameras give 29.97 for 30
_QUICKER = 1.1  # than the row before it, so that a smaller picture is worth it


class Measured(NamedTuple):
    """Frames per second of a plan at a size, (width, height); 0.0 where it does not run."""

    plan: str
    size: Size
    fps: float

    @property
    def text(self) -> str:
        """For people: "640x360"."""
        return "{}x{}".format(*self.size)


def holds(row: Measured, target: float) -> bool:
    """Whether it makes `target` frames a second."""
    return row.fps >= _HOLDS * target


def best(rows: Sequence[Measured], target: float, plans: Sequence[str]) -> Optional[Measured]:
    """The row to run at `target` frames a second; None when nothing runs. `plans`: the names, the preferred first."""
    holding = [row for row in rows if row.fps > 0 and holds(row, target)]
    if holding:

        def merit(row: Measured) -> Tuple[float, ...]:
            reaches = row.fps >= target
            return row.plan != LITE, _area(row.size), reaches, -plans.index(row.plan) if reaches else row.fps

        return max(holding, key=merit)
    return max((row for row in rows if row.fps > 0), key=lambda row: row.fps, default=None)


def following(sizes: Dict[str, List[Size]], rows: Sequence[Measured], target: float) -> Optional[Tuple[str, Size]]:
    """The plan and size to measure next; None when no other measurement can change what `best` chooses.

    `sizes` has those of each plan, by its name, the preferred plan first, the smallest size first. A plan that misses
    the rate at one size misses it at larger ones. So a plan is measured from its smallest size up, until it misses, and
    only at sizes larger than what holds already, or as large where that misses the whole rate; LITE only when every
    other plan misses.
    """
    lite = {plan: ladder for plan, ladder in sizes.items() if plan == LITE}
    others = {plan: ladder for plan, ladder in sizes.items() if plan != LITE}
    pair = _following(others, rows, target)
    found = any(row.plan in others and row.size in others[row.plan] and holds(row, target) for row in rows)
    return pair if pair or found else _following(lite, rows, target)


def opening(sizes: Dict[str, List[Size]], rows: Sequence[Measured], target: float) -> Optional[Tuple[str, Size]]:
    """The plan and size to measure next before a style's first picture; None when what is known is good enough to show.

    As `following`, but once a plan misses the rate, LITE comes next and ends it: others are as slow, and people wait.
    """
    pair = following(sizes, rows, target)
    running = [row for row in rows if row.fps > 0 and row.size in sizes.get(row.plan, [])]
    if not running or pair is None:
        return pair
    if any(holds(row, target) or row.plan == LITE for row in running):
        return None
    lite = [(LITE, size) for size in sizes.get(LITE, [])[:1] if all(row[:2] != (LITE, size) for row in rows)]
    return lite[0] if lite else pair


def _following(sizes: Dict[str, List[Size]], rows: Sequence[Measured], target: float) -> Optional[Tuple[str, Size]]:
    known = {(row.plan, row.size): row for row in rows}
    top = best([row for row in rows if row.plan in sizes], target, list(sizes))
    reached = _area(top.size) - (top.fps < target) if top and holds(top, target) else 0
    for plan, ladder in sizes.items():
        for size in ladder:
            row = known.get((plan, size))
            if row is None and _area(size) > reached:
                return plan, size
            if row is not None and not holds(row, target):
                break
    return None


def rungs(rows: Sequence[Measured], chosen: Measured) -> List[Measured]:
    """`chosen`, then ever smaller and faster rows, those of LITE last, for when it misses its rate."""
    found = [chosen]
    for row in sorted(rows, key=lambda row: (row.plan == LITE, -_area(row.size), -row.fps)):
        if _area(row.size) < _area(found[-1].size) and row.fps >= _QUICKER * found[-1].fps:
            found.append(row)
    return found


def reason(row: Measured, target: float, complete: bool) -> str:
    """Why `best` chose the row, for people. `complete`: nothing is left to measure."""
    if not complete:
        return "the first that ran: others are being measured"
    if holds(row, target):
        lite = f" with plan {LITE}: no other holds it" if row.plan == LITE else ""
        return f"the largest measured that holds {target:g} fps{lite}"
    return f"the fastest: none holds {target:g} fps"


def _area(size: Size) -> int:
    return size[0] * size[1]
