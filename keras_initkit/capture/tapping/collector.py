"""What a train step saw, reduced to partials."""

import collections
import contextlib
import dataclasses
import functools
import threading
import types
import typing

import keras
import tensorflow as tf

from keras_initkit import schema, stats, theory
from keras_initkit.capture.tapping import compiled, fusion, replicas, rows, scaling
from keras_initkit.structure import tensorflow_private
from keras_initkit_light.format.schema import INDEPENDENT

_LOCAL = threading.local()
_AS_TAPPED: typing.Mapping = types.MappingProxyType({})

# Eager tensors are kept until they take so many bytes, and then reduced together: many
# small ones cost hardly more than one.
HELD_BYTES = 2**26


def active():
    """Returns the collector of this thread, `None` outside a monitored step.

    Thread by thread, because `tf.distribute` traces each replica in one of its own.
    """
    collector = getattr(_LOCAL, "collector", None)
    return None if collector is None else collector.present()


@contextlib.contextmanager
def listening(collector):
    """Makes a collector that of this thread for the duration of a `with`."""
    outer = getattr(_LOCAL, "collector", None)
    _LOCAL.collector = collector
    try:
        yield collector
    finally:
        _LOCAL.collector = outer


class _Noted(typing.NamedTuple):
    """A tensor that was seen, or the dict of arrays that it was reduced to."""

    row: rows.Row
    tensor: typing.Any
    reduction: stats.Reduction
    initial: typing.Any


class Applied(typing.NamedTuple):
    """A weight that an optimizer is given a gradient for.

    Attributes:
        key: `schema.TensorKey` of this update of it.
        variable: The weight, a Keras variable.
        gradient: Tensor or `IndexedSlices`; `None` where the loss does not depend on
            it.
    """

    key: schema.TensorKey
    variable: typing.Any
    gradient: typing.Any


class Collector:
    """Gathers the tapped tensors of one train step and reduces them.

    Args:
        signals: Names of the signals to gather.
        scale: Float tensor or `None`: the loss scale in force, by which back-propagated
            signals are divided.
        histograms: Scalar bool tensor or variable: whether values are counted, `None`
            for never.
        one: Float32 variable that holds 1, of a step that XLA compiles; `None` for any
            other.
        names: What signals of taps are called, `{theirs: name}`, where that is not
            their own name.
        initial: `initial.InitialValues`, what weights are compared with; `None` for
            nothing.
        detail: One of `schema.DETAILS`.
    """

    def __init__(
        self,
        signals,
        scale=None,
        histograms=None,
        one=None,
        names=_AS_TAPPED,
        initial=None,
        detail="full",
    ):
        self._detail = detail
        self.signals = frozenset(signals)
        self._names = names
        self._initial = initial
        self.calls: collections.Counter = collections.Counter()
        self._passes: collections.Counter = collections.Counter()
        self._applies: collections.Counter = collections.Counter()
        self.forward_order = {}
        self._scale = scale
        self._histograms = histograms
        self._one = one
        self._seen: dict = {signal: {} for signal in signals}
        self._held: list = []
        self._held_bytes = 0
        self._awaited: list = []
        self._notes: dict = {}
        self._graph = _current_graph()
        # What ended the watching of this step, and during what; `None` if nothing did.
        self.failure: tuple | None = None

    def present(self):
        """Returns what notes what is computed now: this, or `None` for nothing."""
        return self

    def reachable(self, tensor):
        """Whether a tensor may be used here: dense, float, of the graph being traced.

        Tensors made inside the body of a loop, a condition or a rematerialized call
        belong to another graph.
        """
        return (
            isinstance(tensor, tf.Tensor)
            and tensor.dtype.is_floating
            and has_known_units(tensor)
            and self.is_here()
        )

    def is_here(self):
        """Whether what is now computed belongs to the graph being traced."""
        return _current_graph() is self._graph

    def fail(self, error, doing):
        """Notes what ends the watching of this step: nothing of it is recorded."""
        self.failure = self.failure or (error, doing)

    def pass_of(self, key):
        """Returns the key of a tensor's next backward pass: the second is `#2`."""
        self._passes[key] += 1
        number = self._passes[key]
        if number == 1:
            return key
        return dataclasses.replace(key, tensor=f"{key.tensor}#{number}")

    def apply_of(self, key):
        """Returns the key of a weight's next update: calls of the optimizer count."""
        self._applies[key] += 1
        return dataclasses.replace(key, call=self._applies[key] - 1)

    def add(self, signal, key, tensor, activation=None, variable=None):
        """Notes a tensor. Eager tensors are reduced as they come, some at a time.

        Args:
            signal: Name of a signal; nothing happens unless it is gathered.
            key: `schema.TensorKey` of the tensor.
            tensor: A `reachable` tensor.
            activation: The function that is applied to it, if it is a pre-activation.
            variable: The weight whose value it is, if it is one.
        """
        signal = self._names.get(signal, signal)
        if signal not in self.signals or self.failure is not None:
            return
        source = schema.ALL_SIGNALS[signal].source
        if source == "layer" and tensor.shape.rank == 1 and self._detail == "full":
            with tensorflow_private.marked():
                tensor = tensor[:, None]  # one unit: its values are the examples'
        part = replicas.number() if source == "layer" else 0
        reduction = stats.reduction_of(
            signal,
            tensor.shape.rank or 0,
            _saturation(activation),
            part,
            self._detail,
        )
        initial = self._initial_of(variable, signal)
        row = rows.row_of(signal, key, tensor.shape, reduction, initial)
        noted = _Noted(row, tensor, reduction, initial and initial.value)
        self._seen[signal][key] = noted
        if self._graph is None:
            self._held.append(noted)
            self._held_bytes += tensor.dtype.size * tensor.shape.num_elements()
            # Replicas reduce in step with each other, whatever their sizes.
            if self._held_bytes > HELD_BYTES or replicas.stacked_rows() is not None:
                self._reduce_held()

    def _initial_of(self, variable, signal):
        """Returns the `initial.Initial` that a tensor is compared with, or `None`."""
        if self._initial is None or variable is None:
            return None
        wanted = stats.is_compared_with_initial(signal, self._detail)
        return self._initial.of(variable) if wanted else None

    def _reduce_held(self):
        """Replaces the tensors that are held by what they are reduced to."""
        if not self._held:
            return
        held, self._held, self._held_bytes = self._held, [], 0
        values = self._reduced(held, [noted.tensor for noted in held])
        parts = rows.split(values, [noted.row for noted in held])
        for noted, part in zip(held, parts, strict=True):
            reduced = noted._replace(tensor=part)
            self._seen[noted.row.signal][noted.row.key] = reduced

    def awaits(self, key, tensor, is_passed_on=False):
        """Whether the gradient of an output is to be tapped; if so, it is awaited.

        Args:
            key: `schema.TensorKey` of the output.
            tensor: The output.
            is_passed_on: Whether it is an input of its layer, as it is.
        """
        wanted = "backprop" in self.signals
        if wanted:
            self._awaited.append(key)
        return wanted

    def begin_update(self, optimizer, applied):
        """Notes weights and their gradients ahead of an update.

        Args:
            optimizer: The one that is given the gradients.
            applied: List of `Applied`.

        Returns:
            What `end_update` is to be called with behind it.
        """
        before = [
            (one.key, one.variable, tf.convert_to_tensor(one.variable.value))
            for one in applied
        ]
        for key, variable, value in before:
            self.add("weight", key, value, variable=variable)
        for key, _, gradient in applied:
            if gradient is None:
                reason = f"{INDEPENDENT}{key.tensor!r}"
                self.note(key.layer, reason)
        if "gradient" in self.signals:
            known = {k: gradient for k, _, gradient in applied if gradient is not None}
            for key, gradient in scaling.global_gradients(optimizer, known).items():
                self.add("gradient", key, gradient)
        return before

    def end_update(self, begun):
        """Notes what an update has changed weights by."""
        if "update" in self.signals:
            for key, variable, value in begun:
                after = tf.convert_to_tensor(variable.value)
                self.add("update", key, after - value)

    def note(self, layer, reason):
        """Notes why something of a layer, or of a weight's owner, is not seen."""
        self._notes.setdefault(layer, {})[reason] = None

    def unseen(self):
        """Returns `{layer: reason}` of what was not seen. Call it after the step."""
        for key in self._awaited:
            if key not in self._seen["backprop"]:
                self.note(
                    key.layer,
                    f"backprop: no gradient is propagated to its {key.tensor}",
                )
        return {layer: "; ".join(reasons) for layer, reasons in self._notes.items()}

    def rename(self, names):
        """Gives layers, by the names they were tapped under, those they have now."""
        if not names:
            return
        self._reduce_held()
        self.forward_order = {
            names.get(name, name): place for name, place in self.forward_order.items()
        }
        for signal, seen in self._seen.items():
            renamed = [n._replace(row=n.row.named(names)) for n in seen.values()]
            self._seen[signal] = {noted.row.key: noted for noted in renamed}

    def packed(self, outputs=()):
        """Reduces what was seen. Call it when the step is complete.

        Args:
            outputs: What the step returns: it is needed, whoever else reads it.

        Returns:
            A tuple of layouts and one of as many dicts: for the signals of layers and
            for those of weights, where there are any, a tuple of `rows.Row`s by signal
            and in forward order, and tensors as `stats.reduce` gives them, each with a
            leading axis of 1: that of replicas.
        """
        self._reduce_held()
        readable = self._reading(outputs)
        packs = [self._pack(source, readable) for source in ("layer", "weight")]
        return tuple(zip(*filter(None, packs), strict=True)) or ((), ())

    def _reading(self, outputs):
        if self._one is None or self._graph is None:
            return fusion.reading(outputs)
        return compiled.reading(self._one)

    def _pack(self, source, readable):
        noted = [
            seen[key]
            for signal, seen in self._seen.items()
            if schema.ALL_SIGNALS[signal].source == source
            for key in sorted(seen, key=self._depth)
        ]
        if not noted:
            return None
        tensors = [one.tensor for one in noted]
        with tf.name_scope(f"keras_initkit/{source}"), tensorflow_private.marked():
            if self._graph is None:
                values = stats.joined(tensors)
            else:
                values = self._reduced(noted, readable(tensors))
            layout = tuple(one.row for one in noted)
            return layout, {name: tf.stack([value]) for name, value in values.items()}

    def _reduced(self, noted, tensors):
        """Reduces what was noted, of tensors that can be read."""
        if self._scale is not None:
            scale = tf.cast(self._scale, tf.float32)
            tensors = [
                tf.cast(x, tf.float32) / scale if one.row.signal == "backprop" else x
                for one, x in zip(noted, tensors, strict=True)
            ]
        return stats.reduce(
            list(tensors),
            [one.reduction for one in noted],
            self._histograms,
            self._one is not None,
            replicas.stacked_rows(),
            [one.initial for one in noted],
        )

    def _depth(self, key):
        # A weight of a part (a recurrent cell) stands where the whole is called.
        path = key.layer
        while path and path not in self.forward_order:
            path = path.rpartition("/")[0]
        return self.forward_order.get(path, len(self.forward_order)), key.call

    @contextlib.contextmanager
    def listening(self):
        """Makes this the collector of this thread for the duration of a `with`."""
        try:
            with listening(self):
                yield self
        finally:
            if self._graph is not None:
                tensorflow_private.forget_gradients(self._graph)


@functools.cache
def _saturation(activation):
    """The magnitude beyond which one of Keras's activations saturates, if it does."""
    name = getattr(activation, "__name__", "")
    known = name in theory.activation_functions.names()
    if known and getattr(keras.activations, name, None) is activation:
        return theory.saturation(name)
    return None


def has_known_units(tensor):
    """Whether rank and last axis of a tensor are known (of rank 1: examples)."""
    rank = tensor.shape.rank
    return rank is not None and (rank < 2 or tensor.shape[-1] is not None)


def _current_graph():
    return None if tf.executing_eagerly() else tf.compat.v1.get_default_graph()
