"""Initializers, signal monitoring and diagnosis for Keras models that do not learn.

Importing the package registers the initializers, so that `keras.models.load_model`
and string identifiers find them. Everything heavier is imported when first used.
"""

import importlib
from typing import TYPE_CHECKING

from keras_initkit import initializers as initializers
from keras_initkit import schema as schema
from keras_initkit_light._version import __version__ as __version__

if TYPE_CHECKING:
    from keras_initkit import callbacks as callbacks
    from keras_initkit import capture as capture
    from keras_initkit import data as data
    from keras_initkit import diagnosis as diagnosis
    from keras_initkit import experiments as experiments
    from keras_initkit import inspection as inspection
    from keras_initkit import lessons as lessons
    from keras_initkit import models as models
    from keras_initkit import recording as recording
    from keras_initkit import reinit as reinit
    from keras_initkit import report as report
    from keras_initkit import schedules as schedules
    from keras_initkit import stats as stats
    from keras_initkit import structure as structure
    from keras_initkit import theory as theory
    from keras_initkit.callbacks import ActivationMonitor as ActivationMonitor
    from keras_initkit.callbacks import GradientMonitor as GradientMonitor
    from keras_initkit.callbacks import ResumePoint as ResumePoint
    from keras_initkit.callbacks import SignalMonitor as SignalMonitor
    from keras_initkit.callbacks import TrainingFault as TrainingFault
    from keras_initkit.callbacks import WeightMonitor as WeightMonitor
    from keras_initkit.diagnosis import Finding as Finding
    from keras_initkit.diagnosis import lint as lint
    from keras_initkit.diagnosis import review as review
    from keras_initkit.experiments import compare as compare
    from keras_initkit.inspection import activations as activations
    from keras_initkit.inspection import coordinate_check as coordinate_check
    from keras_initkit.inspection import diagnose as diagnose
    from keras_initkit.inspection import gradients as gradients
    from keras_initkit.inspection import learning_rate_trial as learning_rate_trial
    from keras_initkit.inspection import over_draws as over_draws
    from keras_initkit.recording import RunRecord as RunRecord
    from keras_initkit.reinit import fixup as fixup
    from keras_initkit.reinit import lsuv as lsuv
    from keras_initkit.reinit import metainit as metainit
    from keras_initkit.reinit import preserve_signal as preserve_signal
    from keras_initkit.reinit import recommend as recommend
    from keras_initkit.reinit import reinitialize as reinitialize

_ROOMS = (
    "initializers",
    "theory",
    "data",
    "models",
    "schema",
    "schedules",
    "capture",
    "stats",
    "recording",
    "diagnosis",
    "callbacks",
    "report",
    "reinit",
    "inspection",
    "experiments",
    "lessons",
    "structure",
)
_ROOM_OF = {
    "SignalMonitor": "callbacks",
    "ActivationMonitor": "callbacks",
    "GradientMonitor": "callbacks",
    "WeightMonitor": "callbacks",
    "ResumePoint": "callbacks",
    "TrainingFault": "callbacks",
    "RunRecord": "recording",
    "Finding": "diagnosis",
    "lint": "diagnosis",
    "review": "diagnosis",
    "diagnose": "inspection",
    "recommend": "reinit",
    "reinitialize": "reinit",
    "lsuv": "reinit",
    "preserve_signal": "reinit",
    "fixup": "reinit",
    "metainit": "reinit",
    "coordinate_check": "inspection",
    "over_draws": "inspection",
    "activations": "inspection",
    "gradients": "inspection",
    "learning_rate_trial": "inspection",
    "compare": "experiments",
}

__all__ = ["__version__", *_ROOMS, *_ROOM_OF]

# Hidden from type checkers, to which it would promise any name there is.
if not TYPE_CHECKING:

    def __getattr__(name):
        if name in _ROOMS or name in _ROOM_OF:
            try:
                room = importlib.import_module(
                    f"keras_initkit.{_ROOM_OF.get(name, name)}"
                )
            except ImportError as error:
                if error.name != "tensorflow":
                    raise
                raise ImportError(
                    f"`keras_initkit.{name}` needs the TensorFlow backend: "
                    "`pip install tensorflow`, and set the environment variable "
                    "`KERAS_BACKEND=tensorflow` before Keras is imported.",
                    name="tensorflow",
                ) from error
            return room if name in _ROOMS else getattr(room, name)
        raise AttributeError(f"module 'keras_initkit' has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted(__all__)
