"""One step at a time of a train function, on a batch in place of an iterator.

In a graph the batch comes as an optional, or with the specification of all the batches
of several replicas: of its shape no more is known than in that of a bare `fit`, so that
the same kernels are chosen, and as seldom traced.
"""

import tensorflow as tf


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


def of(train_function):
    """Makes the `Step` of a train function."""
    return Step(train_function)


class Step:
    """A function of a batch, or of an optional of one, made of a train function.

    A batch that comes with a specification is given to one graph for all that agree
    with it.
    """

    def __init__(self, train_function):
        def of_optional(optional):
            return train_function([optional.get_value()])

        def of_batch(batch):
            return train_function([batch])

        self._of_batch = of_batch
        self._traced = tf.function(of_optional, autograph=False)
        self._by_specification: dict = {}

    def __call__(self, batch, specification=None):
        if isinstance(batch, tf.experimental.Optional):
            return self._traced(batch)
        if specification is None:
            return self._of_batch(batch)
        return self._specified(specification)(batch)

    def trace(self, batch, specification=None):
        """Traces the step for a batch, unless it was traced for one of its kind."""
        if isinstance(batch, tf.experimental.Optional):
            self._traced.get_concrete_function(batch)
        elif specification is not None:
            self._specified(specification).get_concrete_function()

    def _specified(self, specification):
        if specification not in self._by_specification:
            self._by_specification[specification] = tf.function(
                self._of_batch, input_signature=[specification], autograph=False
            )
        return self._by_specification[specification]
