"""True fans per layer: Keras's value beside ours, for each kind of kernel."""

import math
import re

import keras
import numpy as np
import pytest
from keras import ops

from keras_initkit import initializers as I

k = keras.layers


def built(layer, shape):
    layer.build(shape)
    return layer


def variance(initializer, shape):
    return float(np.var(ops.convert_to_numpy(initializer(shape))))


@pytest.mark.parametrize("cls", [k.DepthwiseConv1D, k.DepthwiseConv2D])
def test_depthwise_keras_is_256_times_too_small(cls):
    rank = 1 if cls is k.DepthwiseConv1D else 2
    layer = cls(3, depthwise_initializer=keras.initializers.HeNormal(seed=1))
    built(layer, (None, *[9] * rank, 256))
    kernel = ops.convert_to_numpy(layer.kernel)
    error = 5 * 0.58 * 2 / math.sqrt(kernel.size)
    keras_value = kernel.var() * 3**rank
    np.testing.assert_allclose(keras_value, 2 / 256, rtol=error)  # true: 2
    ours = I.for_layer(layer, keras.initializers.HeNormal(seed=1))
    assert ours.fans(kernel.shape) == (3**rank, 3**rank)
    np.testing.assert_allclose(variance(ours, kernel.shape) * 3**rank, 2, rtol=error)


def test_depthwise_keeps_the_signal_of_a_network():
    x = np.random.default_rng(0).normal(size=(4, 16, 16, 64)).astype("float32")
    for initializer, expected in (("keras", 2 / 64), ("ours", 2.0)):
        layer = k.DepthwiseConv2D(3)
        base = keras.initializers.HeNormal(seed=1)
        if initializer == "ours":
            base = I.for_layer(layer, base)
        layer = k.DepthwiseConv2D(3, depthwise_initializer=base)
        second = np.mean(ops.convert_to_numpy(layer(x)) ** 2)
        np.testing.assert_allclose(second, expected, rtol=5 * math.sqrt(2 / 64 / 9))


@pytest.mark.parametrize("stride", [1, 2])
def test_transposed_keras_swaps_the_fans_and_ignores_the_stride(stride):
    layer = built(
        k.Conv2DTranspose(
            64,
            3,
            strides=stride,
            kernel_initializer=keras.initializers.HeNormal(seed=1),
        ),
        (None, 8, 8, 32),
    )
    kernel = ops.convert_to_numpy(layer.kernel)  # (3, 3, out, in)
    true_fan = 9 * 32 / stride**2
    error = 5 * 0.58 * 2 / math.sqrt(kernel.size)
    np.testing.assert_allclose(kernel.var() * true_fan, 1 / stride**2, rtol=error)
    ours = I.for_layer(layer, keras.initializers.HeNormal(seed=1))
    assert ours.fans(kernel.shape) == (true_fan, 9 * 64)
    np.testing.assert_allclose(variance(ours, kernel.shape) * true_fan, 2, rtol=error)


@pytest.mark.parametrize("stride", [1, 2, 3])
def test_transposed_output_has_he_variance_inside(stride):
    layer = k.Conv2DTranspose(64, 3, strides=stride, padding="same", use_bias=False)
    initializer = I.for_layer(layer, keras.initializers.HeNormal(seed=1))
    layer.kernel_initializer = initializer
    x = np.random.default_rng(0).normal(size=(8, 12, 12, 64)).astype("float32")
    y = ops.convert_to_numpy(layer(x))[:, stride : -2 * stride, stride : -2 * stride]
    # 64 x 64 x 9 weights set the scale of 64 outputs: 5 errors of their mean square.
    np.testing.assert_allclose(np.mean(y**2), 2.0, rtol=5 * math.sqrt(2 / 64 / 64))


def test_grouped_fan_out_counts_one_group():
    layer = built(
        k.Conv2D(
            64,
            3,
            groups=8,
            kernel_initializer=keras.initializers.VarianceScaling(
                2.0, "fan_out", seed=1
            ),
        ),
        (None, 8, 8, 32),
    )
    kernel = ops.convert_to_numpy(layer.kernel)  # (3, 3, 4, 64)
    true_fan_out = 9 * 64 / 8
    error = 5 * 0.58 * 2 / math.sqrt(kernel.size)
    np.testing.assert_allclose(kernel.var() * true_fan_out, 2 / 8, rtol=error)
    ours = I.for_layer(layer, layer.kernel_initializer)
    assert ours.fans(kernel.shape) == (36, true_fan_out)
    np.testing.assert_allclose(
        variance(ours, kernel.shape) * true_fan_out, 2, rtol=error
    )


def test_fused_gates_glorot_counts_one_gate():
    layer = built(
        k.LSTM(64, kernel_initializer=keras.initializers.GlorotNormal(seed=1)),
        (None, None, 32),
    )
    kernel = ops.convert_to_numpy(layer.cell.kernel)  # (32, 256)
    error = 5 * 0.58 * 2 / math.sqrt(kernel.size)
    np.testing.assert_allclose(kernel.var() * 32, 2 / (32 + 256) * 32, rtol=error)
    for owner in (layer, layer.cell):
        ours = I.for_layer(owner, keras.initializers.GlorotNormal(seed=1))
        assert ours.fans(kernel.shape) == (32, 64)
        expected = 2 / (32 + 64) * 32  # per gate
        np.testing.assert_allclose(
            variance(ours, kernel.shape) * 32, expected, rtol=error
        )


@pytest.mark.parametrize(
    ("layer", "shape", "weight", "fans"),
    [
        (k.Dense(7), (5, 7), "kernel", None),
        (k.Conv2D(7, 3), (3, 3, 5, 7), "kernel", None),
        (k.SimpleRNN(7), (7, 7), "recurrent_kernel", None),
        (k.GRU(7), (5, 21), "kernel", (5, 7)),
        (k.GRUCell(7), (7, 21), "recurrent_kernel", (7, 7)),
        (k.ConvLSTM2D(7, 3), (3, 3, 5, 28), "kernel", (45, 63)),
        (k.SeparableConv2D(7, 3), (3, 3, 5, 1), "depthwise_kernel", (9, 9)),
        (k.SeparableConv2D(7, 3), (1, 1, 5, 7), "pointwise_kernel", None),
        (k.Embedding(1000, 7), (1000, 7), "embeddings", (1, 7)),
        (k.Conv1DTranspose(7, 4, strides=2), (4, 7, 5), "kernel", (10, 28)),
        (
            k.EinsumDense("abc,cde->abde", (None, 4, 3)),
            (5, 4, 3),
            "kernel",
            (5, 12),
        ),
        (
            k.EinsumDense("abcd,cde->abe", (None, 6)),
            (4, 3, 6),
            "kernel",
            (12, 6),
        ),
        (k.EinsumDense("...x,xy->...y", 6), (5, 6), "kernel", None),
        (k.EinsumDense("ax,yx->ay", 6), (6, 5), "kernel", (5, 6)),
    ],
    ids=lambda value: getattr(value, "name", None),
)
def test_for_layer_fans(layer, shape, weight, fans):
    initializer = I.for_layer(layer, "glorot_uniform", weight)
    if fans is None:
        assert type(initializer) is keras.initializers.GlorotUniform
    else:
        assert initializer.fans(shape) == fans


def test_for_layer_packed_projections():
    initializer = I.for_layer(k.Dense(24), "glorot_uniform", blocks=3)
    assert initializer.fans((8, 24)) == (8, 8)
    assert I.for_layer(k.Dense(24), "orthogonal", blocks=3).gates == 3


@pytest.mark.parametrize(
    ("layer", "expected"),
    [
        (k.LSTM(4), I.GateOrthogonal),
        (k.Conv2D(4, 3), I.DeltaOrthogonal),
        (k.Dense(4), keras.initializers.Orthogonal),
        (k.SimpleRNN(4), keras.initializers.Orthogonal),
    ],
    ids=lambda value: getattr(value, "name", None),
)
def test_for_layer_chooses_the_orthogonal_kind(layer, expected):
    initializer = I.for_layer(layer, keras.initializers.Orthogonal(gain=2.0, seed=3))
    assert type(initializer) is expected
    assert initializer.gain == 2.0
    assert initializer.get_config()["seed"] == 3


def test_for_layer_leaves_what_has_no_fans():
    layer = k.DepthwiseConv2D(3)
    for identifier in ("zeros", "random_normal", "truncated_normal"):
        same = I.get(identifier)
        assert type(I.for_layer(layer, identifier)) is type(same)


class Up(k.Conv2DTranspose):
    """A class of one's own."""


@pytest.mark.parametrize(
    ("layer", "weight", "fans", "shape"),
    [
        (k.Bidirectional(k.LSTM(4)), "kernel", (6, 4), (6, 16)),
        (k.RNN(k.GRUCell(4)), "recurrent_kernel", (4, 4), (4, 12)),
        (k.TimeDistributed(k.DepthwiseConv2D(3)), "kernel", (9, 9), (3, 3, 5, 1)),
        (
            k.SpectralNormalization(k.Conv2D(8, 3, groups=2)),
            "kernel",
            (36, 36),
            (3, 3, 4, 8),
        ),
        (Up(4, 3, strides=2), "kernel", (9 * 5 / 4, 36), (3, 3, 4, 5)),
    ],
    ids=lambda value: getattr(value, "name", None),
)
def test_for_layer_finds_the_layer_that_holds_the_weight(layer, weight, fans, shape):
    assert I.for_layer(layer, "glorot_uniform", weight).fans(shape) == fans


def test_tied_embedding_has_the_fans_of_its_projection_onto_logits():
    if not hasattr(k, "ReversibleEmbedding"):
        pytest.skip("this Keras has no ReversibleEmbedding")
    layer = k.ReversibleEmbedding(500, 256)
    layer.build()
    initializer = I.for_layer(
        layer, keras.initializers.LecunNormal(seed=1), "embeddings"
    )
    table = initializer((500, 256))
    hidden = np.random.default_rng(0).normal(size=(400, 256))
    logits = hidden @ ops.convert_to_numpy(table).T
    # 256 weights and 256 features a logit: independent over both.
    np.testing.assert_allclose(logits.std(), 1.0, rtol=5 * math.sqrt(1 / 256 / 100))
    untied = k.ReversibleEmbedding(500, 256, tie_weights=False)
    assert I.for_layer(untied, "he_normal", "embeddings").fans((500, 256)) == (1, 256)
    plain = I.for_layer(untied, "he_normal", "reverse_embeddings")
    assert type(plain) is keras.initializers.HeNormal


def _attention():
    layer = k.MultiHeadAttention(2, 4, name="attention")
    layer.build((None, 3, 8), (None, 3, 8))
    return layer


@pytest.mark.parametrize(
    ("layer", "weight", "message"),
    [
        (_attention(), "kernel", "`layer` must be the layer that holds the weight"),
        (keras.Sequential([k.Dense(2)]), "kernel", "holds several"),
        (k.RNN(k.StackedRNNCells([k.LSTMCell(2)])), "kernel", "`.cells`"),
        (k.StackedRNNCells([k.LSTMCell(2)]), "kernel", "`.cells`"),
        (
            k.Bidirectional(k.LSTM(2), backward_layer=k.GRU(2, go_backwards=True)),
            "kernel",
            "`.forward_layer` or `.backward_layer`",
        ),
        (k.Dense(2), "nonsense", "('kernel', 'bias'). Received: weight='nonsense'."),
        (k.SeparableConv2D(2, 3), "kernel", "'depthwise_kernel', 'pointwise_kernel'"),
        (k.Embedding(5, 2), "kernel", "('embeddings',)"),
        (k.Dense(2, use_bias=False), "bias", "('kernel',)"),
        (k.Lambda(lambda x: x), "kernel", "`kik.structure.register("),
    ],
    ids=lambda value: getattr(value, "name", None),
)
def test_for_layer_refuses_what_it_cannot_know(layer, weight, message):
    for identifier in ("he_normal", "zeros", "orthogonal"):
        with pytest.raises(ValueError, match=re.escape(message)):
            I.for_layer(layer, identifier, weight)


def test_for_layer_refuses_a_name_and_no_initializer():
    with pytest.raises(
        TypeError, match=r"^`layer` must be a Keras layer, not its name"
    ):
        I.for_layer("dense", "he_normal")
    with pytest.raises(ValueError, match=r"^`identifier` must be an initializer"):
        I.for_layer(k.Dense(2), None)


def test_fan_corrected_works_with_every_fan_based_initializer():
    shape = (3, 3, 64, 1)
    for base, expected in (
        (I.FanInUniform(2.0, seed=1), 2 / 27),
        (I.ActivationScaling("relu", seed=1), 2 / 9),
        (keras.initializers.LecunUniform(seed=1), 1 / 9),
        (keras.initializers.GlorotNormal(seed=1), 1 / 9),
    ):
        found = variance(I.FanCorrected(base, "depthwise"), shape)
        np.testing.assert_allclose(found, expected, rtol=5 * 0.58 * 2 / 24)
    message = "`base` must set its variance by a fan. Received: Zeros."
    with pytest.raises(ValueError, match=f"^{re.escape(message)}$"):
        I.FanCorrected("zeros")
