import keras
import numpy as np
import pytest

from appliance.colour import TO_YUV
from appliance.frames import BLACK
from trainer import network
from trainer.edgetpu.student import border, channel_peaks, equalise, fold, for_pixels
from trainer.sections import Network


def random_thresholds(model, rng):
    for layer in model.layers:
        if isinstance(layer, network.Threshold):
            layer.threshold.assign(rng.normal(0, 0.3, layer.threshold.shape))
        if isinstance(layer, network.Affine):
            layer.scale.assign(rng.uniform(0.5, 1.5, layer.scale.shape))
            layer.shift.assign(rng.normal(0, 0.3, layer.shift.shape))


@pytest.mark.parametrize("norm", ["frn", "instance", "batch", "affine"])
def test_shapes_and_range(spec, norm, rng):
    outputs = network.build(spec, norm)(rng.uniform(size=(2, 32, 48, 3)).astype("float32"))
    assert outputs["image"].shape == (2, 32, 48, 3)
    assert outputs["encoded"].shape == outputs["residual"].shape == (2, 8, 12, 8)
    assert np.abs(outputs["image"]).max() <= 1


def test_students_have_no_normalisation(spec):
    kinds = {type(layer) for layer in network.build(spec, "affine").layers}
    assert not kinds & {network.InstanceNorm, network.BatchNorm, network.FilterResponseNorm, network.Threshold}


def test_saved_networks_load_again(spec, tmp_path, rng):
    model = network.build(spec, "frn")
    random_thresholds(model, rng)
    model.save(tmp_path / "model.keras")
    loaded = keras.saving.load_model(tmp_path / "model.keras", compile=False)
    frame = rng.uniform(size=(1, 16, 16, 3)).astype("float32")
    np.testing.assert_array_equal(loaded(frame)["image"], model(frame)["image"])


def test_fold_is_exact_borders_included(spec, rng):
    import tensorflow as tf

    from trainer.edgetpu.convert import forward

    student = network.build(spec, "affine")
    random_thresholds(student, rng)
    student.get_layer("image").kernel.assign(rng.normal(0, 0.1, student.get_layer("image").kernel.shape))
    frame = rng.uniform(size=(1, 20, 36, 3)).astype("float32")
    folded = forward(fold(student, spec), spec, tf.constant(frame)).numpy()
    np.testing.assert_allclose(folded, student(frame)["image"], atol=1e-5)


@pytest.mark.parametrize("takes, gives, skips", [("rgb", "rgb", False), ("rgb", "bgrx", True), ("yuv", "bgrx", True)])
@pytest.mark.parametrize("plan", ["split", "fused", "lowres"])
def test_every_plan_of_a_network_of_cells_draws_what_the_student_draws(plan, takes, gives, skips, rng):
    import tensorflow as tf

    from trainer.edgetpu.convert import bordered, forward

    spec = Network(widths=(4, 6, 8), strides=HALF, blocks=1, first_kernel=5, skips=skips)
    student = network.build(spec, "affine")
    random_thresholds(student, rng)
    student.get_layer("image").kernel.assign(rng.normal(0, 0.1, student.get_layer("image").kernel.shape))
    frame = rng.uniform(size=(1, 24, 40, 3)).astype("float32")
    weights = for_pixels(fold(student, spec), takes, gives)
    seen = frame if takes == "rgb" else (frame @ TO_YUV.T * [219, 224, 224] + BLACK["yuv"]) / 255
    seen = bordered(seen.astype("float32"), border(spec, takes), takes)
    drawn = forward(weights, spec, tf.constant(seen), plan, takes=takes)
    picture = tf.nn.depth_to_space(drawn, spec.stride if plan == "lowres" else spec.cell).numpy()
    picture = picture[..., 2::-1] if gives == "bgrx" else picture
    np.testing.assert_allclose(picture, student(frame)["image"], atol=1e-5)


@pytest.mark.parametrize("skips", [False, True])
def test_equalising_changes_ranges_and_not_the_function(spec, skips, rng):
    import tensorflow as tf

    from trainer.edgetpu.convert import forward

    spec = spec.model_copy(update={"skips": skips})
    keras.utils.set_random_seed(0)  # some random networks have their spread elsewhere
    student = network.build(spec, "affine")
    random_thresholds(student, rng)
    for name in ("encoder2", "decoder1"):  # with skips the two are added
        student.get_layer(f"{name}_norm").scale.assign([0.01, 0.1, 1, 1, 1, 1, 1, 10])
    student.get_layer("image").kernel.assign(rng.normal(0, 0.03, student.get_layer("image").kernel.shape))
    frame = rng.uniform(size=(1, 20, 36, 3)).astype("float32")
    folded = fold(student, spec)
    equal = equalise(folded, spec, channel_peaks(student, spec, frame))
    made = forward(equal, spec, tf.constant(frame)).numpy()
    np.testing.assert_allclose(made, student(frame)["image"], atol=1e-5)
    spread = [np.abs(weights["encoder2"][0]).max((0, 1, 2)) for weights in (folded, equal)]
    assert spread[1].max() / spread[1].min() < 0.2 * spread[0].max() / spread[0].min()


SEED, HALF = (1, 2, 2), (2, 2, 2)


def test_strides_of_2_draw_cells_of_pixels_from_an_eighth(rng):
    spec = Network(widths=(4, 6, 8), strides=HALF, blocks=1, first_kernel=5)
    model = network.build(spec, "affine")
    outputs = model(rng.uniform(size=(1, 32, 48, 3)).astype("float32"))
    assert outputs["image"].shape == (1, 32, 48, 3)
    assert outputs["encoded"].shape == outputs["residual"].shape == (1, 4, 6, 8)
    assert model.get_layer("image").output.shape[-1] == 12
    # Before training all pixels of a cell are alike.
    cells = np.asarray(outputs["image"]).reshape(16, 2, 24, 2, 3)
    np.testing.assert_array_equal(cells, np.broadcast_to(cells[:, :1, :, :1], cells.shape))


def test_cells_are_shuffled_rows_first():
    x = np.arange(2 * 3 * 12, dtype="float32").reshape(1, 2, 3, 12)
    made = np.asarray(network.DepthToSpace(2)(x))
    for row, column, channel in np.ndindex(4, 6, 3):
        phase = (row % 2 * 2 + column % 2) * 3 + channel
        assert made[0, row, column, channel] == x[0, row // 2, column // 2, phase]


@pytest.mark.parametrize("kernel", [3, 5])
def test_a_strided_entry_sees_black_around_the_frame(kernel, rng):
    """An exported network reads a frame with a black border, without padding."""
    import tensorflow as tf

    spec = Network(widths=(4, 6, 8), strides=HALF, blocks=1, first_kernel=kernel)
    model = network.build(spec, "affine")
    first = keras.Model(model.input, model.get_layer("encoder1").output)
    frame = rng.uniform(size=(1, 16, 24, 3)).astype("float32")
    side = kernel // 2
    bordered = np.pad(frame, ((0, 0), (side, side), (side, side), (0, 0)))
    exported = tf.nn.conv2d(bordered, np.asarray(model.get_layer("encoder1").kernel), 2, "VALID")
    np.testing.assert_allclose(first(frame), exported, atol=1e-5)


def test_networks_of_cells_load_again(tmp_path, rng):
    model = network.build(Network(widths=(4, 6, 8), strides=HALF, blocks=1), "affine")
    model.save(tmp_path / "model.keras")
    frame = rng.uniform(size=(1, 16, 16, 3)).astype("float32")
    loaded = keras.saving.load_model(tmp_path / "model.keras", compile=False)
    np.testing.assert_array_equal(loaded(frame)["image"], model(frame)["image"])


@pytest.mark.parametrize(
    "strides, blocks, kernels", [(SEED, 1, (3, 3)), (SEED, 2, (9, 9)), (HALF, 1, (5, 3)), (HALF, 1, (3, 5))]
)
def test_a_border_is_felt_as_far_as_said_and_no_further(strides, blocks, kernels, rng):
    first, last = kernels
    spec = Network(widths=(4, 8, 8), strides=strides, blocks=blocks, first_kernel=first, last_kernel=last)
    model = network.build(spec, "affine")
    for variable in model.trainable_variables:
        variable.assign(rng.normal(0, 0.3, variable.shape))
    drawn = keras.Model(model.input, network.DepthToSpace(spec.cell)(model.get_layer("image").output))
    frame = rng.uniform(size=(1, 144, 160, 3)).astype("float32")
    reach = network.reach(spec)
    middle = slice(reach, -reach)
    whole, alone = np.asarray(drawn(frame))[0, middle, middle], np.asarray(drawn(frame[:, middle, middle]))[0]
    scale = np.abs(whole).max()
    np.testing.assert_allclose(alone[middle, middle] / scale, whole[middle, middle] / scale, atol=1e-6)
    assert np.abs(alone - whole).max() > 1e-3 * scale
