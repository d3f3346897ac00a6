"""What a function needs: the TensorFlow backend, a model of Keras 3."""

import importlib
from typing import Any

import keras


class _Later:
    """TensorFlow, imported when it is first used: much here runs without it."""

    def __getattr__(self, name: str) -> Any:
        return getattr(importlib.import_module("tensorflow"), name)


tensorflow: Any = _Later()


def check_backend(name: str) -> None:
    """Refuses other backends than TensorFlow, by the name of what was called.

    Raises:
        ValueError: If Keras runs on another backend.
    """
    backend = keras.backend.backend()
    if backend != "tensorflow":
        raise ValueError(
            f"`{name}` needs the TensorFlow backend. Set the environment variable "
            "`KERAS_BACKEND=tensorflow` before Keras is imported. "
            f"Received: backend={backend!r}"
        )


def check_model(name: str, model: Any) -> None:
    """Refuses what is no layer or model of Keras 3, by the name of what was called.

    Raises:
        TypeError: If `model` is a model of Keras 2, or no model.
    """
    if isinstance(model, keras.Layer):
        return
    modules = [kind.__module__ for kind in type(model).__mro__]
    legacy = ("tf_keras", "tensorflow.python.keras", "keras.engine", "keras.src.engine")
    if any(module.startswith(legacy) for module in modules):
        raise TypeError(
            f"`model` must be a Keras 3 model for `{name}`. Create it with `keras` "
            "(version 3) instead of `tf_keras`, and with `TF_USE_LEGACY_KERAS` unset. "
            f"Received: {type(model).__name__} of Keras 2 ({modules[0]})"
        )
    raise TypeError(
        f"`model` must be a Keras 3 model for `{name}`. Received: model={model!r} of "
        f"type {type(model).__name__}"
    )
