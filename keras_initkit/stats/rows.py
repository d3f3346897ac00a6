"""A tensor as a matrix of rows, and evenly spaced ones of them.

What is known of a shape when a step is traced is computed then, not in every step: each
op less makes tracing and small models faster.
"""

import typing

import tensorflow as tf


class Rows(typing.NamedTuple):
    """A tensor as a matrix.

    Attributes:
        values: Float32 tensor of shape `(rows, units)`.
        size: How many entries there are: an int, or an int32 scalar if only the step
            knows it.
    """

    values: tf.Tensor
    size: typing.Any

    @property
    def units(self):
        return self.values.shape[1]

    @property
    def count(self):
        """How many rows there are, an int or an int32 scalar."""
        known = self.values.shape[0]
        return self.size // (self.units or 1) if known is None else known


def as_rows(tensor):
    """Returns the `Rows` of a float tensor with a static last axis, its units."""
    values = tf.cast(tensor, tf.float32)
    if values.shape.rank != 2:
        values = tf.reshape(values, [-1, (values.shape.as_list() or [1])[-1]])
    size = values.shape.num_elements()
    return Rows(values, tf.size(values) if size is None else size)


def evenly_spaced(rows, most, odd=False):
    """Returns at most so many rows of `Rows`, evenly spaced.

    Args:
        rows: `Rows`.
        most: How many to take at most.
        odd: Whether the stride is to be odd, so that it does not fall in step with a
            power of two in the shape.
    """
    count = rows.count
    known = isinstance(count, int)
    if known and count <= most:
        return rows.values
    stride = (count + most - 1) // most
    if odd:
        stride += 1 - stride % 2
    taken = rows.values[:: stride if known else tf.maximum(1, stride)]
    taken.set_shape([None, rows.units])
    return taken
