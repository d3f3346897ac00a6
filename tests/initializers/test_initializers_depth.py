"""What the constants of the depth rules promise, measured at two depths."""

import math

import keras
import numpy as np
import pytest
import tensorflow as tf

from keras_initkit import initializers as I

WIDTH = 64


def draw(base, rule, depth, seed, branch_layers=2):
    initializer = I.DepthScaled(base, depth, rule, branch_layers)
    values = I.seeded(initializer, seed, "w")((WIDTH, WIDTH))
    return tf.Variable(keras.ops.convert_to_numpy(values))


def change_of_one_step(network, weights, rate=1e-3):
    """How far one step of gradient descent moves the outputs, by the rate (rms)."""
    rng = np.random.default_rng(0)
    x = tf.constant(rng.normal(size=(1, WIDTH)).astype("float32"))
    direction = tf.constant(rng.normal(size=(1, WIDTH)).astype("float32"))
    with tf.GradientTape() as tape:
        before = network(x)
        loss = tf.reduce_mean(before * direction)
    for weight, slope in zip(weights, tape.gradient(loss, weights), strict=True):
        weight.assign_sub(rate * slope)
    return float(tf.sqrt(tf.reduce_mean((network(x) - before) ** 2))) / rate


def residual(depth, branch_layers, scaled):
    """ReLU branches whose last kernels are zero; the others He's, by Fixup or not."""
    branches = []
    for n in range(depth):
        count = depth if scaled else 1
        kernels = [
            draw("he_normal", "fixup", count, 100 * n + m, branch_layers)
            for m in range(branch_layers - 1)
        ]
        branches.append([*kernels, tf.Variable(tf.zeros((WIDTH, WIDTH)))])

    def network(x):
        for kernels in branches:
            y = x
            for kernel in kernels[:-1]:
                y = tf.nn.relu(y @ kernel)
            x = x + y @ kernels[-1]
        return x

    return network, [kernel for kernels in branches for kernel in kernels]


@pytest.mark.parametrize("branch_layers", [2, 3])
def test_fixup_makes_the_step_independent_of_depth(branch_layers):
    """`L^(-1/(2m-2))`: L branches, each changed by the square of m - 1 factors."""
    changes = {
        (depth, scaled): change_of_one_step(*residual(depth, branch_layers, scaled))
        for depth in (4, 64)
        for scaled in (True, False)
    }
    assert 0.5 < changes[64, True] / changes[4, True] < 2
    np.testing.assert_allclose(changes[64, False] / changes[4, False], 16, rtol=0.5)


def post_norm(blocks, scaled):
    """Two branches a block, each of two kernels (value, output), normalized after."""
    alpha = (2 * blocks) ** 0.25 if scaled else 1.0
    rule = ("deepnorm", blocks) if scaled else ("gpt2", 1)  # the factor 1
    kernels = [draw("glorot_normal", *rule, seed) for seed in range(4 * blocks)]

    def network(x):
        for value, output in zip(kernels[::2], kernels[1::2], strict=True):
            x = alpha * x + (x @ value) @ output
            x = (x - tf.reduce_mean(x, -1, keepdims=True)) / tf.math.reduce_std(
                x, -1, keepdims=True
            )
        return x

    return network, kernels


def test_deepnorm_bounds_the_step_at_any_depth():
    """Wang et al. 2022: the sum over 2N branches of (v² + w²) / alpha² is 1."""
    for blocks in (1, 18, 1000):
        beta, alpha = I.depth_factor("deepnorm", blocks), (2 * blocks) ** 0.25
        assert 2 * blocks * 2 * beta**2 / alpha**2 == pytest.approx(1, rel=1e-12)
    changes = {
        (blocks, scaled): change_of_one_step(*post_norm(blocks, scaled))
        for blocks in (4, 40)
        for scaled in (True, False)
    }
    assert changes[40, True] < 2 * changes[4, True], changes
    assert changes[40, True] < changes[40, False] / 3, changes


@pytest.mark.parametrize("branches", [4, 100])
def test_gpt2_keeps_the_stream_at_twice_its_start(branches):
    """N branches of unit input, each adding 1 / N to the variance of the stream."""
    rng = np.random.default_rng(branches)
    x = rng.normal(size=(200, WIDTH))
    for n in range(branches):
        normalized = x / np.sqrt(np.mean(x**2, axis=1, keepdims=True))
        kernel = draw("lecun_normal", "gpt2", branches, n).numpy()
        x = x + normalized @ kernel
    # 64 x 64 independent weights: the moment that a kernel adds is uncertain by
    # sqrt(2) / 64 of itself, and over N kernels by less.
    np.testing.assert_allclose(np.mean(x**2), 2, rtol=5 * math.sqrt(2) / WIDTH)
