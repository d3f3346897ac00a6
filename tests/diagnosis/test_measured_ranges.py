"""What structure does not tell is measured: ranges of outputs, inputs once scaled."""

import keras
import numpy as np
import pytest

import keras_initkit as kik

k = keras.layers
RNG = np.random.default_rng(0)
X = RNG.normal(size=(64, 6)).astype("float32")
Y = RNG.integers(0, 3, 64)
LOGITS = keras.losses.SparseCategoricalCrossentropy(from_logits=True)


class Own(keras.Model):
    """A model that shows no graph."""

    def __init__(self, last):
        super().__init__()
        self.first, self.last = k.Dense(8, "relu"), k.Dense(3, last)

    def call(self, x):
        return self.last(self.first(x))


def found(model, rule, x=X):
    findings = kik.diagnose(model, x, Y).findings
    return [(f.severity, f.layer) for f in findings if f.rule == rule]


@pytest.mark.parametrize(
    ("last", "loss", "wrong"),
    [
        (None, "sparse_categorical_crossentropy", True),
        ("softmax", "sparse_categorical_crossentropy", False),
        ("sigmoid", "sparse_categorical_crossentropy", False),
        (None, LOGITS, False),
        (None, "mse", False),
    ],
)
def test_outputs_of_an_unknown_graph_are_measured(last, loss, wrong):
    model = Own(last)
    model.compile("adam", loss)
    mismatches = found(model, "LossActivationMismatch")
    assert mismatches == ([("error", None)] if wrong else [])


def test_what_the_graph_tells_is_told_once():
    model = keras.Sequential([keras.Input((6,)), k.Dense(3, name="head")], name="net")
    model.compile("adam", "sparse_categorical_crossentropy")
    assert found(model, "LossActivationMismatch") == [("error", "net/head")]


def adapted(data):
    layer = k.Normalization(name="norm")
    layer.adapt(data)
    return layer


RAW = X * 300 + 500


@pytest.mark.parametrize(
    ("x", "first", "named"),
    [
        (X / 255, lambda: k.Rescaling(1 / 255, name="again"), "again"),
        (X * 255, lambda: k.Rescaling(1 / 255), None),
        (RAW, lambda: k.Normalization(mean=0.0, variance=1.0, name="norm"), "norm"),
        (RAW, lambda: adapted(RAW), None),
        (RAW, k.BatchNormalization, None),
        (RAW, k.LayerNormalization, None),
    ],
    ids="twice once unadapted adapted batch layer".split(),
)
def test_what_a_scaling_layer_makes_is_measured(x, first, named):
    model = keras.Sequential(
        [keras.Input((6,)), first(), k.Dense(8, "relu"), k.Dense(3)]
    )
    model.compile("adam", LOGITS)
    layers = [layer for _, layer in found(model, "UnscaledInput", x)]
    assert [one.rpartition("/")[2] for one in layers] == ([named] if named else [])


def test_each_of_several_inputs_is_scaled_by_its_own_layer():
    ways = [k.Input((3,)) for _ in range(2)]
    norms = [k.Normalization(mean=0.0, variance=1.0, name=name) for name in ("a", "b")]
    scaled = [norm(way) for norm, way in zip(norms, ways, strict=True)]
    model = keras.Model(ways, k.Dense(3)(k.Concatenate()(scaled)))
    model.compile("adam", LOGITS)
    assert found(model, "UnscaledInput", [RAW[:, :3], X[:, :3]]) == [("warning", "a")]


@pytest.mark.parametrize("axis", [0, -1])
def test_a_softmax_over_the_examples_is_named(axis):
    model = keras.Sequential([keras.Input((6,)), k.Dense(3), k.Softmax(axis=axis)])
    model.compile("adam", "sparse_categorical_crossentropy")
    found = [f for f in kik.lint(model) if f.rule == "LossActivationMismatch"]
    assert ["over axis 0" in f.message for f in found] == [True] * (axis == 0)


@pytest.mark.parametrize(("least", "named"), [(None, True), (1e-3, False)])
def test_a_loss_function_that_makes_nan_is_named(least, named):
    """The logarithm of a negative number is NaN, and its slope is finite."""

    def likelihood(y, p):
        sigma = p[:, 1:] if least is None else keras.ops.softplus(p[:, 1:]) + least
        squares = keras.ops.square((y - p[:, :1]) / sigma)
        return keras.ops.mean(keras.ops.log(sigma) + 0.5 * squares)

    keras.utils.set_random_seed(0)
    model = keras.Sequential([keras.Input((6,)), k.Dense(8, "relu"), k.Dense(2)])
    model.compile("adam", likelihood)
    monitor = kik.SignalMonitor(every=1, on_finding=lambda finding: None)
    before = kik.diagnose(model, X, X[:, :1]).findings
    model.fit(X, X[:, :1], 16, verbose=0, callbacks=[monitor])
    for found in (before, monitor.findings):
        told = [f.message for f in found if f.rule == "NonFinite"]
        assert ["the loss function itself produces it" in one for one in told] == [
            True
        ] * named
