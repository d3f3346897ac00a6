"""LSUV: unit signals on held-out data, nothing else touched, reasons for the rest."""

import re

import keras
import numpy as np
import pytest

import keras_initkit as kik
from keras_initkit.analysis.lsuv import Skipped

RNG = np.random.default_rng(0)


def value_of(variable):
    return np.array(keras.ops.convert_to_numpy(variable))


def images(count=128):
    return RNG.normal(size=(count, 32, 32, 3)).astype("float32")


def heldout_stds(model, x):
    report = kik.lsuv(model, x, max_iterations=0, orthonormal=False)
    return {fit.layer: fit.std_after for fit in report.layers}


class Subclassed(keras.Model):
    """Nested, recurrent, attention, time-distributed, an unused layer."""

    def __init__(self):
        super().__init__()
        self.first = keras.layers.Dense(32, "gelu")
        self.inner = keras.Sequential([keras.layers.Dense(32, "sigmoid")])
        self.each = keras.layers.TimeDistributed(keras.layers.Dense(16))
        self.attention = keras.layers.MultiHeadAttention(2, 4)
        self.both = keras.layers.Bidirectional(keras.layers.GRU(4))
        self.unused = keras.layers.Dense(3, name="unused")
        self.unused.build((None, 3))

    def call(self, x):
        y = self.each(self.inner(self.first(x)))
        return self.both(self.attention(y, y))


@pytest.mark.parametrize("activation", ["relu", "tanh", "sigmoid", "gelu"])
def test_every_layer_has_unit_std_on_heldout_images(activation):
    model = kik.models.build("cifar10_cnn", activation=activation, seed=0)
    report = kik.lsuv(model, images(), seed=0)
    assert not report.skipped
    assert [fit.layer for fit in report.layers][-1] == "logits"
    for fit in report.layers:
        assert fit.converged
        assert abs(fit.std_after - 1) <= 0.05
    for layer, std in heldout_stds(model, images()).items():
        assert abs(std - 1) < 0.1, layer  # the fit's 0.05 and as much for sampling


@pytest.mark.parametrize("batch_norm", [True, False])
def test_residual_network(batch_norm):
    model = kik.models.build("cifar10_resnet", seed=0, batch_norm=batch_norm)
    state = [value_of(v) for v in model.non_trainable_variables]
    report = kik.lsuv(model, images(64), seed=0)
    assert len(report.layers) == 22
    for layer, std in heldout_stds(model, images(64)).items():
        assert abs(std - 1) < 0.1, layer
    for before, variable in zip(state, model.non_trainable_variables, strict=True):
        np.testing.assert_array_equal(before, value_of(variable))


def test_recurrent_network_scales_what_enters_the_gates():
    model = kik.models.build("imdb_lstm", seed=0)
    ids = RNG.integers(1, 2000, size=(64, 200))
    report = kik.lsuv(model, ids, seed=0)
    assert [fit.layer for fit in report.layers] == ["embedding", "lstm", "logits"]
    for layer, std in heldout_stds(model, ids).items():
        assert abs(std - 1) <= 0.05, layer
    kernel = value_of(model.get_layer("lstm").cell.recurrent_kernel)
    for block in np.split(kernel, 4, axis=1):
        np.testing.assert_allclose(block @ block.T, np.eye(len(block)), atol=1e-5)


def test_subclassed_and_nested_model():
    model = Subclassed()
    x = RNG.normal(size=(64, 6, 5)).astype("float32")
    report = kik.lsuv(model, x, seed=0)
    assert [fit.layer.rsplit("/", 1)[-1] for fit in report.layers][3:7] == [
        "query",
        "key",
        "value",
        "attention_output",
    ]
    assert len(report.layers) == 9
    assert all(fit.converged for fit in report.layers)
    assert [skip.reason for skip in report.skipped] == [
        "is not called in a forward pass"
    ]
    assert "left alone: unused (is not called" in str(report)


@pytest.mark.slow
def test_mobilenet():
    model = keras.applications.MobileNetV3Small(
        weights=None, input_shape=(64, 64, 3), classes=10
    )
    x = 255 * RNG.uniform(size=(64, 64, 64, 3)).astype("float32")
    report = kik.lsuv(model, x, seed=0)
    assert not report.skipped
    assert len(report.layers) > 50
    assert all(fit.converged for fit in report.layers)


def test_weights_of_layers_not_named_are_bit_equal():
    model = kik.models.build("mnist_mlp", seed=0)
    model.fit(RNG.normal(size=(8, 28, 28, 1)), np.zeros(8), verbose=0)
    before = {v.path: value_of(v) for v in model.variables + model.optimizer.variables}
    report = kik.lsuv(
        model, RNG.normal(size=(64, 28, 28, 1)), layers=["hidden_2"], seed=0
    )
    assert [fit.layer for fit in report.layers] == ["hidden_2"]
    changed = [
        v.path
        for v in model.variables + model.optimizer.variables
        if not np.array_equal(before[v.path], value_of(v))
    ]
    assert changed == ["hidden_2/kernel"]


def test_frozen_layers_are_left_unless_named():
    model = kik.models.build("mnist_mlp", seed=0)
    model.get_layer("hidden_1").trainable = False
    before = value_of(model.get_layer("hidden_1").kernel)
    x = RNG.normal(size=(64, 28, 28, 1))
    report = kik.lsuv(model, x, seed=0)
    np.testing.assert_array_equal(before, value_of(model.get_layer("hidden_1").kernel))
    assert report.skipped == (
        Skipped("hidden_1", "is not trainable; name it in `layers` to treat it"),
    )
    named = kik.lsuv(model, x, layers=["hidden_1"], seed=0)
    assert [fit.layer for fit in named.layers] == ["hidden_1"]


def test_dropout_and_seeds_stay_as_they_are():
    model = keras.Sequential(
        [keras.layers.Dense(16), keras.layers.Dropout(0.5, seed=1)]
    )
    x = RNG.normal(size=(32, 8)).astype("float32")
    model(x, training=True)
    seed = value_of(model.layers[1].seed_generator.state)
    kik.lsuv(model, x, seed=0)
    np.testing.assert_array_equal(seed, value_of(model.layers[1].seed_generator.state))


def test_everything_is_rolled_back_when_the_forward_pass_raises():
    class Failing(keras.layers.Layer):
        armed = False

        def call(self, x):
            if self.armed:
                raise RuntimeError("no")
            return x

    failing = Failing()
    model = keras.Sequential([keras.layers.Dense(4), failing, keras.layers.Dense(2)])
    x = RNG.normal(size=(16, 3)).astype("float32")
    model(x)
    before = [value_of(v) for v in model.variables]
    failing.armed = True
    with pytest.raises(RuntimeError, match="no"):
        kik.lsuv(model, x)
    for value, variable in zip(before, model.variables, strict=True):
        np.testing.assert_array_equal(value, value_of(variable))
    for layer in model.layers:
        assert "call" not in vars(layer)


def test_mean_shift_centres_every_unit():
    model = keras.Sequential([keras.layers.Dense(16, "relu"), keras.layers.Dense(8)])
    x = np.random.default_rng(3).normal(1.0, size=(256, 12)).astype("float32")
    report = kik.lsuv(model, x, mean_shift=True, seed=0)
    z = x @ value_of(model.layers[0].kernel) + value_of(model.layers[0].bias)
    np.testing.assert_allclose(z.mean(axis=0), 0.0, atol=1e-5)
    assert all(fit.converged for fit in report.layers)


def test_layers_that_cannot_be_treated_are_reported():
    inputs = keras.Input((4, 8, 8, 3))
    x = keras.layers.ConvLSTM2D(4, 3, name="film")(inputs)
    x = keras.layers.Conv2D(4, 3, name="blocked")(x * 0.0)
    model = keras.Model(inputs, x)
    before = [value_of(v) for v in model.variables]
    report = kik.lsuv(model, RNG.normal(size=(2, 4, 8, 8, 3)).astype("float32"))
    assert {(skip.layer, skip.reason) for skip in report.skipped} == {
        ("film", "ConvLSTM2D has no single kernel that scales its output"),
        ("blocked", "its signal has the standard deviation 0.0"),
    }
    for value, variable in zip(before, model.variables, strict=True):
        np.testing.assert_array_equal(value, value_of(variable))


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"tolerance": 0.0}, "`tolerance` must be positive. Received: tolerance=0.0."),
        (
            {"max_iterations": -1},
            "`max_iterations` must not be negative. Received: max_iterations=-1.",
        ),
        (
            {"layers": ["d"]},
            "`layers` must name layers of the model. Use one of ('a', 'b'). "
            "Received: ['d'].",
        ),
    ],
)
def test_lsuv_rejects(arguments, message):
    model = keras.Sequential(
        [keras.layers.Dense(4, name="a"), keras.layers.Dense(4, name="b")]
    )
    with pytest.raises(ValueError, match=f"^{re.escape(message)}$"):
        kik.lsuv(model, np.ones((2, 3)), **arguments)
