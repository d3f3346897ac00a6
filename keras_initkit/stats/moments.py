"""Count, mean, sum of squared deviations and extremes of tensors.

Whole-tensor sums and extremes run in float32 at memory speed. That is exact enough for
a well-scaled tensor; a careful two-pass form runs, under a condition, only where it is
not: mean² ≫ variance, squares that over- or underflow, non-finite entries.

XLA adds up one entry after the other, which loses digits with every million of them,
but makes a cast to float64 part of the sum: there it is float64 throughout, which takes
no care and no condition, of which it would compile both sides.
"""

import typing

import numpy as np
import tensorflow as tf

from keras_initkit.stats.shared import integers, largest, smallest, sum_of
from keras_initkit.stats.tracing import keeps_traced, traced

# Squares of float32 numbers inside these bounds neither overflow in a sum of 1e9 nor
# underflow (the smallest normal number is 1.2e-38).
_SMALL, _LARGE = 1e-15, 1e14
# mean² above this many variances: E[x²] − E[x]² has lost more than two bits.
_CANCELLATION = 4.0
_EXTREMES = (tf.reduce_min, tf.reduce_max)
# The bits of a float32 number's exponent: with no others it is a power of two.
EXPONENT = 0x7F800000


def sums(rows):
    """Returns sum, half the sum of squares, minimum and maximum of tensors.

    Four scalars of one tensor, or float64 `(tensors,)` of several. Extremes of segments
    pass over NaN: `moments` does not take their word for it.
    """
    x = rows.values
    if rows.owners is None:
        return [sum_of(x), tf.nn.l2_loss(x), smallest(x), largest(x)]
    total, half_square, low, high = sums_of_rows(x)
    each = tf.cast(tf.stack([total, half_square], axis=1), tf.float64)
    each = tf.math.unsorted_segment_sum(each, rows.owners, rows.tensors)
    extremes = tf.cast(tf.stack([-low, high], axis=1), tf.float64)
    extremes = tf.math.unsorted_segment_max(extremes, rows.owners, rows.tensors)
    # Those of no entries are the least number of the type.
    infinity = tf.constant(np.inf, tf.float64)
    extremes = tf.where(extremes == tf.float64.min, -infinity, extremes)
    extremes = extremes * [-1.0, 1.0]
    return [*tf.unstack(each, axis=1), *tf.unstack(extremes, axis=1)]


def sums_of_rows(x):
    """Returns sum, half the sum of squares, minimum and maximum of each row."""
    axis = integers(1)
    half_square = 0.5 * tf.raw_ops.Sum(input=tf.square(x), axis=axis)
    total, low, high = (
        reduce(input=x, axis=axis)
        for reduce in (tf.raw_ops.Sum, tf.raw_ops.Min, tf.raw_ops.Max)
    )
    return [total, half_square, low, high]


class OfSums(typing.NamedTuple):
    """What sums tell of tensors: float64 of shape `(tensors,)`, if not said otherwise.

    Attributes:
        count: How many entries they have.
        half_square: Half the sums of squares.
        low: Smallest entries.
        high: Largest entries.
        middle: Mean, m2 and 0 for the number of non-finite entries, `(tensors, 3)`.
        settled: Bool, whether a tensor takes no care.
        all_settled: Bool scalar, whether none does.
    """

    count: tf.Tensor
    half_square: tf.Tensor
    low: tf.Tensor
    high: tf.Tensor
    middle: tf.Tensor
    settled: tf.Tensor
    all_settled: tf.Tensor


def of_sums(sums, sizes):
    """Finishes the moments of tensors as far as sums tell them.

    Args:
        sums: Float64 tensor of shape `(tensors, 4)`, what `sums` gives of each.
        sizes: Int32 of shape `(tensors,)`, how many entries they have.

    Returns:
        `OfSums`.
    """
    total, half_square, low, high = tf.unstack(sums, axis=1)
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
    all_settled = tf.reduce_all(settled)
    return OfSums(count, half_square, low, high, middle, settled, all_settled)


def settled_with_care(found, sizes, values):
    """Finishes the moments of tensors: whether any of them takes care is asked once.

    What a condition may read is kept until its answer is known: large tensors are
    finished one by one.

    Args:
        found: `OfSums`.
        sizes: As for `of_sums`.
        values: Function that returns the float32 entries of all of them, of rank 1.

    Returns:
        Float64 tensor of shape `(tensors, 6)`: count, mean, m2, min, max, nonfinite.
    """
    with_care = _of_one_with_care if sizes.shape[0] == 1 else _of_each_with_care()
    middle = tf.cond(
        found.all_settled,
        lambda: found.middle,
        lambda: with_care(found.middle, found.settled, sizes, values()),
    )
    mean, m2, nonfinite = tf.unstack(middle, axis=1)
    # Squares of infinities are infinite: their sum is NaN where an entry is.
    nan = tf.where(tf.math.is_nan(found.half_square), found.half_square, 0.0)
    low, high = found.low + nan, found.high + nan
    return tf.stack([found.count, mean, m2, low, high, nonfinite], axis=1)


def compiled_moments(x):
    """Returns the moments of one float32 tensor, for XLA, as `moments` does: scalars.

    In float64 no square of a float32 number over- or underflows. What is added up is
    how far entries are from one of them: little cancels unless that one lies far off,
    and float64 has digits to spare.
    """
    first = tf.reduce_sum(tf.reshape(x, [-1])[:1])  # of no entries it is 0
    shift = tf.cast(tf.where(tf.math.is_finite(first), first, 0.0), tf.float64)
    apart = tf.cast(x, tf.float64) - shift
    total, square = tf.reduce_sum(apart), tf.reduce_sum(tf.square(apart))
    count = tf.cast(tf.size(x), tf.float64)
    mean = tf.math.divide_no_nan(total, count)
    others = nonfinite(x)
    # Extremes pass over NaN. Squares of infinities are infinite: their sum is NaN where
    # an entry is.
    nan = tf.where(tf.math.is_nan(square), square, 0.0)
    low, high = (tf.cast(f(x), tf.float64) + nan for f in _EXTREMES)
    m2 = square - total * mean
    return [count, shift + mean, m2, low, high, tf.cast(others, tf.float64)]


def _of_one_with_care(middle, settled, sizes, values):
    return tf.expand_dims(_careful_moments(values), 0)


@keeps_traced()
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
    """Returns mean, m2, nonfinite of a tensor scaled by its peak and then centred.

    What rounding leaves of the mean of the centred values corrects both, the
    two-pass algorithm of Chan, Golub and LeVeque (1983), equation 1.7.
    """
    others = nonfinite(x)
    scale = power_of_two(tf.reduce_max(tf.abs(x)))
    scaled = x / scale
    count = tf.cast(tf.maximum(tf.size(x), 1), tf.float64)
    centre = tf.reduce_sum(scaled) / tf.cast(count, tf.float32)
    centred = scaled - centre
    sums = tf.stack([scale, centre, tf.reduce_sum(centred), tf.nn.l2_loss(centred)])
    scale, centre, rest, half_square = tf.unstack(tf.cast(sums, tf.float64))
    # Infinities of one sign have an infinite mean.
    rest = tf.where(tf.math.is_finite(centre), rest, 0.0)
    mean = scale * (centre + rest / count)
    m2 = scale * scale * (2.0 * half_square - rest * rest / count)
    return tf.stack([mean, m2, tf.cast(others, tf.float64)])


def nonfinite(x):
    """Returns how many entries are NaN or infinite."""
    return tf.reduce_sum(tf.cast(~tf.math.is_finite(x), tf.int32))


def power_of_two(peak):
    """Returns the power of two at or below a number, which divides without rounding.

    1 for 0 and what is not finite.
    """
    bits = tf.bitcast(peak, tf.int32)
    power = tf.bitcast(tf.bitwise.bitwise_and(bits, EXPONENT), tf.float32)
    return tf.where((power > 0) & tf.math.is_finite(power), power, 1.0)
