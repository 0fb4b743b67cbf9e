"""Compares cost.Layer.cycles with what Google's compiler wrote into public files: python -m benchmarks.cycles DIR...

Every pair x.tflite, x_edgetpu.tflite below the folders whose compiled file has one Edge TPU operation and its cycles is
a case; cases with the same cycles count once. A source is the first folder below DIR. Prints each case, the factor for
depthwise convolutions that fits best, and the errors of each source by the factor that the others give.
"""

import sys
from pathlib import Path
from typing import NamedTuple

import numpy as np

from appliance.errors import Problem
from trainer.edgetpu import reader
from trainer.edgetpu.cost import Layer, layers_of

SUFFIX = "_edgetpu.tflite"
SMALL = 400_000  # cycles; below, what is not a convolution weighs more


class Case(NamedTuple):
    """A compiled file: its source, the compiler's cycles, ours for all but depthwise convolutions, for those with one
    input channel, and what zeros between the pixels of transposed convolutions would add.
    """

    path: Path
    source: str
    cycles: int
    dense: float
    depthwise: float
    zeros: float


def cases(folders: list[Path]) -> list[Case]:
    found = {}
    for folder in folders:
        for path in sorted(folder.rglob(f"*{SUFFIX}")):
            plain = path.with_name(path.name.removesuffix(SUFFIX) + ".tflite")
            try:
                compiled, before = reader.read(path.read_bytes()), reader.read(plain.read_bytes())
            except (Problem, OSError):
                continue
            if len(compiled.packages) != 1 or compiled.packages[0].cycles < 1000:
                continue
            layers = layers_of(before)
            for layer in layers_of(compiled):  # left to the CPU
                if layer in layers:
                    layers.remove(layer)
            case = Case(path, path.relative_to(folder).parts[0], compiled.packages[0].cycles, *_counted(layers))
            found.setdefault(case.cycles, case)
    return sorted(found.values(), key=lambda case: case.cycles)


def _counted(layers: list[Layer]) -> tuple[float, float, float]:
    dense = sum(layer.cycles for layer in layers if not layer.depthwise)
    deep = sum(layer._replace(depthwise=False, inputs=4).cycles / 4 for layer in layers if layer.depthwise)
    return dense, deep, sum((layer.makes - 1) * layer.cycles for layer in layers)


def factor(found: list[Case]) -> float:
    """The input channels that depthwise convolutions seem to have, of least squared relative error."""
    deep = np.array([case.depthwise / case.cycles for case in found])
    rest = np.array([1 - case.dense / case.cycles for case in found])
    return float(deep @ rest / (deep @ deep))


def error(case: Case, depthwise: float) -> float:
    return (case.dense + depthwise * case.depthwise) / case.cycles - 1


def main(folders: list[str]) -> int:
    if not folders:
        print(__doc__, file=sys.stderr)
        return 2
    found, held_out = cases(list(map(Path, folders))), []
    every = factor(found)
    for case in found:
        zeros = f", with zeros {error(case, every) + case.zeros / case.cycles:+.1%}" if case.zeros else ""
        print(f"{case.cycles:12,}  {error(case, every):+6.1%}{zeros}  {case.source}: {case.path.name}")
    for source in sorted({case.source for case in found}):
        others = factor([case for case in found if case.source != source])
        left = [case for case in found if case.source == source]
        errors = [error(case, others) for case in left]
        held_out += [(case.cycles, miss) for case, miss in zip(left, errors, strict=True)]
        print(f"{source}, left out: depthwise as {others:.2f}, errors {min(errors):+.1%} to {max(errors):+.1%}")
    print(f"all {len(found)} files: depthwise as {every:.2f}")
    for least in (0, SMALL):
        errors = [miss for cycles, miss in held_out if cycles >= least]
        print(f"{len(errors)} files of {least:,} cycles and more: held out, root mean square {_rms(errors):.1%}")
    return 0


def _rms(values) -> float:
    return float(np.sqrt(np.mean(np.square(values))))


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
