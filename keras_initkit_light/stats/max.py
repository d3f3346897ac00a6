"""The largest entry."""

import math

from keras_initkit_light.stats.definition import MOMENTS, Array, Partials, Statistic
from keras_initkit_light.stats.signals import EVERY


def maximum(partials: Partials) -> Array:
    """Returns the largest entry of each tensor, NaN where there is none."""
    return partials.max + 0.0 * partials.count


STATISTIC = Statistic(
    "max",
    unit="signal",
    minimum=-math.inf,
    maximum=math.inf,
    signals=EVERY,
    description="largest entry",
    needs=(MOMENTS,),
    finish=maximum,
)
