"""A whole frame through each plan of a network on this machine's CPU, beside the same network by others.

The network is The Starry Night's student at its own size; what is timed is the shape, not the picture. Peak memory is
of a process of its own for each plan. Nothing here is about the Edge TPU but the bytes over its boundary, which are
counted. benchmarks/appliance.py runs this.
"""

import itertools
import subprocess
import sys
from pathlib import Path

import numpy as np

from benchmarks.timing import median_ms, rows

ROOT = Path(__file__).parents[1]
WEIGHTS = ROOT / "trainer/weights/starry_night"
PLANS = ("split", "fused", "lowres")
PIXELS = {"": ("rgb", "rgb"), ", yuv to bgrx": ("yuv", "bgrx")}


def whole_frames(repeats: int) -> None:
    """Each plan from frame to picture on the best runtime, and the same network in floating point by others."""
    import tempfile

    from trainer.edgetpu.cost import plan_costs

    with tempfile.TemporaryDirectory() as folder:
        recipe, bundles, weights = make_bundles(Path(folder))
        measured, memory = {}, {}
        for (ends, path), plan in itertools.product(bundles.items(), PLANS):
            command = [sys.executable, "-m", "benchmarks.networks", str(path), plan, str(repeats)]
            ran = subprocess.run(command, capture_output=True, text=True, check=True, cwd=ROOT)
            milliseconds, kilobytes = ran.stdout.split()[-2:]
            measured[f"ours, {plan}, int8{ends}"], memory[plan, ends] = float(milliseconds), int(kilobytes) / 1024
        height, width = recipe.size
        for name, run in peers(weights, recipe).items():
            measured[name] = median_ms(run, max(3, repeats // 5))
        rows(f"a whole frame, {width}x{height}, frame in, picture out", measured, "ours, split, int8")
        print("\nbytes over the Edge TPU's boundary a frame (counted), and peak memory of the process")
        costs = {cost.plan: cost.bytes_in + cost.bytes_out for cost in plan_costs(recipe.network, recipe.size)}
        for (plan, ends), mebibytes in memory.items():
            over = costs[plan] + (width * height if "bgrx" in ends else 0)  # the fourth byte
            print(f"  {plan + ends:24} {over / 1e6:6.2f} MB  {mebibytes:6.0f} MiB")


def make_bundles(folder: Path):
    """(recipe, {key of PIXELS: path of a bundle with all plans}, folded weights), out of the networks kept with the
    trainer.
    """
    import json

    from appliance.camera.virtual import VirtualCamera
    from appliance.frames import cover
    from appliance.style import bundle
    from trainer.edgetpu.convert import convert
    from trainer.edgetpu.export import calibration, ends, staged
    from trainer.edgetpu.sizes import format_of
    from trainer.edgetpu.student import channel_peaks, equalise, fold, for_pixels
    from trainer.recipe import Recipe
    from trainer.runs import load_model, network_run

    recipe = Recipe.model_validate(json.loads((WEIGHTS / "student.json").read_text())["recipe"])
    student, _ = load_model(network_run(recipe, "student", WEIGHTS), 0)
    height, width = recipe.size
    camera = VirtualCamera(paced=False)
    pictures = np.stack([cover(camera.picture(40 * i), (width, height)) for i in range(12)])
    peaks = channel_peaks(student, recipe.network, calibration(pictures, recipe))
    weights = fold(student, recipe.network)
    equal = equalise(weights, recipe.network, peaks)
    about = {"name": "benchmark", "title": "Benchmark", "created": "2026-01-01T00:00:00Z"}
    paths = {}
    for number, (key, pixels) in enumerate(PIXELS.items()):
        files, plans, frames = {"preview.jpg": b"\xff\xd8\xff\xff\xd9"}, [], calibration(pictures, recipe, pixels[0])
        for plan in PLANS:
            whole = convert(for_pixels(equal, *pixels), recipe.network, frames, plan, takes=pixels[0])
            segments, stages = staged(plan, whole, recipe.network)
            files.update(segments)
            plans.append({"name": plan, "stages": stages})
        about["format"] = format_of(plans, files)
        fields = {**about, **ends(recipe, pixels), "plans": plans, "provenance": {}}
        paths[key] = bundle.write(folder / f"benchmark{number}.reconet", fields, files).path
    return recipe, paths, weights


def time_plan(path: Path, plan: str, repeats: int) -> None:
    from appliance.bench import time_plan as timing_of
    from appliance.style import bundle

    timing = timing_of(bundle.read(path), plan, repeats)
    status = Path("/proc/self/status").read_text()  # getrusage would begin with the parent's peak
    print(timing.median, next(line.split()[1] for line in status.splitlines() if line.startswith("VmHWM")))


def peers(weights: dict, recipe) -> dict:
    """Functions that run the same network, float32, on this CPU: TensorFlow Lite, and OpenCV if it is there."""
    import tensorflow as tf

    from appliance.engine.interpreter import runtimes
    from trainer.edgetpu.convert import forward
    from trainer.edgetpu.flatbuffer import pack, unpack

    height, width = recipe.size

    @tf.function(input_signature=[tf.TensorSpec([1, height, width, 3], tf.float32)])
    def network(pixels):
        return forward(weights, recipe.network, pixels)

    data = tf.lite.TFLiteConverter.from_concrete_functions([network.get_concrete_function()]).convert()
    interpreter = runtimes()[0].load(data)
    found = {"TensorFlow Lite, float32": interpreter.invoke}
    try:
        import cv2
    except ImportError:
        print("OpenCV's DNN left out: pip install opencv-python-headless", file=sys.stderr)
        return found
    model = unpack(data)
    graph = model.subgraphs[0]
    graph.outputs = [graph.operators.pop().inputs[0]]  # OpenCV knows no TANH; it is not where the time goes
    dnn = cv2.dnn.readNetFromTFLite(np.frombuffer(pack(model), "uint8"))
    blob = np.random.default_rng(0).uniform(size=(1, 3, height, width)).astype("float32")

    def run():
        dnn.setInput(blob)
        dnn.forward()

    return {**found, f"OpenCV {cv2.__version__} DNN, float32, without tanh": run}


if __name__ == "__main__":  # the process of its own
    time_plan(Path(sys.argv[1]), sys.argv[2], int(sys.argv[3]))
