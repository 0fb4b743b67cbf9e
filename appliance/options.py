"""Which plans and sizes of a style a device may choose among: what it can run, and what people asked for."""

from typing import Dict, List, NamedTuple, Optional, Sequence

from . import config
from .camera.sizes import LADDER
from .choice import Measured, best, following, reason, rungs
from .engine import interpreter
from .engine.interpreter import Runtime
from .errors import Problem
from .frames import Size
from .style.bundle import Bundle
from .style.manifest import parse_size
from .style.state import Chosen

Sizes = Dict[str, List[Size]]  # by plan, the preferred first; the smallest size first


class Options(NamedTuple):
    """Plans and sizes to choose among, and `below` those to step down to. `why` only these, and a `note`, in words."""

    sizes: Sizes
    below: Sizes
    why: str = ""
    note: str = ""


class Decision(NamedTuple):
    """What to run, with its measured rate, and why, in words.

    `complete`: whether nothing is left to measure. `rungs`: see choice.rungs; only `row` where the size is configured.
    """

    row: Measured
    why: str
    complete: bool
    rungs: List[Measured]


def sizes_of(bundle: Bundle, kind: str, fits: Optional[Sequence[Size]] = None) -> Sizes:
    """The plans that run on "CPU" or "TPU", the lite one last, and the sizes worth measuring, the smallest first.

    On an Edge TPU those that are compiled; else those of `LADDER` for which the style can be built, and its own. `fits`
    are those that the camera fits without scaling: others are left out, where that leaves any, but for the lite plan,
    whose frames take much longer than scaling. None: not known.
    """
    manifest, found = bundle.manifest, {}
    for plan in sorted(manifest.plans, key=lambda plan: plan.lite):
        here = set(manifest.compiled(plan))
        if kind == "CPU":
            here = {size for size in LADDER if manifest.has(size)} | {manifest.size}
        fitting = here if fits is None or plan.lite else here & ({manifest.size} | set(fits))
        if here:
            found[plan.name] = sorted(fitting or here, key=lambda size: (size[0] * size[1], size))
    return found


def runtimes_for(bundle: Bundle, engine: config.Engine, device: Optional[str] = None) -> List[Runtime]:
    """Those that can run the bundle as configured, on `device` where it is given, best first. Raises Problem."""
    found = [
        runtime for runtime in _allowed(engine) if device in (None, runtime.device) and sizes_of(bundle, runtime.device)
    ]
    if not found and device == "TPU":
        why = interpreter.edge_tpu()[1] or "there is an Edge TPU, but no runtime for it"
        raise Problem(f"{why}: run reconet doctor")
    if not found:
        where = f"the runtime {engine.runtime!r}" if engine.runtime != "auto" else "this machine"
        raise Problem(f"{bundle.path}: it has no plan for {where}: see engine.runtime in the configuration")
    return found


def _allowed(engine: config.Engine) -> List[Runtime]:
    """The runtimes that the settings allow, fastest first."""
    here = interpreter.runtimes(engine.threads)
    if engine.runtime != "auto":
        return [one for one in here if one.name == engine.runtime]
    # Of two for the Edge TPU only the first: what it measures must be true of the one that runs.
    unused = [one for one in here if one.device == "TPU"][1:]
    return [one for one in here if one not in unused]


def options(
    bundle: Bundle,
    engine: config.Engine,
    kind: str,
    chosen: Optional[Chosen] = None,
    fits: Optional[Sequence[Size]] = None,
) -> List[Options]:
    """Among what to choose on "CPU" or "TPU", in order: what bench chose, `chosen`; then all that the configuration
    allows. A plan or size that is configured, but cannot be had here, is passed over with a note. `fits`: see sizes_of.
    """
    sizes, notes, configured = sizes_of(bundle, kind, fits), [], False
    if engine.plan in sizes:
        sizes = {engine.plan: sizes[engine.plan]}
    elif engine.plan != "auto":
        notes.append(f"there is no plan {engine.plan} as configured")
    if engine.size != "auto":
        wanted = parse_size(engine.size)
        can_build = kind == "CPU" and bundle.manifest.has(wanted)
        every = sizes_of(bundle, kind)
        fitting = {name: [wanted] for name in sizes if can_build or wanted in every[name]}
        if fitting:
            sizes, configured = fitting, True
        else:
            notes.append(f"{engine.size} as configured cannot be had")
    note = "; ".join(notes)
    found = [Options(sizes, {} if configured else sizes, "configured" if configured else "", note)]
    if chosen and not configured:
        here = sizes_of(bundle, kind).get(chosen.plan, []) if chosen.plan in sizes else []
        some = [size for size in (sizes[chosen.plan] if chosen.size is None else here) if chosen.size in (None, size)]
        if some:
            found.insert(0, Options({chosen.plan: some}, sizes, "chosen by reconet bench", note))
    return found


def decide(among: Options, known: List[Measured], target: float) -> Optional[Decision]:
    """What to run at `target` frames a second, of the rows that are known; None when nothing is known to run."""
    row = best([row for row in known if row.size in among.sizes.get(row.plan, [])], target, list(among.sizes))
    if row is None:
        return None
    complete = following(among.sizes, known, target) is None
    why = among.why or reason(row, target, complete)
    below = [other for other in known if other.size in among.below.get(other.plan, [])]
    return Decision(row, f"{why}; {among.note}" if among.note else why, complete, rungs(below, row))
