"""How fast a training step is, beside EmptySamurai/pytorch-reconet's on the same GPU, network, size and batch.

    git clone https://github.com/EmptySamurai/pytorch-reconet ../pytorch-reconet
    python -m benchmarks.training --peer ../pytorch-reconet

Ours is all of a step: pairs rendered from photographs with two cut-outs, light and noise, the network, VGG16, every
loss term, Adam. The peer's is its step without its data loader, on a batch that is already on the GPU, in the precision
that it ships with (TF32 convolutions) and, as a harder baseline, in bfloat16 with channels last. The last case is the
training of a shipped student, for which the peer has no counterpart. VGG16's weights are random: they do not change the
time. Median of several runs; pairs per second.
"""

import argparse
import os
import statistics
import sys
import time
from pathlib import Path

os.environ.setdefault("KERAS_BACKEND", "jax")
os.environ.setdefault("XLA_PYTHON_CLIENT_PREALLOCATE", "false")

import jax
import jax.numpy as jnp
import keras
import numpy as np

import trainer
from benchmarks.flops import flops
from trainer import batches, devices, network, objectives, optimise, palette, perceptual
from trainer.data import moving_photos
from trainer.recipe import Recipe, load

PEAK = {"H100": 989e12, "H200": 989e12, "A100": 312e12}  # dense bfloat16, the vendor's datasheets
PUBLISHED = {"widths": (48, 96, 192), "first_kernel": 9, "last_kernel": 9}
SHIPPED = Path(trainer.__file__).parent / "recipes/starry_night.toml"
CASES = (
    ("our network and size: 32/64/128, 3x3 ends, 512x216, batch 4", {}, (512, 216), 4),
    ("the peer's: 48/96/192, 9x9 ends, 640x360, batch 2", PUBLISHED, (640, 360), 2),
)  # title, [network], (width, height), batch


def main(argv=None) -> int:
    parser = argparse.ArgumentParser(prog="benchmarks.training", description=__doc__.split("\n")[0])
    parser.add_argument("--peer", type=Path, default=Path("../pytorch-reconet"), help="a clone of pytorch-reconet")
    parser.add_argument("--steps", type=int, default=50, help="steps in one measurement (default: 50)")
    parser.add_argument("--repeats", type=int, default=5, help="measurements of which the median is taken (default: 5)")
    parser.add_argument("--precision", nargs="+", default=["bfloat16"], help="of ours: bfloat16, float32")
    arguments = parser.parse_args(argv)
    peer = peer_step if (arguments.peer / "train.py").is_file() else None
    if not peer:
        print(
            f"no {arguments.peer}/train.py: git clone https://github.com/EmptySamurai/pytorch-reconet there, or --peer"
        )
    device, ceiling = jax.devices()[0].device_kind, matmul_ceiling()
    peak = next((rate for name, rate in PEAK.items() if name in device), ceiling)
    print(f"{device}: a bf16 matrix product reaches {ceiling / 1e12:.0f} TFLOP/s here; shares are of {peak / 1e12:.0f}")
    for title, spec, size, batch in CASES:
        print(title)
        baseline = None
        for label, options in (("TF32", {}), ("bf16", {"fast": True})) if peer else ():
            seconds = measure(peer(arguments.peer, spec, size, batch, **options), arguments)
            baseline = baseline or seconds
            row(f"  pytorch-reconet, {label}", seconds, batch, baseline)
        for precision in arguments.precision:
            ours(teacher_of(spec, size, batch, precision, arguments.steps), arguments, peak, baseline)
    print(f"a shipped student: {SHIPPED.name}")
    ours(load(SHIPPED), arguments, peak, None)
    if len(jax.devices()) > 1:
        count = len(jax.devices())
        title, spec, size, batch = CASES[0]
        run, _ = our_step(teacher_of(spec, size, batch * count, "bfloat16", arguments.steps), arguments.steps, count)
        row(
            f"  ours on {count} devices, batch {batch * count}",
            measure(run, arguments, arguments.steps),
            batch * count,
            None,
        )
    return 0


def ours(recipe: Recipe, arguments, peak: float, baseline: float | None) -> None:
    run, work = our_step(recipe, arguments.steps, 1)
    seconds = measure(run, arguments, arguments.steps)
    rate, phase = work / seconds, recipe.teacher or recipe.student
    share = f"{work / 1e12:.2f} TFLOP a step, {rate / 1e12:.0f} TFLOP/s, {rate / peak:.1%} of peak"
    row(f"  ours, {phase.precision}", seconds, phase.batch, baseline, share)


def row(name: str, seconds: float, batch: int, baseline: float | None, more: str = "") -> None:
    times = f"{baseline / seconds:5.2f}x" if baseline else " " * 6
    print(f"{name:32} {1e3 * seconds:8.2f} ms {batch / seconds:7.0f} pairs/s  {times}  {more}", flush=True)


def measure(run, arguments, steps: int = 1) -> float:
    """Median seconds of a step; run() takes `steps` of them and returns once they are done."""
    for _ in range(2):
        run()
    calls = max(1, arguments.steps // steps)
    times = []
    for _ in range(arguments.repeats):
        began = time.perf_counter()
        for _ in range(calls):
            run()
        times.append((time.perf_counter() - began) / calls / steps)
    print("  ".join(f"{1e3 * seconds:.2f}" for seconds in times), "ms", file=sys.stderr, flush=True)
    return statistics.median(times)


def matmul_ceiling(side: int = 8192) -> float:
    """FLOP/s of a large bfloat16 matrix product."""
    side = side if jax.default_backend() != "cpu" else 512
    a, b = jax.random.normal(jax.random.key(0), (2, side, side), jnp.bfloat16)
    product = jax.jit(lambda a, b: a @ b)
    product(a, b).block_until_ready()
    times = []
    for _ in range(10):
        began = time.perf_counter()
        product(a, b).block_until_ready()
        times.append(time.perf_counter() - began)
    return 2 * side**3 / statistics.median(times)


def teacher_of(spec: dict, size: tuple[int, int], batch: int, precision: str, steps: int) -> Recipe:
    width, height = size
    return Recipe.model_validate(
        {
            "name": "benchmark",
            "title": "Benchmark",
            "data": {"painting": "none"},
            "network": spec,
            "frame": {"width": width, "height": height},
            "teacher": {"steps": steps, "batch": batch, "precision": precision},
            "student": {"steps": 1},
        }
    )


def our_step(recipe: Recipe, steps: int, count: int):
    """(a function that takes `steps` steps and waits, FLOPs of one step), on `count` devices."""
    phase, colours = recipe.teacher or recipe.student, batches.AS_IT_IS if recipe.teacher else recipe.student.augment
    height, width = recipe.size
    rng = np.random.default_rng(0)
    keras.distribution.set_distribution(None)
    if count > 1:
        devices.spread(phase.batch)
    photos = rng.integers(0, 256, (64, height * 5 // 4, width * 5 // 4, 3), "uint8")
    pairs = [moving_photos.source(photos, recipe.size, recipe.motion, 1.0)]
    painting = rng.uniform(size=(1, 256, 384, 3)).astype("float32")
    weights = objectives.weights(recipe.style, phase.loss)
    constants = devices.replicate(
        {**batches.constants(pairs, _random_vgg(rng), painting, recipe.style), "weights": weights}
        | ({"palette": palette.table(photos[:8] / 255, painting[0])} if recipe.style.palette else {})
    )
    model, compute = (
        network.build(recipe.network, recipe.learns_with, precision) for precision in ("float32", phase.precision)
    )
    optimizer = optimise.OPTIMIZERS[phase.optimizer](1e-4, global_clipnorm=10.0)
    optimizer.build(model.trainable_variables)
    state = ([v.value for v in model.trainable_variables], [v.value for v in optimizer.variables])
    drawn = [batches.random_draws(pairs, rng, phase.batch, recipe.motion, colours) for _ in range(steps)]
    draws = devices.scatter(jax.tree.map(lambda *arrays: np.stack(arrays), *drawn))
    objective = objectives.teacher_objective if recipe.teacher else objectives.student_objective
    scan = optimise.steps(compute, optimizer, objective(recipe, pairs), 0)
    one = jax.tree.map(lambda array: array[:1], draws)
    work = flops(scan, constants, state, one, jnp.arange(1))
    compiled = jax.jit(scan)

    def run():
        nonlocal state
        state, report = compiled(constants, state, draws, jnp.arange(steps))
        assert np.isfinite(np.asarray(report[0]["loss"])).all()

    return run, work


def _random_vgg(rng):
    weights, channels = {}, 3
    for layer in perceptual.LAYERS:
        width = 64 * 2 ** (int(layer[4]) - 1)
        kernel = rng.normal(0, (2 / (9 * channels)) ** 0.5, (3, 3, channels, width))
        weights |= {f"{layer}_kernel": kernel.astype("float32"), f"{layer}_bias": np.zeros(width, "float32")}
        channels = width
    return weights


def peer_step(folder: Path, spec: dict, size: tuple[int, int], batch: int, fast: bool = False):
    """A function that takes one step of pytorch-reconet's train.py (commit a8e7e37) and waits for the GPU.

    The order of its calls is that of its loop; what is called is its own. With fast, under bfloat16 autocast and with
    channels last, which it does not do itself.
    """
    import torch
    import torchvision

    if str(folder) not in sys.path:
        sys.path.insert(0, str(folder))
        plain = torchvision.models.vgg16
        torchvision.models.vgg16 = lambda pretrained=False: plain(weights=None)  # no download
    import model as peer_model
    import train as peer
    import utils
    from vgg import Vgg16

    def reconet():
        first, second, third = spec.get("widths", (32, 64, 128))
        ends, layer = spec.get("first_kernel", 3), peer_model.ConvNormLayer
        net = peer_model.ReCoNet(frn=True)
        residual = [peer_model.ResLayer(third, third, 3, frn=True) for _ in range(4)]
        shapes = ((3, first, ends, 1), (first, second, 3, 2), (second, third, 3, 2))
        net.encoder.layers = torch.nn.Sequential(*(layer(*shape, frn=True) for shape in shapes), *residual)
        net.decoder.layers = torch.nn.Sequential(
            torch.nn.Upsample(scale_factor=2),
            layer(third, second, 3, 1, frn=True),
            torch.nn.Upsample(scale_factor=2),
            layer(second, first, 3, 1, frn=True),
            peer_model.ConvTanhLayer(first, 3, ends, 1),
        )
        return net.cuda()

    net, vgg = reconet(), Vgg16().cuda()
    layout = torch.channels_last if fast else torch.contiguous_format
    net, vgg = net.to(memory_format=layout), vgg.to(memory_format=layout)
    width, height = size
    generator = torch.Generator("cuda").manual_seed(0)
    frames = torch.rand(2, batch, 3, height, width, device="cuda", generator=generator)
    frames = [frame.contiguous(memory_format=layout) for frame in frames]
    forth, back = 4 * torch.randn(2, batch, height, width, 2, device="cuda", generator=generator)
    boundaries = torch.zeros(batch, height, width, dtype=torch.bool, device="cuda")
    with torch.no_grad():
        painting = torch.rand(1, 3, 256, 384, device="cuda", generator=generator)
        grams = [utils.gram_matrix(x) for x in vgg(utils.preprocess_for_vgg(painting))]
    adam = torch.optim.Adam(net.parameters(), lr=1e-4)

    def losses():
        hidden = utils.occlusion_mask_from_flow(forth, back, boundaries)
        seen = []
        for frame in frames:
            pixels = utils.preprocess_for_reconet(frame)
            encoded = net.encoder(pixels)
            image = net.decoder(encoded)
            shown = vgg(utils.preprocess_for_vgg(frame))
            made = vgg(utils.preprocess_for_vgg(utils.postprocess_reconet(image)))
            seen.append((pixels, encoded, image, shown, made))
        (pixels, encoded, image, _, _), (before, encoded_before, image_before, _, _) = seen
        terms = [1e5 * peer.feature_temporal_loss(encoded.float(), encoded_before.float(), back, hidden)]
        terms.append(2e5 * peer.output_temporal_loss(pixels, before, image.float(), image_before.float(), back, hidden))
        for _, _, image, shown, made in seen:
            terms.append(1e4 * peer.content_loss(made[2], shown[2]))
            terms.append(1e5 * peer.style_loss(made, grams))
            terms.append(1e-5 * peer.total_variation(image))
        return utils.tensors_sum(terms)

    def run():
        adam.zero_grad()
        with torch.autocast("cuda", torch.bfloat16, enabled=fast):
            loss = losses()
        loss.backward()
        adam.step()
        torch.cuda.synchronize()

    return run


if __name__ == "__main__":
    sys.exit(main())
