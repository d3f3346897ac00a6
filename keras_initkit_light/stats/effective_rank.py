"""Along how many directions the rows of a batch differ."""

import math

import numpy as np

from keras_initkit_light.stats.definition import GRAM, Array, Partials, Statistic


def effective_rank(partials: Partials) -> Array:
    """Returns the participation ratio of each tensor, NaN where it was not computed."""
    trace = np.where(partials.gram_trace < 0, np.nan, partials.gram_trace)
    return trace**2 / partials.gram_norm_squared


STATISTIC = Statistic(
    "effective_rank",
    unit="1",
    minimum=1,
    maximum=math.inf,
    signals=("activation", "inference"),
    description=(
        "participation ratio (tr C)²/tr C² of the covariance C of the units over "
        "at most 128 rows, spread evenly; NaN where all rows are equal"
    ),
    finish=effective_rank,
    needs=(GRAM,),
)
