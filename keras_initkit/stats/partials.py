"""What is computed of one tensor on the device: scalar partials and unit profiles.

Whole-tensor sums, extremes and matrix products run at memory speed on every device and
are exact enough in float32 for well-scaled tensors. The careful two-pass form runs, under
a condition, only where they are not: mean² ≫ variance, squares that over- or underflow,
non-finite entries.
"""

import functools

import numpy as np
import tensorflow as tf

# The scalars of a tensor. `m2` is the sum of squared deviations from `mean`.
PARTIALS = ("count", "mean", "m2", "min", "max", "nonfinite", "zeros")

# What is known of each unit (entry of the last axis): in how many rows it is not zero,
# and its inner product with two fixed directions. Both add up over replicas.
PROFILES = ("alive", "projection_1", "projection_2")

# Rows of a tensor that enter the projections; evenly spaced where there are more.
PROJECTED_ROWS = {"layer": 1024, "weight": 16384}

# Squares of float32 numbers inside these bounds neither overflow in a sum of 1e9 nor
# underflow (the smallest normal number is 1.2e-38).
_SMALL, _LARGE = 1e-15, 1e14
# mean² above this many variances: E[x²] − E[x]² has lost more than two bits.
_CANCELLATION = 4.0


def scalars(x, count_zeros=True):
    """Reduces a tensor to its scalar partials.

    Args:
        x: Float tensor of any shape. Half precision is computed in float32.
        count_zeros: Whether `zeros` is counted (it costs as much as all the rest);
            -1 otherwise.

    Returns:
        Float64 tensor of shape `(len(PARTIALS),)`. Counts are exact up to 2**31.
        NaN and infinite entries propagate into `mean` and `m2` as IEEE 754 has it;
        `min` and `max` of a tensor with NaN are those of the device.
    """
    flat = tf.reshape(tf.cast(x, tf.float32), [-1])
    moments = _moments()(flat)
    zeros = tf.constant(-1.0, tf.float64)
    if count_zeros:
        zeros = tf.cast(
            tf.reduce_sum(tf.cast(tf.equal(flat, 0.0), tf.int32)), tf.float64
        )
    return tf.concat([moments, [zeros]], axis=0)


def profiles(x, source, alive=False):
    """Computes what is kept of each unit of a tensor.

    Args:
        x: Float tensor of rank 2 or more with a static last axis.
        source: Key of `PROJECTED_ROWS`.
        alive: Whether to count the rows in which a unit is not zero; -1 otherwise.

    Returns:
        Float32 tensor of shape `(len(PROFILES), units)`. Counts are exact up to 2**24
        rows.
    """
    rows = tf.reshape(tf.cast(x, tf.float32), [-1, x.shape[-1]])
    projections = _projections(rows, PROJECTED_ROWS[source])
    if alive:
        # One matrix product counts every column at memory speed.
        nonzero = tf.cast(tf.not_equal(rows, 0.0), tf.float32)
        counts = tf.linalg.matmul(tf.ones([1, tf.shape(rows)[0]]), nonzero)
    else:
        counts = -tf.ones([1, x.shape[-1]])
    return tf.concat([counts, projections], axis=0)


def unscale(row, factor):
    """Returns the scalar partials of a tensor divided by a positive factor."""
    powers = {"mean": 1.0, "min": 1.0, "max": 1.0, "m2": 2.0}
    exponents = tf.constant([powers.get(name, 0.0) for name in PARTIALS], tf.float64)
    return row / tf.cast(factor, tf.float64) ** exponents


@functools.cache
def _moments():
    """The moments of a flat float32 tensor as a function traced once."""
    signature = [tf.TensorSpec([None], tf.float32)]
    return tf.function(_moments_of, input_signature=signature, autograph=False)


def _moments_of(flat):
    """Returns count, mean, m2, min, max, nonfinite in float64."""
    n = tf.cast(tf.size(flat), tf.float64)
    sums = tf.stack(
        [
            tf.reduce_sum(flat),
            tf.nn.l2_loss(flat),
            tf.reduce_min(flat),
            tf.reduce_max(flat),
        ]
    )
    total, half_square, low, high = tf.unstack(tf.cast(sums, tf.float64))
    mean = tf.math.divide_no_nan(total, n)
    square = tf.math.divide_no_nan(2.0 * half_square, n)
    variance = square - mean * mean
    peak = tf.maximum(tf.abs(low), tf.abs(high))
    # NaN anywhere makes both false.
    well_scaled = (peak > _SMALL) & (peak < _LARGE)
    well_conditioned = mean * mean < _CANCELLATION * variance
    all_zero = (peak == 0.0) & (square == 0.0)
    middle = tf.cond(
        (well_scaled & well_conditioned) | all_zero,
        lambda: tf.stack([mean, n * variance, tf.zeros([], tf.float64)]),
        lambda: _careful_moments(flat),
    )
    mean, m2, nonfinite = tf.unstack(middle)
    return tf.stack([n, mean, m2, low, high, nonfinite])


def _careful_moments(flat):
    """Returns mean, m2, nonfinite of a tensor scaled to its peak and then centred."""
    nonfinite = tf.reduce_sum(tf.cast(~tf.math.is_finite(flat), tf.int32))
    scale = tf.reduce_max(tf.abs(flat))
    scale = tf.where((scale > 0) & tf.math.is_finite(scale), scale, 1.0)
    scaled = flat / scale
    centre = tf.reduce_mean(scaled)
    spread = 2.0 * tf.nn.l2_loss(scaled - centre)
    scale, centre, spread = tf.unstack(
        tf.cast(tf.stack([scale, centre, spread]), tf.float64)
    )
    return tf.stack(
        [scale * centre, scale * scale * spread, tf.cast(nonfinite, tf.float64)]
    )


def _projections(rows, most):
    """Returns the products of all columns with two directions, shape `(2, units)`."""
    stride = tf.maximum(1, (tf.shape(rows)[0] + most - 1) // most)
    sample = rows[::stride]
    directions = tf.constant(_directions(most))[:, : tf.shape(sample)[0]]
    return tf.linalg.matmul(directions, sample)


@functools.cache
def _directions(length):
    """Two fixed pseudo-random directions, float32 of shape `(2, length)`."""
    generator = np.random.Generator(np.random.PCG64(20100513))
    return generator.standard_normal((2, length), np.float32)
