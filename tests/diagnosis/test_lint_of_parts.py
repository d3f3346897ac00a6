"""Lint inside wrappers, cells and layers of one's own: copies, unknown weights."""

import keras
import numpy as np
import pytest
import tensorflow as tf

import keras_initkit as kik

k = keras.layers
KERNEL = {"kernel_initializer": "zeros"}
BOTH = {"recurrent_initializer": "zeros", **KERNEL}
SERIES, PLANE = (5, 6), (8, 8, 3)


def found_in(layer, shape, rule):
    inputs = keras.Input(shape)
    outputs = k.Dense(1)(k.Flatten()(layer(inputs)))
    return [f for f in kik.lint(keras.Model(inputs, outputs)) if f.rule == rule]


SYMMETRIC = {
    "wrapped": (lambda: k.SpectralNormalization(k.Dense(8, "relu", **KERNEL)), (6,)),
    "at each step": (lambda: k.TimeDistributed(k.Dense(8, **KERNEL)), SERIES),
    "wrapped convolution": (
        lambda: k.SpectralNormalization(k.Conv2D(8, 3, **KERNEL)),
        PLANE,
    ),
    "LSTM": (lambda: k.LSTM(8, **BOTH), SERIES),
    "GRU": (lambda: k.GRU(8, **BOTH), SERIES),
    "cell": (lambda: k.RNN(k.SimpleRNNCell(8, **BOTH)), SERIES),
    "convolution in time": (lambda: k.ConvLSTM2D(8, 3, **BOTH), (3, *PLANE)),
    "separable": (
        lambda: k.SeparableConv2D(8, 3, pointwise_initializer="ones"),
        PLANE,
    ),
}


@pytest.mark.parametrize("case", SYMMETRIC)
def test_equal_kernels_are_found_inside(case):
    make, shape = SYMMETRIC[case]
    (finding,) = found_in(make(), shape, "SymmetricUnits")
    assert "its 8 units" in finding.message


def test_both_directions_are_told():
    both = k.Bidirectional(k.LSTM(8, **BOTH))
    assert len(found_in(both, SERIES, "SymmetricUnits")) == 2


@pytest.mark.parametrize(
    ("layer", "shape"),
    [
        (lambda: k.LSTM(8, **KERNEL), SERIES),
        (lambda: k.LSTM(8, recurrent_initializer="zeros"), SERIES),
        (lambda: k.LSTM(1, **BOTH), SERIES),
        (lambda: k.SeparableConv2D(8, 3, depthwise_initializer="zeros"), PLANE),
    ],
    ids=["state differs", "input differs", "one unit", "columns differ"],
)
def test_units_that_one_kernel_tells_apart_are_not_copies(layer, shape):
    assert found_in(layer(), shape, "SymmetricUnits") == []


def test_wrapped_ends_of_branches_may_start_at_zero():
    inputs = keras.Input((6,))
    hidden = k.Dense(6, "relu")(inputs)
    branch = k.SpectralNormalization(k.Dense(6, **KERNEL))(hidden)
    head = k.TimeDistributed(k.Dense(3, **KERNEL))
    outputs = head(k.Reshape((1, 6))(k.add([hidden, branch])))
    rules = [finding.rule for finding in kik.lint(keras.Model(inputs, outputs))]
    assert "SymmetricUnits" not in rules


class Module(tf.Module):
    def __init__(self):
        super().__init__()
        self.weight = tf.Variable(tf.ones((6, 4)))


HELD = {
    "attribute": lambda: tf.Variable(tf.ones((6, 4))),
    "list": lambda: [tf.Variable(tf.ones((6, 4)))],
    "dict": lambda: {"one": (tf.Variable(tf.ones((6, 4))),)},
    "module": Module,
}
KNOWN = {
    "counter": lambda layer: tf.Variable(0, trainable=False),
    "keras": lambda layer: keras.Variable(np.ones((6, 4), "float32")),
    "weight": lambda layer: layer.add_weight(shape=(6, 4)),
    "value of a weight": lambda layer: layer.add_weight(shape=(6, 4)).value,
    "layer": lambda layer: k.Dense(3),
    "number": lambda layer: 3,
}


class Own(k.Layer):
    def __init__(self, make, **options):
        super().__init__(**options)
        self._held = make(self)

    def build(self, shape):
        pass

    def call(self, x):
        return x


def untracked(make):
    model = keras.Sequential([keras.Input((6,)), Own(make, name="own"), k.Dense(1)])
    model.compile("adam", "mse")
    return [f for f in kik.lint(model) if f.rule == "NotTrainable"]


@pytest.mark.parametrize("case", HELD)
def test_variables_that_keras_does_not_know_are_told(case):
    (finding,) = untracked(lambda layer: HELD[case]())
    assert finding.layer.endswith("own")
    assert "holds '_held' as tf.Variable" in finding.message


@pytest.mark.parametrize("case", KNOWN)
def test_variables_that_keras_knows_are_not(case):
    assert untracked(KNOWN[case]) == []


def test_a_model_of_ones_own_is_looked_at_itself():
    class Model(keras.Model):
        def __init__(self):
            super().__init__(name="mine")
            self.scale = tf.Variable(1.0)
            self.dense = k.Dense(1)

        def call(self, x):
            return self.dense(x * self.scale)

    model = Model()
    model(np.zeros((2, 6)))
    (finding,) = [f for f in kik.lint(model) if f.rule == "NotTrainable"]
    assert finding.layer == "mine"
