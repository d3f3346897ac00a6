"""Fully connected reference models."""

import keras

from keras_initkit.models._layers import positive_integer


def xor_mlp(layers):
    """2-4-1, a sigmoid unit at the end, as in lessons on XOR."""
    inputs = keras.Input((2,), name="inputs")
    x = layers.hidden("hidden_1", 4)(inputs)
    outputs = layers.dense("output", 1, activation="sigmoid")(x)
    return keras.Model(inputs, outputs, name="xor_mlp")


def mnist_mlp(layers, depth=None, width=None):
    """784-256-128-10; `depth` hidden layers of `width` units if either is given."""
    widths = _widths(depth, width, default=(256, 128))
    return _mlp("mnist_mlp", (28, 28, 1), widths, layers)


def cifar10_mlp(layers, depth=None, width=None):
    """3072-64-32-10; `depth` hidden layers of `width` units if either is given."""
    widths = _widths(depth, width, default=(64, 32))
    return _mlp("cifar10_mlp", (32, 32, 3), widths, layers)


def _mlp(name, shape, widths, layers, classes=10):
    inputs = keras.Input(shape, name="inputs")
    x = keras.layers.Flatten(name="flatten")(inputs)
    for i, units in enumerate(widths, start=1):
        x = layers.hidden(f"hidden_{i}", units)(x)
    return keras.Model(inputs, layers.dense("logits", classes)(x), name=name)


def _widths(depth, width, default):
    if depth is None and width is None:
        return default
    depth = positive_integer("depth", len(default) if depth is None else depth)
    return (positive_integer("width", default[0] if width is None else width),) * depth
