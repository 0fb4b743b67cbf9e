"""The loop that all trainings share: jitted steps in a scan, checkpoints, history, samples and a progress display."""

import contextlib
import time
from collections.abc import Callable, Iterator

import jax
import jax.numpy as jnp
import keras
import numpy as np
from PIL import Image
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

from appliance.errors import Problem
from appliance.files import replacing
from trainer import devices, runs
from trainer.eventlog import EventLog
from trainer.muon import Muon
from trainer.runs import Run
from trainer.sections import Phase

SCAN = 50  # steps per compiled call: enough to hide the host's work, few enough to report progress; 1 on a CPU
CHECKPOINT = 30.0  # seconds
SAMPLES = 2000  # steps
DIVERGED = 100.0  # loss over the lowest so far
OPTIMIZERS = {"adam": keras.optimizers.Adam, "muon": Muon}


class OutOfMemory(Problem):
    """The device's memory is too small for a batch."""


def optimise(
    model: keras.Model,
    objective: Callable,
    constants,
    random_draws: Callable,
    phase: Phase,
    run: Run,
    samples: np.ndarray,
    compute: keras.Model | None = None,
    finished: Callable[[keras.Model], keras.Model] = lambda model: model,
) -> keras.Model:
    """Minimises objective over the model's weights, and saves and returns finished(model).

    objective(call, constants, draws, key) returns (loss, {term: weighted value}, {term: value}); call(frames) runs
    `compute`, the same network as the model in another precision, or the model itself. random_draws(rng) returns a
    tree of arrays for one step. samples (N, H, W, 3) in 0..1 are stylised every SAMPLES steps, to look at. An
    interrupted run continues from its last checkpoint and ends with the same weights, wherever it was interrupted.
    Raises Problem when a term stops being finite, when the loss runs away, and as runs.resume() does.
    """
    scan, state = _compiled(compute or model, model, objective, phase)
    done, state, history = runs.resume(run, state)
    run.folder.mkdir(parents=True, exist_ok=True)
    constants, state = devices.replicate(constants), devices.replicate(state)
    chunk = _chunk()

    def drawn(first):
        return _drawn(random_draws, phase.seed, range(first, min(first + chunk, phase.steps)))

    def now():
        for variable, value in zip(model.trainable_variables, state[0], strict=True):
            variable.assign(value)
        return finished(model)

    saved = time.monotonic()
    columns = [
        TextColumn(run.name),
        BarColumn(),
        MofNCompleteColumn(),
        TimeRemainingColumn(),
        TextColumn("{task.fields[report]}"),
    ]
    with (
        EventLog(run.folder / "tensorboard" / run.name, done) as log,
        Progress(*columns, console=Console(stderr=True)) as progress,
        _in_memory(run.name, phase),
    ):
        task = progress.add_task(run.name, total=phase.steps, completed=done, report="compiling")
        ahead = drawn(done)
        while done < phase.steps:
            began, count = time.monotonic(), min(chunk, phase.steps - done)
            state, (terms, weighted) = scan(constants, state, ahead, jnp.arange(done, done + count))
            ahead = drawn(done + count)  # while the device works
            terms, weighted = ({name: np.asarray(v) for name, v in tree.items()} for tree in (terms, weighted))
            means = {name: float(values.mean()) for name, values in terms.items()}
            log.scalars(done + count, means)
            _check(terms, weighted, done, run.name, min((entry["loss"] for entry in history), default=np.inf))
            done += count
            history.append({"step": done, **means, "seconds": round(time.monotonic() - began, 3)})
            progress.update(task, completed=done, report=f"loss {means['loss']:.3f}")
            if done == phase.steps or time.monotonic() - saved > CHECKPOINT:
                runs.save(run, now(), done, state, history)
                saved = time.monotonic()
            if done // SAMPLES > (done - count) // SAMPLES or done == phase.steps:
                log.picture(done, run.name, _save_sheet(run, now(), samples))
    made = now()
    if runs.steps_saved(run) != done:  # killed between the last checkpoint and the model
        runs.save_model(run, made, done)
    if not run.path("png").exists():  # or before the last picture
        _save_sheet(run, made, samples)
    return made


def _save_sheet(run, model, samples):
    sheet = contact_sheet(model, samples)
    with replacing(run.path("png")) as path:
        sheet.save(path)
    return sheet


def seconds_per_step(
    compute: keras.Model, model: keras.Model, objective: Callable, constants, random_draws: Callable, phase: Phase
) -> float:
    """Seconds of one step on this device, compilation left out; the arguments are those of optimise(). The model is
    not changed. Raises OutOfMemory.
    """
    scan, state = _compiled(compute, model, objective, phase)
    count, times = min(_chunk(), phase.steps), []
    with _in_memory("student", phase):
        constants, state = devices.replicate(constants), devices.replicate(state)
        for _ in range(3):  # the first compiles
            draws = _drawn(random_draws, phase.seed, range(count))
            began = time.monotonic()
            state, report = scan(constants, state, draws, jnp.arange(count))
            jax.block_until_ready(report)
            times.append((time.monotonic() - began) / count)
    return min(times[1:])


def _chunk():
    return 1 if jax.default_backend() == "cpu" else SCAN


def _compiled(compute, model, objective, phase):
    """(the jitted function that takes the steps, its state before the first one)."""
    optimizer = OPTIMIZERS[phase.optimizer](_schedule(phase), global_clipnorm=10.0)
    optimizer.build(model.trainable_variables)
    state = ([v.value for v in model.trainable_variables], [v.value for v in optimizer.variables])
    return jax.jit(steps(compute, optimizer, objective, phase.seed)), state


def _drawn(random_draws, seed, numbers):
    draws = [random_draws(np.random.default_rng([seed, number])) for number in numbers]
    return devices.scatter(jax.tree.map(lambda *arrays: np.stack(arrays), *draws)) if draws else None


@contextlib.contextmanager
def _in_memory(name: str, phase: Phase) -> Iterator[None]:
    try:
        yield
    except jax.errors.JaxRuntimeError as error:
        if "RESOURCE_EXHAUSTED" not in str(error):
            raise
        raise OutOfMemory(
            f"{name}: the GPU's memory is too small for a batch of {phase.batch}; lower batch, or [frame]"
        ) from error


def contact_sheet(model: keras.Model, frames: np.ndarray) -> Image.Image:
    """Frames (N, H, W, 3) in 0..1, each to the left of the model's output."""
    images = (np.asarray(model(frames)["image"]) + 1) / 2
    rows = np.concatenate([frames, images], axis=2)
    return Image.fromarray((rows.reshape(-1, *rows.shape[2:]) * 255).round().astype("uint8"))


def _schedule(phase):
    return keras.optimizers.schedules.CosineDecay(
        phase.learning_rate * 0.05,
        phase.steps,
        alpha=0.005,
        warmup_target=phase.learning_rate,
        warmup_steps=min(200, phase.steps),
    )


def steps(compute, optimizer, objective, seed):
    """The function of (constants, state, draws, step numbers) that takes one step per number."""
    fixed = [variable.value for variable in compute.non_trainable_variables]
    key = jax.random.key(seed)

    def step(carry, inputs):
        constants, (weights, slots) = carry
        draws, index = inputs

        def loss(weights):
            def call(frames):
                return compute.stateless_call(weights, fixed, frames)[0]

            total, weighted, terms = objective(call, constants, draws, jax.random.fold_in(key, index))
            return total, ({"loss": total, **terms}, weighted)

        gradients, report = jax.grad(loss, has_aux=True)(weights)
        return (constants, optimizer.stateless_apply(slots, gradients, weights)), report

    def scan(constants, state, draws, indices):
        (_, state), report = jax.lax.scan(step, (constants, state), (draws, indices))
        return state, report

    return scan


def _check(terms, weighted, first, name, lowest):
    bad = {term: int(np.argmin(np.isfinite(values))) for term, values in terms.items() if not np.isfinite(values).all()}
    if bad:
        step = min(bad.values())
        broke = [term for term, at in bad.items() if at == step and term != "loss"] or ["loss"]
        raise Problem(
            f"{name}: {' and '.join(broke)} is not a number at step {first + step + 1}; "
            "lower learning_rate or that term's weight in the recipe"
        )
    if terms["loss"].mean() > DIVERGED * lowest:
        step = int(np.argmax(terms["loss"] > DIVERGED * lowest))
        worst = max(weighted, key=lambda term: weighted[term][step]) if weighted else "loss"
        value = weighted.get(worst, terms["loss"])[step]
        raise Problem(
            f"{name}: diverged at step {first + step + 1}, where {worst} is {value:.3g} of a loss that was {lowest:.3g}"
            "; lower learning_rate or that term's weight in the recipe"
        )
