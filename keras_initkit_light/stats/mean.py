"""The mean of all entries."""

import math

from keras_initkit_light.stats.definition import MOMENTS, Array, Partials, Statistic
from keras_initkit_light.stats.signals import EVERY


def mean(partials: Partials) -> Array:
    """Returns the mean of each tensor, NaN for one without entries."""
    return partials.mean + 0.0 * partials.count


STATISTIC = Statistic(
    "mean",
    unit="signal",
    minimum=-math.inf,
    maximum=math.inf,
    signals=EVERY,
    description="mean of all entries",
    needs=(MOMENTS,),
    finish=mean,
)
