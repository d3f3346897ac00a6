"""How much of a squashing activation's input lies where it is flat."""

from keras_initkit_light.stats.definition import (
    SATURATED,
    Array,
    Partials,
    Statistic,
    totals,
)


def saturation_fraction(partials: Partials) -> Array:
    """Returns the share of saturated entries, NaN where they were not counted."""
    entries = totals(partials.counts, partials.counted) / (partials.counted > 0)
    return entries / partials.count


STATISTIC = Statistic(
    "saturation_fraction",
    unit="1",
    minimum=0,
    maximum=1,
    signals=("preactivation",),
    description=(
        "share of entries at which a squashing activation (sigmoid, tanh...) has "
        "less than 5 % of its largest slope; NaN for other activations"
    ),
    finish=saturation_fraction,
    needs=(SATURATED,),
)
