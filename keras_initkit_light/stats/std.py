"""How far entries lie from their mean."""

import math

import numpy as np

from keras_initkit_light.stats.definition import MOMENTS, Array, Partials, Statistic
from keras_initkit_light.stats.signals import EVERY


def variance(partials: Partials) -> Array:
    """Returns the population variance of each tensor."""
    return np.maximum(partials.m2 / partials.count, 0.0)


def std(partials: Partials) -> Array:
    """Returns the population standard deviation of each tensor."""
    return np.sqrt(variance(partials))


STATISTIC = Statistic(
    "std",
    unit="signal",
    minimum=0,
    maximum=math.inf,
    signals=EVERY,
    description="population standard deviation (1/n)",
    needs=(MOMENTS,),
    finish=std,
)
