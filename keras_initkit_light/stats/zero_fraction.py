"""How much of a tensor is 0."""

from keras_initkit_light.stats.definition import (
    NONZERO,
    Array,
    Partials,
    Statistic,
    totals,
)


def zero_fraction(partials: Partials) -> Array:
    """Returns the share of entries equal to 0, NaN where they were not counted."""
    entries = totals(partials.counts, partials.counted) / (partials.counted > 0)
    return (partials.count - entries) / partials.count


STATISTIC = Statistic(
    "zero_fraction",
    unit="1",
    minimum=0,
    maximum=1,
    signals=("activation", "gradient", "weight", "update", "inference", "state"),
    description="share of entries equal to 0 (denormals count as 0)",
    finish=zero_fraction,
    needs=(NONZERO,),
)
