"""The length of a tensor."""

import math

import numpy as np

from keras_initkit_light.stats.definition import Array, Partials, Statistic
from keras_initkit_light.stats.rms import rms
from keras_initkit_light.stats.signals import EVERY


def norm(partials: Partials) -> Array:
    """Returns the Euclidean norm of each tensor."""
    return rms(partials) * np.sqrt(partials.count)


STATISTIC = Statistic(
    "norm",
    unit="signal",
    minimum=0,
    maximum=math.inf,
    signals=EVERY,
    description="Euclidean norm of all entries",
    finish=norm,
)
