"""What weights were when they were first watched: what they are compared with later."""

import weakref

import tensorflow as tf


class Initial:
    """A weight as it was first watched.

    Attributes:
        value: Float32 variable that steps read. Where it is first asked for in a graph
            that is being traced, which must make none, and in replicas, a tensor that
            belongs to no graph.
        norm: Its Euclidean norm, a float.
    """

    def __init__(self, variable):
        self._of = weakref.ref(variable)
        may_be_made = not (tf.inside_function() or tf.distribute.has_strategy())
        with tf.init_scope():
            now = _now(variable)
            self.value = tf.Variable(now, trainable=False) if may_be_made else now
            self.norm = _norm(now)

    def is_of(self, variable):
        """Whether it is that of a variable."""
        return self._of() is variable

    @property
    def may_be_renewed(self):
        """Whether graphs read a value that can be another one."""
        return isinstance(self.value, tf.Variable)

    def renew(self):
        """Takes in what the weight is now, if it is still there."""
        variable = self._of()
        if variable is not None:
            now = _now(variable)
            self.value.assign(now)
            self.norm = _norm(now)


class InitialValues:
    """The values that weights had when they were first asked for, one of each."""

    def __init__(self):
        self._kept = {}

    def of(self, variable):
        """Returns the `Initial` of a variable: what it is now, where it is new."""
        known = self._kept.get(id(variable))
        if known is None or not known.is_of(variable):
            known = self._kept[id(variable)] = Initial(variable)
        return known

    def prepare(self, variables):
        """Keeps the values of variables ahead of a trace."""
        for variable in variables:
            self.of(variable)

    def renew(self):
        """Takes in what weights are now; returns whether that is possible."""
        if not all(one.may_be_renewed for one in self._kept.values()):
            return False
        for initial in self._kept.values():
            initial.renew()
        return True


def _now(variable):
    return tf.cast(tf.convert_to_tensor(variable.value), tf.float32)


def _norm(value):
    return float(tf.norm(tf.cast(value, tf.float64)))
