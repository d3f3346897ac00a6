"""Tensors that the reductions of a step share: constants, such as axes and shapes.

A step is watched in dozens of tensors, and each is reduced by a few ops, most of which
take a constant. One for all makes a third fewer nodes to trace and to optimize.
"""

import contextlib
import threading

import numpy as np
import tensorflow as tf

_LOCAL = threading.local()


@contextlib.contextmanager
def sharing():
    """Has what is made in this thread shared for the duration of a `with`."""
    outer = getattr(_LOCAL, "made", None)
    _LOCAL.made = {}
    try:
        yield
    finally:
        _LOCAL.made = outer


def shared(key, make):
    """Returns what a function makes, one for all that ask by a key in a graph."""
    made = getattr(_LOCAL, "made", None)
    if made is None or tf.executing_eagerly():
        return make()
    # Its tensors keep the graph: no other gets its id meanwhile.
    key = id(tf.compat.v1.get_default_graph()), key
    if key not in made:
        made[key] = make()
    return made[key]


def integers(*values):
    """Returns a shared int32 constant: axes, a shape, the bounds of a slice."""
    return shared(values, lambda: tf.constant(values, tf.int32))


def integer(value):
    """Returns a shared int32 scalar: one axis."""
    return shared(("integer", value), lambda: tf.constant(value, tf.int32))


def axes(tensor):
    """Returns all axes of a tensor of known rank."""
    return integers(*range(tensor.shape.rank))


def sum_of(tensor):
    """Returns the sum of all entries."""
    return tf.raw_ops.Sum(input=tensor, axis=axes(tensor))


def smallest(tensor):
    """Returns the smallest entry."""
    return tf.raw_ops.Min(input=tensor, axis=axes(tensor))


def largest(tensor):
    """Returns the largest entry."""
    return tf.raw_ops.Max(input=tensor, axis=axes(tensor))


def rows_at(tensor, places, axis=0):
    """Returns what stands in some places of an axis, as `tf.gather` does."""
    return tf.raw_ops.GatherV2(params=tensor, indices=places, axis=integer(axis))


def side_by_side(tensors, axis=0):
    """Puts tensors side by side, as `tf.concat` does."""
    if len(tensors) == 1:
        return tensors[0]
    return tf.raw_ops.ConcatV2(values=tensors, axis=integer(axis))


def flat(tensor):
    """Returns the entries of a tensor, of rank 1."""
    return tf.reshape(tensor, integers(-1))


def ones(shape):
    """Returns float32 ones of a shape that is known."""
    return shared(("ones", *shape), lambda: tf.ones(shape))


def array(name, values):
    """Returns a shared constant of an array that a name stands for."""
    return shared(name, lambda: tf.constant(np.asarray(values)))
