"""Which tensors a monitored step will show, told ahead of it from the model's graph."""

import collections

import keras

from keras_initkit import schema
from keras_initkit.structure import keras_private
from keras_initkit.structure.layers import parts_of


def expected_tensors(model, signals, layers, weights):
    """Tells the rows of each signal, before any step has run.

    Calls and outputs are those of the graph of a Functional or Sequential model. A
    layer that is called from Python code (a part of a subclassed model) is taken to be
    called once and, but for recurrent states, to return one tensor. So this is a bound
    for all but subclassed models that share layers or return several tensors.

    Args:
        model: A built Keras model.
        signals: Names of signals.
        layers: List of `(name, layer)` that are tapped.
        weights: `{id(variable): (owner's name, variable name)}`.

    Returns:
        `{signal: keys}`, tuples of `schema.TensorKey`, and those keys of layers whose
        tensors have rank 3, as far as is known.
    """
    calls: collections.Counter = collections.Counter()
    ranks: dict = {}
    for _, one in parts_of(model):
        _look_into(one, 1, calls, ranks)
    outputs = {
        schema.TensorKey(name, f"output_{i}" if len(each) > 1 else "output", call): rank
        for name, layer in layers
        for each in [ranks.get(id(layer)) or _ranks_from_code(layer)]
        for call in range(max(1, calls[id(layer)]))
        for i, rank in enumerate(each)
    }
    activated = {name for name, layer in layers if _has_activation(layer)}
    of_layers = tuple(outputs)
    of_weights = tuple(schema.TensorKey(*name) for name in weights.values())
    expected = {
        **dict.fromkeys(("activation", "backprop", "inference"), of_layers),
        **dict.fromkeys(("gradient", "weight", "update", "state"), of_weights),
        "preactivation": tuple(
            dict.fromkeys(
                schema.TensorKey(key.layer, "output", key.call)
                for key in of_layers
                if key.layer in activated
            )
        ),
    }
    tensors = {signal: expected[signal] for signal in signals if expected[signal]}
    return tensors, tuple(key for key, rank in outputs.items() if rank == 3)


def _look_into(layer, times, calls, ranks):
    """Adds up how often the layers below one are called; notes ranks of outputs."""
    calls[id(layer)] += times
    graph = keras_private.functional_graph(layer)
    if graph is None:
        for part in keras_private.sublayers(layer):
            _look_into(part, times, calls, ranks)
        return
    for node in reversed(keras_private.nodes_in_order(graph)):
        if isinstance(node.operation, keras.Layer):
            shapes = [tensor.shape for tensor in node.outputs]
            ranks[id(node.operation)] = [len(shape) for shape in shapes]
            _look_into(node.operation, times, calls, ranks)


def _ranks_from_code(layer):
    """Ranks of the outputs of a layer that is in no graph; 3 stands for any."""
    states = []
    if getattr(layer, "return_state", False):
        states = keras.tree.flatten(getattr(layer.cell, "state_size", 1))
    return [3] * (1 + len(states))


def _has_activation(layer):
    activation = layer.__dict__.get("activation")
    return callable(activation) and activation is not keras.activations.linear
