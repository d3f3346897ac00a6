"""What is to be computed of a tensor: what the statistics of its signal need."""

import dataclasses
import functools

from keras_initkit import schema
from keras_initkit_light.stats import definition

# Rows on which units are compared, spread out where there are more.
PROJECTED_ROWS = {"layer": 1024, "weight": 16384}


@dataclasses.dataclass(frozen=True)
class Reduction:
    """What is to be computed of a tensor beside its moments.

    Attributes:
        counted_above: For each unit (entry of the last axis) the entries of a larger
            magnitude are counted: 0 for those that are not 0; `None` for none. That
            costs as much as all the moments.
        projected_rows: How many rows enter the projections of the units, spread out
            where there are more; 0 for a tensor that has no units to compare.
        part: Number of the part where the tensor is one of several whose projections
            are added up: each is projected on directions of its own.
        ranked: Whether the effective rank is computed.
        timed: Whether the tensor is a sequence, of shape `(batch, time, units)`.
        only_norms: Whether no moments are computed either, but the sum of squares.
    """

    counted_above: float | None = None
    projected_rows: int = 0
    part: int = 0
    ranked: bool = False
    timed: bool = False
    only_norms: bool = False

    @property
    def is_of_entries(self):
        """Whether nothing is computed of rows as such."""
        return not (self.projected_rows or self.ranked or self.timed)


def reduction_of(signal, rank, saturated_above=None, part=0, detail="full"):
    """Returns what is to be computed of a tensor.

    Args:
        signal: Name of the signal that it is a tensor of.
        rank: How many axes it has.
        saturated_above: Magnitude beyond which the activation that it is the input of
            saturates; `None` where it does not, or is not known to.
        part: Number of this replica, where each has rows of the tensor.
        detail: One of `schema.DETAILS`.

    Returns:
        `Reduction`.
    """
    if detail == "norms":
        return Reduction(only_norms=True)
    needs, has_units = _needs_of(signal), rank > 1
    rows = PROJECTED_ROWS[schema.ALL_SIGNALS[signal].source]
    return Reduction(
        counted_above=0 if definition.NONZERO in needs else saturated_above,
        projected_rows=rows if definition.PROJECTIONS in needs and has_units else 0,
        part=part,
        ranked=definition.GRAM in needs and has_units,
        timed=signal in schema.TIME_SIGNALS and rank == 3,
    )


def is_compared_with_initial(signal, detail="full"):
    """Whether tensors of a signal are compared with what they were at first."""
    return detail == "full" and definition.INITIAL in _needs_of(signal)


@functools.cache
def _needs_of(signal):
    names = schema.statistics_of(signal)
    return frozenset(need for n in names for need in schema.STATISTICS[n].needs)
