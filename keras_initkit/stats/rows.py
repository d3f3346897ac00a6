"""A tensor as a matrix of rows, and a sample of them.

What is known of a shape when a step is traced is computed then, not in every step: each
op less makes tracing and small models faster.
"""

import functools
import math
import typing

import numpy as np
import tensorflow as tf


class Rows(typing.NamedTuple):
    """A tensor as a matrix.

    Attributes:
        values: Float32 tensor of shape `(rows, units)`.
        size: How many entries there are: an int, or an int32 scalar if only the step
            knows it.
        is_large: Whether the tensor may be so large that it must not be kept until
            others are known.
    """

    values: tf.Tensor
    size: typing.Any
    is_large: bool = False

    @property
    def units(self):
        return self.values.shape[1]

    @property
    def count(self):
        """How many rows there are, an int or an int32 scalar."""
        known = self.values.shape[0]
        return self.size // (self.units or 1) if known is None else known


# Entries, 1 MB: a tensor of as many is large. A length that is not known, such as that
# of a batch, counts as this.
_LARGE = 2**18
_UNKNOWN_LENGTH = 64


def as_rows(tensor):
    """Returns the `Rows` of a float tensor with a static last axis, its units."""
    values = tf.cast(tensor, tf.float32)
    lengths = [_UNKNOWN_LENGTH if n is None else n for n in tensor.shape.as_list()]
    is_large = math.prod(lengths) >= _LARGE
    if values.shape.rank != 2:
        values = tf.reshape(values, [-1, (values.shape.as_list() or [1])[-1]])
    size = values.shape.num_elements()
    return Rows(values, tf.size(values) if size is None else size, is_large)


def small_together(rows, together, alone):
    """Reduces small tensors together and each large one alone, in the order of all.

    What a condition may read is kept until its answer is known: under one that depends
    on all tensors of a step, none would be freed before its end.

    Args:
        rows: List of `Rows`.
        together: Function of a list of `Rows`; returns a row for each.
        alone: Function of one of the `Rows`; returns its row, with a leading axis of 1.
    """
    small = [number for number, x in enumerate(rows) if not x.is_large]
    large = [number for number, x in enumerate(rows) if x.is_large]
    if not large:
        return together(rows)
    parts = [together([rows[number] for number in small])] if small else []
    parts += [alone(rows[number]) for number in large]
    return tf.gather(tf.concat(parts, axis=0), np.argsort(small + large))


def evenly_spaced(rows, most):
    """Returns at most so many rows of `Rows`, evenly spaced.

    The stride is odd: it does not fall in step with a power of two in the shape.
    """
    stride = odd_stride(rows, most)
    if isinstance(stride, int) and stride == 1:
        return rows.values
    taken = rows.values[::stride]
    taken.set_shape([None, rows.units])
    return taken


def odd_stride(rows, most):
    """Returns the odd stride at which at most so many rows are met, at least 1."""
    count = rows.count
    stride = (count + most - 1) // most
    stride += 1 - stride % 2
    return max(1, stride) if isinstance(count, int) else tf.maximum(1, stride)


def spread_out(rows, most):
    """Returns at most so many rows of `Rows`, one of each of as many equal stretches.

    Where in its stretch it stands changes by the golden ratio: evenly spaced rows would
    meet the same few pixels of each image, such as black borders.
    """
    count = rows.count
    known = isinstance(count, int)
    if known and count <= most:
        return rows.values
    stretch = (count + most - 1) // most
    stretch = stretch if known else tf.maximum(1, stretch)
    starts = tf.range(count // stretch) * stretch
    places = tf.constant(_golden(most))[: tf.shape(starts)[0]]
    within = tf.cast(places * tf.cast(stretch, tf.float32), tf.int32)
    taken = tf.gather(rows.values, starts + within)
    taken.set_shape([None, rows.units])
    return taken


@functools.cache
def _golden(length):
    """Multiples of the golden ratio modulo 1, float32 of shape `(length,)`."""
    return (np.arange(length) * ((np.sqrt(5) - 1) / 2) % 1).astype(np.float32)
