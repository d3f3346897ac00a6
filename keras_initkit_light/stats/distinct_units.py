"""How many units of a layer differ, which is what symmetry breaking is about."""

import math

import numpy as np

from keras_initkit_light.stats.definition import (
    PROJECTIONS,
    Array,
    Partials,
    Statistic,
)

# Two units count as the same if both their projections agree within this share of the
# largest projection of the tensor: far above float32 rounding, far below chance.
_SAME_UNIT = 1e-5


def distinct_units(partials: Partials) -> Array:
    """Returns how many units differ, by their projections; NaN ones differ from all."""
    distinct = np.full(len(partials.projected), np.nan)
    tensors = np.flatnonzero(partials.projected)
    if not tensors.size:
        return distinct
    sizes = partials.projected[tensors]
    owner = np.repeat(np.arange(len(sizes)), sizes)
    projections = np.asarray(partials.projections, np.float64)
    largest = np.maximum.reduceat(
        np.abs(projections).max(axis=0), np.cumsum(sizes) - sizes
    )
    with np.errstate(invalid="ignore"):
        first, second = projections / np.where(largest == 0, 1.0, largest)[owner]
    # Between -1 and 1, so that those of a tensor stay together.
    first += 4.0 * owner
    # Only those can be alike that are near another by their first projection, and as a
    # rule none is: sorted by both, like units lie side by side.
    ascending = np.argsort(first)
    near = np.diff(first[ascending]) <= _SAME_UNIT
    few = ascending[np.append(near, False) | np.append(False, near)]
    few = few[np.lexsort((second[few], first[few]))]
    like = np.abs(np.diff(first[few])) <= _SAME_UNIT
    like &= np.abs(np.diff(second[few])) <= _SAME_UNIT
    same = np.bincount(owner[few[1:]], weights=like, minlength=len(sizes))
    distinct[tensors] = sizes - same
    return distinct


STATISTIC = Statistic(
    "distinct_units",
    unit="count",
    minimum=1,
    maximum=math.inf,
    signals=("activation", "gradient", "weight", "inference"),
    description=(
        "how many different units a tensor of rank 2 or more has, compared by two "
        "fixed random projections (of at most 1,024 rows of an activation and "
        "16,384 rows of a weight, spread evenly), equal within 1e-5 of the largest"
    ),
    finish=distinct_units,
    needs=(PROJECTIONS,),
)
