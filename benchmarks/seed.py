"""Predicts the 0.4 and 15 frames a second that were published for a ReCoNet on this board: python -m benchmarks.seed

Considine and others, 2022: https://samconsidine.com/posts/nst-edge-tpu. What follows a resize on the CPU runs there
too, as a compiled model holds one part for the Edge TPU.
"""

import math

import numpy as np

from benchmarks.latencies import DEEPLAB, MODELS
from trainer.edgetpu import cost, predict
from trainer.sections import Network

SIZE = 216, 512
SEEDS = {"5 blocks, 9x9 ends": Network(blocks=5, first_kernel=9, last_kernel=9), "4 blocks, 3x3 ends": Network()}


def cpu_ms_a_gmac() -> tuple[float, float, float]:
    """(ms, the least, the most) for a GMAC in TensorFlow Lite on the board's Cortex-A53, of the published latencies."""
    gmacs = [(m["macs_conv"] + m["macs_depthwise"] + m["macs_dense"]) / 1e9 for m in MODELS]
    rates = [model["cpu_ms"] / gmac for model, gmac in zip(MODELS, gmacs, strict=True)]
    return math.exp(np.mean(np.log(rates))), min(rates), max(rates)


def resize_ms() -> float:
    """At most this for a million numbers: what is left of DeepLab's published time, which holds an arg-max too."""
    deeplab = cost.Plan([cost.segment([], [(DEEPLAB["bytes_in"], 1)], [(DEEPLAB["bytes_out"] / 4, 4)])])
    dense = (DEEPLAB["macs_conv"] + cost.DEPTHWISE_INPUTS * DEEPLAB["macs_depthwise"]) / cost.MACS_A_CYCLE
    known = predict.tpu(deeplab).ms + dense / 1e6 * predict.ALL.cycles + DEEPLAB["cpu_macs"] / 1e9 * cpu_ms_a_gmac()[0]
    return (DEEPLAB["ms"] - known) / DEEPLAB["cpu_resized"] * 1e6


def main() -> None:
    for name, spec in SEEDS.items():
        split = cost.plans(spec, SIZE)["split"]
        head, *tail = split.segments
        resized = sum(segment.bytes_in for segment in tail) / 1e6 * resize_ms()
        macs = sum(segment.macs for segment in tail) / 1e9
        first = predict.tpu(cost.Plan([head]))
        most = [tpu + macs * rate for tpu, rate in zip(first, cpu_ms_a_gmac(), strict=True)]
        print(
            f"{name}: 0.4 FPS is 2500 ms; predicted {most[0] + resized:.0f} ({most[1]:.0f} to {most[2] + resized:.0f})"
        )
        whole = cost.segment([], [(1, 1)], [(SIZE[0] * SIZE[1], 3)])._replace(
            cycles=sum(s.cycles for s in split.segments),
            parameters=predict.parameters(split),
            bytes_in=head.bytes_in,
            largest=predict.largest(split),
        )
        for what, plan in (
            ("without the decoder's layers", [head]),
            ("all at full size, upsampling for nothing", [whole]),
        ):
            guess = predict.tpu(cost.Plan(plan))
            print(f"{name}: 15 FPS is 67 ms; {what}: predicted {guess.ms:.0f} ({guess.low:.0f} to {guess.high:.0f})")


if __name__ == "__main__":
    main()
