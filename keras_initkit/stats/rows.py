"""Tensors as matrices of rows, those of like tensors one below the other, and samples.

What is known of a shape when a reduction is traced is computed then, not in every step.
"""

import functools
import typing

import numpy as np
import tensorflow as tf


class Rows(typing.NamedTuple):
    """The rows of one tensor, or of several with as many units, one below the other.

    Attributes:
        values: Float32 tensor of shape `(rows, units)`.
        units: How many units there are, an int or an int32 scalar.
        counts: How many rows each tensor has, int32 of shape `(tensors,)`: an array
            where it is known, or a tensor.
        tensors: How many tensors there are, 1 or an int32 scalar.
        owners: Int32 tensor of shape `(rows,)`, the number of the tensor that each row
            belongs to; `None` where there is one tensor.
    """

    values: tf.Tensor
    units: typing.Any
    counts: typing.Any
    tensors: typing.Any = 1
    owners: tf.Tensor | None = None

    def have_at_most(self, number):
        """Whether it is known that no tensor has more rows than a number."""
        return isinstance(self.counts, np.ndarray) and self.counts.max() <= number

    def firsts(self):
        """Returns the number of the first row of each tensor."""
        return tf.cumsum(self.counts, exclusive=True)


def as_rows(tensor):
    """Returns the `Rows` of a float tensor, whose last axis are its units."""
    values = tf.cast(tensor, tf.float32)
    if values.shape.rank != 2:
        last = values.shape.as_list()[-1:] or [1]
        units = tf.shape(values)[-1] if None in last else last[0]
        # Of how many rows of no units it would be is not for -1 to say.
        values = tf.zeros([0, 0]) if last == [0] else tf.reshape(values, [-1, units])
        values.set_shape([None, *last])
    count, units = values.shape
    if count is None or units is None:
        counts, unknown = tf.split(tf.shape(values), 2)
        return Rows(values, tf.squeeze(unknown) if units is None else units, counts)
    return Rows(values, units, np.array([count], np.int32))


def stacked(values, counts):
    """Returns the `Rows` of several tensors, of shape `(rows, units)` together."""
    values = tf.cast(values, tf.float32)
    total, units = tf.unstack(tf.shape(values))
    return Rows(values, units, counts, tf.size(counts), owners(counts, total))


def owners(counts, total):
    """Returns the number of the tensor to which each of so many rows belongs.

    Args:
        counts: Int32 tensor, how many rows each tensor has.
        total: Their sum.

    Returns:
        Int32 tensor of shape `(total,)`.
    """
    ends = tf.expand_dims(tf.cumsum(counts), 0)
    rows = tf.expand_dims(tf.range(total), 0)
    return tf.squeeze(tf.raw_ops.UpperBound(sorted_inputs=ends, values=rows), 0)


def evenly_spaced(rows, most):
    """Returns at most so many rows of one tensor, evenly spaced.

    The stride is odd: it does not fall in step with a power of two in the shape.
    """
    if rows.have_at_most(most):
        return rows.values
    stride = (rows.counts[0] + most - 1) // most
    return rows.values[:: tf.maximum(1, stride + 1 - stride % 2)]


def spread_out(rows, most):
    """Returns at most so many rows of each tensor, one of each of as many stretches.

    Where in its stretch it stands changes by the golden ratio: evenly spaced rows would
    meet the same few pixels of each image, such as black borders.

    Returns:
        Float32 tensor of shape `(tensors, sampled, units)`, and a bool one of shape
        `(tensors, sampled, 1)`: which of them are rows. The others, of tensors with
        fewer rows than another, are 0. It is `None` where all are rows.
    """
    if rows.owners is None and rows.have_at_most(most):
        return tf.expand_dims(rows.values, 0), None
    counts = tf.expand_dims(rows.counts, 1)
    stretch = tf.maximum(1, (counts + most - 1) // most)
    taken = counts // stretch
    numbers = tf.range(tf.reduce_max(taken))
    places = tf.constant(_golden(most))[: tf.size(numbers)]
    within = tf.cast(places * tf.cast(stretch, tf.float32), tf.int32)
    places = numbers * stretch + within
    if rows.owners is None:
        return tf.gather(rows.values, places), None
    is_row = numbers < taken
    places = tf.where(is_row, tf.expand_dims(rows.firsts(), 1) + places, 0)
    is_row = tf.expand_dims(is_row, 2)
    return tf.where(is_row, tf.gather(rows.values, places), 0.0), is_row


@functools.cache
def _golden(length):
    """Multiples of the golden ratio modulo 1, float32 of shape `(length,)`."""
    return (np.arange(length) * ((np.sqrt(5) - 1) / 2) % 1).astype(np.float32)
