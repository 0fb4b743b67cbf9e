"""Curves of a page: matplotlib's, as SVG."""

import io
import json
import math
from pathlib import Path
from typing import Any

import numpy as np

TERMS = ("content", "style", "feature_temporal", "output_temporal")


def losses(folder: Path) -> str:
    """HTML: how the losses of the networks that were trained in the folder fell."""
    figure, axes = pyplot().subplots(1, len(TERMS), figsize=(14, 2.8), layout="constrained")
    for name in ("teacher", "student"):
        path = folder / f"{name}.losses.jsonl"
        history = [json.loads(line) for line in path.read_text().splitlines()] if path.exists() else []
        for term, one in zip(TERMS, axes):
            steps = [entry["step"] for entry in history]
            one.plot(steps, _smooth([entry.get(term, math.nan) for entry in history]), label=name, linewidth=1)
            one.set(title=term, xlabel="step", yscale="log")
    axes[0].legend(fontsize=8)
    return f"<h3>Training</h3>{svg(figure)}"


def _smooth(values, most=200):
    """A running mean over a hundredth of the curve."""
    width = max(1, len(values) // most * 2)
    if not values:
        return []
    padded = np.pad(np.asarray(values), (width // 2, width - 1 - width // 2), mode="edge")
    return np.convolve(padded, np.ones(width) / width, "valid")


def pyplot() -> Any:
    """matplotlib.pyplot, drawing SVG."""
    import matplotlib  # slow, and only the page needs it

    matplotlib.use("svg")
    from matplotlib import pyplot

    return pyplot


def svg(figure: Any) -> str:
    """The figure as an <svg> element; closes it."""
    file = io.StringIO()
    figure.savefig(
        file, format="svg", bbox_inches="tight", metadata={"Date": None, "Creator": None, "Format": None, "Type": None}
    )
    pyplot().close(figure)
    text = file.getvalue()
    return text[text.index("<svg") :]  # without the XML header, whose DTD is a URL
