"""How far a weight is from where it began."""

import math

import numpy as np

from keras_initkit_light.stats.definition import INITIAL, Array, Partials, Statistic


def distance_from_initialization(partials: Partials) -> Array:
    """Returns ‖W − W₀‖ / ‖W₀‖, NaN where a weight began at 0 and for other tensors."""
    initial = partials.initial_norm
    return partials.moved / np.where(initial > 0, initial, np.nan)


STATISTIC = Statistic(
    "distance_from_initialization",
    unit="1",
    minimum=0,
    maximum=math.inf,
    signals=("weight",),
    description=(
        "norm of the change of a weight since its run was first watched, divided by "
        "its norm then; NaN where that is 0"
    ),
    finish=distance_from_initialization,
    needs=(INITIAL,),
)
