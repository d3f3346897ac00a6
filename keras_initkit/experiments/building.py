"""What must hold of the model of a run: it is compiled, and no run has trained it.

Runs that share a layer or a model would go on from one another's weights, and compare
nothing. Within a process that is seen by the variables.
"""

import inspect
import weakref
from collections.abc import Callable, Mapping
from typing import Any

import keras

# Variables that runs of this process have trained, by their ids.
_TRAINED: weakref.WeakValueDictionary[int, Any] = weakref.WeakValueDictionary()


def check_signature(
    build_model: Callable[..., keras.Model], options: Mapping[str, Any]
) -> None:
    """Raises a ValueError unless a function can be called as `build_model` is."""
    try:
        signature = inspect.signature(build_model)
    except ValueError:  # of what is not written in Python
        return
    try:
        signature.bind("initializer", 0, **options)
    except TypeError as error:
        more = "".join(f", {name}" for name in options)
        raise ValueError(
            f"`build_model` must be a function `(initializer, seed{more})`, whose "
            f"first two arguments are passed by position. Received: {signature} "
            f"({error})"
        ) from error


def check_new(model: Any) -> None:
    """Raises a ValueError unless it is a compiled model that no run has trained."""
    if not isinstance(model, keras.Model):
        raise ValueError(
            "`build_model` must return a compiled Keras model. "
            f"Received: {model!r} of type {type(model).__name__}"
        )
    if not model.compiled:
        raise ValueError(
            "`build_model` must return a compiled model: call `model.compile` in it. "
            f"Received: {model.name!r}, which is not"
        )
    trained = [v.path for v in model.trainable_variables if id(v) in _TRAINED]
    if trained:
        raise ValueError(
            "`build_model` must return a new model each time, with layers created "
            "inside it: weights that an earlier run has trained are no initialization. "
            "`keras.models.clone_model` copies a model without its weights, and "
            "`set_weights` gives it pretrained ones. Received: a model of which an "
            f"earlier run has trained {trained[0]!r}"
        )


def has_trained(model: keras.Model) -> None:
    """Notes that a run has trained a model."""
    _TRAINED.update({id(one): one for one in model.trainable_variables})


def is_new(model: keras.Model) -> None:
    """Notes that a model has its initial weights again."""
    for one in model.trainable_variables:
        _TRAINED.pop(id(one), None)
