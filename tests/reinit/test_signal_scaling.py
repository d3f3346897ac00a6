"""Analytic scaling: measured signals near 1 without having seen data."""

import keras
import numpy as np
import pytest

import keras_initkit as kik

k = keras.layers


def stds(model, x):
    report = kik.lsuv(model, x, max_iterations=0, orthonormal=False)
    return {fit.layer: fit.std_after for fit in report.layers}


@pytest.mark.parametrize("activation", ["relu", "tanh", "gelu", "selu", "softsign"])
def test_deep_stack_has_unit_preactivations(activation):
    """Width 256, 20 layers: the log moment walks by at most sqrt(5 / 256) a layer."""
    keras.utils.set_random_seed(1)
    layers = [k.Dense(256, activation, name=f"d{n}") for n in range(20)]
    model = keras.Sequential([keras.Input((256,)), *layers])
    report = kik.preserve_signal(model)
    assert len(report.layers) == 20
    assert not report.skipped
    x = np.random.default_rng(0).normal(size=(64, 256)).astype("float32")
    for layer, std in stds(model, x).items():
        assert abs(2 * np.log(std)) < 5 * np.sqrt(20 * 5 / 256) / 2, layer


@pytest.mark.parametrize("frozen", [False, True])
def test_pretrained_directions_stay_and_unnamed_layers_are_bit_equal(frozen):
    model = kik.models.build("mnist_mlp", seed=0)
    model.get_layer("hidden_2").trainable = not frozen
    before = {v.path: np.array(keras.ops.convert_to_numpy(v)) for v in model.variables}
    report = kik.preserve_signal(model, layers=["hidden_2"])
    assert [row.layer for row in report.layers] == ["hidden_2"]
    for variable in model.variables:
        value = keras.ops.convert_to_numpy(variable)
        if variable.path == "hidden_2/kernel":
            expected = before[variable.path] * report.layers[0].factor
            np.testing.assert_allclose(value, expected, rtol=1e-6)
            assert abs(report.layers[0].factor - 1) > 1e-3
        else:
            np.testing.assert_array_equal(value, before[variable.path])


def test_cnn_with_separable_and_strided_layers():
    keras.utils.set_random_seed(2)
    model = keras.Sequential(
        [
            keras.Input((16, 16, 16)),
            k.Conv2D(64, 3, padding="same", activation="gelu", name="a"),
            k.SeparableConv2D(64, 3, padding="same", activation="tanh", name="b"),
            k.DepthwiseConv2D(3, strides=2, padding="same", name="c"),
            k.Conv2DTranspose(32, 4, strides=2, padding="same", name="d"),
        ]
    )
    assert len(kik.preserve_signal(model).layers) == 4
    x = np.random.default_rng(0).normal(size=(16, 16, 16, 16)).astype("float32")
    for layer, std in stds(model, x).items():
        assert abs(std - 1) < 0.3, layer


def test_what_lies_behind_a_layer_without_a_rule_is_named():
    inputs = keras.Input((9,))
    x = k.Embedding(30, 4, name="table")(inputs)
    x = k.LSTM(3, name="lstm")(x)
    model = keras.Model(inputs, k.Dense(2, name="out")(x))
    report = kik.preserve_signal(model)
    assert {(skip.layer, skip.reason) for skip in report.skipped} == {
        ("table", "is a table, so it has no preactivation to scale"),
        ("lstm", "LSTM has no propagation rule"),
        ("out", "comes after lstm, which has no rule"),
    }
