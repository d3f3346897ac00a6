"""Layers that lead to the output while no gradient leads to them."""

import keras
import numpy as np
import pytest

import keras_initkit as kik

k, ops = keras.layers, keras.ops
X = np.random.default_rng(0).normal(size=(64, 6)).astype("float32")
CUTS = {
    "stop_gradient": ops.stop_gradient,
    "round": ops.round,
    "comparison": lambda x: ops.cast(x > 0, "float32"),
}


def findings_of(model, y):
    """Returns the findings of `NoGradient` before training and while it runs."""
    monitor = kik.SignalMonitor(every=1, on_finding=lambda finding: None)
    before = kik.diagnose(model, X, y).findings
    model.fit(X, y, verbose=0, callbacks=[monitor])
    return [
        [f for f in found if f.rule == "NoGradient"]
        for found in (before, monitor.findings)
    ]


def head_behind(cut):
    inputs = keras.Input((6,))
    x = k.Dense(8, "relu", name="first")(inputs)
    x = k.Lambda(cut)(k.Dense(8, "relu", name="second")(x))
    model = keras.Model(inputs, k.Dense(1, name="head")(x))
    model.compile("sgd", "mse")
    return model


@pytest.mark.filterwarnings("ignore:Gradients do not exist")
@pytest.mark.parametrize("cut", CUTS)
def test_the_layer_ahead_of_a_cut_is_named(cut):
    for found in findings_of(head_behind(CUTS[cut]), X[:, :1]):
        (finding,) = found
        assert (finding.layer, finding.severity) == ("second", "warning")
        assert "(and 1 more)" in finding.message


def test_what_passes_the_gradient_on_is_not():
    assert findings_of(head_behind(ops.tanh), X[:, :1]) == [[], []]


@pytest.mark.filterwarnings("ignore:Gradients do not exist")
def test_an_output_without_a_loss_is_not():
    inputs = keras.Input((6,))
    x = k.Dense(8, "relu")(inputs)
    unused = k.Dense(1, name="unused")(k.Dense(4)(x))
    model = keras.Model(inputs, {"used": k.Dense(1, name="used")(x), "unused": unused})
    model.compile("sgd", {"used": "mse"})
    assert findings_of(model, {"used": X[:, :1]}) == [[], []]


@pytest.mark.filterwarnings("ignore:Gradients do not exist")
def test_a_pooler_that_nothing_takes_is_not():
    inputs = keras.Input((6,))
    x = k.Dense(8, "relu")(inputs)
    backbone = keras.Model(inputs, {"sequence": x, "pooled": k.Dense(4)(x)})
    outer = keras.Input((6,))
    model = keras.Model(outer, k.Dense(1)(backbone(outer)["sequence"]))
    model.compile("sgd", "mse")
    assert findings_of(model, X[:, :1]) == [[], []]


def test_frozen_layers_are_not():
    model = head_behind(ops.stop_gradient)
    for name in ("first", "second"):
        model.get_layer(name).trainable = False
    model.compile("sgd", "mse")
    assert findings_of(model, X[:, :1]) == [[], []]


def test_examples_of_several_labels_are_not_held_against_their_frequencies():
    y = (X[:, :4] > 0).astype("float32")
    model = keras.Sequential(
        [keras.Input((6,)), k.Dense(8, "relu"), k.Dense(4, "softmax")]
    )
    model.compile("adam", "categorical_crossentropy")
    monitor = kik.SignalMonitor(every=5, on_finding=lambda finding: None)
    model.fit(X, y, 8, epochs=30, verbose=0, callbacks=[monitor])
    rules = [finding.rule for finding in kik.review(monitor.record)]
    assert rules[:1] == ["LossActivationMismatch"]
    assert "DamagedTargets" not in rules
