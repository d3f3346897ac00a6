"""Fixup finds the branches, zeroes their ends and starts from log C."""

import math
import re

import keras
import numpy as np
import pytest

import keras_initkit as kik

k = keras.layers


def value_of(variable):
    return np.array(keras.ops.convert_to_numpy(variable))


def test_residual_network_starts_as_its_shortcuts():
    model = kik.models.build("cifar10_resnet", batch_norm=False, seed=0)
    report = kik.fixup(model, seed=0)
    assert len(report.branches) == 9
    assert report.branches[0] == ("stage1_block1_conv1", "stage1_block1_conv2")
    assert report.zeroed[-1] == "logits"
    assert len(report.zeroed) == 10
    assert report.scaled["stage2_block1_conv1"] == 9**-0.5
    assert report.scaled["stem"] == report.scaled["stage2_block1_shortcut"] == 1.0
    kernel = value_of(model.get_layer("stage3_block2_conv1").kernel)
    expected = math.sqrt(2 / (9 * 64)) / 3
    error = 5 * 0.58 / math.sqrt(kernel.size)
    np.testing.assert_allclose(kernel.std(), expected, rtol=error)
    x = np.random.default_rng(0).normal(size=(8, 32, 32, 3)).astype("float32")
    loss = keras.losses.sparse_categorical_crossentropy(
        np.arange(8), model(x), from_logits=True
    )
    np.testing.assert_allclose(np.mean(loss), math.log(10), rtol=1e-6)


def test_branches_with_normalization_are_left_bit_equal():
    model = kik.models.build("cifar10_resnet", batch_norm=True, seed=0)
    before = [value_of(v) for v in model.variables]
    with pytest.raises(ValueError, match="`model` must have residual branches of two"):
        kik.fixup(model)
    for value, variable in zip(before, model.variables, strict=True):
        np.testing.assert_array_equal(value, value_of(variable))


def test_three_layers_a_branch_and_plus_signs():
    x = inputs = keras.Input((16,))
    for n in range(4):
        y = k.Dense(16, "relu", name=f"a{n}")(x)
        y = k.Dense(16, "relu", name=f"b{n}")(y)
        x = x + k.Dense(16, name=f"c{n}")(y)
    model = keras.Model(inputs, k.Dense(3, name="head")(x))
    report = kik.fixup(model, zero_head=False)
    assert report.branches[1] == ("a1", "b1", "c1")
    assert report.scaled["b2"] == 4**-0.25
    assert report.zeroed == ("c0", "c1", "c2", "c3")
    assert np.any(value_of(model.get_layer("head").kernel))


def test_fixup_rejects_models_without_branches():
    model = keras.Sequential([keras.Input((3,)), k.Dense(2)], name="plain")
    message = (
        "`model` must have residual branches of two or more weight layers without "
        "normalization. Received: 'plain', whose branches are: []."
    )
    with pytest.raises(ValueError, match=f"^{re.escape(message)}$"):
        kik.fixup(model)
    with pytest.raises(ValueError, match="`model` must be a built Functional model"):
        kik.fixup(keras.Sequential([k.Dense(2)]))
