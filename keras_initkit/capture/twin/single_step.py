"""One step at a time of a train function, on a batch in place of an iterator.

In a graph the batch comes as an optional, or with the specification of all the batches
of several replicas: of its shape no more is known than in that of a bare `fit`, so that
the same kernels are chosen, and as seldom traced. Where an execution has several steps,
in a loop, one step runs in that loop, too: what is optimized inside of one rounds
differently.
"""

import tensorflow as tf

from keras_initkit.structure import keras_private


def arguments(iterator, optional, batch, eagerly):
    """Returns what a function of `of` is given: a batch, and its specification or not.

    Args:
        iterator: What the batch comes from.
        optional: The optional that it came in.
        batch: Function that returns the batch.
        eagerly: Whether the step runs without a graph.
    """
    if eagerly:
        return batch(), None
    if isinstance(iterator, tf.data.Iterator):
        return optional, None
    return batch(), iterator.element_spec


def of(train_function, steps=1):
    """Makes the `Step` of a train function, which runs so many steps at most."""
    return Step(train_function, steps)


class _One:
    """Stands for an iterator with one batch left, while a loop over it is traced."""

    def __init__(self, optional):
        self._left = [optional]
        self._specification = optional.element_spec

    def get_next_as_optional(self):
        if self._left:
            return self._left.pop()
        return tf.experimental.Optional.empty(self._specification)


class Step:
    """A function of a batch, or of an optional of one, made of a train function.

    A batch that comes with a specification is given to one graph for all that agree
    with it.
    """

    def __init__(self, train_function, steps):
        loop = keras_private.loop_of(train_function)
        loop = getattr(loop, "python_function", loop)

        def of_optional(optional):
            if steps > 1 and loop is not None:
                return loop(_One(optional)).get_value()
            return train_function([optional.get_value()])

        def of_batch(batch):
            return train_function([batch])

        self._of_batch = of_batch
        self._traced = tf.function(of_optional, autograph=False)
        self._by_specification: dict = {}
        self._known: list = []

    def __call__(self, batch, specification=None):
        if isinstance(batch, tf.experimental.Optional):
            return self._traced(batch)
        if specification is None:
            return self._of_batch(batch)
        return self._specified(specification)(batch)

    def trace(self, iterator):
        """Traces the step for the batches of an iterator, unless it was.

        Returns:
            The graph.
        """
        specification = iterator.element_spec
        if isinstance(iterator, tf.data.Iterator):
            optional = tf.OptionalSpec(specification)
            traced = self._traced.get_concrete_function(optional)
        else:
            traced = self._specified(specification).get_concrete_function()
        if specification not in self._known:
            self._known.append(specification)
        return traced.graph

    def is_traced(self, iterator):
        """Whether the step was traced for the batches of an iterator."""
        return iterator.element_spec in self._known

    def _specified(self, specification):
        if specification not in self._by_specification:
            self._by_specification[specification] = tf.function(
                self._of_batch, input_signature=[specification], autograph=False
            )
        return self._by_specification[specification]
