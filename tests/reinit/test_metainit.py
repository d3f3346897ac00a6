"""MetaInit: the quotient against its definition, and norms that lower it."""

import re

import keras
import numpy as np
import pytest
import tensorflow as tf

import keras_initkit as kik
from keras_initkit.reinit import gradient_quotient


def small_model(scale=1.0):
    keras.utils.set_random_seed(0)
    model = keras.Sequential(
        [keras.Input((6,)), keras.layers.Dense(8, "tanh"), keras.layers.Dense(3)]
    )
    for layer in model.layers:
        layer.kernel.assign(layer.kernel * scale)
    return model


def data():
    rng = np.random.default_rng(0)
    return rng.normal(size=(16, 6)).astype("float32"), rng.integers(0, 3, 16)


def test_gradient_quotient_is_its_definition_by_the_full_hessian():
    model, (x, y) = small_model(), data()
    loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
    kernels = [layer.kernel.value for layer in model.layers]
    with tf.GradientTape(persistent=True) as outer:
        with tf.GradientTape() as inner:
            value = loss(y, model(x))
        flat = tf.concat(
            [tf.reshape(g, [-1]) for g in inner.gradient(value, kernels)], 0
        )
    rows = [tf.reshape(outer.jacobian(flat, k), (flat.shape[0], -1)) for k in kernels]
    hessian, g = np.concatenate([r.numpy() for r in rows], 1), flat.numpy()
    sign = np.where(g >= 0, 1.0, -1.0)
    expected = np.mean(np.abs((g - hessian @ g) / (g + 1e-5 * sign) - 1))
    actual = gradient_quotient(model, x, y, loss)
    np.testing.assert_allclose(float(actual), expected, rtol=1e-3)


def test_metainit_lowers_the_quotient_and_keeps_directions():
    model, (x, y) = small_model(scale=4.0), data()
    before = [np.array(keras.ops.convert_to_numpy(w)) for w in model.weights]
    report = kik.metainit(model, x, y, steps=40)
    assert report.quotients[-1] < 0.7 * report.quotients[0]
    assert len(report.quotients) == 41
    assert [skip.reason for skip in report.skipped] == [
        "its bias is not a kernel, but 'offset'"
    ] * 2
    for value, weight in zip(before, model.weights, strict=True):
        now = keras.ops.convert_to_numpy(weight)
        if value.ndim == 1:
            np.testing.assert_array_equal(now, value)
        else:
            factor = report.scales[weight.path]
            np.testing.assert_allclose(now, value * factor, rtol=1e-4, atol=1e-6)


def test_metainit_rejects():
    message = "`steps` must be an integer of at least 1. Received: steps=0."
    with pytest.raises(ValueError, match=f"^{re.escape(message)}$"):
        kik.metainit(small_model(), data()[0], steps=0)


def test_metainit_scales_kernels_alone_and_names_the_others():
    model, (x, y) = small_model(), data()
    layer = model.layers[0]
    layer.enable_lora(2)
    before = [w.numpy() for w in layer.weights]
    report = kik.metainit(model, x, y, steps=2)
    for value, weight in zip(before, layer.weights, strict=True):
        np.testing.assert_array_equal(value, weight.numpy())
    assert list(report.scales) == [model.layers[1].kernel.path]
    told = [skip.reason for skip in report.skipped if skip.layer == layer.path]
    assert "its lora_kernel_a is not a kernel, but 'low_rank'" in told
    model.layers[1].trainable = False
    with pytest.raises(ValueError, match="`model` must have trainable kernels"):
        kik.metainit(model, x, y, steps=1)


def test_metainit_takes_the_compiled_loss():
    x, targets = data()[0], np.zeros((16, 3), "float32")
    alike = small_model()
    expected = kik.metainit(
        alike, x, targets, loss=keras.losses.MeanSquaredError(), steps=1
    )
    model = small_model()
    with pytest.raises(
        ValueError, match="`loss` must be given for non-integer targets"
    ):
        kik.metainit(model, x, targets, steps=1)
    model.compile("sgd", "mse")
    found = kik.metainit(model, x, targets, steps=1)
    np.testing.assert_allclose(found.quotients, expected.quotients, rtol=1e-5)
