"""Whether a model has its variables, and what gives them to it."""

import keras


def is_built(model):
    """Whether all layers of a model have their weights."""
    return all(layer.built for layer in model._flatten_layers())


def build(model, batch):
    """Builds a model on a batch, as `fit` does under a distribution strategy.

    No value comes out of an unbuilt one, and a step that makes variables is traced
    twice. Loss and metrics need targets, which a train step of the user's own may do
    without: it builds them itself.
    """
    try:
        model._symbolic_build(data_batch=batch)
    except ValueError:
        if type(model).train_step is keras.Model.train_step or not is_built(model):
            raise


def builds_in_first_trace(model):
    """Whether Keras's own train step has yet to make an optimizer's or metrics' state.

    What a train step of the user's own builds is not ours to know.
    """
    parts = (model.optimizer, model._compile_metrics)
    return (
        type(model).train_step is keras.Model.train_step
        and not model.run_eagerly
        and any(part is not None and not part.built for part in parts)
    )
