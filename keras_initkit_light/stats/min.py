"""The smallest entry."""

import math

from keras_initkit_light.stats.definition import MOMENTS, Array, Partials, Statistic
from keras_initkit_light.stats.signals import EVERY


def minimum(partials: Partials) -> Array:
    """Returns the smallest entry of each tensor, NaN where there is none."""
    return partials.min + 0.0 * partials.count


STATISTIC = Statistic(
    "min",
    unit="signal",
    minimum=-math.inf,
    maximum=math.inf,
    signals=EVERY,
    description="smallest entry",
    needs=(MOMENTS,),
    finish=minimum,
)
