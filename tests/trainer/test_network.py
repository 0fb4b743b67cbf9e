import keras
import numpy as np
import pytest

from trainer import network
from trainer.edgetpu.student import channel_peaks, equalise, fold
from trainer.recipe import Network


def random_thresholds(model, rng):
    for layer in model.layers:
        if isinstance(layer, network.Threshold):
            layer.threshold.assign(rng.normal(0, 0.3, layer.threshold.shape))
        if isinstance(layer, network.Affine):
            layer.scale.assign(rng.uniform(0.5, 1.5, layer.scale.shape))
            layer.shift.assign(rng.normal(0, 0.3, layer.shift.shape))


@pytest.mark.parametrize("norm", ["frn", "instance", "affine"])
def test_shapes_and_range(spec, norm, rng):
    outputs = network.build(spec, norm)(rng.uniform(size=(2, 32, 48, 3)).astype("float32"))
    assert outputs["image"].shape == (2, 32, 48, 3)
    assert outputs["encoded"].shape == outputs["residual"].shape == (2, 8, 12, 8)
    assert np.abs(outputs["image"]).max() <= 1


@pytest.mark.parametrize("norm", ["frn", "instance"])
def test_distilled_start_draws_what_the_teacher_draws_on_its_own_statistics(spec, norm, rng):
    teacher = network.build(spec, norm)
    random_thresholds(teacher, rng)
    teacher.get_layer("image").kernel.assign(rng.normal(0, 0.2, teacher.get_layer("image").kernel.shape))
    frame = rng.uniform(size=(1, 160, 160, 3)).astype("float32")
    student = network.distilled_start(teacher, spec, frame)
    expected, made = (np.asarray(model(frame)["image"])[0, 64:96, 64:96] for model in (teacher, student))
    np.testing.assert_allclose(made, expected, atol=2e-5)  # away from the borders it is exact


def test_students_have_no_normalisation(spec):
    kinds = {type(layer) for layer in network.build(spec, "affine").layers}
    assert not kinds & {network.InstanceNorm, network.FilterResponseNorm, network.Threshold}


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


def test_equalising_changes_ranges_and_not_the_function(spec, rng):
    import tensorflow as tf

    from trainer.edgetpu.convert import forward

    keras.utils.set_random_seed(0)  # some random networks have their spread elsewhere
    student = network.build(spec, "affine")
    random_thresholds(student, rng)
    student.get_layer("encoder2_norm").scale.assign([0.01, 0.1, 1, 1, 1, 1, 1, 10])
    student.get_layer("image").kernel.assign(rng.normal(0, 0.1, student.get_layer("image").kernel.shape))
    frame = rng.uniform(size=(1, 20, 36, 3)).astype("float32")
    folded = fold(student, spec)
    equal = equalise(folded, spec, channel_peaks(student, spec, frame))
    made = forward(equal, spec, tf.constant(frame)).numpy()
    np.testing.assert_allclose(made, student(frame)["image"], atol=1e-5)
    spread = [np.abs(weights["encoder2"][0]).max((0, 1, 2)) for weights in (folded, equal)]
    assert spread[1].max() / spread[1].min() < 0.2 * spread[0].max() / spread[0].min()


@pytest.mark.parametrize("blocks, kernel", [(1, 3), (2, 3), (2, 9)])
def test_a_border_is_felt_as_far_as_said_and_no_further(blocks, kernel, rng):
    spec = Network(widths=(4, 8, 8), blocks=blocks, first_kernel=kernel, last_kernel=kernel)
    model = network.build(spec, "affine")
    for variable in model.trainable_variables:
        variable.assign(rng.normal(0, 0.3, variable.shape))
    drawn = keras.Model(model.input, model.get_layer("image").output)
    frame = rng.uniform(size=(1, 144, 160, 3)).astype("float32")
    reach = network.reach(spec)
    middle = slice(reach, -reach)
    whole, alone = np.asarray(drawn(frame))[0, middle, middle], np.asarray(drawn(frame[:, middle, middle]))[0]
    scale = np.abs(whole).max()
    np.testing.assert_allclose(alone[middle, middle] / scale, whole[middle, middle] / scale, atol=1e-6)
    assert np.abs(alone - whole).max() > 1e-3 * scale
