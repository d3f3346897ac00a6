"""Random numbers that a step draws from TensorFlow's stateful generators.

`tf.random.normal` and the like, in a graph and under a seed, count on in the graph that
they are in. A step that is run now by one graph and now by another would draw the same
numbers again, and others than a bare `fit` does. Keras's own layers and `keras.random`
keep their state in variables, which all graphs share.
"""

import typing

from keras_initkit.capture.tapping.op_types import DRAWING
from keras_initkit.structure import keras_private
from keras_initkit.structure.tensorflow_private import graphs_called_by


class Streams:
    """Who draws from streams of its graph: the plain step, its twin, or neither.

    Args:
        plain: The train function of a bare `fit`.

    Attributes:
        are_there: Whether a step draws from streams, as far as was looked.
    """

    def __init__(self, plain):
        self._plain = plain
        self.are_there = False
        self._drawn_by: typing.Any = None
        # Whether the plain step has run; `None` before that was asked.
        self._plain_ran: bool | None = None

    def look(self, graph):
        """Looks for streams in the graph of a step."""
        self.are_there = self.are_there or is_drawn_from(graph)

    def ahead_of_plain(self):
        """Notes whether the plain step has run, before it is traced for its twin."""
        if self._plain_ran is None:
            self._plain_ran = keras_private.was_traced(self._plain)

    def plain_runs(self):
        """Notes that the plain step runs."""
        self._plain_ran = True

    def begin(self, twin):
        """Notes that a twin runs."""
        self._drawn_by = twin

    def hold(self, twin):
        """Whether a twin has to run all further steps."""
        return self.are_there and self._drawn_by is twin is not None

    def check(self, twin):
        """Raises `RuntimeError` where another function than a twin has drawn."""
        if self._drawn_by is None:
            elsewhere = self._plain_ran
        else:
            elsewhere = self._drawn_by is not twin
        if self.are_there and elsewhere:
            raise RuntimeError(
                "the train step draws from a seeded stateful generator of TensorFlow "
                "(such as `tf.random.normal`), whose state advances in the graph of "
                "unwatched steps; use `keras.random` with a `SeedGenerator`, or watch "
                "from the first step after `compile`"
            )


def is_drawn_from(graph):
    """Whether an op of a graph, or of one it calls, draws from a stream of its own.

    Without a seed no two runs draw the same, and nothing is to be kept.
    """
    return any(
        _draws(op) or any(map(is_drawn_from, filter(None, graphs_called_by(op))))
        for op in graph.get_operations()
    )


def _draws(op):
    if not op.type.startswith(DRAWING) or not op.op_def.is_stateful:
        return False
    return any(op.get_attr(name) for name in ("seed", "seed2"))
