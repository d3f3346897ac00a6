"""What is computed of tensors on the device: scalar partials and unit profiles.

A step is watched in many tensors, most of them small: there the number of ops counts,
and what is done to finish the sums is done for all tensors at once. Large ones are
bound by bytes: whole-tensor sums, extremes and matrix products run in float32 at
memory speed. That is exact enough for a well-scaled tensor; a careful two-pass form
runs, under a condition, only where it is not: mean² ≫ variance, squares that over- or
underflow, non-finite entries.
"""

import dataclasses
import functools

import numpy as np
import tensorflow as tf

from keras_initkit import schema
from keras_initkit.stats import histogram
from keras_initkit.stats.rows import Rows, as_rows, small_together, spread_out

# The scalars of a tensor. `m2` is the sum of squared deviations from `mean`; `spread`
# and `squared_spread` are trace and squared Frobenius norm of the Gram matrix of
# sampled, centred rows (-1 where they are not computed).
PARTIALS = (
    "count",
    "mean",
    "m2",
    "min",
    "max",
    "nonfinite",
    "spread",
    "squared_spread",
)

# Rows of which the effective rank is computed, spread out where there are more.
RANKED_ROWS = 128

# Squares of float32 numbers inside these bounds neither overflow in a sum of 1e9 nor
# underflow (the smallest normal number is 1.2e-38).
_SMALL, _LARGE = 1e-15, 1e14
# mean² above this many variances: E[x²] − E[x]² has lost more than two bits.
_CANCELLATION = 4.0
# Fewer units than this may go with more rows than float32 counts exactly.
_NARROW = 8
_MISSING = -1.0


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
    """

    counted_above: float | None = None
    projected_rows: int = 0
    part: int = 0
    ranked: bool = False
    timed: bool = False


def reduce(tensors, reductions, histograms=None, compiled=False, gathered=None):
    """Reduces the tensors of a step.

    All of it adds up over replicas, but for `"scalars"`, which `merge` merges.

    Args:
        tensors: List of float tensors of any shape with a static last axis; half
            precision is computed in float32. Entries of the last axis are the units.
        reductions: List of as many `Reduction`s.
        histograms: Scalar bool tensor, whether values are counted by their leading
            bits this time; `None` where they never are.
        compiled: Whether XLA compiles the step.
        gathered: Where the tensors are parts of others: a function that puts the rows
            of all parts one below the other.

    Returns:
        A dict of tensors, without those that no reduction asks for.

        - `"scalars"`: float64 `(tensors, len(PARTIALS))`. Counts are exact; NaN and
          infinite entries propagate into `mean` and `m2` as IEEE 754 has it.
        - `"counts"`: float64 `(units,)`, the units of those tensors side by side that
          have entries counted.
        - `"projections"`: float32 `(2, units)`, products of the units of those tensors
          that have projected rows with two fixed directions.
        - `"time"`: float32 `(timed tensors, 2, schema.TIME_STEPS)`, sums of squares
          and numbers of entries by time step.
        - `"histogram"`, with histograms: int32 `(tensors, BINS)`.
    """
    rows = [as_rows(tensor) for tensor in tensors]
    missing = [tf.constant(_MISSING)] * 2
    spreads: list = []
    counts: list = []
    projections: list = []
    time: list = []
    for tensor, x, reduction in zip(tensors, rows, reductions, strict=True):
        if reduction.counted_above is not None:
            counts.append(_counts(x, reduction.counted_above))
        if reduction.projected_rows:
            projections.append(
                _projections(x, reduction.projected_rows, reduction.part)
            )
        if reduction.timed:
            time.append(_squares_by_time(tf.cast(tensor, tf.float32)))
        spreads += _spread(x, gathered) if reduction.ranked else missing
    spread = tf.cast(tf.reshape(tf.stack(spreads), [-1, 2]), tf.float64)
    reduced = {"scalars": tf.concat([_moments(rows), spread], axis=1)}
    if counts:
        reduced["counts"] = tf.concat(counts, axis=1)[0]
    if projections:
        reduced["projections"] = tf.concat(projections, axis=1)
    if time:
        reduced["time"] = tf.stack(time)
    if histograms is not None:
        reduced["histogram"] = histogram.bincounts(rows, histograms, compiled)
    return reduced


def joined(parts):
    """Returns what `reduce` gives for several tensors, from that of each."""
    axes = {"projections": 1}
    names = dict.fromkeys(name for part in parts for name in part)
    return {
        name: tf.concat([p[name] for p in parts if name in p], axis=axes.get(name, 0))
        for name in names
    }


def _moments(rows):
    """Returns count, mean, m2, min, max, nonfinite: float64 `(tensors, 6)`."""
    return small_together(rows, _moments_of_each, lambda x: _moments_of_one()(x.values))


@functools.cache
def _moments_of_one():
    """The moments of one tensor, traced once for all."""
    return tf.function(
        lambda values: _moments_of_each([Rows(values, tf.size(values))]),
        input_signature=[tf.TensorSpec([None, None], tf.float32)],
        autograph=False,
        experimental_attributes={"_noinline": True},
    )


def _moments_of_each(rows):
    """The moments of tensors: whether any of them takes care is asked once."""
    axes = tf.constant([0, 1])
    sums = []
    for x in rows:
        sums += [
            tf.reduce_sum(x.values, axes),
            tf.nn.l2_loss(x.values),
            tf.reduce_min(x.values, axes),
            tf.reduce_max(x.values, axes),
        ]
    sums = tf.cast(tf.reshape(tf.stack(sums), [-1, 4]), tf.float64)
    count = tf.cast(tf.stack([x.size for x in rows]), tf.float64)
    total, half_square, low, high = tf.unstack(sums, axis=1)
    mean = tf.math.divide_no_nan(total, count)
    square = tf.math.divide_no_nan(2.0 * half_square, count)
    variance = square - mean * mean
    peak = tf.maximum(tf.abs(low), tf.abs(high))
    # NaN anywhere makes both false.
    well_scaled = (peak > _SMALL) & (peak < _LARGE)
    well_conditioned = mean * mean < _CANCELLATION * variance
    all_zero = (peak == 0.0) & (square == 0.0)
    settled = (well_scaled & well_conditioned) | all_zero
    middle = tf.stack([mean, count * variance, tf.zeros_like(mean)], axis=1)

    def with_care():
        each = zip(rows, tf.unstack(settled), tf.unstack(middle), strict=True)
        return tf.stack([_careful()(x.values, *known) for x, *known in each])

    middle = tf.cond(tf.reduce_all(settled), lambda: middle, with_care)
    mean, m2, nonfinite = tf.unstack(middle, axis=1)
    return tf.stack([count, mean, m2, low, high, nonfinite], axis=1)


@functools.cache
def _careful():
    """The careful moments of a tensor unless they are settled, traced once for all."""

    def unless_settled(rows, settled, middle):
        return tf.cond(settled, lambda: middle, lambda: _careful_moments(rows))

    return tf.function(
        unless_settled,
        input_signature=[
            tf.TensorSpec([None, None], tf.float32),
            tf.TensorSpec([], tf.bool),
            tf.TensorSpec([3], tf.float64),
        ],
        autograph=False,
        experimental_attributes={"_noinline": True},
    )


def _careful_moments(x):
    """Returns mean, m2, nonfinite of a tensor scaled to its peak and then centred.

    What rounding leaves of the mean of the centred values corrects both, the
    two-pass algorithm of Chan, Golub and LeVeque (1983), equation 1.7.
    """
    nonfinite = tf.reduce_sum(tf.cast(~tf.math.is_finite(x), tf.int32))
    scale = tf.reduce_max(tf.abs(x))
    scale = tf.where((scale > 0) & tf.math.is_finite(scale), scale, 1.0)
    scaled = x / scale
    count = tf.cast(tf.maximum(tf.size(x), 1), tf.float64)
    centre = tf.reduce_sum(scaled) / tf.cast(count, tf.float32)
    centred = scaled - centre
    sums = tf.stack([scale, centre, tf.reduce_sum(centred), tf.nn.l2_loss(centred)])
    scale, centre, rest, half_square = tf.unstack(tf.cast(sums, tf.float64))
    mean = scale * (centre + rest / count)
    m2 = scale * scale * (2.0 * half_square - rest * rest / count)
    return tf.stack([mean, m2, tf.cast(nonfinite, tf.float64)])


def _counts(rows, limit):
    """Returns how many entries of each column are above a limit in magnitude.

    Exactly: float64 `(1, units)`.
    """
    x = rows.values
    above = tf.not_equal(x, 0.0) if limit == 0 else tf.abs(x) > limit
    if (rows.units or 1) < _NARROW:
        counts = tf.reduce_sum(tf.cast(above, tf.int32), axis=0, keepdims=True)
    else:
        # One matrix product adds up the columns at memory speed, in float32.
        counts = tf.linalg.matmul(tf.ones([1, rows.count]), tf.cast(above, tf.float32))
    return tf.cast(counts, tf.float64)


def _projections(rows, most, part):
    """Returns the products of all columns with two directions, shape `(2, units)`."""
    sample = spread_out(rows, most)
    directions = _directions(most, part)
    length = sample.shape[0]
    if length is None:
        return tf.linalg.matmul(
            tf.constant(directions)[:, : tf.shape(sample)[0]], sample
        )
    return tf.linalg.matmul(tf.constant(directions[:, :length]), sample)


@functools.cache
def _directions(length, part):
    """Two pseudo-random directions fixed for a part, float32 of shape `(2, length)`."""
    generator = np.random.Generator(np.random.PCG64(20100513 + part))
    return generator.standard_normal((2, length), np.float32)


def _spread(rows, gathered):
    """Returns trace and squared Frobenius norm of the Gram matrix of centred rows.

    Rows are scaled to the largest magnitude: the ratio of the two is what counts.
    """
    sample = spread_out(rows, RANKED_ROWS)
    if gathered is not None:
        sample = spread_out(as_rows(gathered(sample)), RANKED_ROWS)
    # Equal rows differ by exactly 0.
    sample -= sample[:1]
    centred = sample - tf.reduce_mean(sample, axis=0)
    centred = tf.math.divide_no_nan(centred, tf.reduce_max(tf.abs(centred)))
    gram = tf.linalg.matmul(centred, centred, transpose_b=True)
    return [2.0 * tf.nn.l2_loss(centred), 2.0 * tf.nn.l2_loss(gram)]


def _squares_by_time(x):
    """Returns sums of squares and numbers of entries by time step.

    Shape `(2, schema.TIME_STEPS)`. Step t of T > `schema.TIME_STEPS` goes to the
    column `t * schema.TIME_STEPS // T`.
    """
    batch, length, units = tf.unstack(tf.shape(x))
    squares = tf.reduce_sum(tf.reduce_sum(tf.square(x), axis=2), axis=0)
    columns = schema.TIME_STEPS
    column = tf.range(length) * columns // tf.maximum(length, columns)
    each = tf.fill([length], tf.cast(batch * units, tf.float32))
    return tf.transpose(
        tf.math.unsorted_segment_sum(tf.stack([squares, each], 1), column, columns)
    )
