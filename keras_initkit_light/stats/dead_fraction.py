"""Units that show nothing for a whole batch."""

import numpy as np

from keras_initkit_light.stats.definition import (
    NONZERO,
    Array,
    Partials,
    Statistic,
    totals,
)


def dead_fraction(partials: Partials) -> Array:
    """Returns the share of units that are 0 throughout, NaN where there are none."""
    silent = totals(partials.counts == 0, partials.counted) / partials.counted
    return np.where(partials.has_units, silent, np.nan)


STATISTIC = Statistic(
    "dead_fraction",
    unit="1",
    minimum=0,
    maximum=1,
    signals=("activation", "inference"),
    description=(
        "share of units (entries of the last axis) that are 0 over the whole batch"
    ),
    finish=dead_fraction,
    needs=(NONZERO,),
)
