"""Kinds by the layers of a model."""

import keras
import numpy as np
from kinds_base import BATCH, IMAGES, RNG, STEPS, WORDS, Kind, Y, compiled, layers

SERIES = RNG.standard_normal((BATCH * STEPS, 6, 3)).astype(np.float32)
VOLUMES = RNG.standard_normal((BATCH * STEPS, 4, 4, 4, 2)).astype(np.float32)
FILMS = RNG.standard_normal((BATCH * STEPS, 3, 5, 5, 2)).astype(np.float32)
PICTURES = RNG.standard_normal((BATCH * STEPS, 32, 32, 3)).astype(np.float32)


def head(inputs, x, **options):
    return compiled(inputs, layers.Dense(3, name="head")(x), **options)


def residual():
    inputs = layers.Input((10, 10, 3))
    x = layers.Conv2D(4, 3, use_bias=False, name="conv")(inputs)
    x = layers.BatchNormalization(name="bn")(x)
    y = layers.SeparableConv2D(4, 3, padding="same", activation="elu", name="sep")(x)
    x = layers.Add(name="add")([x, y])
    x = layers.Activation("swish", name="swish")(x)
    gate = layers.GlobalAveragePooling2D(keepdims=True, name="squeeze")(x)
    gate = layers.Conv2D(4, 1, activation="sigmoid", name="excite")(gate)
    x = layers.Multiply(name="scale")([x, gate])
    x = layers.Conv2DTranspose(3, 3, name="up")(x)
    x = layers.GlobalAveragePooling2D(name="pool")(x)
    return head(inputs, x)


def convolutions():
    inputs = layers.Input((10, 10, 3))
    x = layers.DepthwiseConv2D(3, depth_multiplier=2, activation="relu", name="d")(
        inputs
    )
    x = layers.Conv2D(4, 3, groups=2, activation="tanh", name="grouped")(x)
    x = layers.ZeroPadding2D(name="pad")(x)
    x = layers.MaxPooling2D(name="max")(x)
    x = layers.UpSampling2D(name="up")(x)
    return head(inputs, layers.Flatten(name="flat")(x))


def convolutions_1d():
    inputs = layers.Input((6, 3))
    x = layers.Conv1D(4, 3, padding="causal", activation="relu", name="conv")(inputs)
    x = layers.SeparableConv1D(4, 3, activation="tanh", name="separable")(x)
    x = layers.Conv1DTranspose(4, 3, strides=2, name="transposed")(x)
    x = layers.DepthwiseConv1D(3, name="depthwise")(x)
    return head(inputs, layers.GlobalMaxPooling1D(name="pool")(x))


def convolutions_3d():
    inputs = layers.Input((4, 4, 4, 2))
    x = layers.Conv3D(3, 2, activation="relu", name="conv")(inputs)
    x = layers.Conv3DTranspose(2, 2, activation="sigmoid", name="transposed")(x)
    return head(inputs, layers.Flatten(name="flat")(x))


def normalizations():
    inputs = layers.Input((10, 10, 3))
    x = layers.Conv2D(8, 3, use_bias=False, name="conv")(inputs)
    x = layers.BatchNormalization(name="batch")(x)
    x = layers.PReLU(shared_axes=(1, 2), name="prelu")(x)
    x = layers.GroupNormalization(4, name="group")(x)
    x = layers.LeakyReLU(name="leaky")(x)
    x = layers.LayerNormalization(name="layer")(x)
    x = layers.Activation("swish", name="swish")(x)
    x = layers.GlobalAveragePooling2D(name="pool")(x)
    return head(inputs, layers.Softmax(name="softmax")(x))


def dropouts():
    inputs = layers.Input((10, 10, 3))
    x = layers.GaussianNoise(0.1, seed=1, name="noise")(inputs)
    x = layers.SpatialDropout2D(0.2, seed=2, name="spatial")(x)
    x = layers.Conv2D(4, 3, activation="selu", name="conv")(x)
    x = layers.AlphaDropout(0.2, seed=3, name="alpha")(x)
    x = layers.RandomFlip(seed=4, name="flip")(x)
    return head(inputs, layers.GlobalAveragePooling2D(name="pool")(x))


def einsum():
    inputs = layers.Input((6, 3))
    x = layers.EinsumDense(
        "abc,cde->abde", (6, 2, 4), bias_axes="de", activation="gelu", name="einsum"
    )(inputs)
    return head(inputs, layers.Flatten(name="flat")(x))


def recurrent(*stack):
    inputs = layers.Input((7,), dtype="int32")
    x = layers.Embedding(30, 5, mask_zero=True, name="words")(inputs)
    for layer in stack:
        x = layer(x)
    return head(inputs, x)


class OwnCell(layers.Layer):
    def __init__(self, **kwargs):
        super().__init__(**kwargs)
        self.state_size = 4
        self.dense = layers.Dense(4, name="mix")

    def build(self, shape):
        self.dense.build((shape[0], shape[-1] + 4))

    def call(self, inputs, states):
        h = keras.ops.tanh(self.dense(keras.ops.concatenate([inputs, states[0]], -1)))
        return h, [h]


def films():
    inputs = layers.Input((3, 5, 5, 2))
    x = layers.ConvLSTM2D(3, 3, name="convlstm")(inputs)
    return head(inputs, layers.Flatten(name="flat")(x))


def lstm_with_states():
    inputs = layers.Input((7,), dtype="int32")
    x = layers.Embedding(30, 5, name="words")(inputs)
    lstm = layers.LSTM(4, return_sequences=True, return_state=True, name="lstm")
    sequence, h, c = lstm(x)
    x = layers.GRU(4, name="gru")(sequence, initial_state=h)
    return head(inputs, layers.Concatenate(name="all")([x, c]))


def attention():
    # With Adam, a key's bias would move by rounding alone: its gradient is 0.
    inputs = layers.Input((7,), dtype="int32")
    x = layers.Embedding(30, 8, name="words")(inputs)
    x = layers.MultiHeadAttention(2, 4, name="attention")(x, x)
    x = layers.TimeDistributed(layers.Dense(4, "silu", name="each"), name="td")(x)
    x = layers.GlobalAveragePooling1D(name="pool")(x)
    return head(inputs, x, optimizer="sgd")


def application(name, **options):
    """A model of `keras.applications` from random weights, for small pictures."""
    model = getattr(keras.applications, name)(
        weights=None, input_shape=(32, 32, 3), classes=3, **options
    )
    model.compile("sgd", "sparse_categorical_crossentropy")
    return model


EFFICIENT_BLOCKS = "1a 2a 2b 3a 3b 4a 4b 4c 5a 5b 5c 6a 6b 6c 6d 7a".split()

KINDS = {
    "residual_convolutional": Kind(residual, IMAGES, Y, histograms=True),
    "depthwise_and_grouped": Kind(convolutions, IMAGES, Y, untapped=("flat",)),
    "convolutions_1d": Kind(convolutions_1d, SERIES, Y),
    "convolutions_3d": Kind(convolutions_3d, VOLUMES, Y, untapped=("flat",)),
    "normalizations": Kind(normalizations, IMAGES, Y),
    "dropouts": Kind(dropouts, IMAGES, Y, again="eager", untapped=("noise", "spatial")),
    "einsum_dense": Kind(einsum, SERIES, Y, untapped=("flat",)),
    "lstm": Kind(
        lambda: recurrent(layers.LSTM(4, name="lstm")),
        WORDS,
        Y,
        untapped=("lstm_cell",),
    ),
    "lstm_states_gru": Kind(
        lstm_with_states, WORDS, Y, untapped=("lstm_cell", "gru_cell")
    ),
    "stacked_cells": Kind(
        lambda: recurrent(
            layers.RNN([layers.GRUCell(4), layers.LSTMCell(4)], name="rnn")
        ),
        WORDS,
        Y,
        untapped=("stacked_rnn_cells", "gru_cell", "lstm_cell"),
    ),
    "own_cell": Kind(
        lambda: recurrent(layers.RNN(OwnCell(name="cell"), name="rnn")),
        WORDS,
        Y,
        untapped=("cell", "mix"),
    ),
    "bidirectional": Kind(
        lambda: recurrent(
            layers.Bidirectional(layers.GRU(3, return_sequences=True), name="both"),
            layers.SimpleRNN(3, name="simple"),
        ),
        WORDS,
        Y,
        untapped=("gru_cell", "simple_rnn_cell"),
    ),
    "conv_lstm": Kind(films, FILMS, Y, untapped=("conv_lstm_cell", "flat")),
    "attention": Kind(attention, WORDS, Y, untapped=("softmax", "dropout")),
    "MobileNetV3Small": Kind(
        lambda: application("MobileNetV3Small"),
        PICTURES,
        Y,
        again="graph",
        deep="float64",
        untapped=("flatten", "rescaling", "predictions"),
    ),
    "EfficientNetB0": Kind(
        lambda: application("EfficientNetB0"),
        PICTURES,
        Y,
        again="graph",
        untapped=(
            *(f"block{block}_se_reshape" for block in EFFICIENT_BLOCKS),
            "rescaling",
            "normalization",
            "stem_conv_pad",
            "predictions",
        ),
    ),
    "ResNet50": Kind(
        lambda: application("ResNet50"),
        PICTURES,
        Y,
        again="graph",
        untapped=("conv1_pad", "predictions"),
    ),
}
