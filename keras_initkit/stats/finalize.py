"""From partials to statistics, and the merging of partials (numpy, float64)."""

import numpy as np

from keras_initkit import schema
from keras_initkit.stats.partials import PARTIALS

_AT = {name: index for index, name in enumerate(PARTIALS)}


def merge(parts):
    """Merges the partials of disjoint parts of the same tensors.

    Means and centred sums of squares are merged by the pairwise formula of Chan, Golub
    and LeVeque (1979), so that nothing cancels.

    Args:
        parts: Float64 array of shape `(parts, tensors, len(PARTIALS))`.

    Returns:
        Float64 array of shape `(tensors, len(PARTIALS))`.
    """
    parts = np.asarray(parts, np.float64)
    merged = parts[0].copy()
    for part in parts[1:]:
        n_a, n_b = merged[:, _AT["count"]], part[:, _AT["count"]]
        n = n_a + n_b
        share = np.divide(n_b, n, out=np.zeros_like(n), where=n > 0)
        delta = part[:, _AT["mean"]] - merged[:, _AT["mean"]]
        merged[:, _AT["mean"]] += delta * share
        merged[:, _AT["m2"]] += part[:, _AT["m2"]] + delta**2 * n_a * share
        for name, combine in (
            ("min", np.minimum),
            ("max", np.maximum),
            ("count", np.add),
            ("zeros", np.add),
            ("nonfinite", np.add),
            ("dead", np.minimum),
            ("distinct", np.maximum),
        ):
            column = _AT[name]
            merged[:, column] = combine(merged[:, column], part[:, column])
    return merged


def finalize(signal, partials):
    """Turns partials into the statistics of a signal.

    Args:
        signal: Name of the signal.
        partials: Float64 array of shape `(tensors, len(PARTIALS))`.

    Returns:
        Float64 array of shape `(tensors, statistics)`, the columns as in
        `schema.statistics_of(signal)`. An empty tensor has NaN everywhere but in its
        counts; NaN and infinite entries propagate as IEEE 754 has it.
    """
    column = {name: np.asarray(partials, np.float64)[:, _AT[name]] for name in _AT}
    count = np.where(column["count"] > 0, column["count"], np.nan)
    with np.errstate(invalid="ignore", over="ignore"):
        variance = np.maximum(column["m2"] / count, 0.0)
        rms = np.sqrt(variance + column["mean"] ** 2)
        values = {
            "mean": np.where(np.isnan(count), np.nan, column["mean"]),
            "std": np.sqrt(variance),
            "rms": rms,
            "norm": rms * np.sqrt(count),
            "min": np.where(np.isnan(count), np.nan, column["min"]),
            "max": np.where(np.isnan(count), np.nan, column["max"]),
            "zero_fraction": column["zeros"] / count,
            "nonfinite_count": column["nonfinite"],
            "dead_fraction": _known(column["dead"]) / column["units"],
            "distinct_units": _known(column["distinct"]),
        }
    return np.stack([values[name] for name in schema.statistics_of(signal)], axis=1)


def _known(column):
    return np.where(column >= 0, column, np.nan)
