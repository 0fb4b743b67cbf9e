"""Polishes a trained student: its last two convolutions learn to draw the same pictures without a grid on flat areas,
and in the painting's colours.

Upsampling and output cells leave a grid of 2 to 4 pixels, which is visible on skies and walls but which the style loss
hardly registers. The target is the student's own picture, smoothed where the frame has no detail. With polish.palette
its colours are mapped to the painting's, and with polish.colour things get some of their own back, without coloured
fringes along their edges; polish.vivid and polish.levels then set saturation and contrast. All other layers are frozen,
so polishing takes a few minutes, even on a CPU.

With polish.whole all layers learn, on crops of the frames' middle. There the target knows of no border, but the network
sees zero padding around the crop: it learns to draw no bars along it. With polish.noise too, the network sees noise and
the target does not: strokes that it took from the sensor's noise, and that would crawl in a dark room, go.
"""

import functools
import random
from pathlib import Path

import keras
import numpy as np
from jaxtyping import Float
from rich.console import Console
from rich.progress import Progress
from scipy import ndimage

from appliance.colour import LUMA
from appliance.errors import Problem
from trainer import evaluation, network, runs
from trainer.data import pictures
from trainer.data.contents import contents
from trainer.network import SKIPS
from trainer.recipe import Recipe
from trainer.sections import Network
from trainer.training import check_border

FRAMES = 48
EPOCHS = 8
RATE = 5e-4
WHOLE_EPOCHS, WHOLE_RATE = 16, 1e-4  # with polish.whole
_KERNEL = np.array([1, 4, 6, 4, 1]) / 16  # keeps 1/4 of the amplitude at a period of 4 pixels, 3/4 at 8
_WINDOW = 11  # pixels: the window in which detail is measured
_FLAT = 1 / 4  # of polish.detail: what deviates less is flat
_EDGE = 1.5  # pixels: the deviation of the Gaussian below which luma is sharpened
_SHOULDER = 0.7, 0.96  # of -1..1: where lights and darks bend, and the lightest, which is 250 of 255
_FRINGE = 41, 2e-3  # the guided filter's window, pixels, and the variance of luma that it takes for an edge


def polish(recipe: Recipe, data: Path, out: Path) -> keras.Model:
    """Polishes the recipe's trained student in the folder `out`, once, and saves it there; and its lite student, if it
    has one. Raises Problem.
    """
    known = contents(recipe, data)
    student = _polish(runs.student_run(recipe, out, known), data)
    if recipe.lite:
        _polish(runs.lite_run(recipe, out, known), data)
    return student


def _polish(run: runs.Run, data: Path) -> keras.Model:
    console, recipe = Console(stderr=True), run.recipe
    student, done = runs.load_model(run, recipe.student.steps)
    note = runs.read_note(run.path("json"))
    if note.polished:
        if note.recipe.polish != recipe.polish:
            old, new = (one.polish.model_dump_json() for one in (note.recipe, recipe))
            advice = "restore [polish], or train again with --restart"
            raise Problem(f"{run.path('json')}: polished with {old}, not {new}; {advice}")
        console.print(f"{run.name}: already polished")
        return student
    check_border(recipe)
    photos = pictures.photographs(data / recipe.data.photos, recipe.size)
    known, _ = pictures.split(pictures.centre(photos, recipe.size), recipe.data.held_out)
    before = [student.get_layer(f"{name}_relu").output for name in _before(recipe.network)]
    probe = keras.Model(student.input, [*before, student.output["image"]])
    inputs, drawn, frames = [], [], []
    for photo in known[:: max(1, len(known) // FRAMES)][:FRAMES]:
        frame = evaluation.as_network_sees(photo, evaluation.meter(recipe.frame, recipe.student.pixels))
        *planes, image = (np.asarray(value)[0] for value in probe(frame[None]))
        if not recipe.polish.whole:
            inputs.append([plane.astype("float16") for plane in planes])
        drawn.append(image)
        frames.append(frame)
    if recipe.polish.palette:
        painting, _ = pictures.painting(data / recipe.data.painting, recipe.data.painting_width)
        drawn = list(recoloured(np.stack(drawn), 2 * np.asarray(painting) - 1, recipe.polish.palette))
    if recipe.polish.colour is not None:
        drawn = [coloured(*pair, recipe.polish.colour) for pair in zip(drawn, frames, strict=True)]
    drawn = [graded(image, recipe.polish.vivid, recipe.polish.levels) for image in drawn]
    if recipe.polish.sharp:
        drawn = [sharpened(image, recipe.polish.sharp) for image in drawn]
    wanted = [smoothed(*pair, recipe.polish.detail).astype("float16") for pair in zip(drawn, frames, strict=True)]
    random.seed(recipe.student.seed)
    np.random.seed(recipe.student.seed)
    steps = (WHOLE_EPOCHS if recipe.polish.whole else EPOCHS) * len(frames)
    with Progress(console=console) as progress:
        task = progress.add_task(f"polishing {run.name}", total=steps)
        advance = functools.partial(progress.advance, task)
        if recipe.polish.whole:
            _learn_all(student, frames, wanted, recipe, advance)
        else:
            end = keras.Model(before, student.output["image"])  # the layers that follow, with the student's own weights
            end.compile(_adam(RATE, steps), "mse")
            told = keras.callbacks.LambdaCallback(on_train_batch_end=lambda batch, logs=None: advance())
            planes = [np.stack(plane) for plane in zip(*inputs, strict=True)]
            end.fit(planes, np.stack(wanted), 1, EPOCHS, verbose=0, callbacks=[told])
    runs.save_model(run, student, done, polished=steps)
    return student


def _learn_all(student, frames, wanted, recipe, advance):
    """Trains all layers on random crops, half as wide and high as a frame, or less, which a frame's border cannot
    affect.
    """
    size, reach, stride = frames[0].shape[:2], network.reach(recipe.network), recipe.network.stride
    cut = [min(side // 2, side - 2 * reach) // stride * stride for side in size]
    drawing = keras.Model(student.input, student.output["image"])
    drawing.compile(_adam(WHOLE_RATE, WHOLE_EPOCHS * len(frames)), "mse")
    for _ in range(WHOLE_EPOCHS):
        for i in np.random.permutation(len(frames)):
            top, left = (np.random.randint(reach, size[axis] - reach - cut[axis] + 1) for axis in (0, 1))
            crop = slice(top, top + cut[0]), slice(left, left + cut[1])
            noise = np.random.normal(0, recipe.polish.noise * np.random.uniform(), (*cut, 3)).astype("float32")
            drawing.train_on_batch((frames[i][crop] + noise)[None], wanted[i][crop][None].astype("float32"))
            advance()


def _adam(rate, steps):
    return keras.optimizers.Adam(keras.optimizers.schedules.CosineDecay(rate, steps))


def _before(spec: Network) -> list[str]:
    """The convolutions whose planes the last two compute the picture from."""
    return ["decoder1", SKIPS["decoder2"]] if spec.skips else ["decoder1"]


def recoloured(
    drawn: Float[np.ndarray, "*many 3"], painting: Float[np.ndarray, "*other 3"], share: float = 1.0
) -> Float[np.ndarray, "*many 3"]:
    """`drawn` with the painting's mean colour and covariance, by the linear map that moves colours least (Pitié and
    Kokaram, "The linear Monge-Kantorovitch linear colour mapping", 2007), and no darker or lighter than the painting.
    Both are in -1..1; share 0 changes nothing.
    """
    mean, target = drawn.reshape(-1, 3).mean(0), painting.reshape(-1, 3).mean(0)
    spread = _root(np.cov(drawn.reshape(-1, 3).T) + 1e-6 * np.eye(3))
    back = np.linalg.inv(spread)
    turn = back @ _root(spread @ np.cov(painting.reshape(-1, 3).T) @ spread) @ back
    darkest, lightest = np.percentile(painting.reshape(-1, 3), (0.5, 99.5), axis=0)
    mapped = np.clip((drawn - mean) @ turn + target, darkest, lightest)
    return ((1 - share) * drawn + share * mapped).astype(drawn.dtype)


def _root(matrix):
    values, vectors = np.linalg.eigh(matrix)
    return (vectors * np.sqrt(np.maximum(values, 0))) @ vectors.T


def coloured(
    drawn: Float[np.ndarray, "height width 3"], frame: Float[np.ndarray, "height width 3"], share: float
) -> Float[np.ndarray, "height width 3"]:
    """`drawn`, in -1..1, with other colour differences R - Y and B - Y: `share` of the frame's, which is in 0..1, as
    strong as the picture's, and for the rest the picture's own, smoothed by a guided filter within the frame's edges
    (He, Sun and Tang, TPAMI 2013). Luma stays as it is.
    """
    guide, luma = (image @ np.array(LUMA) for image in (frame, drawn))
    own, things = drawn - luma[..., None], 2 * (frame - guide[..., None])
    things = things * np.sqrt(np.mean(own**2) / max(np.mean(things**2), 1e-6))
    kept = np.stack([_guided(own[..., channel], guide) for channel in range(3)], axis=-1)
    return (luma[..., None] + share * things + (1 - share) * kept).astype(drawn.dtype)


def _guided(values, guide):
    window, edge = _FRINGE

    def mean(array):
        return ndimage.uniform_filter(array, window)

    average, level = mean(guide), mean(values)
    slope = (mean(guide * values) - average * level) / (mean(guide * guide) - average**2 + edge)
    return mean(slope) * guide + mean(level - slope * average)


def graded(
    drawn: Float[np.ndarray, "height width 3"], vivid: float, levels: tuple[float, float]
) -> Float[np.ndarray, "height width 3"]:
    """`drawn`, in -1..1, with R - Y and B - Y times vivid, and luma, in 0..1, stretched from `levels` to 0..1.

    Lights and darks bend towards a limit, as film does: paint is neither pure white nor pure black, and what is cut off
    is a hole in the picture.
    """
    if vivid == 1 and levels == (0, 1):
        return drawn
    luma = drawn @ np.array(LUMA)
    black, white = (2 * level - 1 for level in levels)
    stretched = (2 * luma - black - white) / (white - black)
    bend, limit = _SHOULDER
    size = np.abs(stretched)
    over = np.maximum(size - bend, 0) / (limit - bend)
    bent = np.sign(stretched) * (np.minimum(size, bend) + (limit - bend) * np.tanh(over))
    return np.clip(bent[..., None] + vivid * (drawn - luma[..., None]), -1, 1).astype(drawn.dtype)


def sharpened(drawn: Float[np.ndarray, "height width 3"], amount: float) -> Float[np.ndarray, "height width 3"]:
    """`drawn`, in -1..1, with amount times its finest luma added: an unsharp mask of about 4 pixels."""
    luma = drawn @ np.array(LUMA)
    return np.clip(drawn + amount * (luma - ndimage.gaussian_filter(luma, _EDGE))[..., None], -1, 1)


def smoothed(
    drawn: Float[np.ndarray, "height width 3"], frame: Float[np.ndarray, "height width 3"], full: float
) -> Float[np.ndarray, "height width 3"]:
    """`drawn` without periods below 4 pixels where the frame, in 0..1, is flat; unchanged where the standard deviation
    of its luma is `full` or more.
    """
    luma = frame @ np.array(LUMA)
    variance = ndimage.uniform_filter(luma * luma, _WINDOW) - ndimage.uniform_filter(luma, _WINDOW) ** 2
    deviation = ndimage.maximum_filter(np.sqrt(np.maximum(variance, 0)), _WINDOW // 2)
    detail = np.clip((deviation - _FLAT * full) / (full - _FLAT * full), 0, 1)
    detail = ndimage.gaussian_filter(detail, 3)[..., None]
    smooth = drawn
    for axis in (0, 1):
        smooth = ndimage.convolve1d(smooth, _KERNEL, axis)
    return detail * drawn + (1 - detail) * smooth
