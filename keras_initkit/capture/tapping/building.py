"""Whether a model has its variables."""

from keras_initkit.structure import keras_private
from keras_initkit.structure.layers import all_layers, named_layers


def is_built(model):
    """Whether all layers of a model have their weights.

    A model that has layers counts by these: one without a `call` is never built itself.
    """
    below = [layer for _, layer in named_layers(model)]
    return all(layer.built for layer in below or all_layers(model))


def is_unfinished(model):
    """Whether a first step has yet to make variables: of layers, optimizer, metrics."""
    optimizer = model.optimizer
    return not (
        all(layer.built for layer in all_layers(model))
        and (optimizer is None or optimizer.built)
        and keras_private.metrics_are_built(model)
    )
