"""Norms of tensors: of each the sum of its squares, in one pass, and little else.

Where sums are not finite, or so small that squares may have underflowed, the tensors
are read once more, with care, and what is not finite is counted. That stands behind a
condition that many small tensors share, and is a function traced once for as many
tensors: it costs nothing where it is not taken, and little to optimize.
"""

import itertools
import typing

import numpy as np
import tensorflow as tf

from keras_initkit.stats.groups import entries_of
from keras_initkit.stats.moments import nonfinite, power_of_two
from keras_initkit.stats.shared import flat
from keras_initkit.stats.tracing import keeps_traced, traced

# A mean of squares above this has lost nothing to speak of: what underflows is smaller
# by more than a float32 has digits.
_SMALL = 1e-30
# Entries of tensors that share a condition, and are kept until it is decided.
_TOGETHER = 2**18
# How many numbers of tensors are remembered that care was traced for.
_NUMBERS = 256


class Norms(typing.NamedTuple):
    """What norms are made of, float64 of shape `(tensors,)`.

    Attributes:
        count: How many entries tensors have.
        square: Sums of squares; NaN and infinite entries propagate.
        nonfinite: How many entries are NaN or infinite.
    """

    count: tf.Tensor
    square: tf.Tensor
    nonfinite: tf.Tensor


def norms(tensors, compiled=False):
    """Returns the `Norms` of tensors.

    Args:
        tensors: List of float tensors of any shape; half precision is computed in
            float32.
        compiled: Whether XLA compiles the step.
    """
    tensors = [tf.cast(tensor, tf.float32) for tensor in tensors]
    sizes = [_size(tensor) for tensor in tensors]
    if compiled:
        parts = [_compiled(tensors)]
    else:
        parts = [
            _of_some([tensors[i] for i in some], [sizes[i] for i in some])
            for some in _together(tensors)
        ]
    squares, counts = (tf.concat(part, axis=0) for part in zip(*parts, strict=True))
    return Norms(tf.cast(tf.stack(sizes), tf.float64), squares, counts)


def _size(tensor):
    """Returns how many entries a tensor has: a number, if its shape is known."""
    known = tensor.shape.num_elements()
    return tf.size(tensor) if known is None else np.int32(known)


def _together(tensors):
    """Yields the numbers of those that share a condition: neighbours, few entries."""
    entries = itertools.accumulate(entries_of(tensor.shape) for tensor in tensors)
    batches = [total // _TOGETHER for total in entries]
    for _, numbers in itertools.groupby(range(len(tensors)), batches.__getitem__):
        yield list(numbers)


def _of_some(tensors, sizes):
    """Returns sums of squares and counts of what is not finite."""
    halves = tf.stack([tf.nn.l2_loss(tensor) for tensor in tensors])
    least = tf.cast(tf.stack(sizes), tf.float32) * (0.5 * _SMALL)
    # NaN makes both false.
    settled = tf.reduce_all((halves >= least) & (halves < np.inf))
    if tf.executing_eagerly():
        found = _as_summed(halves) if settled else _with_care(halves, *tensors)
        return tf.unstack(found)
    as_summed, with_care = _branches(len(tensors))
    (found,) = tf.raw_ops.StatelessIf(
        cond=settled,
        input=[halves, *tensors],
        Tout=[tf.float64],
        then_branch=as_summed,
        else_branch=with_care,
    )
    found.set_shape([2, len(tensors)])
    return tf.unstack(found)


@keeps_traced(_NUMBERS)
def _branches(number):
    """Returns both branches of the condition of so many tensors, traced."""
    signature = [tf.TensorSpec([number], tf.float32)]
    signature += [tf.TensorSpec(None, tf.float32)] * number
    return traced(_as_summed, signature), traced(_with_care, signature)


def _as_summed(halves, *tensors):
    squares = 2.0 * tf.cast(halves, tf.float64)
    return tf.stack([squares, tf.zeros_like(squares)])


def _with_care(halves, *tensors):
    """Sums the squares of tensors that are scaled by their peaks."""
    return tf.stack([_careful(flat(tensor)) for tensor in tensors], axis=1)


def _careful(x):
    scale = power_of_two(tf.reduce_max(tf.abs(x)))
    half = tf.nn.l2_loss(x / scale)
    scale, half = tf.unstack(tf.cast(tf.stack([scale, half]), tf.float64))
    return tf.stack([2.0 * half * scale * scale, tf.cast(nonfinite(x), tf.float64)])


def _compiled(tensors):
    """Returns the same for XLA, which makes a cast to float64 part of the sum."""
    squares = [tf.reduce_sum(tf.square(tf.cast(x, tf.float64))) for x in tensors]
    counts = [tf.cast(nonfinite(x), tf.float64) for x in tensors]
    return tf.stack(squares), tf.stack(counts)
