"""Count, mean, sum of squared deviations and extremes of tensors.

Whole-tensor sums and extremes run in float32 at memory speed. That is exact enough for
a well-scaled tensor; a careful two-pass form runs, under a condition, only where it is
not: mean² ≫ variance, squares that over- or underflow, non-finite entries.
"""

import functools

import numpy as np
import tensorflow as tf

from keras_initkit.stats.tracing import traced

# Squares of float32 numbers inside these bounds neither overflow in a sum of 1e9 nor
# underflow (the smallest normal number is 1.2e-38).
_SMALL, _LARGE = 1e-15, 1e14
# mean² above this many variances: E[x²] − E[x]² has lost more than two bits.
_CANCELLATION = 4.0


def sums(rows):
    """Returns sum, half the sum of squares, minimum and maximum of tensors.

    Four float32 scalars of one tensor, or float64 `(tensors,)` of several.
    """
    x = rows.values
    if rows.owners is None:
        return [tf.reduce_sum(x), tf.nn.l2_loss(x), tf.reduce_min(x), tf.reduce_max(x)]
    low, high = tf.reduce_min(x, axis=1), tf.reduce_max(x, axis=1)
    each = [tf.reduce_sum(x, axis=1), 0.5 * tf.reduce_sum(tf.square(x), axis=1)]
    # Extremes of segments pass over NaN, and begin with the least number of the type.
    each = tf.stack([*each, tf.where(tf.math.is_nan(high), high, 0.0)], axis=1)
    each = tf.math.unsorted_segment_sum(
        tf.cast(each, tf.float64), rows.owners, rows.tensors
    )
    extremes = tf.cast(tf.stack([-low, high], axis=1), tf.float64)
    extremes = tf.math.unsorted_segment_max(extremes, rows.owners, rows.tensors)
    infinity = tf.constant(np.inf, tf.float64)
    extremes = tf.where(extremes == tf.float64.min, -infinity, extremes)
    extremes = extremes * [-1.0, 1.0] + each[:, 2:]
    return [*tf.unstack(each[:, :2], axis=1), *tf.unstack(extremes, axis=1)]


def moments(sums, sizes, values):
    """Finishes the moments of tensors: whether any of them takes care is asked once.

    What a condition may read is kept until its answer is known: large tensors are
    finished one by one.

    Args:
        sums: List of four float64 tensors of shape `(tensors,)`, what `sums` gives.
        sizes: Int32 tensor of shape `(tensors,)`, how many entries they have.
        values: Function that returns the entries of all of them, float32 of rank 1.

    Returns:
        List of as many float64 tensors: count, mean, m2, min, max, nonfinite.
    """
    total, half_square, low, high = sums
    with_care = _of_one_with_care if low.shape[0] == 1 else _of_each_with_care()
    count = tf.cast(sizes, tf.float64)
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
    middle = tf.cond(
        tf.reduce_all(settled),
        lambda: middle,
        lambda: with_care(middle, settled, sizes, values()),
    )
    mean, m2, nonfinite = tf.unstack(middle, axis=1)
    return [count, mean, m2, low, high, nonfinite]


def _of_one_with_care(middle, settled, sizes, values):
    return tf.expand_dims(_careful_moments(values), 0)


@functools.cache
def _of_each_with_care():
    """Replaces mean, m2 and nonfinite of those tensors that are not settled."""

    def with_care(middle, settled, sizes, values):
        ends = tf.cumsum(sizes)
        unsettled = tf.where(~settled)

        def of_one(place):
            end, size = tf.gather(ends, place), tf.gather(sizes, place)
            return _careful_moments(tf.slice(values, end - size, size))

        found = tf.map_fn(of_one, unsettled, fn_output_signature=tf.float64)
        return tf.tensor_scatter_nd_update(middle, unsettled, found)

    return traced(
        with_care,
        [
            tf.TensorSpec([None, 3], tf.float64),
            tf.TensorSpec([None], tf.bool),
            tf.TensorSpec([None], tf.int32),
            tf.TensorSpec([None], tf.float32),
        ],
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
