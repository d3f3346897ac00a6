"""Random numbers that a step draws from TensorFlow's stateful generators.

`tf.random.normal` and the like, in a graph and under a seed, count on in the graph that
they are in. A step that is run now by one graph and now by another would draw the same
numbers again, and others than a bare `fit` does. Keras's own layers and `keras.random`
keep their state in variables, which all graphs share.
"""

from keras_initkit.structure import keras_private

_DRAWING = ("Random", "Truncated", "ParameterizedTruncated", "Multinomial")


def is_drawn_from(graph):
    """Whether an op of a graph, or of one it calls, draws from a stream of its own.

    Without a seed no two runs draw the same, and nothing is to be kept.
    """
    return any(
        _draws(op)
        or any(map(is_drawn_from, filter(None, keras_private.graphs_called_by(op))))
        for op in graph.get_operations()
    )


def _draws(op):
    if not op.type.startswith(_DRAWING) or not op.op_def.is_stateful:
        return False
    return any(op.get_attr(name) for name in ("seed", "seed2"))
