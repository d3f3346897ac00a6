"""Recurrent reference models: one logit for the mood of a review."""

import keras

from keras_initkit.models._layers import positive_integer


def imdb_rnn(layers, vocabulary=10_000, maxlen=200, embeddings_initializer="uniform"):
    """Word vectors of 32 numbers, SimpleRNN of 64 units, one logit."""
    return _sentiment(
        "imdb_rnn",
        layers.recurrent(keras.layers.SimpleRNN, "rnn", 64),
        layers,
        vocabulary,
        maxlen,
        embeddings_initializer,
    )


def imdb_lstm(layers, vocabulary=10_000, maxlen=200, embeddings_initializer="uniform"):
    """Word vectors of 32 numbers, LSTM of 64 units, one logit."""
    return _sentiment(
        "imdb_lstm",
        layers.recurrent(keras.layers.LSTM, "lstm", 64),
        layers,
        vocabulary,
        maxlen,
        embeddings_initializer,
    )


def _sentiment(name, recurrent, layers, vocabulary, maxlen, embeddings_initializer):
    """Reads padded ids without a mask: the padding lies before the review."""
    positive_integer("vocabulary", vocabulary)
    inputs = keras.Input(
        (positive_integer("maxlen", maxlen),), dtype="int32", name="inputs"
    )
    # A table has no fan-in (one row is read at a time), so the rule for kernels is
    # not for it: it keeps an initializer of its own.
    x = layers.embedding("embedding", vocabulary, 32, embeddings_initializer)(inputs)
    x = recurrent(x)
    return keras.Model(inputs, layers.dense("logits", 1)(x), name=name)
