"""What a train step was traced with and Keras does not heed again till `compile`."""

import weakref

from keras_initkit.structure.layers import all_layers

# By train function: what the layers of its model were set to before it was traced.
_KNOWN: weakref.WeakKeyDictionary = weakref.WeakKeyDictionary()


def remember(train_function, model):
    """Keeps the settings of a model whose train function is to be traced."""
    _KNOWN[train_function] = {id(one): _settings(one) for one in all_layers(model)}


def changed(train_function, model):
    """Tells what has changed since, as text; `None` for nothing."""
    known = _KNOWN.get(train_function, {})
    for layer in all_layers(model):
        was = known.get(id(layer), {})
        for name, value in _settings(layer).items():
            if was.get(name, value) != value:
                return (
                    f"`{name}` of {layer.name!r} is {value!r} and was {was[name]!r} "
                    "when the train step was traced; Keras ignores the change until "
                    "`model.compile(...)` is called again"
                )
    return None


def _settings(layer):
    """Returns rates and names that a layer holds, by attribute.

    Other switches than `trainable` may be turned by the trace itself.
    """
    held = {
        name: value
        for name, value in vars(layer).items()
        if isinstance(value, float | str) and not name.startswith("_")
    }
    return {**held, "trainable": layer.trainable}
