"""How many entries are not finite."""

import math

from keras_initkit_light.stats.definition import Array, Partials, Statistic
from keras_initkit_light.stats.signals import EVERY


def nonfinite_count(partials: Partials) -> Array:
    """Returns how many entries of each tensor are NaN or infinite."""
    return partials.nonfinite


STATISTIC = Statistic(
    "nonfinite_count",
    unit="count",
    minimum=0,
    maximum=math.inf,
    signals=EVERY,
    description="entries that are NaN or ±Inf",
    finish=nonfinite_count,
)
