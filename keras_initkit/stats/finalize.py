"""From partials to statistics, and the merging of partials (numpy, float64)."""

import numpy as np

from keras_initkit import schema
from keras_initkit.stats.partials import PARTIALS

_AT = {name: index for index, name in enumerate(PARTIALS)}

# Two units count as the same if both their projections agree within this share of the
# largest projection of the tensor: far above float32 rounding, far below chance.
_SAME_UNIT = 1e-5


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
        merged[:, _AT["mean"]] += delta * share
    for name, combine in (
        ("min", np.minimum),
        ("max", np.maximum),
        ("nonfinite", np.add),
        ("zeros", np.add),
        ("count", np.add),
    ):
        column = _AT[name]
        merged[:, column] = combine(one[:, column], other[:, column])
    return merged


def finalize(signal, scalars, profiles=None):
    """Turns the partials of a signal's tensors into its statistics.

    Args:
        signal: Name of the signal.
        scalars: Float64 array of shape `(tensors, len(PARTIALS))`.
        profiles: For each tensor an array of shape `(len(PROFILES), units)`, or `None`
            for a tensor that has no units.

    Returns:
        Float64 array of shape `(tensors, statistics)`, the columns as in
        `schema.statistics_of(signal)`. What is not defined for a tensor is NaN (0/0 for
        an empty one, units of a bias). NaN and infinite entries propagate.
    """
    column = {name: np.asarray(scalars, np.float64)[:, _AT[name]] for name in _AT}
    profiles = profiles or [None] * len(column["count"])
    count = np.where(column["count"] > 0, column["count"], np.nan)
    with np.errstate(invalid="ignore", over="ignore"):
        variance = np.maximum(column["m2"] / count, 0.0)
        rms = np.sqrt(variance + column["mean"] ** 2)
        values = {
            "mean": column["mean"] + 0.0 * count,
            "std": np.sqrt(variance),
            "rms": rms,
            "norm": rms * np.sqrt(count),
            "min": column["min"] + 0.0 * count,
            "max": column["max"] + 0.0 * count,
            "zero_fraction": column["zeros"] / count,
            "nonfinite_count": column["nonfinite"],
            "dead_fraction": np.array([_dead_fraction(p) for p in profiles]),
            "distinct_units": np.array([_distinct_units(p) for p in profiles]),
        }
    return np.stack([values[name] for name in schema.statistics_of(signal)], axis=1)


def _dead_fraction(profiles):
    """Share of units that are zero in every row."""
    if profiles is None or not profiles.size:
        return np.nan
    return np.mean(profiles[0] == 0)


def _distinct_units(profiles):
    """How many units differ, by their projections; NaN ones differ from all."""
    if profiles is None or not profiles.size:
        return np.nan
    first, second = np.asarray(profiles[1:], np.float64)
    order = np.lexsort((second, first))
    tolerance = _SAME_UNIT * max(np.abs(first).max(), np.abs(second).max())
    near = np.abs(np.diff(first[order])) <= tolerance
    near &= np.abs(np.diff(second[order])) <= tolerance
    return 1 + np.count_nonzero(~near)
