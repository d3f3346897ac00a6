"""Initializers, signal monitoring and diagnosis for Keras models that do not learn.

Importing the package registers the initializers, so that `keras.models.load_model`
and string identifiers find them. Everything heavier is imported when first used.
"""

import importlib

from keras_initkit import initializers as initializers
from keras_initkit import schema as schema
from keras_initkit_light._version import __version__ as __version__

_ROOMS = (
    "initializers",
    "data",
    "models",
    "theory",
    "diagnosis",
    "schedules",
    "recording",
    "analysis",
    "lessons",
    "structure",
)
_PUBLIC = {
    "SignalMonitor": "callbacks",
    "ActivationMonitor": "callbacks",
    "GradientMonitor": "callbacks",
    "WeightMonitor": "callbacks",
    "ResumePoint": "callbacks",
    "TrainingFault": "callbacks",
    "RunRecord": "recording",
    "Finding": "diagnosis",
    "lint": "diagnosis",
    "compare": "analysis",
    "diagnose": "analysis.diagnose",
    "over_draws": "analysis.draws",
    "recommend": "analysis.recommend",
    "reinitialize": "analysis.reinitialize",
    "lsuv": "analysis.lsuv",
    "preserve_signal": "analysis.signal_scaling",
    "fixup": "analysis.fixup",
    "metainit": "analysis.metainit",
    "coordinate_check": "analysis.coordinate_check",
}

__all__ = ["__version__", *_ROOMS, *_PUBLIC]


def __getattr__(name):
    if name in _ROOMS:
        return importlib.import_module(f"keras_initkit.{name}")
    if name in _PUBLIC:
        return getattr(importlib.import_module(f"keras_initkit.{_PUBLIC[name]}"), name)
    raise AttributeError(f"module 'keras_initkit' has no attribute {name!r}")


def __dir__():
    return sorted({*globals(), *__all__})
