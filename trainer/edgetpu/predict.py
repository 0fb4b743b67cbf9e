"""Predicts how long a network takes on a Coral Dev Board, from latencies that others have published for it.

    python -m trainer.edgetpu.predict

A call takes the sum of three things: convolutions at a share of the array's peak, bytes over PCIe, and a constant.
Convolutions are counted in whole steps of the array (64 rows, 64 columns), so that a layer with 3 output channels costs
as much as one with 64. The coefficients are fitted to MODELS by relative error; the interval around a prediction is the
jackknife+ (Barber et al., "Predictive inference with the jackknife+", 2021) over the models, each left out once.
Nothing here has run on an Edge TPU. See docs/edgetpu.md.
"""

import math
from pathlib import Path
from typing import NamedTuple

import numpy as np
from pydantic import ValidationError
from rich.console import Console
from rich.table import Table
from scipy.optimize import nnls

from appliance.errors import Problem
from appliance.style import bundle
from trainer.edgetpu.published import DEEPLAB, MODELS
from trainer.network import convolutions
from trainer.recipe import Network, Recipe

ARRAY = 64  # rows and columns of the array
PEAK = ARRAY**2 * 500e6  # multiplications a second at 500 MHz: the vendor's 4 TOPS
CACHE = 7.7 * 2**20  # bytes of parameters kept on the chip; compilers' logs show 7.5 to 7.9 MiB
COPY, COPY_SPREAD = 1e9, 2  # bytes a second that NumPy writes on a Cortex-A53: assumed, to a factor of 2 either way
SIZES = ((176, 320), (216, 512), (288, 512), (360, 640))


class Layer(NamedTuple):
    """A convolution: pixels made, taps of the kernel at each, input channels (of one group), output channels."""

    pixels: int
    taps: int
    inputs: int
    outputs: int

    @property
    def macs(self) -> int:
        return math.prod(self)

    @property
    def array_macs(self) -> int:
        """Multiplications in whole steps of the array: taps x inputs fill its rows, outputs its columns."""
        return self.pixels * math.ceil(self.taps * self.inputs / ARRAY) * math.ceil(self.outputs / ARRAY) * ARRAY**2


class Segment(NamedTuple):
    """What one call has to do: multiplications in steps of the array, bytes in, bytes out, bytes of parameters."""

    array_macs: int
    bytes_in: int
    bytes_out: int
    parameters: int


# copied: bytes that NumPy writes a frame. work: in the units that the coefficients are for.
Plan = NamedTuple("Plan", [("segments", list[Segment]), ("copied", int)])
Row = NamedTuple("Row", [("name", str), ("work", tuple[float, ...]), ("ms", float)])
# ms per unit of work (k,); the same without each row (n, k); each row's measured over predicted time then (n,).
Fit = NamedTuple("Fit", [("coefficients", np.ndarray), ("without", np.ndarray), ("ratios", np.ndarray)])


class Prediction(NamedTuple):
    """Milliseconds and their interval. A sum adds up the ends of intervals, as if all erred the same way."""

    ms: float
    low: float
    high: float

    def __str__(self):
        return f"{self.ms:.0f} ({self.low:.0f} to {self.high:.0f})"

    def plus(self, other: "Prediction") -> "Prediction":
        return Prediction(*map(sum, zip(self, other, strict=True)))


def parameters(layers) -> int:
    """Bytes of int8 kernels and int32 biases."""
    return sum(layer.taps * layer.inputs * layer.outputs + 4 * layer.outputs for layer in layers)


def segment(layers, bytes_in: int, bytes_out: int) -> Segment:
    return Segment(sum(layer.array_macs for layer in layers), bytes_in, bytes_out, parameters(layers))


def tpu_work(segments) -> tuple[float, float, float]:
    """(ms at the array's peak, MB over PCIe, calls) of segments that were compiled together and share the cache."""
    streamed = max(0.0, sum(s.parameters for s in segments) - CACHE)
    moved = streamed + sum(s.bytes_in + s.bytes_out for s in segments)
    return 1e3 * sum(s.array_macs for s in segments) / PEAK, moved / 1e6, float(len(segments))


def _published_work(model: dict) -> tuple[float, float, float]:
    return tpu_work([Segment(*(model[key] for key in Segment._fields))])


def tpu_rows() -> list[Row]:
    """The published Edge TPU latencies."""
    return [Row(m["name"], _published_work(m), m["ms"]) for m in MODELS]


def cpu_rows() -> list[Row]:
    """The published latencies of the same models in TensorFlow Lite on the board's Cortex-A53; work is in GMAC."""
    macs = [m["macs_conv"] + m["macs_depthwise"] + m["macs_dense"] for m in MODELS]
    return [Row(m["name"], (n / 1e9,), m["cpu_ms"]) for m, n in zip(MODELS, macs, strict=True)]


def fit(rows: list[Row]) -> np.ndarray:
    """The non-negative coefficients (k,), ms per unit of work, of least squared relative error."""
    relative = np.array([np.divide(row.work, row.ms) for row in rows])
    scale = relative.max(axis=0)
    return nnls(relative / scale, np.ones(len(rows)))[0] / scale


def leave_one_out(rows: list[Row]) -> Fit:
    """The fit, and each row's time against what the others predict for it."""
    without = np.array([fit(rows[:i] + rows[i + 1 :]) for i in range(len(rows))])
    return Fit(fit(rows), without, np.array([row.ms / (k @ row.work) for k, row in zip(without, rows, strict=True)]))


def predict(work, fitted: Fit) -> Prediction:
    """Milliseconds for this work. From n rows, n in n + 1 intervals hold the truth if the work is of their kind."""
    others, spread = fitted.without @ work, np.exp(np.abs(np.log(fitted.ratios)))
    return Prediction(float(fitted.coefficients @ work), float((others / spread).min()), float((others * spread).max()))


def predict_plan(plan: Plan, tpu: Fit) -> Prediction:
    """Milliseconds a frame of a plan, NumPy's copies included; camera and display are not."""
    copy = 1e3 * plan.copied / COPY
    return predict(tpu_work(plan.segments), tpu).plus(Prediction(copy, copy / COPY_SPREAD, copy * COPY_SPREAD))


def _layers(spec: Network, size) -> tuple[list[Layer], Layer, Layer, Layer]:
    """The layers before the first upsample, the decoder's two, the last. Size is (height, width)."""
    pixels, channels, layers = size[0] * size[1], 3, []
    for name, kernel, outputs, stride in convolutions(spec):
        pixels = pixels * 4 if name.startswith("decoder") else pixels // stride**2
        layers.append(Layer(pixels, kernel**2, channels, outputs))
        channels = outputs
    *head, one, two, last = layers
    return head, one, two, last


def plans(spec: Network, size: tuple[int, int], transposed_taps: int = 4) -> dict[str, Plan]:
    """The plans of edgetpu.cost at size (height, width), multiples of 4, in int8.

    A 4x4 transposed convolution of stride 2 needs 4 taps a pixel; a compiler that puts zeros in between spends 16.
    """
    head, one, two, last = _layers(spec, size)
    first, second, third = spec.widths
    pixels, half, quarter = last.pixels, one.pixels, head[-1].pixels
    image, deep, middle, shallow = 3 * pixels, quarter * third, half * second, pixels * first
    wide, wider = Layer(quarter, 9, third, 4 * second), Layer(half, 9, second, 4 * first)
    transposed = [layer._replace(taps=transposed_taps) for layer in (one, two)]
    # In space-to-depth form a kernel of radius r on a picture cut into cells of 4 reaches ceil(r / 4) cells.
    reach = 2 * math.ceil((spec.last_kernel // 2) / 4) + 1
    low = [Layer(quarter, 9, 4 * second, 16 * first), Layer(quarter, reach**2, 16 * first, 48)]
    split = segment(head, image, deep), segment([one], 4 * deep, middle), segment([two, last], 4 * middle, image)
    shuffled = segment([*head, wide], image, middle), segment([wider], middle, shallow)
    return {
        "split": Plan([*split], 4 * (deep + middle)),
        "subpixel": Plan([*shuffled, segment([last], shallow, image)], middle + shallow),
        "fused": Plan([segment([*head, *transposed, last], image, image)], 0),
        "lowres": Plan([segment([*head, wide, *low], image, image)], image),
    }


SEEDS = {"5 blocks, 9x9 ends": Network(blocks=5, first_kernel=9, last_kernel=9), "4 blocks, 3x3 ends": Network()}


def seed_rows(size: tuple[int, int] = (216, 512)) -> list[tuple[str, str, float, Prediction]]:
    """(network, what, FPS published, prediction) for the ReCoNet of Considine and others, 2022, on this board.

    A compiled model holds one part for the TPU, so behind a resize on the CPU all convolutions are there too. A resized
    number is charged what is left of DeepLab's published time, which holds an arg-max too: at most that much.
    """
    tpu, cpu = leave_one_out(tpu_rows()), leave_one_out(cpu_rows())
    known = predict(_published_work(DEEPLAB), tpu).ms + predict((DEEPLAB["cpu_macs"] / 1e9,), cpu).ms
    resize, rows = (DEEPLAB["ms"] - known) / DEEPLAB["cpu_resized"], []
    for name, spec in SEEDS.items():
        head, *tail = _layers(spec, size)
        image, quarter = 3 * size[0] * size[1], head[-1].pixels
        deep = quarter * head[-1].outputs
        resized = resize * 4 * (deep + tail[0].pixels * tail[0].outputs)
        behind = predict((sum(layer.macs for layer in tail) / 1e9,), cpu).plus(Prediction(resized, 0.0, resized))
        small = [*head, *(layer._replace(pixels=quarter) for layer in tail)]
        parts = (head, image, deep), (small, image, 3 * quarter), ([*head, *tail], image, image)
        slow, fast, free = (predict(tpu_work([segment(*part)]), tpu) for part in parts)
        rows.append((name, "upsampling and all behind it on the CPU", 0.4, slow.plus(behind)))
        rows.append((name, "no upsampling: the decoder at a quarter", 15, fast))
        rows.append((name, "all on the TPU, upsampling at no cost", 15, free))
    return rows


def table(spec: Network, sizes=SIZES) -> Table:
    """The predictions for all plans of a network at sizes (height, width)."""
    tpu, rows = leave_one_out(tpu_rows()), []
    for height, width in sizes:
        for name, plan in plans(spec, (height, width)).items():
            (steps, moved, calls), guess = tpu_work(plan.segments), predict_plan(plan, tpu)
            cells = f"{steps * PEAK / 1e12:.1f}", f"{moved:.1f}", f"{calls:.0f}", f"{1e3 * plan.copied / COPY:.1f}"
            rows.append((f"{width}x{height}", name, *cells, str(guess), f"{1e3 / guess.ms:.0f}"))
    heads = ("size", "plan", "array GMAC", "PCIe MB", "calls", "NumPy ms", "ms (interval)", "FPS at most")
    return _table(f"Predicted, not measured: {spec}", heads, rows)


def _table(title, heads, rows) -> Table:
    made = Table(title=title)
    for head in heads:
        made.add_column(head, justify="left" if head in ("plan", "model", "network", "what") else "right")
    for row in rows:
        made.add_row(*row)
    return made


def report(path: Path) -> Table:
    """The predictions for the network of a bundle, at its size. Raises Problem, one line."""
    provenance = bundle.read(path).manifest.provenance
    try:
        recipe = Recipe.model_validate(provenance.get("recipe"))
    except ValidationError as error:
        raise Problem(f"{path}: its provenance holds no recipe that tells the network; export it again") from error
    return table(recipe.network, (recipe.size,))


def main() -> None:
    """Prints what was fitted, each model as the others predict it, the plans and the seed."""
    tpu = leave_one_out(tpu_rows())
    array, link, call = tpu.coefficients
    pairs = zip(tpu_rows(), tpu.ratios, strict=True)
    known = [(row.name, f"{row.ms:g}", f"{row.ms / r:.1f}", f"{1 / r - 1:+.1%}") for row, r in pairs]
    seed = [(name, what, f"{1e3 / fps:.0f}", str(guess)) for name, what, fps, guess in seed_rows()]
    Console().print(
        f"{1 / array:.1%} of the array's peak, {1e3 / link:.0f} MB/s, {call:.2f} ms a call",
        _table("Published, and as the others predict it", ("model", "ms", "predicted", "error"), known),
        table(Network()),
        _table("The seed, predicted", ("network", "what", "published ms", "ms (interval)"), seed),
        highlight=False,
    )


if __name__ == "__main__":
    main()
