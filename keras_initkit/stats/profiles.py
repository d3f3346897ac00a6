"""What is computed of the units, the rows and the time steps of tensors."""

import functools

import numpy as np
import tensorflow as tf

from keras_initkit import schema
from keras_initkit.stats.moments import EXPONENT
from keras_initkit.stats.rows import as_rows, sample_of_each, sample_of_one
from keras_initkit.stats.shared import array, integers, largest, ones

# Rows of which the effective rank is computed, spread out where there are more.
RANKED_ROWS = 128

# Fewer units than this may go with more rows than float32 counts exactly. They are
# counted another way, so their number must be known when a reduction is traced.
NARROW = 8
# A sample of up to so many rows is copied, even if it is all of them.
_COPIED = 1024


def counts(rows, limit, compiled=False):
    """Returns how many entries of each column are above a limit in magnitude.

    Exactly, of shape `(1, tensors * units)`: float64, or float32 where that is exact.
    """
    x = rows.values
    above = are_above(x, limit, compiled)
    if rows.owners is not None:
        above = tf.cast(above, tf.int32)
        counts = tf.math.unsorted_segment_sum(above, rows.owners, rows.tensors)
        return tf.cast(tf.reshape(counts, [1, -1]), tf.float64)
    if x.shape[1] is not None and x.shape[1] < NARROW:
        counts = tf.reduce_sum(tf.cast(above, tf.int32), axis=0, keepdims=True)
        return tf.cast(counts, tf.float64)
    # One matrix product adds up the columns at memory speed, in float32.
    length = rows.counts[0]
    known = isinstance(rows.counts, np.ndarray)
    row = ones([1, int(length)]) if known else tf.ones([1, length])
    return tf.linalg.matmul(row, tf.cast(above, tf.float32))


def are_above(x, limit, compiled=False):
    """Returns whether float32 entries are above a limit in magnitude."""
    if limit:
        return tf.abs(x) > limit
    if compiled:
        # XLA would ask the half precision that they come from, where denormals are not
        # 0. What is not has an exponent.
        bits = tf.bitwise.bitwise_and(tf.bitcast(x, tf.int32), EXPONENT)
        return tf.cast(bits, tf.bool)
    # A cast asks whether they are not 0, and takes half the time of a comparison.
    return tf.cast(x, tf.bool)


def projections(rows, most, part, compiled):
    """Returns the products of all columns with two directions.

    Float32 of shape `(2, tensors * units)`.
    """

    def products_of(sample):
        return tf.linalg.matmul(_directions_of(sample, most, part), sample)

    if rows.owners is not None:
        products = products_of(sample_of_each(rows, most)[0])
        return tf.reshape(tf.transpose(products, [1, 0, 2]), [2, -1])

    def of_sample():
        return products_of(sample_of_one(rows, most))

    if isinstance(rows.counts, np.ndarray) or most <= _COPIED or compiled:
        return of_sample()
    # Without a copy of what may be large.
    few = rows.counts[0] <= most
    return tf.cond(few, lambda: products_of(rows.values), of_sample)


def _directions_of(sample, most, part):
    """Returns the directions of a part in as many dimensions as a sample has rows."""
    directions = _directions(most, part)
    length = sample.shape[-2]
    if length is not None:
        return array(("directions", length, most, part), directions[:, :length])
    return tf.slice(directions, [0, 0], tf.stack([2, tf.shape(sample)[-2]]))


@functools.cache
def _directions(length, part):
    """Two pseudo-random directions fixed for a part, float32 of shape `(2, length)`."""
    generator = np.random.Generator(np.random.PCG64(20100513 + part))
    return generator.standard_normal((2, length), np.float32)


def gram(rows, gathered=None):
    """Returns half the trace and half the squared norm of the Gram matrix of rows.

    Float32 of shape `(tensors * 2,)`. Rows are centred and scaled to the largest
    magnitude: the ratio of the two is what counts. The norm is Frobenius's.
    """
    if rows.owners is not None:
        return _gram_of_each(*sample_of_each(rows, RANKED_ROWS))
    sample = sample_of_one(rows, RANKED_ROWS)
    if gathered is not None:
        sample = sample_of_one(as_rows(gathered(sample)), RANKED_ROWS)
    # Equal rows differ by exactly 0.
    first, second = integers(0), integers(1)
    sample -= tf.strided_slice(sample, first, second, second)
    means = tf.raw_ops.Mean(input=sample, axis=integers(0), keep_dims=True)
    centred = sample - means
    centred = tf.math.divide_no_nan(centred, largest(tf.abs(centred)))
    # Both Gram matrices, that of the units too, have one trace and one norm.
    by_units = isinstance(rows.units, int) and rows.units < RANKED_ROWS
    gram = tf.linalg.matmul(
        centred, centred, transpose_a=by_units, transpose_b=not by_units
    )
    return tf.stack([tf.nn.l2_loss(centred), tf.nn.l2_loss(gram)])


def _gram_of_each(sample, is_row):
    sample -= sample[:, :1]
    sample = tf.where(is_row, sample, 0.0)
    total = tf.reduce_sum(sample, axis=1, keepdims=True)
    count = tf.reduce_sum(tf.cast(is_row, tf.float32), axis=1, keepdims=True)
    centred = sample - tf.math.divide_no_nan(total, count)
    centred = tf.where(is_row, centred, 0.0)
    peak = tf.reduce_max(tf.abs(centred), axis=[1, 2], keepdims=True)
    centred = tf.math.divide_no_nan(centred, peak)
    gram = tf.linalg.matmul(centred, centred, transpose_b=True)
    squares = [tf.reduce_sum(tf.square(x), axis=[1, 2]) for x in (centred, gram)]
    return 0.5 * tf.reshape(tf.stack(squares, axis=1), [-1])


def squares_by_time(rows, lengths):
    """Returns sums of squares and numbers of entries by time step.

    Step t of T > `schema.TIME_STEPS` goes to the column `t * schema.TIME_STEPS // T`.

    Args:
        rows: `Rows` of sequences, of shape `(batch, time, units)` each.
        lengths: Int32 tensor of shape `(tensors,)`, their numbers of time steps.

    Returns:
        Float64 tensor of shape `(tensors, 2, schema.TIME_STEPS)`.
    """
    squares = tf.cast(tf.reduce_sum(tf.square(rows.values), axis=1), tf.float64)
    entries = tf.fill(tf.shape(squares), tf.cast(rows.units, tf.float64))
    steps = schema.TIME_STEPS
    time = tf.range(tf.size(squares))
    columns = 0
    if rows.owners is not None:
        time -= tf.gather(rows.firsts(), rows.owners)
        lengths = tf.gather(lengths, rows.owners)
        columns = rows.owners * steps
    columns += time % tf.maximum(lengths, 1) * steps // tf.maximum(lengths, steps)
    sums = tf.math.unsorted_segment_sum(
        tf.stack([squares, entries], axis=1), columns, rows.tensors * steps
    )
    return tf.transpose(tf.reshape(sums, [-1, steps, 2]), [0, 2, 1])
