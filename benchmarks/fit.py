"""Fits the constants of trainer/edgetpu/predict.py to what others have measured: python -m benchmarks.fit

A call takes the sum of four things, each in proportion to a count: the cycles that Google's compiler would estimate,
parameters that are read on the chip, bytes over the link, and a constant. Over USB the link is known from models that
do nothing else, and only the first two are fitted. Every source has the same weight. The spread is how far the rows of
a source lie from what all other sources predict for them.
"""

import sys
from typing import NamedTuple

import numpy as np
from rich.console import Console
from rich.table import Table
from scipy.optimize import nnls

from benchmarks.latencies import LIBREDGETPU, MODELS, USB, USB_LINK
from trainer.edgetpu.cost import DEPTHWISE_INPUTS, MACS_A_CYCLE

CACHE = 7.7 * 2**20  # bytes of parameters kept on the chip beside the small activations of MODELS


class Row(NamedTuple):
    """A measured latency: `work` in the units of the constants, `known` ms of it that are not fitted."""

    name: str
    source: str
    work: tuple[float, float, float, float]
    known: float
    ms: float


def rows() -> list[Row]:
    """All latencies that the fit uses; work is (million cycles, MB of parameters, MB over PCIe, calls over PCIe)."""
    return [_over_pcie(model) for model in MODELS] + [_over_usb(row) for row in USB]


def mcycles(model: dict) -> float:
    """A model's million cycles, from its MACs by kind."""
    dense = model["macs_conv"] + model["macs_dense"]
    return (dense + DEPTHWISE_INPUTS * model["macs_depthwise"]) / MACS_A_CYCLE / 1e6


def _over_pcie(model: dict) -> Row:
    streamed = max(0.0, model["parameters"] - CACHE)
    moved = (model["bytes_in"] + model["bytes_out"] + streamed) / 1e6
    return Row(model["name"], "coral.ai", (mcycles(model), model["parameters"] / 1e6, moved, 1.0), 0.0, model["ms"])


def _over_usb(row: dict, link=USB_LINK["usb3"]) -> Row:
    known = link["call"] + row["in"] * link["in"] + row["back"] * link["back"] + row["streamed"] * link["in"]
    return Row(row["name"], row["source"], (row["mcycles"], row["parameters"], 0.0, 0.0), known, row["ms"])


def fit(measured: list[Row]) -> np.ndarray:
    """The non-negative constants (k,), ms per unit of work, of least squared relative error, sources weighing alike."""
    sources = [row.source for row in measured]
    weight = np.array([1 / np.sqrt(sources.count(source)) for source in sources])
    relative = np.array([np.divide(row.work, row.ms) for row in measured]) * weight[:, None]
    scale = np.maximum(relative.max(axis=0), 1e-12)
    left = np.array([1 - row.known / row.ms for row in measured]) * weight
    return nnls(relative / scale, left)[0] / scale


def predicted(row: Row, constants: np.ndarray) -> float:
    return row.known + float(constants @ row.work)


def without(measured: list[Row], source: str) -> tuple[np.ndarray, float]:
    """The constants fitted to all other sources, and by what factor they miss this one (root mean square)."""
    constants = fit([row for row in measured if row.source != source])
    if not constants[2]:  # the only rows over PCIe are left out: its own rate and call remain
        constants[2:] = fit(measured)[2:]
    misses = [np.log(row.ms / predicted(row, constants)) for row in measured if row.source == source]
    return constants, float(np.exp(np.sqrt(np.mean(np.square(misses)))))


def main() -> int:
    """Prints the constants as predict.py has them, and each row as the other sources predict it."""
    measured = rows()
    everything = fit(measured)
    sources = list(dict.fromkeys(row.source for row in measured))
    known = _table("Measured, and as the other sources predict it", "source", "model", "ms", "predicted", "error")
    print(f"ALL = Constants({', '.join(f'{c:.4g}' for c in everything)})")
    errors = []
    for source in sources:
        constants, factor = without(measured, source)
        print(f'    "{source}": (Constants({", ".join(f"{c:.4g}" for c in constants)}), {factor:.3f}),')
        for row in (row for row in measured if row.source == source):
            ms = predicted(row, constants)
            errors.append(ms / row.ms - 1)
            known.add_row(source, row.name, f"{row.ms:g}", f"{ms:.1f}", f"{errors[-1]:+.0%}")
    fitted = [predicted(row, everything) / row.ms - 1 for row in measured]
    other = _table("Not used by the fit: libredgetpu", "model", "ms", "predicted", "measured / predicted")
    for name, ms, cycles, parameters, inside, back in LIBREDGETPU:
        row = {"name": name, "source": "", "ms": ms, "mcycles": cycles, "parameters": parameters, "in": inside}
        guess = predicted(_over_usb(row | {"back": back, "streamed": 0.0}), everything)
        other.add_row(name, f"{ms:g}", f"{guess:.1f}", f"{ms / guess:.1f}")
    Console().print(known, other, highlight=False)
    print(f"root mean square: {_rms(fitted):.1%} fitted, {_rms(errors):.1%} with the row's source left out")
    return 0


def _rms(values) -> float:
    return float(np.sqrt(np.mean(np.square(values))))


def _table(title: str, *heads: str) -> Table:
    made = Table(title=title, title_justify="left")
    for head in heads:
        made.add_column(head, justify="left" if head in ("source", "model") else "right")
    return made


if __name__ == "__main__":
    sys.exit(main())
