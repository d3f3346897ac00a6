"""What the taps of one train step saw, reduced to partials."""

import collections
import contextlib
import dataclasses
import math
import threading

import tensorflow as tf

from keras_initkit import schema, stats
from keras_initkit.capture import replicas
from keras_initkit.capture.fusion import readable

_LOCAL = threading.local()

# Rows on which units are compared, evenly spaced where there are more.
PROJECTED_ROWS = {"layer": 1024, "weight": 16384}
# Entries above which a tensor counts as large, a batch of unknown size taken as 64.
LARGE, TYPICAL_BATCH = 2**17, 64


def active():
    """Returns the collector of this thread, `None` outside a monitored step.

    Thread by thread, because `tf.distribute` traces each replica in one of its own.
    """
    return getattr(_LOCAL, "collector", None)


class Collector:
    """Gathers the tapped tensors of one train step and reduces them.

    Args:
        signals: Names of the signals to gather.
        scale: Float tensor or `None`: the loss scale in force, by which back-propagated
            signals are divided.
        histograms: Scalar bool tensor or variable: whether values are counted, `None`
            for never.
        compiled: Whether XLA compiles the step.
    """

    def __init__(self, signals, scale=None, histograms=None, compiled=False):
        self.signals = frozenset(signals)
        self.calls: collections.Counter = collections.Counter()
        self._passes: collections.Counter = collections.Counter()
        self._applies: collections.Counter = collections.Counter()
        self.forward_order = {}
        self._scale = scale
        self._histograms = histograms
        self._compiled = compiled
        self._seen: dict = {signal: {} for signal in signals}
        self._awaited: list = []
        self._notes: dict = {}
        self._graph = _current_graph()

    def reachable(self, tensor):
        """Whether a tensor may be used here: float, and of the graph being traced.

        Tensors made inside the body of a loop, a condition or a rematerialized call
        belong to another graph.
        """
        return tf.is_tensor(tensor) and tensor.dtype.is_floating and self.is_here()

    def is_here(self):
        """Whether what is now computed belongs to the graph being traced."""
        return _current_graph() is self._graph

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

    def add(self, signal, key, tensor):
        """Notes a tensor. Eager tensors are reduced at once, so that none is kept."""
        if signal in self.signals:
            if self._graph is None:
                tensor = self._reduced(signal, tensor)
            self._seen[signal][key] = tensor

    def awaits(self, key):
        """Whether the gradient of an output is to be tapped; if so, it is awaited."""
        wanted = "backprop" in self.signals
        if wanted:
            self._awaited.append(key)
        return wanted

    def note(self, layer, reason):
        """Notes why something of a layer, or of a weight's owner, is not seen."""
        self._notes.setdefault(layer, {})[reason] = None

    def unseen(self):
        """Returns `{layer: reason}` of what was not seen. Call it after the step."""
        for key in self._awaited:
            if key not in self._seen["backprop"]:
                self.note(
                    key.layer, "backprop: no gradient is propagated to its output"
                )
        return {layer: "; ".join(reasons) for layer, reasons in self._notes.items()}

    def packed(self):
        """Reduces what was seen. Call it when the step is complete.

        Returns:
            The layout, a tuple of `(signal, keys, units of each key)` with keys in
            forward order, and for each signal a tuple of values: a float64 tensor of
            shape `(1, keys, partials)`, a float32 one of shape `(1, profiles, units)`
            and, with histograms, an int32 one of shape `(1, keys, bins)`. The leading
            axis is that of replicas.
        """
        layout, values = [], []
        for signal, seen in self._seen.items():
            if not seen:
                continue
            keys = tuple(sorted(seen, key=self._depth))
            with tf.name_scope(f"keras_initkit/{signal}"):
                reduced = [seen[key] for key in keys]
                if self._graph is not None:
                    reduced = [self._reduced(signal, tensor) for tensor in reduced]
                rows, profiles, *counts = zip(*reduced, strict=True)
                layout.append((signal, keys, tuple(p.shape[1] for p in profiles)))
                stacked = [
                    tf.stack(rows),
                    tf.concat(profiles, 1),
                    *map(tf.stack, counts),
                ]
                values.append(tuple(value[None] for value in stacked))
        return tuple(layout), tuple(values)

    def _reduced(self, signal, tensor):
        tensor = readable(tensor)
        wanted = False if self._histograms is None else self._histograms
        row, *others = self._reduction(signal, tensor.shape)(tensor, wanted)
        if signal == "backprop" and self._scale is not None:
            row = stats.unscale(row, self._scale)
        return row, *others

    def _reduction(self, signal, shape):
        """What is computed of a tensor: what the statistics of its signal need."""
        statistics = schema.statistics_of(signal)
        has_units = shape.rank is not None and shape.rank > 1
        of_layer = schema.SIGNALS[signal].source == "layer"
        sizes = [TYPICAL_BATCH if size is None else size for size in shape]
        return stats.Reduction(
            large=math.prod(sizes) > LARGE,
            zeros="zero_fraction" in statistics,
            units="distinct_units" in statistics and has_units,
            alive="dead_fraction" in statistics and has_units,
            projected_rows=PROJECTED_ROWS["layer" if of_layer else "weight"],
            part=replicas.number() if of_layer else 0,
            histogram=self._histograms is not None,
            compiled=self._compiled,
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
        outer = active()
        _LOCAL.collector = self
        try:
            yield self
        finally:
            _LOCAL.collector = outer


def _current_graph():
    return None if tf.executing_eagerly() else tf.compat.v1.get_default_graph()
