"""What the first trace of a step does because it is the first.

TensorFlow traces a step that makes variables a second time and runs that. One that
makes none it runs as traced at first, and what Python does only once is then a part of
every step: an assignment in `build` of an optimizer, one behind a flag of a layer's
own. A twin that is traced later would be without it.
"""

import collections
import typing

import tensorflow as tf

from keras_initkit.structure import moving, tensorflow_private

_READS = ("ReadVariableOp", "ResourceGather", "ResourceGatherNd")


class FirstTrace:
    """The first trace of a model's step, which is yet to come.

    Args:
        model: The model, or what holds several and their optimizers.
        function: The train function that is traced.

    Attributes:
        function: The same.
    """

    def __init__(self, model, function):
        self.function = function
        self._attributes = moving.Attributes(model)
        self._changed = moving.Changed()
        # Of which batches it was, and what the step then changes.
        self._specification: typing.Any = None
        self._changes: typing.Any = None

    def end(self, model, specification, graph):
        """Notes what the trace has changed, and of what step it was.

        Args:
            model: As above.
            specification: What tells the batches for which the step was traced.
            graph: The graph.
        """
        self._specification, self._changes = specification, changes(graph)
        if moving.Attributes(model).variables == self._attributes.variables:
            self._changed = self._attributes.changed()

    @property
    def is_repeated(self):
        """Whether a twin has to do what the trace did."""
        return self._changed != moving.Changed()

    def again(self, specification):
        """A `with` in which Python holds what it did ahead of the trace that runs."""
        changed = self._changed if self._is_of(specification) else moving.Changed()
        return changed.undone()

    def ignore(self):
        """Takes the trace for one that does not run."""
        self._changed = moving.Changed()

    def differs(self, specification, graph):
        """Whether another trace for such batches changes other variables."""
        return self._is_of(specification) and changes(graph) != self._changes

    def check(self, specification, graph):
        """Raises `RuntimeError` where another trace differs."""
        if self.differs(specification, graph):
            raise RuntimeError(
                "when traced again, the step does not change the same variables as at "
                f"first: {dict(changes(graph))}, not {dict(self._changes)}"
            )

    def _is_of(self, specification):
        return self._changes is not None and specification == self._specification


def changes(graph):
    """Counts the operations by which a step changes variables, by type.

    Returns:
        `Counter`, the same of two traces of one step.
    """
    counted: collections.Counter = collections.Counter()
    for op in graph.get_operations():
        called = tensorflow_private.graphs_called_by(op)
        for inner in called:
            counted += collections.Counter() if inner is None else changes(inner)
        takes_variable = any(one.dtype == tf.resource for one in op.inputs)
        if takes_variable and not called and op.type not in _READS:
            counted[op.type] += 1
    return counted
