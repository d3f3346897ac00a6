"""From partials to statistics, and the merging of partials (numpy, float64)."""

import typing
from collections.abc import Callable

import numpy as np

from keras_initkit import schema
from keras_initkit.stats.partials import PARTIALS
from keras_initkit_light.stats.definition import Partials

_AT = {name: index for index, name in enumerate(PARTIALS)}


# How the partials of two parts are merged, all but the moments. The Gram matrix is that
# of rows of all parts, on each of them.
MERGED: dict[str, Callable[[np.ndarray, np.ndarray], np.ndarray]] = {
    "count": np.add,
    "min": np.minimum,
    "max": np.maximum,
    "nonfinite": np.add,
    "gram_trace": lambda one, other: one,
    "gram_norm_squared": lambda one, other: one,
}


def merge(parts):
    """Merges the scalar partials of disjoint parts of the same tensors.

    Means and centred sums of squares are merged by the pairwise formula of Chan, Golub
    and LeVeque (1979), so that nothing cancels.

    Args:
        parts: Float64 array of shape `(parts, tensors, len(PARTIALS))`.

    Returns:
        Float64 array of shape `(tensors, len(PARTIALS))`.
    """
    merged, *others = np.asarray(parts, np.float64)
    for part in others:
        both = _merge_two(merged, part)
        # A part without entries has no moments and no extremes to take part.
        both = np.where(part[:, [_AT["count"]]] == 0, merged, both)
        merged = np.where(merged[:, [_AT["count"]]] == 0, part, both)
    return merged


def _merge_two(one, other):
    merged = one.copy()
    n_a, n_b = one[:, _AT["count"]], other[:, _AT["count"]]
    n = n_a + n_b
    share = np.divide(n_b, n, out=np.zeros_like(n), where=n > 0)
    with np.errstate(invalid="ignore", over="ignore"):
        delta = other[:, _AT["mean"]] - one[:, _AT["mean"]]
        merged[:, _AT["m2"]] += other[:, _AT["m2"]] + delta**2 * n_a * share
        mean = one[:, _AT["mean"]] + delta * share
        # Infinite means of one sign do not differ by NaN.
        total = one[:, _AT["mean"]] + other[:, _AT["mean"]]
        merged[:, _AT["mean"]] = np.where(np.isinf(total), total, mean)
    for name, combine in MERGED.items():
        column = _AT[name]
        merged[:, column] = combine(one[:, column], other[:, column])
    return merged


class Layout(typing.NamedTuple):
    """What of the partials belongs to which tensor.

    Attributes:
        has_units: Bool array of shape `(tensors,)`: whether the last axis is one of
            several, so that its entries are units.
        counted: How many of the counts are their own, 0 for none.
        projected: How many columns of the projections are their own.
        compared: Bool: whether the tensor is compared with what it was at first.
        initial_norm: Euclidean norm of that, NaN where it is not.
        weights: Of an update, the number of the weight that it was made to; -1 for the
            others.
    """

    has_units: np.ndarray
    counted: np.ndarray
    projected: np.ndarray
    compared: np.ndarray
    initial_norm: np.ndarray
    weights: np.ndarray

    @classmethod
    def of_moments(cls, tensors):
        """Returns that of so many tensors of which only moments were computed."""
        none = np.zeros(tensors, int)
        unknown = np.full(tensors, np.nan)
        return cls(none > 0, none, none, none > 0, unknown, none - 1)


def finalize(scalars, layout, *, counts=None, projections=None, moved=None):
    """Turns the partials of tensors into all statistics.

    Args:
        scalars: Float64 array of shape `(tensors, len(PARTIALS))`.
        layout: `Layout`.
        counts: Float64 array, the units of the tensors side by side: how many entries
            of each were counted.
        projections: Array of shape `(2, units)`.
        moved: Float64 array, how far those tensors that are compared with what they
            were at first are from that.

    Returns:
        Float64 array of shape `(tensors, len(schema.STATISTICS))`. What is not defined
        for a tensor is NaN (0/0 for an empty one, units of a bias). NaN and infinite
        entries propagate. `"zero_fraction"` takes the counted entries to be those that
        are not 0, `"saturation_fraction"` to be those that are saturated.
    """
    columns = {name: scalars[:, index] for name, index in _AT.items()}
    columns["count"] = np.where(columns["count"] > 0, columns["count"], np.nan)
    everything_moved = np.full(len(scalars), np.nan)
    if moved is not None:
        everything_moved[layout.compared] = moved
    partials = Partials(
        **columns,
        has_units=layout.has_units,
        counted=layout.counted,
        projected=layout.projected,
        initial_norm=layout.initial_norm,
        weights=layout.weights,
        counts=np.zeros(0) if counts is None else counts,
        projections=np.zeros((2, 0)) if projections is None else projections,
        moved=everything_moved,
    )
    with np.errstate(invalid="ignore", over="ignore", divide="ignore"):
        values = [one.finish(partials) for one in schema.STATISTICS.values()]
    return np.stack(values, axis=1)


def rms_by_time(sums):
    """Returns the rms of each time step, NaN behind the end of a sequence.

    Args:
        sums: Array of shape `(tensors, 2, schema.TIME_STEPS)`: sums of squares and
            numbers of entries.

    Returns:
        Float64 array of shape `(tensors, schema.TIME_STEPS)`.
    """
    squares, counts = np.moveaxis(np.asarray(sums, np.float64), 1, 0)
    with np.errstate(invalid="ignore"):
        return np.sqrt(squares / np.where(counts > 0, counts, np.nan))
