"""Counts and predicts networks of several forms, a row each: python -m benchmarks.topologies

As Markdown, for docs/edgetpu.md: the plan `fused`, from RGB to BGRX, uint8 ends, on a Coral Dev Board. Then every plan
of the network that ships, without skips and with them.
"""

from trainer.edgetpu import cost, predict
from trainer.edgetpu.cost import Layer, Plan
from trainer.sections import Network

SIZE = 360, 640
LARGER = (480, 848), (720, 1280)
COLOURS = 4


def half(*widths: int, skips: bool = False) -> Network:
    return Network(widths=widths, strides=(2, 2, 2), first_kernel=5, skips=skips)


def fused(spec: Network, size: tuple[int, int]) -> Plan:
    return cost.plans(spec, size, COLOURS)["fused"]


def d4(size: tuple[int, int]) -> Plan:
    """A stem of 8x4 with stride 4 to 64 channels, 4 blocks of 192 at an eighth, up to 128 with cells of 4x4."""
    pixels = size[0] * size[1]
    quarter, eighth = pixels // 16, pixels // 64
    layers = [
        Layer(quarter, 32, 3, 64),
        Layer(eighth, 9, 64, 192),
        *[Layer(eighth, 9, 192, 192)] * 8,
        Layer(eighth, 16, 192, 128, makes=4),
        Layer(quarter, 9, 128, 16 * COLOURS),
    ]
    return Plan([cost.segment(layers, [(pixels, 3)], [(quarter, 16 * COLOURS)])], COLOURS * pixels)


def row(name: str, size: tuple[int, int], plan: Plan) -> str:
    pixels = size[0] * size[1]
    (segment,) = plan.segments
    tpu, frame = predict.tpu(plan), predict.frame(plan, pixels)
    cells = (
        f"{name}, {size[1]}x{size[0]}",
        f"{segment.macs / 1e9:.1f}",
        f"{segment.cycles / 1e6:.1f}",
        f"{tpu.ms:.0f} ({tpu.low:.0f} to {tpu.high:.0f})",
        f"{frame.ms:.0f} ({frame.low:.0f} to {frame.high:.0f})",
        f"{1e3 / frame.ms:.0f} ({1e3 / frame.high:.0f} to {1e3 / frame.low:.0f})",
        f"{segment.parameters / 1e6:.1f}",
        f"{segment.largest / 2**20:.1f}",
    )
    return f"| {' | '.join(cells)} |"


def plan_row(name: str, plan: Plan) -> str:
    pixels = SIZE[0] * SIZE[1]
    crossing = sum(segment.bytes_in + segment.bytes_out for segment in plan.segments)
    tpu, frame = predict.tpu(plan), predict.frame(plan, pixels)
    cells = (
        name,
        f"{sum(segment.macs for segment in plan.segments) / 1e9:.2f}",
        f"{(crossing - (3 + COLOURS) * pixels) / 1e6:.2f}",
        f"{plan.copied / 1e6:.2f}",
        f"{tpu.ms:.0f} ({tpu.low:.0f} to {tpu.high:.0f})",
        f"{frame.ms:.0f} ({frame.low:.0f} to {frame.high:.0f})",
    )
    return f"| {' | '.join(cells)} |"


def main() -> None:
    print("| network | GMAC | Mcycles | TPU, ms | frame, ms | frames a second | parameters, MB | largest tensor, MiB |")
    print("|---|---|---|---|---|---|---|---|")
    print(row("full 32/64/128", SIZE, fused(Network(), SIZE)))
    for widths in ((32, 96, 192), (32, 96, 128), (64, 128, 192)):
        print(row(f"half {'/'.join(map(str, widths))}", SIZE, fused(half(*widths), SIZE)))
    print(row("D4", SIZE, d4(SIZE)))
    for size in LARGER:
        print(row("half 32/96/128", size, fused(half(32, 96, 128), size)))
    print()
    print("| plan | GMAC | MB over the boundary beside the image | MB that NumPy writes | TPU, ms | frame, ms |")
    print("|---|---|---|---|---|---|")
    for skips in (False, True):
        for name, plan in cost.plans(half(32, 96, 128, skips=skips), SIZE, COLOURS).items():
            print(plan_row(f"`{name}`, skips" if skips else f"`{name}`", plan))


if __name__ == "__main__":
    main()
