"""Layers with their own initializers, seeded by their names."""

import keras

from keras_initkit.initializers import seeded


class LayerFactory:
    """Makes the layers of one model.

    Keras 3 gives every layer the same weights that shares one unseeded (or one
    seeded) initializer and a shape. Here each weight has an instance of its own,
    seeded from the model's seed and the weight's name.
    """

    def __init__(
        self,
        initializer,
        bias_initializer,
        recurrent_initializer,
        activation,
        seed,
    ):
        self._kernel = _required("initializer", initializer)
        self._bias = _required("bias_initializer", bias_initializer)
        self._recurrent = recurrent_initializer
        self._seed = seed
        self.activation = activation

    def initializer(self, identifier, path):
        """Returns a new initializer for the weight called `path`."""
        return seeded(identifier, self._seed, path)

    def hidden(self, name, units):
        """Returns a dense layer with the model's activation."""
        return self.dense(name, units, activation=self.activation)

    def dense(self, name, units, activation=None):
        """Returns a dense layer, linear by default, as for logits."""
        return keras.layers.Dense(
            units, activation=activation, name=name, **self._weights(name)
        )

    def conv(self, name, filters, size=3, strides=1, activation=None, use_bias=True):
        """Returns a two-dimensional convolution with padding `"same"`."""
        return keras.layers.Conv2D(
            filters,
            size,
            strides=strides,
            padding="same",
            activation=activation,
            use_bias=use_bias,
            name=name,
            **self._weights(name),
        )

    def recurrent(self, cls, name, units):
        """Returns a recurrent layer that gives its last state."""
        path = f"{name}/recurrent_kernel"
        return cls(
            units,
            activation=self.activation,
            recurrent_initializer=self.initializer(self._recurrent, path),
            name=name,
            **self._weights(name),
        )

    def embedding(self, name, vocabulary, features, initializer):
        """Returns a table of word vectors."""
        return keras.layers.Embedding(
            vocabulary,
            features,
            embeddings_initializer=self.initializer(initializer, f"{name}/embeddings"),
            name=name,
        )

    def act(self, name):
        """Returns the model's activation as a layer."""
        return keras.layers.Activation(self.activation, name=name)

    def _weights(self, name):
        return {
            "kernel_initializer": self.initializer(self._kernel, f"{name}/kernel"),
            "bias_initializer": self.initializer(self._bias, f"{name}/bias"),
        }


def positive_integer(argument, value):
    """Returns `value` if it is a positive integer."""
    if isinstance(value, bool) or not isinstance(value, int) or value < 1:
        raise ValueError(
            f"`{argument}` must be a positive integer. Received: {argument}={value!r}."
        )
    return value


def _required(argument, value):
    if value is None:
        raise ValueError(f"`{argument}` must be an initializer. Received: None.")
    return value
