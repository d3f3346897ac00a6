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
        self._of_optional = tf.function(of_optional, autograph=False)
        self._by_specification: dict = {}
        # Pairs of what tells batches apart and the function that was traced for it:
        # such a one is called as it is, which takes less time and traces nothing.
        self._traced: list = []

    def __call__(self, batch, specification=None):
        if isinstance(batch, tf.experimental.Optional):
            return self._for(batch.element_spec, self._of_optional)(batch)
        if specification is None:
            return self._of_batch(batch)
        return self._for(specification, self._specified(specification))(batch)

    def _for(self, specification, function):
        """Returns what was traced for batches, else what traces it."""
        traced = (one for known, one in self._traced if known == specification)
        return next(traced, function)

    def trace(self, iterator):
        """Traces the step for the batches of an iterator, unless it was.

        Returns:
            The graph.
        """
        specification = iterator.element_spec
        if isinstance(iterator, tf.data.Iterator):
            optional = tf.OptionalSpec(specification)
            traced = self._of_optional.get_concrete_function(optional)
        else:
            traced = self._specified(specification).get_concrete_function()
        if not self.is_traced(iterator):
            self._traced.append((specification, traced))
        return traced.graph

    def is_traced(self, iterator):
        """Whether the step was traced for the batches of an iterator."""
        return any(known == iterator.element_spec for known, _ in self._traced)

    def _specified(self, specification):
        if specification not in self._by_specification:
            self._by_specification[specification] = tf.function(
                self._of_batch, input_signature=[specification], autograph=False
            )
        return self._by_specification[specification]
