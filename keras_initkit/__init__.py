"""Initializers, signal monitoring and diagnosis for Keras models that do not learn.

Importing the package registers the initializers, so that `keras.models.load_model`
and string identifiers find them. Everything heavier is imported when first used.
"""

import importlib

from keras_initkit import initializers as initializers
from keras_initkit._version import __version__ as __version__


_ROOMS = ("data", "models", "theory", "diagnosis")
_PUBLIC = {
    "SignalMonitor": "callbacks",
    "RunRecord": "recording",
    "Finding": "diagnosis",
    "compare": "analysis",
    "lsuv": "analysis.lsuv",
    "preserve_signal": "analysis.signal_scaling",
    "fixup": "analysis.fixup",
    "metainit": "analysis.metainit",
    "coordinate_check": "analysis.coordinate_check",
}

__all__ = ["__version__", "initializers", *_ROOMS, *_PUBLIC]


def __getattr__(name):
    if name in _ROOMS:
        return importlib.import_module(f"keras_initkit.{name}")
    if name in _PUBLIC:
        return getattr(importlib.import_module(f"keras_initkit.{_PUBLIC[name]}"), name)
    raise AttributeError(f"module 'keras_initkit' has no attribute {name!r}")


def __dir__():
    return sorted({*globals(), *__all__})
