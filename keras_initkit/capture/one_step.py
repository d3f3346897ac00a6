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
    """Makes a function of a batch, or an optional of one, of a train function.

    A batch that comes with a specification is given to one graph for all that agree
    with it.
    """

    def of_optional(optional):
        return train_function([optional.get_value()])

    def of_batch(batch):
        return train_function([batch])

    traced = tf.function(of_optional, autograph=False)
    by_specification: dict = {}

    def one_step(batch, specification=None):
        if isinstance(batch, tf.experimental.Optional):
            return traced(batch)
        if specification is None:
            return of_batch(batch)
        if specification not in by_specification:
            by_specification[specification] = tf.function(
                of_batch, input_signature=[specification], autograph=False
            )
        return by_specification[specification](batch)

    return one_step
