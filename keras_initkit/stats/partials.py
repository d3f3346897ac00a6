"""What is computed of tensors on the device: scalar partials and unit profiles.

A step is watched in many tensors, most of them small: there the number of ops counts,
when it is traced and when it runs. In a deep model those of like shape are reduced
together; what is done to finish the sums is done for all at once. Large ones are bound
by bytes, and each is finished on its own.
"""

import contextlib

import numpy as np
import tensorflow as tf

from keras_initkit.stats.groups import groups
from keras_initkit.stats.kinds import (
    Kind,
    finished,
    joined_as,
    reduced,
    reduced_vectors,
)
from keras_initkit.stats.norms import norms
from keras_initkit.stats.shared import flat, rows_at, sharing

# The scalars of a tensor. `m2` is the sum of squared deviations from `mean`; the last
# two are trace and squared Frobenius norm of the Gram matrix of sampled, centred rows
# (-1 where they are not computed).
PARTIALS = (
    "count",
    "mean",
    "m2",
    "min",
    "max",
    "nonfinite",
    "gram_trace",
    "gram_norm_squared",
)

# More tensors are reduced by functions that are traced once, and together where they
# are alike. Tracing those takes a second or two; then a tensor costs far less.
_MANY = 64
# Entries of small tensors that are finished together, and are copied for that (as
# `groups` counts them).
_TOGETHER = 2**20
# The type in which each result of all tensors is returned.
_DTYPES = {
    "moments": tf.float64,
    "gram": tf.float64,
    "histogram": tf.int32,
    "counts": tf.float64,
    "projections": tf.float32,
    "time": tf.float64,
}
# Those of which the units of several tensors lie side by side, in rows.
_IN_ROWS = {"counts", "projections"}
# What both are where they are not computed.
_MISSING = -1.0


def reduce(
    tensors, reductions, histograms=None, compiled=False, gathered=None, initial=()
):
    """Reduces the tensors of a step.

    All of it adds up over replicas, but for `"scalars"`, which `merge` merges.

    Args:
        tensors: List of float tensors of any shape with a static last axis; half
            precision is computed in float32. Entries of the last axis are the units.
        reductions: List of as many `Reduction`s, of all or of none only norms.
        histograms: Scalar bool tensor, whether values are counted by their leading
            bits this time; `None` where they never are.
        compiled: Whether XLA compiles the step.
        gathered: Where the tensors are parts of others: a function that puts the rows
            of all parts one below the other.
        initial: List of as many float32 tensors, what the tensors were at first, or
            `None` for those of which that is not asked; empty where it is of none.

    Returns:
        A dict of tensors, without those that no reduction asks for.

        - `"scalars"`: float64 `(tensors, len(PARTIALS))`. Counts are exact; NaN and
          infinite entries propagate into `mean` and `m2` as IEEE 754 has it.
        - `"counts"`: float64 `(units,)`, the units of those tensors side by side that
          have entries counted.
        - `"projections"`: float32 `(2, units)`, products of the units of those tensors
          that have projected rows with two fixed directions.
        - `"time"`: float64 `(timed tensors, 2, schema.TIME_STEPS)`, sums of squares
          and numbers of entries by time step.
        - `"histogram"`, with histograms: int32 `(tensors, BINS)`.
        - `"moved"`: float64 `(compared tensors,)`, Euclidean norms of what they have
          changed by since they were `initial`; their squares are added up in float32.
    """
    if not tensors:
        return {}
    # Eagerly, nothing of it is for a tape that records the step. Replicas exchange what
    # they reduce, which they cannot from there.
    apart = tf.executing_eagerly() and gathered is None
    with tf.init_scope() if apart else contextlib.nullcontext(), sharing():
        if reductions[0].only_norms:
            return {"scalars": _scalars(norms(tensors, compiled))}
        found = _reduce(tensors, reductions, histograms, compiled, gathered)
        return found | _moved(tensors, initial)


def _scalars(found):
    """Returns the partials of which `Norms` are all that is known."""
    zero = tf.zeros_like(found.count)
    unknown, missing = zero + np.nan, zero + _MISSING
    by_name = {
        "count": found.count,
        "mean": zero,
        "m2": found.square,
        "min": unknown,
        "max": unknown,
        "nonfinite": found.nonfinite,
        "gram_trace": missing,
        "gram_norm_squared": missing,
    }
    return tf.stack([by_name[name] for name in PARTIALS], axis=1)


def _moved(tensors, initial):
    """Returns how far tensors are from what they were at first, where that is asked."""
    pairs = zip(tensors, initial, strict=bool(initial))
    half_squares = [
        tf.nn.l2_loss(tf.cast(tensor, tf.float32) - first)
        for tensor, first in pairs
        if first is not None
    ]
    if not half_squares:
        return {}
    return {"moved": tf.sqrt(2.0 * tf.cast(tf.stack(half_squares), tf.float64))}


def _reduce(tensors, reductions, histograms, compiled, gathered):
    wanted = None if histograms is None else tf.convert_to_tensor(histograms)
    # An exchange between replicas has no place in a function that is traced once.
    one_by_one = len(tensors) <= _MANY or gathered is not None
    in_place = gathered is not None or (one_by_one and not compiled)
    small, parts = [], []
    for group in groups(tensors, reductions, not one_by_one, alone=compiled):
        own = [tensors[number] for number in group.numbers]
        alone = compiled or group.is_large
        kind = Kind(reductions[group.numbers[0]], alone, compiled)
        if group.are_vectors:
            part = reduced_vectors(own, kind.reduction)
        else:
            part = reduced(own, kind, in_place, wanted, gathered)
        parts.append((group.numbers, part))
        if not alone:
            small.append((group, part))
    parts += _finished(small, one_by_one, wanted)
    found = {
        name: _in_order(
            [(numbers, part[name]) for numbers, part in parts if name in part],
            sizes,
            name,
        )
        for name, sizes in _sizes(tensors, reductions).items()
        if any(name in part for _, part in parts)
    }
    if "counts" in found:
        found["counts"] = flat(found["counts"])
    gram = _gram(found.pop("gram", None), reductions)
    found["scalars"] = tf.concat([found.pop("moments"), gram], axis=1)
    return found


def _gram(gram, reductions):
    """Returns trace and squared norm of Gram matrices, float64 `(tensors, 2)`."""
    are_ranked = np.array([reduction.ranked for reduction in reductions])
    missing = np.full((1, 2), _MISSING)
    if gram is None:
        return tf.constant(np.repeat(missing, len(reductions), axis=0))
    gram = 2.0 * tf.reshape(gram, [-1, 2])
    if are_ranked.all():
        return gram
    places = np.where(are_ranked, np.cumsum(are_ranked), 0)
    return tf.gather(tf.concat([missing, gram], axis=0), places)


def joined(parts):
    """Returns what `reduce` gives for several tensors, from that of each."""
    names = dict.fromkeys(name for part in parts for name in part)
    return {
        name: tf.concat(
            [part[name] for part in parts if name in part],
            axis=1 if name == "projections" else 0,
        )
        for name in names
    }


def _finished(parts, in_place, wanted):
    """Finishes groups of small tensors, as many at once as do not make a large copy.

    Returns:
        List of pairs of numbers and a dict of their moments and histograms.
    """
    pairs = []
    entries = np.cumsum([0, *(group.entries for group, _ in parts)])
    batches = entries[:-1] // _TOGETHER
    for batch in np.unique(batches):
        some, found = zip(
            *(parts[i] for i in np.flatnonzero(batches == batch)), strict=True
        )
        numbers = [number for group in some for number in group.numbers]
        pairs.append((numbers, finished(found, in_place, wanted)))
    return pairs


def _sizes(tensors, reductions):
    """Returns how long what is computed of each tensor is, by its name."""
    ones = np.ones(len(tensors), int)
    units = np.array([x.shape[-1] if x.shape.rank else 1 for x in tensors])
    return {
        "moments": ones,
        "gram": 2 * ones * [r.ranked for r in reductions],
        "histogram": ones,
        "counts": units * [r.counted_above is not None for r in reductions],
        "projections": units * [r.projected_rows > 0 for r in reductions],
        "time": ones * [r.timed for r in reductions],
    }


def _in_order(parts, sizes, name):
    """Joins what was computed of groups, in the order of the tensors.

    Args:
        parts: List of pairs of numbers of tensors and what was computed of them.
        sizes: How long what was computed of each tensor is.
        name: What it is.
    """
    axis = 1 if name in _IN_ROWS else 0
    order = np.array([number for numbers, _ in parts for number in numbers])
    sizes = sizes[order]
    firsts = np.cumsum(sizes) - sizes
    whole = joined_as(_DTYPES[name], [part for _, part in parts], axis)
    places = np.concatenate(
        [np.arange(sizes[i]) + firsts[i] for i in np.argsort(order)]
    )
    if (np.diff(places) == 1).all():
        return whole
    return rows_at(whole, places, axis)
