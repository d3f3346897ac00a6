"""Tensors as matrices of rows, those of like tensors one below the other, and samples.

What is known of a shape when a reduction is traced is computed then, not in every step.
"""

import functools
import typing

import numpy as np
import tensorflow as tf

from keras_initkit.stats.shared import array, integers, rows_at
from keras_initkit.stats.tracing import keeps_traced, traced

# Numbers of rows of which it is remembered which are sampled.
_LENGTHS = 256


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
        if last == [0]:
            values = tf.zeros([0, 0])
        else:
            shape = [-1, units] if None in last else integers(-1, units)
            values = tf.reshape(values, shape)
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


def sample_of_one(rows, most):
    """Returns at most so many rows of one tensor, one of each of as many stretches.

    Where in its stretch it stands changes by the golden ratio: evenly spaced rows would
    meet the same few pixels of each image, such as black borders.

    Returns:
        Float32 tensor of shape `(sampled, units)`.
    """
    if rows.have_at_most(most):
        return rows.values
    places = _places(rows.counts, most)
    if isinstance(places, np.ndarray):
        places = array(("places", int(rows.counts[0]), most), places)
    return rows_at(rows.values, places)


def _places(counts, most):
    """Returns the numbers of the rows of `sample_of_one`.

    Args:
        counts: Int32 of shape `(1,)`, how many rows there are, an array or a tensor.
        most: How many rows to take at most.

    Returns:
        Int32 of shape `(sampled,)`, an array where the counts are one.
    """
    if isinstance(counts, np.ndarray):
        return _places_of(int(counts[0]), most)
    return _traced_places(most)(counts)


@functools.lru_cache(_LENGTHS)
def _places_of(count, most):
    stretch = max(1, -(-count // most))
    golden = _golden(most)[: count // stretch]
    within = (golden * np.float32(stretch)).astype(np.int32)
    found = np.arange(count // stretch, dtype=np.int32) * stretch + within
    found.flags.writeable = False
    return found


@keeps_traced()
def _traced_places(most):
    """Returns a function of counts: many ops, of integers, for each tensor."""

    def of_counts(counts):
        taken, stretch = _stretches(counts, most)
        numbers = tf.range(taken[0])
        return numbers * stretch + _within(numbers, stretch, most)

    return traced(of_counts, [tf.TensorSpec([1], tf.int32)])


def sample_of_each(rows, most):
    """Returns at most so many rows of each of several tensors, as `sample_of_one` does.

    Returns:
        Float32 tensor of shape `(tensors, sampled, units)`, and a bool one of shape
        `(tensors, sampled, 1)`: which of them are rows. The others, of tensors with
        fewer rows than another, are 0.
    """
    counts = tf.expand_dims(rows.counts, 1)
    taken, stretch = _stretches(counts, most)
    numbers = tf.range(tf.reduce_max(taken))
    places = numbers * stretch + _within(numbers, stretch, most)
    is_row = numbers < taken
    places = tf.where(is_row, tf.expand_dims(rows.firsts(), 1) + places, 0)
    is_row = tf.expand_dims(is_row, 2)
    return tf.where(is_row, tf.gather(rows.values, places), 0.0), is_row


def _stretches(counts, most):
    """Returns how many rows are taken, and how long their stretches are."""
    stretch = tf.maximum(1, (counts + most - 1) // most)
    return counts // stretch, stretch


def _within(numbers, stretch, most):
    """Returns where in their stretches the rows taken stand."""
    golden = tf.constant(_golden(most))[: tf.size(numbers)]
    return tf.cast(golden * tf.cast(stretch, tf.float32), tf.int32)


@functools.cache
def _golden(length):
    """Multiples of the golden ratio modulo 1, float32 of shape `(length,)`."""
    return (np.arange(length) * ((np.sqrt(5) - 1) / 2) % 1).astype(np.float32)
