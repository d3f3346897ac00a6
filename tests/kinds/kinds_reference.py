"""One training step once more, by other means than the monitor's.

The step runs under a plain `tf.GradientTape`. Tensors are read off where layers return
them (`Operation.__call__`, not the `call` that the monitor taps), gradients off the
tape, weights and updates off the variables of the model that was trained, before and
after the step. Statistics are numpy's in float64, from their definitions.
"""

import collections
import contextlib
import dataclasses
from unittest import mock

import keras
import numpy as np
import tensorflow as tf

SIGNALS = ("preactivation", "activation", "backprop", "gradient")
LINEAR = keras.activations.linear


@dataclasses.dataclass
class Step:
    """What a training step showed.

    Attributes:
        tensors: `{signal: {(layer or weight, part, call): float64 array}}`; a layer is
            its number among the layers of the model, a weight its number among the
            trainable ones.
        closed: Numbers of layers that returned a float tensor of another graph (the
            body of a loop) or none at all.
    """

    tensors: dict
    closed: set


@contextlib.contextmanager
def floats(dtype):
    """Builds models of another float type for the duration of a `with`."""
    before = keras.config.floatx()
    policy = keras.config.dtype_policy()
    keras.config.set_floatx(dtype)
    keras.config.set_dtype_policy(dtype)
    try:
        yield
    finally:
        keras.config.set_floatx(before)
        keras.config.set_dtype_policy(policy)


def numbered_layers(model):
    return list(model._flatten_layers(include_self=False))


def run(model, state, batch, scale=1.0, graph=False):
    """Runs a training step without its update.

    Args:
        model: A model of its own, compiled.
        state: Values of `model.variables` ahead of the step.
        batch: Tuple of inputs, targets and sample weights or None.
        scale: Factor by which the loss is multiplied, undone in what is returned.
        graph: Whether it runs as a graph.
    """
    x = keras.tree.map_structure(tf.convert_to_tensor, batch[0])
    batch = (x, *batch[1:])
    if not all(layer.built for layer in model._flatten_layers()):
        _forward(model, x)
    spies = []

    def step(batch, signals=SIGNALS):
        spies.append(_Spy(model))
        tensors = _tensors(model, batch, scale, spies[-1])
        return {signal: tensors[signal] for signal in signals}

    if graph:
        # Apart, for who reads a tensor may divide a kernel of the graph.
        tensors = {}
        for signal in SIGNALS:
            _assign(model, state)
            tensors |= _in_graph(step, batch, (signal,))
    else:
        _assign(model, state)
        tensors = step(batch)
    scales = {"backprop": scale, "gradient": scale}
    arrays = {
        signal: {
            key: np.asarray(keras.ops.convert_to_numpy(tensor), np.float64)
            / scales.get(signal, 1.0)
            for key, tensor in found.items()
            if tensor is not None
        }
        for signal, found in tensors.items()
    }
    return Step(
        arrays, spies[-1].closed - {number for number, *_ in arrays["activation"]}
    )


def _assign(model, state):
    for variable, value in zip(model.variables, state, strict=True):
        variable.assign(value)


def _in_graph(step, batch, *args):
    """Runs a step on what a bare `fit` gives it: a batch whose size no graph knows."""
    known = tuple(part for part in batch if part is not None)
    batches = tf.data.Dataset.from_tensor_slices(known)
    size = batches.cardinality().numpy()

    @tf.function(autograph=False)
    def in_graph(iterator):
        batch = keras.utils.unpack_x_y_sample_weight(next(iterator))
        return step(batch, *args)

    return in_graph(iter(batches.batch(size)))


def _tensors(model, batch, scale, spy):
    """Returns `{signal: {key: tensor}}`, with `None` for gradients that are not."""
    with spy.watching(), tf.GradientTape() as tape:
        loss = _loss(model, batch)
        loss = loss * tf.cast(scale, loss.dtype)
    weights = [variable.value for variable in model.trainable_variables]
    outputs = spy.tensors["activation"]
    gradients = [
        None if gradient is None else tf.convert_to_tensor(gradient)
        for gradient in tape.gradient(loss, [*weights, *outputs.values()])
    ]
    of_weights, of_outputs = gradients[: len(weights)], gradients[len(weights) :]
    return {
        **spy.tensors,
        "backprop": dict(zip(outputs, of_outputs, strict=True)),
        "gradient": {(i,): gradient for i, gradient in enumerate(of_weights)},
    }


def _loss(model, batch):
    x, y, weights = batch
    return model.compute_loss(
        x=x, y=y, y_pred=_forward(model, x), sample_weight=weights, training=True
    )


def _forward(model, x):
    return model(x, training=True) if model._call_has_training_arg else model(x)


class _Spy:
    """Keeps what the layers of a model return and what their activations are given."""

    def __init__(self, model):
        self._layers = numbered_layers(model)
        self._numbers = {id(layer): i for i, layer in enumerate(self._layers)}
        self._calls = collections.Counter()
        self.tensors = {"activation": {}, "preactivation": {}}
        self.closed = set()
        self._graph = None

    @contextlib.contextmanager
    def watching(self):
        self._graph = _graph()
        original = keras.Operation.__call__

        def call(layer, *args, **kwargs):
            return self._returned(layer, original(layer, *args, **kwargs))

        with contextlib.ExitStack() as stack:
            stack.enter_context(mock.patch.object(keras.Operation, "__call__", call))
            for number, layer in enumerate(self._layers):
                if isinstance(layer, keras.layers.TimeDistributed):
                    entry = {"call": self._repeated(layer.layer)}
                    stack.enter_context(mock.patch.dict(vars(layer.layer), entry))
                activation = vars(layer).get("activation")
                if callable(activation) and activation is not LINEAR:
                    spy = self._activation(number, activation)
                    entry = {"activation": spy}
                    stack.enter_context(mock.patch.dict(vars(layer), entry))
            yield

    def _repeated(self, layer):
        """What stands in for the `call` of a layer that is called by nothing else."""
        original = layer.call
        return lambda *args, **kwargs: self._returned(layer, original(*args, **kwargs))

    def _returned(self, layer, outputs):
        number = self._numbers.get(id(layer))
        if number is None:
            return outputs
        call = self._calls[number]
        self._calls[number] += 1
        flat = [
            self._kept(number, part, call, tensor)
            for part, tensor in enumerate(keras.tree.flatten(outputs))
        ]
        return keras.tree.pack_sequence_as(outputs, flat)

    def _kept(self, number, part, call, tensor):
        if not self._is_open(tensor):
            self.closed.add(number)
            return tensor
        # A tensor of its own, for a layer may return its input.
        own = tf.identity(tensor)
        for attribute in ("_keras_mask", "_keras_logits"):
            if hasattr(tensor, attribute):
                setattr(own, attribute, getattr(tensor, attribute))
        self.tensors["activation"][number, part, call] = own
        return own

    def _is_open(self, tensor):
        is_float = tf.is_tensor(tensor) and tensor.dtype.is_floating
        return is_float and _graph() is self._graph

    def _activation(self, number, original):
        def activation(x, *args, **kwargs):
            if self._is_open(x):
                key = (number, 0, self._calls[number])
                self.tensors["preactivation"][key] = x
            return original(x, *args, **kwargs)

        return activation


def _graph():
    return None if tf.executing_eagerly() else tf.compat.v1.get_default_graph()


def statistics(x):
    """The statistics of a float64 array by their definitions."""
    units = x.reshape(-1, x.shape[-1]) if x.ndim > 1 else None
    return {
        "mean": x.mean(),
        "std": x.std(),
        "rms": np.sqrt(np.mean(x**2)),
        "norm": np.linalg.norm(x.ravel()),
        "min": x.min(),
        "max": x.max(),
        "zero_fraction": np.mean(x == 0),
        "nonfinite_count": np.count_nonzero(~np.isfinite(x)),
        "dead_fraction": np.nan if units is None else np.mean((units == 0).all(axis=0)),
    }


# Statistics in the unit of the tensor; the norm is in that of the root of its size.
_OF_THE_TENSOR = ("mean", "std", "rms", "min", "max")


def worst_error(recorded, x, floor):
    """Compares recorded statistics with those of an array.

    Args:
        recorded: `{statistic: value}`.
        x: Float64 array.
        floor: Smallest scale, for a tensor that is zero but for rounding.

    Returns:
        The largest deviation and the statistic that has it: in units of the tensor's
        rms for statistics in its unit, as they are for shares and counts.
    """
    reference = statistics(x)
    scale = max(reference["rms"], floor)
    if reference["rms"] < floor:
        del reference["zero_fraction"]
    scales = {
        **dict.fromkeys(_OF_THE_TENSOR, scale),
        "norm": scale * np.sqrt(x.size),
    }
    errors = {
        name: abs(recorded[name] - value) / scales.get(name, 1.0)
        for name, value in reference.items()
        if name in recorded and not (np.isnan(value) and np.isnan(recorded[name]))
    }
    worst = max(errors, key=lambda name: np.nan_to_num(errors[name], nan=np.inf))
    return errors[worst], worst
