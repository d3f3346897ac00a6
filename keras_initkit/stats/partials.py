"""What is computed of one tensor on the device: scalar partials and unit profiles.

A small tensor is bound by the number of ops: its moments are plain sums in float64. A
large one is bound by bytes: its whole-tensor sums, extremes and matrix products run in
float32 at memory speed, which is exact enough for a well-scaled tensor, and a careful
two-pass form runs, under a condition, only where it is not: mean² ≫ variance, squares
that over- or underflow, non-finite entries.
"""

import dataclasses
import functools

import numpy as np
import tensorflow as tf

from keras_initkit.stats import histogram

# The scalars of a tensor. `m2` is the sum of squared deviations from `mean`.
PARTIALS = ("count", "mean", "m2", "min", "max", "nonfinite", "zeros")

# What is known of each unit (entry of the last axis): in how many rows it is not zero,
# and its inner product with two fixed directions. Both add up over replicas.
PROFILES = ("alive", "projection_1", "projection_2")

# Squares of float32 numbers inside these bounds neither overflow in a sum of 1e9 nor
# underflow (the smallest normal number is 1.2e-38).
_SMALL, _LARGE = 1e-15, 1e14
# mean² above this many variances: E[x²] − E[x]² has lost more than two bits.
_CANCELLATION = 4.0


@dataclasses.dataclass(frozen=True)
class Reduction:
    """What is to be computed of a tensor beside its moments.

    Attributes:
        large: Whether the tensor is bound by bytes rather than by ops.
        zeros: Whether zeros are counted (that costs as much as all the moments).
        units: Whether the profiles of units are computed.
        alive: Whether, for each unit, the rows are counted in which it is not zero.
        projected_rows: How many rows enter the projections, evenly spaced where there
            are more.
        part: Number of the part where `x` is one of several whose profiles are added
            up: each is projected on directions of its own.
        histogram: Whether values are counted by their leading bits, when wanted.
        compiled: Whether XLA compiles the step.
    """

    large: bool = False
    zeros: bool = False
    units: bool = False
    alive: bool = False
    projected_rows: int = 16384
    part: int = 0
    histogram: bool = False
    compiled: bool = False

    def __call__(self, x, wanted=True):
        """Reduces a tensor.

        Args:
            x: Float tensor of any shape with a static last axis; half precision is
                computed in float32. Entries of the last axis are the units.
            wanted: Scalar bool tensor: whether values are counted this time.

        Returns:
            A tuple of a float64 tensor of shape `(len(PARTIALS),)`, a float32 tensor of
            shape `(len(PROFILES), units)` or `(len(PROFILES), 0)`, and with histograms
            an int32 one of shape `(BINS,)`. Counts are exact up to 2**31, those of
            profiles up to 2**24 rows. NaN and infinite entries propagate into `mean`
            and `m2` as IEEE 754 has it. What is not computed is -1.
        """
        width = (x.shape[-1] or 1) if x.shape.rank else 1
        rows = tf.reshape(tf.cast(x, tf.float32), [-1, width])
        return _traced(self)(rows, tf.convert_to_tensor(wanted))

    def of_rows(self, rows, wanted):
        """Reduces a float32 tensor of shape `(rows, units)`."""
        flat = tf.reshape(rows, [-1])
        row = _fast_moments(flat) if self.large else _precise_moments(flat)
        profiles = tf.zeros([len(PROFILES), 0])
        zeros = tf.constant(-1.0, tf.float64)
        counts = -tf.ones([1, tf.shape(rows)[1]])
        if self.alive:
            # One matrix product counts the columns at memory speed.
            nonzero = tf.cast(tf.not_equal(rows, 0.0), tf.float32)
            counts = tf.linalg.matmul(tf.ones([1, tf.shape(rows)[0]]), nonzero)
            zeros = tf.cast(tf.size(flat), tf.float64)
            zeros -= tf.reduce_sum(tf.cast(counts, tf.float64))
        elif self.zeros:
            zeros = tf.reduce_sum(tf.cast(tf.equal(flat, 0.0), tf.int32))
        if self.units:
            projections = _projections(rows, self.projected_rows, self.part)
            profiles = tf.concat([counts, projections], axis=0)
        row = tf.concat([row, [tf.cast(zeros, tf.float64)]], axis=0)
        if not self.histogram:
            return row, profiles
        return row, profiles, histogram.bincount(rows, wanted, self.compiled)


@functools.cache
def _traced(reduction):
    """A reduction as a function that is traced once for all tensors.

    It is optimized once, too, not once a call: inlined, its dozens of copies took
    longer to optimize than the step itself, and ran no faster.
    """
    return tf.function(
        reduction.of_rows,
        input_signature=[
            tf.TensorSpec([None, None], tf.float32),
            tf.TensorSpec([], tf.bool),
        ],
        autograph=False,
        experimental_attributes={"_noinline": True},
    )


def unscale(row, factor):
    """Returns the scalar partials of a tensor divided by a positive factor."""
    powers = {"mean": 1.0, "min": 1.0, "max": 1.0, "m2": 2.0}
    exponents = tf.constant([powers.get(name, 0.0) for name in PARTIALS], tf.float64)
    return row / tf.cast(factor, tf.float64) ** exponents


def _precise_moments(flat):
    """Returns count, mean, m2, min, max, nonfinite by sums in float64."""
    n = tf.cast(tf.size(flat), tf.float64)
    precise = tf.cast(flat, tf.float64)
    mean = tf.math.divide_no_nan(tf.reduce_sum(precise), n)
    m2 = 2.0 * tf.nn.l2_loss(precise - mean)
    nonfinite = tf.reduce_sum(tf.cast(~tf.math.is_finite(flat), tf.int32))
    extremes = tf.cast([tf.reduce_min(flat), tf.reduce_max(flat)], tf.float64)
    return tf.concat([[n, mean, m2], extremes, [tf.cast(nonfinite, tf.float64)]], 0)


def _fast_moments(flat):
    """Returns the same by sums in float32, carefully where they need it."""
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


def _projections(rows, most, part):
    """Returns the products of all columns with two directions, shape `(2, units)`."""
    stride = tf.maximum(1, (tf.shape(rows)[0] + most - 1) // most)
    sample = rows[::stride]
    directions = tf.constant(_directions(most, part))[:, : tf.shape(sample)[0]]
    return tf.linalg.matmul(directions, sample)


@functools.cache
def _directions(length, part):
    """Two pseudo-random directions fixed for a part, float32 of shape `(2, length)`."""
    generator = np.random.Generator(np.random.PCG64(20100513 + part))
    return generator.standard_normal((2, length), np.float32)
