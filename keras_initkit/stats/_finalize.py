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
        mean = one[:, _AT["mean"]] + delta * share
        # Infinite means of one sign do not differ by NaN.
        total = one[:, _AT["mean"]] + other[:, _AT["mean"]]
        merged[:, _AT["mean"]] = np.where(np.isinf(total), total, mean)
    for name, combine in (
        ("min", np.minimum),
        ("max", np.maximum),
        ("nonfinite", np.add),
        ("count", np.add),
    ):
        column = _AT[name]
        merged[:, column] = combine(one[:, column], other[:, column])
    return merged


def finalize(scalars, counted, counts, projected, projections, weights):
    """Turns the partials of tensors into all statistics.

    Args:
        scalars: Float64 array of shape `(tensors, len(PARTIALS))`.
        counted: For each tensor, how many of `counts` are its own, 0 for none.
        counts: Float64 array, the units of the tensors side by side: how many entries
            of each were counted.
        projected: For each tensor, how many columns of `projections` are its own.
        projections: Array of shape `(2, units)`.
        weights: For each tensor that is an update, the number of the weight that it
            was made to; -1 for the others.

    Returns:
        Float64 array of shape `(tensors, len(schema.STATISTICS))`. What is not defined
        for a tensor is NaN (0/0 for an empty one, units of a bias). NaN and infinite
        entries propagate. `"zero_fraction"` takes the counted entries to be those that
        are not 0, `"saturation_fraction"` to be those that are saturated.
    """
    column = {name: scalars[:, index] for name, index in _AT.items()}
    with np.errstate(invalid="ignore", over="ignore", divide="ignore"):
        count = np.where(column["count"] > 0, column["count"], np.nan)
        variance = np.maximum(column["m2"] / count, 0.0)
        rms = np.sqrt(variance + column["mean"] ** 2)
        # The variance is not defined beside an infinity, the mean square is.
        peak = np.maximum(-column["min"], column["max"])
        rms = np.where(np.isinf(peak) & (column["count"] > 0), np.inf, rms)
        norm = rms * np.sqrt(count)
        # Of a tensor without counts, and without units: 0/0.
        entries = _sums(counts, counted) / (counted > 0)
        silent = _sums(counts == 0, counted) / (counted * (projected > 0))
        trace = np.where(column["gram_trace"] < 0, np.nan, column["gram_trace"])
        ratio = np.where(rms == 0, 0.0, norm / norm[weights])
        values = {
            "mean": column["mean"] + 0.0 * count,
            "std": np.sqrt(variance),
            "rms": rms,
            "norm": norm,
            "min": column["min"] + 0.0 * count,
            "max": column["max"] + 0.0 * count,
            "zero_fraction": (count - entries) / count,
            "nonfinite_count": column["nonfinite"],
            "dead_fraction": silent,
            "saturation_fraction": entries / count,
            "distinct_units": _distinct_units(projections, projected),
            "effective_rank": trace**2 / column["gram_norm_squared"],
            "update_to_weight_ratio": np.where(weights < 0, np.nan, ratio),
        }
    return np.stack([values[name] for name in schema.STATISTICS], axis=1)


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


def _sums(values, sizes):
    """Returns the sums of parts of given sizes, 0 among them."""
    ends = np.cumsum(sizes)
    total = np.concatenate([[0.0], np.cumsum(values)])
    return total[ends] - total[ends - sizes]


def _distinct_units(projections, sizes):
    """How many units differ, by their projections; NaN ones differ from all."""
    distinct = np.full(len(sizes), np.nan)
    tensors = np.flatnonzero(sizes)
    if not tensors.size:
        return distinct
    sizes = sizes[tensors]
    owner = np.repeat(np.arange(len(sizes)), sizes)
    projections = np.asarray(projections, np.float64)
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
