"""Whether a model has its variables, and what gives them to it."""

import keras

from keras_initkit.structure import keras_private
from keras_initkit.structure.layers import all_layers


def is_built(model):
    """Whether all layers of a model have their weights."""
    return all(layer.built for layer in all_layers(model))


def build(model, batch):
    """Builds a model on a batch, as `fit` does under a distribution strategy.

    No value comes out of an unbuilt one, and a step that makes variables is traced
    twice. Loss and metrics need targets, which a train step of the user's own may do
    without: it builds them itself.
    """
    try:
        keras_private.symbolic_build(model, batch)
    except ValueError:
        if type(model).train_step is keras.Model.train_step or not is_built(model):
            raise


def builds_in_first_trace(model):
    """Whether Keras's own train step has yet to make an optimizer's or metrics' state.

    What a train step of the user's own builds is not ours to know.
    """
    optimizer = model.optimizer
    return (
        type(model).train_step is keras.Model.train_step
        and not model.run_eagerly
        and not (
            (optimizer is None or optimizer.built)
            and keras_private.metrics_are_built(model)
        )
    )
