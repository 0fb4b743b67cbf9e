"""What training minimises: the loss terms, and how each phase weights and adds them."""

from collections.abc import Callable

import jax
import numpy as np
from jaxtyping import Float
from keras import ops

from trainer import flow, losses, network, painterly, palette, perceptual
from trainer.batches import halves, make_batch
from trainer.perceptual import crop
from trainer.recipe import Recipe
from trainer.sections import Style, Weights
from trainer.shapes import Array, Images, Maps, Scalar


def weights(style: Style, loss: Weights) -> dict:
    """A recipe's weights, float32, which the objectives take as constants["weights"]. As inputs of the compiled program
    and not numbers in it, they let recipes that differ in them share one compilation.
    """
    given = {
        "loss": loss.model_dump(),
        "content": list(style.content.values()),
        "style": list(style.weights or [1.0] * len(style.layers)),
    }
    return jax.tree.map(np.float32, given)


def teacher_objective(recipe: Recipe, pair_sources):
    """The teacher's objective, in the form that optimise() takes."""
    assert recipe.teacher
    loss, size, margin = recipe.teacher.loss, recipe.teacher.seen, recipe.teacher.margin

    def objective(call, constants, draws, key):
        batch = make_batch(pair_sources, constants["stores"], draws, key, recipe, crop=size)
        outputs, batch = trimmed(call(batch["noisy"]), batch, margin)
        terms = picture_terms(outputs, batch, constants, recipe.style, key)
        return total(terms, loss, constants["weights"]["loss"])

    return objective


def student_objective(recipe: Recipe, pair_sources, teacher=None):
    """The student's objective: the terms of the picture and, with a teacher (a keras.Model whose weights are
    constants["teacher"]), the distance to the teacher's output.
    """
    phase, reach = recipe.student, network.reach(recipe.network)

    def objective(call, constants, draws, key):
        batch = make_batch(pair_sources, constants["stores"], draws, key, recipe, phase.pixels, phase.seen)
        outputs, batch = trimmed(call(batch["noisy"]), batch, phase.margin)
        terms = picture_terms(outputs, batch, constants, recipe.style, key)
        if teacher is not None:
            target, _ = teacher.stateless_call(constants["teacher"], [], batch["clean"])
            terms["teacher_output"] = losses.content(outputs["image"], target["image"])
            terms["teacher_features"] = losses.content(_centred(outputs["residual"]), _centred(target["residual"]))
        if phase.loss.border:
            terms["border"] = border(call, batch["noisy"], outputs["image"], reach)
        return total(terms, phase.loss, constants["weights"]["loss"])

    return objective


def trimmed(outputs: dict, batch: dict, margin: int) -> tuple[dict, dict]:
    """The network's outputs and the batch without `margin` pixels per side; the mask is 0 where the flow leads out."""
    if not margin:
        return outputs, batch
    height = batch["clean"].shape[1]

    def cut(maps):
        side = margin * maps.shape[1] // height
        return maps[:, side : maps.shape[1] - side, side : maps.shape[2] - side]

    outputs = {name: cut(maps) for name, maps in outputs.items()}
    batch = batch | {name: cut(batch[name]) for name in ("clean", "noisy", "flow", "mask")}
    rows, columns = batch["flow"].shape[1:3]
    batch["mask"] = batch["mask"] * flow.inside(flow.grid(rows, columns) + batch["flow"], rows, columns)
    return outputs, batch


def picture_terms(outputs, batch, constants, style: Style, key) -> dict:
    """The unweighted loss terms of the network's outputs for a batch, by name."""
    images = (outputs["image"] + 1) / 2
    content_layers = tuple(style.content)
    made = perceptual.features(constants["vgg"], images, (*style.layers, *content_layers), "bfloat16")
    target = batch["clean"]
    if style.palette:
        target = palette.recoloured(target, constants["palette"], style.palette)
    simple = painterly.simplified(target, style)
    shown = perceptual.features(constants["vgg"], simple, content_layers, "bfloat16")
    counts = painterly.structure(simple, style.flat) if style.flat < 1 else 1.0
    previous, current = halves(images)
    before, now = halves(batch["clean"])
    return {
        "content": _content(made, shown, counts, style, constants["weights"]["content"]),
        "style": _style(made, images, constants, style, key),
        "tv": losses.total_variation(images),
        "tone": losses.tone(images, simple, counts),
        "colour": losses.colour(images, target),
        "vivid": losses.vivid(images, batch["clean"]),
        "palette": losses.palette(losses.colour_moments(_middle(images)), constants["colours"]),
        "high_pass": losses.high_pass(images),
        "lattice": losses.lattice(images),
        "feature_temporal": _feature_temporal(outputs["encoded"], batch, images.shape[1]),
        "output_temporal": losses.output_temporal(
            current, flow.warp(previous, batch["flow"]), now, flow.warp(before, batch["flow"]), batch["mask"]
        ),
        "frame_difference": losses.frame_difference(current, previous, now, before, batch["plain"])
        + _difference_in_features(made[content_layers[0]], shown[content_layers[0]], batch),
    }


def _content(made: dict, shown: dict, counts: Maps | float, style: Style, weights: list) -> Scalar | float:
    def where(maps):
        return counts if isinstance(counts, float) else ops.image.resize(counts, maps.shape[1:3], "bilinear")

    terms = [losses.content(made[layer], shown[layer], where(shown[layer])) for layer in style.content]
    return sum(w * term for w, term in zip(weights, terms, strict=True)) / sum(weights)


def _difference_in_features(drawn: Maps, shown: Maps, batch: dict) -> Scalar:
    energy = ops.mean(ops.square(ops.cast(shown, "float32")))
    (before, now), (previous, current) = halves(drawn), halves(shown)
    return losses.frame_difference(now, before, current, previous, batch["plain"]) / energy


def _style(made: dict, images: Images, constants: dict, style: Style, key) -> Scalar | float:
    """Mean over scales and weighted layers of the style loss; `made` are the features at full size."""
    samples, grams = [], []
    for scale in style.scales:
        if scale > 1:
            shrunk = flow.downscale(crop(images, scale), scale)
            made = perceptual.features(constants["vgg"], shrunk, style.layers, "bfloat16")
        for i, layer in enumerate(style.layers):
            painting = constants["style"][layer]
            if style.loss == "gram":
                grams.append(losses.style([losses.gram(made[layer])], [painting]))
            else:
                one = jax.random.fold_in(key, 100 * scale + i)
                samples.append(_projections(made[layer], painting, style, one))
    distances = ops.stack(grams) if grams else losses.sliced(*map(ops.stack, zip(*samples, strict=True)))
    return ops.mean(distances * ops.stack([*constants["weights"]["style"]] * len(style.scales)))


def _projections(maps: Maps, painting: Float[Array, "places channels"], style: Style, key) -> tuple:
    """What losses.sliced() compares: random places of maps, and of the painting's features, on random directions."""
    places, theirs, directions = jax.random.split(key, 3)
    batch, height, width, channels = maps.shape
    flat = ops.reshape(maps, (batch, height * width, channels))
    drawn = ops.take(flat, jax.random.randint(places, (style.points,), 0, height * width), axis=1)
    wanted = ops.take(painting, jax.random.randint(theirs, (style.points,), 0, painting.shape[0]), axis=0)
    rays = jax.random.normal(directions, (channels, style.directions))
    rays = rays / ops.norm(rays, axis=0)
    return ops.matmul(ops.cast(drawn, "float32"), rays), ops.matmul(ops.cast(wanted, "float32"), rays)


def border(call: Callable, frames: Images, images: Images, reach: int) -> Scalar:
    """Distance of the picture along a border to the picture there when the frame continues, over its energy.

    call(frames) returns {"image": ...}; images is its output for all frames. Not in the paper: near a border the zero
    padding reveals the position, and a network satisfies the style loss with bands of colour along it.
    """
    # The middle of every second frame, and of that only what its own border cannot affect.
    middle = (slice(1, None, 2), slice(reach, -reach), slice(reach, -reach))
    return losses.content(call(frames[middle])["image"], ops.stop_gradient(images[middle]))


def _middle(images: Images) -> Float[Array, "batch _ _ 3"]:
    # Near a border the zero padding reveals the position, and the network would put all the yellow there, as a frame.
    top, left = images.shape[1] // 4, images.shape[2] // 4
    return images[:, top:-top, left:-left]


def _feature_temporal(encoded: Maps, batch: dict, height: int) -> Scalar:
    """The loss on the encoder's output, which is smaller than the frame; height is the frame's."""
    previous, current = halves(ops.cast(encoded, "float32"))
    stride = height // encoded.shape[1]
    motion = flow.downscale(batch["flow"], stride) / stride
    mask = ops.floor(flow.downscale(batch["mask"], stride))
    return losses.feature_temporal(current, flow.warp(previous, motion), mask)


def _centred(features: Maps) -> Maps:
    # The student rectifies at 0, the teacher at a learned threshold: they differ by a constant.
    features = ops.cast(features, "float32")
    return features - ops.mean(features, axis=(1, 2), keepdims=True)


def total(terms: dict, weights: Weights, given: dict) -> tuple:
    """(the loss, {term: weighted value}, {term: value}). `given` are the weights as the program's inputs."""
    weighted = {name: given[name] * value for name, value in terms.items()}
    # A term without weight is reported, but its gradient is not computed: XLA would not leave out 0.0 * gradient.
    return sum(value for name, value in weighted.items() if getattr(weights, name)), weighted, terms
