"""What the special initializers promise: sub-pixels, sines, gates, priors, depth."""

import math
import re

import keras
import numpy as np
import pytest
from keras import ops

from keras_initkit import initializers as I


def numpy(tensor):
    return ops.convert_to_numpy(tensor)


@pytest.mark.parametrize("order", ["depth_to_space", "pixel_shuffle"])
def test_icnr_upsamples_to_nearest_neighbours(order):
    layer = keras.layers.Conv2D(
        12, 3, padding="same", kernel_initializer=I.ICNR("he_normal", 2, order)
    )
    x = np.random.default_rng(0).normal(size=(1, 4, 4, 5)).astype("float32")
    y = numpy(layer(x))  # (1, 4, 4, 12): 2 x 2 sub-pixels of 3 channels
    if order == "depth_to_space":
        y = y.reshape(1, 4, 4, 2, 2, 3)
    else:
        y = np.moveaxis(y.reshape(1, 4, 4, 3, 2, 2), 3, -1)
    image = y.transpose(0, 1, 3, 2, 4, 5).reshape(1, 8, 8, 3)
    blocks = image[:, ::2, ::2]
    np.testing.assert_allclose(image, blocks.repeat(2, 1).repeat(2, 2), rtol=1e-5)
    assert np.std(blocks) > 0.1


def test_siren_keeps_unit_preactivations_at_any_depth():
    """Pre-activations w0 W x: std 1 behind the first layer; width 1024, 4 samples."""
    rng = np.random.default_rng(0)
    x = rng.uniform(-1, 1, size=(2000, 2)).astype("float32")
    h = np.sin(30 * x @ numpy(I.Siren(first=True, seed=0)((2, 1024))))
    for depth in range(1, 6):
        pre = 30 * h @ numpy(I.Siren(seed=depth)((1024, 1024)))
        h = np.sin(pre)
        # Units are correlated over samples: 1024 units give the independent part.
        assert abs(np.mean(pre**2) - 1) < 5 * math.sqrt(2 / 1024), depth


def test_chrono_bias_spans_the_asked_time_scales():
    bias = numpy(I.ChronoBias(max_steps=100, units=1000, seed=0)((4000,)))
    inputs, forget, cell, output = np.split(bias, 4)
    retention = 1 / (1 + np.exp(-forget))
    assert retention.min() >= 0.5
    assert retention.max() <= 99 / 100 + 1e-6
    np.testing.assert_array_equal(inputs, -forget)
    assert not np.any(cell)
    assert not np.any(output)
    steps = np.exp(forget)  # U(1, 99)
    error = 5 * 98 / math.sqrt(12) / math.sqrt(1000)
    assert abs(steps.mean() - 50) < error


def test_chrono_bias_in_keras_layers_keeps_the_forget_gate():
    lstm = keras.layers.LSTM(
        5, unit_forget_bias=False, bias_initializer=I.ChronoBias(seed=0)
    )
    lstm.build((None, None, 3))
    expected = numpy(I.ChronoBias(units=5, seed=0)((20,)))
    np.testing.assert_array_equal(numpy(lstm.cell.bias), expected)
    for reset_after, shape in ((True, (2, 15)), (False, (15,))):
        gru = keras.layers.GRU(
            5,
            reset_after=reset_after,
            bias_initializer=I.ChronoBias(seed=0),
        )
        gru.build((None, None, 3))
        bias = numpy(gru.cell.bias)
        assert bias.shape == shape
        row = bias[0] if reset_after else bias
        assert np.all(row[:5] > 0)
        assert not np.any(row[5:])


def test_chrono_bias_tells_of_unit_forget_bias():
    layer = keras.layers.LSTM(5, bias_initializer=I.ChronoBias())
    message = (
        "ChronoBias: `shape` must be (20,), the bias of 5 units; an LSTM must have "
        "unit_forget_bias=False, or it requests parts of the bias separately. "
        "Received: shape=(5,)."
    )
    with pytest.raises(ValueError, match=re.escape(message)):
        layer.build((None, None, 3))


def test_unit_forget_bias_is_keras_bias_at_one():
    layer = keras.layers.LSTM(5)
    layer.build((None, None, 3))
    np.testing.assert_array_equal(
        numpy(I.UnitForgetBias(units=5)((20,))), numpy(layer.cell.bias)
    )
    gru = numpy(I.UnitForgetBias(3.0, units=5)((2, 15)))
    np.testing.assert_array_equal(gru, [[3.0] * 5 + [0.0] * 10, [0.0] * 15])


@pytest.mark.parametrize(
    ("prior", "activation"),
    [([0.7, 0.2, 0.1], "softmax"), ([70, 20, 10], "softmax"), (0.01, "sigmoid")],
)
def test_prior_bias_predicts_the_prior(prior, activation):
    bias = I.PriorBias(prior, activation)((3,))
    predicted = numpy(getattr(ops, activation)(bias))
    expected = [0.7, 0.2, 0.1] if activation == "softmax" else [0.01] * 3
    np.testing.assert_allclose(predicted, expected, rtol=1e-5)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (
            ([0.0, 1.0], "softmax"),
            "`class_prior` must be a list of positive numbers for softmax. "
            "Received: class_prior=[0.0, 1.0].",
        ),
        (
            (0.5, "softmax"),
            "`class_prior` must be a list of positive numbers for softmax. "
            "Received: class_prior=0.5.",
        ),
        (
            (1.5,),
            "`class_prior` must lie in (0, 1) for sigmoid. Received: class_prior=1.5.",
        ),
    ],
)
def test_prior_bias_rejects(arguments, message):
    with pytest.raises(ValueError, match=f"^{re.escape(message)}$"):
        I.PriorBias(*arguments)


@pytest.mark.parametrize(("product", "beta"), [("qk", 0.7), ("vo", -0.4)])
def test_mimetic_products_are_the_target(product, beta):
    """Full rank, one head: the product is alpha Z + beta I to rounding."""
    first, second = ("query", "key") if product == "qk" else ("value", "output")
    dim = 200
    left = numpy(I.MimeticAttention(first, heads=1, seed=4)((dim, dim)))
    right = numpy(I.MimeticAttention(second, heads=1, seed=4)((dim, dim)))
    target = left @ (right.T if product == "qk" else right)
    noise = target - beta * np.eye(dim)
    alpha = abs(beta)
    assert abs(np.mean(np.diag(noise))) < 5 * alpha / dim
    error = 5 * 0.71 / dim
    np.testing.assert_allclose(noise.std() * math.sqrt(dim), alpha, rtol=error)


def test_mimetic_attention_fills_a_keras_layer():
    layer = keras.layers.MultiHeadAttention(num_heads=2, key_dim=8)
    x = np.zeros((1, 3, 16), "float32")
    layer(x, x)
    I.mimetic_attention(layer, seed=1)
    query, key = numpy(layer.query_dense.kernel), numpy(layer.key_dense.kernel)
    value, output = numpy(layer.value_dense.kernel), numpy(layer.output_dense.kernel)
    for head in range(2):
        positive = query[:, head] @ key[:, head].T
        assert np.trace(positive) > 0
        assert np.trace(value[:, head] @ output[head]) < 0
        # The best rank 8 of a 16 x 16 target holds more than half of its energy.
        target = numpy(I.MimeticAttention("query", seed=1)((16, 2, 16)))
        again = numpy(I.MimeticAttention("key", seed=1)((16, 2, 16)))
        full = target[:, head] @ again[:, head].T
        assert np.linalg.norm(full - positive) < 0.7 * np.linalg.norm(full)
    with pytest.raises(ValueError, match="`layer` must be a built attention layer"):
        I.mimetic_attention(keras.layers.MultiHeadAttention(2, 8))
    with pytest.raises(ValueError, match="`layer` must be a built attention layer"):
        I.mimetic_attention(keras.layers.Dense(2))


@pytest.mark.parametrize(
    ("rule", "depth", "expected"),
    [
        ("fixup", 16, 16**-0.5),
        ("gpt2", 24, 24**-0.5),
        ("deepnorm", 18, 144**-0.25),
        ("deepnorm_decoder", 6, 72**-0.25),
        ("tfixup_encoder", 6, 0.67 * 6**-0.25),
        ("tfixup_decoder", 6, 54**-0.25),
    ],
)
def test_depth_factor(rule, depth, expected):
    assert I.depth_factor(rule, depth) == pytest.approx(expected, rel=1e-12)


def test_deepnorm_of_an_encoder_and_a_decoder():
    """The constants of the paper's table, for 18 and 6 blocks."""
    found = I.depth_factor("deepnorm_encoder", 18, decoder_depth=6)
    assert found == pytest.approx(0.87 / (18**4 * 6) ** (1 / 16), rel=1e-12)
    one = I.DepthScaled("glorot_normal", 18, "deepnorm_encoder", decoder_depth=6)
    again = type(one).from_config(one.get_config())
    assert again.factor(()) == found
    for arguments in (
        {"rule": "deepnorm_encoder"},
        {"rule": "deepnorm", "decoder_depth": 6},
        {"rule": "deepnorm_encoder", "decoder_depth": 0},
    ):
        with pytest.raises(ValueError, match=r"^`decoder_depth` must be "):
            I.depth_factor(depth=18, **arguments)


def test_depth_factor_of_fixup_counts_the_branch_layers():
    assert I.depth_factor("fixup", 16, branch_layers=3) == 0.5
    message = (
        "`branch_layers` must be an integer of at least 2. Received: branch_layers=1."
    )
    with pytest.raises(ValueError, match=f"^{re.escape(message)}$"):
        I.depth_factor("fixup", 16, branch_layers=1)


def test_mup_readout_variance_falls_with_the_square_of_the_width():
    stds = []
    for width in (256, 1024):
        base = keras.initializers.LecunNormal(seed=1)
        values = numpy(I.MuPReadout(base, 64)((width, 200)))
        expected = math.sqrt(64) / width
        error = 5 * 0.58 / math.sqrt(values.size)
        np.testing.assert_allclose(values.std(), expected, rtol=error)
        stds.append(values.std())
    np.testing.assert_allclose(stds[0] / stds[1], 4.0, rtol=0.05)


def test_activation_scaling_takes_layers_and_functions():
    leaky = I.ActivationScaling(keras.layers.LeakyReLU(negative_slope=0.3))
    assert leaky.gain == pytest.approx(math.sqrt(2 / 1.09), rel=1e-9)
    assert I.ActivationScaling(keras.activations.tanh).gain == pytest.approx(1.592537)
    custom = I.ActivationScaling(lambda x: ops.maximum(x, 0) * 2)
    assert custom.gain == pytest.approx(math.sqrt(0.5), rel=1e-6)
    with pytest.raises(ValueError, match="`activation` must be elementwise"):
        I.ActivationScaling(keras.layers.Softmax())
    with pytest.raises(ValueError, match="`activation` must be an activation layer"):
        I.ActivationScaling(keras.layers.Dense(3))


def test_activation_scaling_keeps_the_signal_through_30_layers():
    """Width 400, 30 layers, 50 inputs: second moment within e^(+-1) of the start."""
    for activation in ("relu", "gelu", "tanh"):
        initializer = I.ActivationScaling(activation)
        x = np.random.default_rng(0).normal(size=(50, 400)).astype("float32")
        glorot = x
        for depth in range(30):
            layer = keras.activations.get(activation)
            w = numpy(I.seeded(initializer, depth, "w")((400, 400)))
            x = numpy(layer(ops.convert_to_tensor(x))) @ w
            g = numpy(keras.initializers.GlorotNormal(seed=depth)((400, 400)))
            glorot = numpy(layer(ops.convert_to_tensor(glorot))) @ g
        # The log second moment walks by sqrt(5 / 400) a ReLU layer: 0.6 after 30.
        assert abs(math.log(np.mean(x**2))) < 3, activation
        assert np.mean(glorot**2) < 0.05, activation


def test_zero_sum_sigmoids_are_an_orthogonal_tanh_net():
    """`z -> W sigmoid(z)` with gain 4 is `u -> Q tanh(u)` in `u = z / 2`, exactly."""
    kernel = numpy(I.ZeroSum(keras.initializers.Orthogonal(4.0, seed=1))((50, 50)))
    np.testing.assert_allclose(kernel.sum(axis=0), 0, atol=1e-5)
    z = np.random.default_rng(0).normal(size=(20, 50))
    through = (1 / (1 + np.exp(-z))) @ kernel
    np.testing.assert_allclose(through / 2, np.tanh(z / 2) @ (kernel / 4), atol=1e-5)
    values = np.linalg.svd(kernel, compute_uv=False)
    np.testing.assert_allclose(values[:-1], 4, rtol=1e-5)
    np.testing.assert_allclose(values[-1], 0, atol=1e-4)


@pytest.mark.parametrize("connections", [1, 2, 15, 64])
def test_few_places_of_a_large_matrix_are_different_and_everywhere(connections):
    """By Floyd's algorithm: each unit has them all, each place is as likely."""
    shape = (2048, 512)
    initializer = I.SparseNormal(connections, seed=3)
    values = numpy(initializer(shape))
    np.testing.assert_array_equal(np.count_nonzero(values, axis=0), connections)
    np.testing.assert_array_equal(values, numpy(initializer(shape)))
    # Halves and quarters of the rows have their share of the connections.
    for parts in (2, 4, 16):
        rows = values.reshape(parts, -1, 512)
        share = np.count_nonzero(rows, axis=(1, 2)) / (connections * 512)
        error = math.sqrt(1 / parts * (1 - 1 / parts) / (connections * 512))
        np.testing.assert_allclose(share, 1 / parts, atol=5 * error)
    present = values[values != 0]
    error = 5 * 0.71 / math.sqrt(present.size)
    np.testing.assert_allclose(present.std(), 1.0, rtol=error)


def test_places_of_floyd_are_all_sets_alike():
    """4 of 7 places: each of the 35 sets as often as any other, by chi squared."""
    from keras_initkit.initializers.structured import _few_places

    places = np.sort(numpy(_few_places(4, 7, 70_000, 5)), axis=0)
    assert places.min() == 0
    assert places.max() == 6
    _, counts = np.unique(places, axis=1, return_counts=True)
    assert len(counts) == math.comb(7, 4)
    expected = 70_000 / 35
    chi_squared = np.sum((counts - expected) ** 2 / expected)
    assert chi_squared < 34 + 5 * math.sqrt(2 * 34)
