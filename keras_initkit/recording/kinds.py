"""The kinds of matrices that a record holds: one table that all who store them read."""

import functools
from collections.abc import Callable
from typing import NamedTuple

from keras_initkit import schema


class Kind(NamedTuple):
    """A kind of matrices whose rows are tensors.

    Attributes:
        store: Name of the attribute of a record that holds the series.
        max_steps: Most steps held in memory; how they thin out beyond that is said in
            `RunRecord`. Event files keep every step.
        columns_of: Function of a signal that returns the names of the columns.
    """

    store: str
    max_steps: int
    columns_of: Callable[[str], tuple[str, ...]]


KINDS = {
    "statistics": Kind("series", 2000, schema.statistics_of),
    "norms": Kind(
        "norms", 2000, functools.partial(schema.statistics_of, detail="norms")
    ),
    "histogram": Kind("histograms", 200, lambda signal: schema.HISTOGRAM_COLUMNS),
    "time": Kind("time_steps", 500, lambda signal: schema.TIME_COLUMNS),
}
