"""Weights of a smaller model out of a larger one's, evenly along each axis."""

import re

import keras
import numpy as np
import pytest

import keras_initkit as kik
from keras_initkit.reinit.weight_selection import evenly, select

k = keras.layers


def numpy(tensor):
    return keras.ops.convert_to_numpy(tensor)


def model(width, classes=3, name="model"):
    x = inputs = keras.Input((8, 8, 3))
    x = k.Conv2D(width, 3, padding="same", activation="relu", name="stem")(x)
    x = k.BatchNormalization(name="norm")(x)
    x = k.Conv2D(width, 3, padding="same", groups=2, name="grouped")(x)
    x = k.DepthwiseConv2D(3, padding="same", name="depthwise")(x)
    x = k.Reshape((8, 8 * width), name="rows")(x)
    x = k.Dense(width, name="dense")(x)
    x = k.MultiHeadAttention(2, width // 2, name="attention")(x, x)
    x = k.GRU(width, name="gru")(x)
    outputs = k.Dense(classes, name="head")(x)
    made = keras.Model(inputs, outputs, name=name)
    rng = np.random.default_rng(0)
    for variable in made.variables:
        if "float" in variable.dtype:
            variable.assign(rng.normal(size=variable.shape))
    return made


@pytest.mark.parametrize(
    ("size", "wanted", "blocks", "expected"),
    [
        (8, 4, 1, [0, 2, 4, 6]),
        (8, 8, 1, [0, 1, 2, 3, 4, 5, 6, 7]),
        (5, 3, 1, [0, 2, 4]),
        (10, 4, 1, [0, 3, 6, 9]),
        (7, 1, 1, [0]),
        (12, 6, 3, [0, 2, 4, 6, 8, 10]),
        (15, 9, 3, [0, 2, 4, 5, 7, 9, 10, 12, 14]),
    ],
)
def test_evenly(size, wanted, blocks, expected):
    np.testing.assert_array_equal(evenly(size, wanted, blocks), expected)


def test_selection_is_a_submatrix_that_keeps_variance():
    rng = np.random.default_rng(0)
    large = rng.normal(size=(60, 90))
    small = select(large, (20, 30))
    np.testing.assert_array_equal(small, large[::3, ::3])
    np.testing.assert_allclose(small.std(), 1, rtol=5 * 0.71 / np.sqrt(600))


def test_each_weight_is_taken_from_its_counterpart():
    small, large = model(8), model(16, classes=10, name="teacher")
    head = numpy(small.get_layer("head").kernel)
    before = [numpy(v) for v in large.variables]
    done = kik.reinitialize(small, from_model=large)
    for one, variable in zip(before, large.variables, strict=True):
        np.testing.assert_array_equal(one, numpy(variable))
    get = {name: (small.get_layer(name), large.get_layer(name)) for name in (
        "stem", "norm", "grouped", "depthwise", "dense", "gru", "attention"
    )}  # fmt: skip

    def same(name, weight, *index):
        ours, theirs = (getattr(layer, weight) for layer in get[name])
        np.testing.assert_array_equal(numpy(ours), numpy(theirs)[index])

    every, second = slice(None), slice(None, None, 2)
    same("stem", "kernel", every, every, every, second)
    same("norm", "moving_variance", second)
    # 8 outputs of 2 groups: of each group every second.
    same("grouped", "kernel", every, every, second, second)
    same("depthwise", "kernel", every, every, second)
    same("dense", "kernel", second, second)
    ours, theirs = (layer.cell for layer in get["gru"])
    np.testing.assert_array_equal(
        numpy(ours.recurrent_kernel), numpy(theirs.recurrent_kernel)[::2, ::2]
    )
    np.testing.assert_array_equal(numpy(ours.bias), numpy(theirs.bias)[:, ::2])
    ours, theirs = (layer.query_dense.kernel for layer in get["attention"])
    np.testing.assert_array_equal(numpy(ours), numpy(theirs)[::2, :, ::2])
    np.testing.assert_array_equal(numpy(small.get_layer("head").kernel), head)
    assert [skip.layer for skip in done.skipped] == ["head"]
    assert "is an output" in done.skipped[0].reason
    assert done.weights[0].initializer == "selected from 'teacher'"
    kik.reinitialize(small, from_model=large, layers="head")
    assert not np.array_equal(numpy(small.get_layer("head").kernel), head)


def test_gates_are_selected_within_each_gate():
    """6 of 9 units of an LSTM: no gate takes a column of another."""
    x = inputs = keras.Input((4, 3))
    models = []
    for units in (6, 9):
        layer = k.LSTM(units, name="lstm")
        models.append(keras.Model(inputs, k.Dense(2, name="head")(layer(x))))
        gates = np.repeat(np.arange(4.0), units)
        layer.cell.kernel.assign(np.tile(gates, (3, 1)))
        layer.cell.bias.assign(gates)
    small, large = models
    lstm = small.get_layer("lstm").cell
    lstm.kernel.assign(0 * lstm.kernel)
    kik.reinitialize(small, from_model=large)
    np.testing.assert_array_equal(numpy(lstm.bias), np.repeat(np.arange(4.0), 6))
    np.testing.assert_array_equal(
        numpy(lstm.kernel), np.tile(np.repeat(np.arange(4.0), 6), (3, 1))
    )


def test_layers_without_counterpart_are_left_alone_and_named():
    def made(*layers):
        return keras.Sequential([keras.Input((9, 4)), *layers, k.Dense(2, name="head")])

    small = made(
        k.Dense(4, name="a"),
        k.Conv1D(4, 3, name="b"),
        k.Dense(8, name="c"),
        k.Dense(4, name="d"),
        k.Dense(4, name="e"),
    )
    large = made(
        k.Dense(8, name="a"),
        k.Conv1D(8, 5, padding="same", name="b"),
        k.Dense(4, name="c"),
        k.Conv1D(8, 1, name="d"),
        k.Dense(8, use_bias=False, name="e"),
    )
    done = kik.reinitialize(small, from_model=large)
    assert done.layers == ("a",)
    told = {skip.layer: skip.reason for skip in done.skipped}
    assert told["b"] == "has other groups or another kernel size in `from_model`"
    assert told["c"] == "has a kernel of (4, 8), in `from_model` (8, 4)"
    assert told["d"] == "is a Dense, in `from_model` a Conv1D"
    assert told["e"] == "has a bias, but not in `from_model`"


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({}, "Exactly one of `plan_or_initializer` and `from_model` must be given."),
        (
            {"plan_or_initializer": "zeros", "from_model": True},
            "Exactly one of `plan_or_initializer` and `from_model` must be given.",
        ),
        ({"from_model": True, "layers": "z"}, "`layers` must name layers of the model"),
        (
            {"from_model": False},
            "`from_model` must have layers with the paths of ",
        ),
    ],
)
def test_refusals(arguments, message):
    small = model(8)
    if "from_model" in arguments:
        other = keras.Sequential([keras.Input((4,)), k.Dense(4, name="other")])
        arguments["from_model"] = model(16) if arguments["from_model"] else other
    before = [numpy(v) for v in small.variables]
    with pytest.raises(ValueError, match=f"^{re.escape(message)}"):
        kik.reinitialize(small, **arguments)
    for one, variable in zip(before, small.variables, strict=True):
        np.testing.assert_array_equal(one, numpy(variable))
