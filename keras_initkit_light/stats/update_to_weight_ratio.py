"""How much a step changes a weight."""

import math

import numpy as np

from keras_initkit_light.stats.definition import Array, Partials, Statistic
from keras_initkit_light.stats.norm import norm


def update_to_weight_ratio(partials: Partials) -> Array:
    """Returns norm of the update over norm of the weight, NaN for other tensors."""
    norms = norm(partials)
    ratio = np.where(norms == 0, 0.0, norms / norms[partials.weights])
    return np.where(partials.weights < 0, np.nan, ratio)


STATISTIC = Statistic(
    "update_to_weight_ratio",
    unit="1",
    minimum=0,
    maximum=math.inf,
    signals=("update",),
    description=(
        "norm of the update divided by the norm of the weight; 0 if the update is 0, "
        "infinite if only the weight is"
    ),
    finish=update_to_weight_ratio,
)
