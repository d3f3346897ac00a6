"""The size of an entry."""

import math

import numpy as np

from keras_initkit_light.stats.definition import Array, Partials, Statistic
from keras_initkit_light.stats.signals import EVERY
from keras_initkit_light.stats.std import variance


def rms(partials: Partials) -> Array:
    """Returns the root of the mean square of each tensor."""
    found = np.sqrt(variance(partials) + partials.mean**2)
    # The variance is not defined beside an infinity, the mean square is.
    peak = np.maximum(-partials.min, partials.max)
    return np.where(np.isinf(peak) & (partials.count > 0), np.inf, found)


STATISTIC = Statistic(
    "rms",
    unit="signal",
    minimum=0,
    maximum=math.inf,
    signals=EVERY,
    description="root of the mean square",
    finish=rms,
)
