"""What is computed of one tensor on the device: a row of float64 partials.

Whole-tensor sums, extremes and matrix products run at memory speed on every device and
are exact enough in float32 for well-scaled tensors; the careful two-pass form runs under
a condition only where they are not (mean² ≫ variance, squares that over- or underflow,
non-finite entries).
"""

import numpy as np
import tensorflow as tf

# The columns of a row. `m2` is the sum of squared deviations from `mean`; `units`, `dead`
# and `distinct` refer to entries of the last axis and are -1 where not computed.
PARTIALS = (
    "count",
    "mean",
    "m2",
    "min",
    "max",
    "zeros",
    "nonfinite",
    "units",
    "dead",
    "distinct",
)

# Squares of float32 numbers inside these bounds neither overflow in a sum of 1e9 nor
# underflow (smallest normal 1.2e-38).
_SMALL, _LARGE = 1e-15, 1e14
# mean² above this many variances: E[x²] − E[x]² has lost more than two bits.
_CANCELLATION = 4.0
# Rows of a tensor on which units are compared (evenly spaced when there are more), and
# how close two projections, relative to their rms, count as equal.
_COMPARED_ROWS = {"layer": 1024, "weight": 16384}
_EQUAL = 1e-5


def partials(x, source):
    """Reduces a tensor to one row of partials.

    Args:
        x: Float tensor of any shape. Half precision is computed in float32.
        source: `"layer"` for the output of a layer, whose units may be dead,
            `"weight"` for a tensor of a weight's shape.

    Returns:
        Float64 tensor of shape `(len(PARTIALS),)`. Counts are exact up to 2**53.
    """
    x = tf.cast(x, tf.float32)
    flat = tf.reshape(x, [-1])
    minus_one = tf.constant(-1.0, tf.float64)
    units = dead = distinct = minus_one
    is_matrix = x.shape.rank is not None and x.shape.rank >= 2
    if is_matrix and x.shape[-1] is not None:
        rows = tf.reshape(x, [-1, x.shape[-1]])
        units = tf.constant(x.shape[-1], tf.float64)
        distinct = _distinct_units(rows, _COMPARED_ROWS[source])
        if source == "layer":
            zeros, dead = _zeros_and_dead_units(rows)
        else:
            zeros = _zeros(flat)
    else:
        zeros = _zeros(flat)
    moments = _moments(flat)
    return tf.concat(
        [moments[:5], [zeros], moments[5:], [units, dead, distinct]], axis=0
    )


def _moments(flat):
    """Returns count, mean, m2, min, max, nonfinite in float64."""
    count = tf.size(flat, tf.int32)
    n = tf.cast(count, tf.float64)
    total, half_squares, low, high = (
        tf.reduce_sum(flat),
        tf.nn.l2_loss(flat),
        tf.reduce_min(flat),
        tf.reduce_max(flat),
    )
    four = tf.cast(tf.stack([total, half_squares, low, high]), tf.float64)
    mean = tf.math.divide_no_nan(four[0], n)
    square = tf.math.divide_no_nan(2.0 * four[1], n)
    variance = square - mean * mean
    peak = tf.maximum(tf.abs(four[2]), tf.abs(four[3]))
    # Written so that NaN anywhere makes it false.
    well_scaled = (peak > _SMALL) & (peak < _LARGE)
    well_conditioned = mean * mean < _CANCELLATION * variance
    plain = (well_scaled & well_conditioned) | ((peak == 0.0) & (square == 0.0))

    def cheap():
        return tf.stack([mean, n * variance, tf.constant(0.0, tf.float64)])

    def careful():
        nonfinite = tf.reduce_sum(tf.cast(~tf.math.is_finite(flat), tf.int32))
        scale = tf.reduce_max(tf.abs(flat))
        scale = tf.where((scale > 0) & tf.math.is_finite(scale), scale, 1.0)
        scaled = flat / scale
        centre = tf.math.divide_no_nan(
            tf.reduce_sum(scaled), tf.cast(count, tf.float32)
        )
        spread = 2.0 * tf.nn.l2_loss(scaled - centre)
        scale, centre, spread = (
            tf.cast(v, tf.float64) for v in (scale, centre, spread)
        )
        return tf.stack(
            [scale * centre, scale * scale * spread, tf.cast(nonfinite, tf.float64)]
        )

    mean, m2, nonfinite = tf.unstack(tf.cond(plain, cheap, careful))
    return tf.stack([n, mean, m2, four[2], four[3], nonfinite])


def _zeros(flat):
    return tf.cast(
        tf.reduce_sum(tf.cast(tf.equal(flat, 0.0), tf.int32)), tf.float64
    )


def _zeros_and_dead_units(rows):
    """Counts zeros, and units that are zero in every row, by one matrix product."""
    nonzero = tf.cast(tf.not_equal(rows, 0.0), tf.float32)
    ones = tf.ones([1, tf.shape(rows)[0]], tf.float32)
    alive = tf.cast(tf.linalg.matmul(ones, nonzero)[0], tf.float64)
    zeros = tf.cast(tf.size(rows, tf.int64), tf.float64) - tf.reduce_sum(alive)
    dead = tf.reduce_sum(tf.cast(tf.equal(alive, 0.0), tf.float64))
    return zeros, dead


def _distinct_units(rows, compared_rows):
    """Counts different columns by their projections onto two fixed directions."""
    total = tf.shape(rows)[0]
    stride = tf.maximum(1, (total + compared_rows - 1) // compared_rows)
    sample = rows[::stride]
    taken = tf.shape(sample)[0]
    directions = tf.constant(_directions(compared_rows))[:, :taken]
    first, second = tf.unstack(tf.linalg.matmul(directions, sample))
    order = tf.argsort(first)
    first, second = tf.gather(first, order), tf.gather(second, order)
    scale = tf.reduce_max(tf.abs(first)) + tf.reduce_max(tf.abs(second))
    tolerance = _EQUAL * scale
    near = (tf.abs(first[1:] - first[:-1]) <= tolerance) & (
        tf.abs(second[1:] - second[:-1]) <= tolerance
    )
    return 1.0 + tf.reduce_sum(tf.cast(~near, tf.float64))


_DIRECTIONS = {}


def _directions(length):
    """Two fixed pseudo-random directions, float32 of shape `(2, length)`."""
    if length not in _DIRECTIONS:
        generator = np.random.Generator(np.random.PCG64(20100513))
        _DIRECTIONS[length] = generator.standard_normal((2, length), np.float32)
    return _DIRECTIONS[length]
