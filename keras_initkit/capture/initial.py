"""What weights were when they were first watched: what they are compared with later."""

import typing
import weakref

import tensorflow as tf


class Initial(typing.NamedTuple):
    """A weight as it was first watched.

    Attributes:
        value: Float32 tensor that belongs to no graph.
        norm: Its Euclidean norm, a float.
    """

    value: tf.Tensor
    norm: float


class InitialValues:
    """The values that weights had when they were first asked for, one of each."""

    def __init__(self):
        self._kept = {}

    def of(self, variable):
        """Returns the `Initial` of a variable: what it is now, where it is new."""
        known, initial = self._kept.get(id(variable), (None, None))
        if known is None or known() is not variable:
            initial = _now(variable)
            self._kept[id(variable)] = weakref.ref(variable), initial
        return initial


def _now(variable):
    with tf.init_scope():
        value = tf.cast(tf.convert_to_tensor(variable.value), tf.float32)
        norm = float(tf.norm(tf.cast(value, tf.float64)))
    return Initial(value, norm)
