"""The key of a run: digests of all that determines what comes out of it."""

import platform
import warnings
from collections.abc import Mapping
from typing import Any

import keras
import numpy as np

from keras_initkit.experiments.store.fingerprint import fingerprint
from keras_initkit.experiments.store.names import without_numbers
from keras_initkit.structure.layers import named_layers
from keras_initkit_light._version import __version__

Key = Mapping[str, str]  # {part: digest}

# What a key is made of. The last two are known once the model is built.
PARTS = {
    "source": "the source of `build_model` and `callback_factory`, of custom classes, "
    "and everything they close over",
    "data": "the data",
    "settings": "the settings of the training",
    "versions": "versions of Python and of packages",
    "initializer": "the initializer",
    "seed": "the seed",
    "grid": "the values of the grid",
    "model": "the configuration of the model",
    "weights": "its initial weights",
}
OF_MODEL = ("model", "weights")

# What may determine a run as well, and is in no key.
NOT_SEEN = (
    "files, environment variables and services that a run reads; objects reached by "
    "names made at run time; the code of installed packages beyond their versions; the "
    "kind of processor"
)


def versions(packages: Mapping[str, str]) -> dict[str, str]:
    """Returns the versions that count, those of more packages among them."""
    import tensorflow as tf

    own = {
        "python": platform.python_version(),
        "keras": keras.__version__,
        "tensorflow": tf.__version__,
        "numpy": np.__version__,
        "keras_initkit": __version__,
    }
    return {**packages, **own}


def settings(**given: Any) -> dict[str, Any]:
    """Returns the settings of a training: those given, and those of Keras."""
    return {
        **given,
        "backend": keras.config.backend(),
        "floatx": keras.config.floatx(),
        "dtype_policy": keras.config.dtype_policy().name,
        "image_data_format": keras.config.image_data_format(),
    }


def of_model(model: keras.Model) -> dict[str, str]:
    """Returns the parts of a built, compiled model, before it trains.

    Names that Keras numbers through all models of a process count without the number.
    """
    classes = {type(layer) for _, layer in named_layers(model)} | {type(model)}
    custom = [one for one in classes if not one.__module__.startswith("keras.")]
    custom.sort(key=lambda one: (one.__module__, one.__qualname__))
    config = [
        {"class_name": type(model).__name__, "config": _of(model, "get_config")},
        _of(model, "get_compile_config"),
        [
            {"class_name": type(layer).__name__, "config": _of(layer, "get_config")}
            for _, layer in named_layers(model)
        ],
    ]
    values = [keras.ops.convert_to_numpy(variable) for variable in model.variables]
    return {
        "model": fingerprint(custom, without_numbers(config)).digest,
        "weights": fingerprint(values).digest,
    }


def _of(one: Any, method: str) -> Any:
    """Returns a configuration; `None` for what has none, whose source tells."""
    try:
        with warnings.catch_warnings():  # lambdas are told, not loaded
            warnings.simplefilter("ignore")
            return getattr(one, method)()
    except Exception:  # whatever a class of the user's own raises
        return None


def changed(kept: Key, now: Key) -> tuple[str, ...]:
    """Returns the parts in which two keys differ, of those that both have."""
    return tuple(
        part
        for part in PARTS
        if part in kept and part in now and kept[part] != now[part]
    )
