"""What a statistic is: what it means, what it needs, and how it is finished."""

import dataclasses
import typing

import numpy as np
from numpy import typing as npt

Array = npt.NDArray[typing.Any]

# What the device computes of a tensor only where a statistic needs it. Sum of squares,
# number of entries and number of those that are not finite are there for every tensor.
MOMENTS = "mean, squared deviations from it and extremes of the entries"
NONZERO = "entries of each unit that are not 0"
SATURATED = "entries of each unit at which the activation saturates"
PROJECTIONS = "projections of the units on two directions"
GRAM = "trace and norm of the Gram matrix of the rows"
INITIAL = "norms of what the tensor was at first, and of what it has changed by since"


@dataclasses.dataclass(frozen=True)
class Partials:
    """What the device has computed of several tensors.

    Attributes:
        count: Float64 of shape `(tensors,)`, as all up to `gram_norm_squared`: how many
            entries they have, NaN for none.
        mean: Mean of the entries; 0 without `MOMENTS`.
        m2: Sum of squared deviations from `mean`.
        min: Smallest entries; NaN without `MOMENTS`.
        max: Largest entries; NaN without `MOMENTS`.
        nonfinite: How many entries are NaN or infinite.
        gram_trace: Trace of the Gram matrix of sampled, centred rows, up to a factor;
            negative where it is not computed.
        gram_norm_squared: Square of its Frobenius norm, up to the square of the factor.
        has_units: Bool: whether the last axis is one of several.
        counted: How many of `counts` are their own, 0 for none.
        counts: The units of the tensors side by side: how many entries of each are
            `NONZERO` or `SATURATED`, whichever was asked for.
        projected: How many columns of `projections` are their own, 0 for none.
        projections: Array of shape `(2, units)`.
        initial_norm: Euclidean norm of what the tensor was at first, NaN where that is
            not known.
        moved: Euclidean norm of what it has changed by since, NaN likewise.
        weights: Of an update, which of the tensors is the weight that it was made to;
            -1 for the others.
    """

    count: Array
    mean: Array
    m2: Array
    min: Array
    max: Array
    nonfinite: Array
    gram_trace: Array
    gram_norm_squared: Array
    has_units: Array
    counted: Array
    counts: Array
    projected: Array
    projections: Array
    initial_norm: Array
    moved: Array
    weights: Array


@dataclasses.dataclass(frozen=True)
class Statistic:
    """What is computed of a tensor.

    Attributes:
        name: Last component of every tag of the statistic.
        unit: `"signal"` (the unit of the tensor), `"1"` (dimensionless), `"count"`.
        minimum: Smallest possible value.
        maximum: Largest possible value.
        signals: Names of the signals it is computed for.
        description: The definition, in one sentence.
        finish: Function of `Partials` that returns the value of each tensor, float64 of
            shape `(tensors,)`: NaN where it is not defined. NaN and infinite entries of
            a tensor propagate.
        needs: What the device is to compute for it: of `MOMENTS`, `NONZERO`,
            `SATURATED`, `PROJECTIONS`, `GRAM`, `INITIAL`. What has none is recorded
            where only norms are.
    """

    name: str
    unit: str
    minimum: float
    maximum: float
    signals: tuple[str, ...]
    description: str
    finish: typing.Callable[[Partials], Array] = dataclasses.field(
        repr=False, compare=False
    )
    needs: tuple[str, ...] = ()


def totals(values: Array, sizes: Array) -> Array:
    """Returns the sums of parts of given sizes, which may be 0, side by side."""
    ends = np.cumsum(sizes)
    total = np.concatenate([[0.0], np.cumsum(values)])
    sums: Array = total[ends] - total[ends - sizes]
    return sums
