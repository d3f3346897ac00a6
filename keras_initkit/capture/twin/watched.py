"""`Watched`: a train step that also returns what its taps have seen."""

import contextlib
import functools
import typing

import tensorflow as tf

from keras_initkit import schema, stats
from keras_initkit.capture.guard import tried
from keras_initkit.capture.tapping import building, replicas
from keras_initkit.capture.tapping.collector import Collector
from keras_initkit.capture.tapping.scaling import loss_scale
from keras_initkit.structure import uses
from keras_initkit.structure.layers import named_layers

# In place of the number of a layout, where a step could not be watched.
NOTHING = "nothing"


class Watched:
    """The twin of a step: what it taps, the function, and what was seen of layers.

    Args:
        twins: The `Twins` that it is one of.
        detail: One of `schema.DETAILS`: what is recorded of each tensor.

    Attributes:
        wish: `Wish` of all listeners together: what it taps.
        step: The function that runs it, as `single_step.of` or a loop makes it.
        called: Names of the layers that were called.
        unseen: What was not seen of layers, `{layer: reason}`.
        broken: What ended the watching: an exception, and during what; or `None`.
    """

    def __init__(self, twins, detail):
        self._twins = twins
        self._detail = detail
        self.wish = twins.listeners.wish_of_all(detail)
        self.step: typing.Any = None
        self.called: set = set()
        self.unseen: dict = {}
        self.broken: typing.Any = None
        # Names that an eager step has given to layers while it built them.
        self._settled = building.is_built(twins.model)
        self._named_at_first = self.wish.layers

    def train_step(self, plain, optimizers, compiled):
        """Returns a train step in place of a plain one: logs, and what was seen."""
        step = self.function(plain, optimizers, compiled)

        def instrumented(data):
            logs, number, values = step(data)
            averaged = tried(self._broken, _averaged, values)
            if averaged is None:
                number, averaged = NOTHING, ()
            return {"logs": logs, "seen": {number: averaged}}

        return instrumented

    def function(self, function, optimizers, compiled):
        """Returns a function that also returns what the taps saw, behind its number.

        It is to be called where the step runs: in each replica, in the graph traced.

        Args:
            function: The function of a step.
            optimizers: Those that it applies.
            compiled: Whether XLA compiles it.
        """
        broken = self._broken

        @functools.wraps(function)
        def watched(*args, **kwargs):
            collector = tried(broken, self._collector, optimizers, compiled)
            if collector is None:
                return function(*args, **kwargs), NOTHING, ()
            with contextlib.ExitStack() as stack:
                tried(broken, stack.enter_context, collector.listening())
                outputs = function(*args, **kwargs)
                if "state" in self.wish.signals:
                    tried(broken, self._add_states, collector)
            packed = tried(broken, self._packed, collector, outputs)
            return outputs, *(packed or (NOTHING, ()))

        return watched

    def _broken(self, error):
        self.broken = error, "watching a step"

    def weight_names(self):
        """Returns `{id(weight): (owner's name, weight's name)}` of what is tapped."""
        self._settle_names()
        return self.wish.weights

    def keep_initial_values(self):
        """Keeps what the weights are that will be compared with it."""
        if any(
            stats.is_compared_with_initial(s, self._detail) for s in self.wish.signals
        ):
            self._twins.initial.prepare(
                variable
                for variable in self._twins.model.trainable_variables
                if id(variable) in self.wish.weights
            )

    def _collector(self, optimizers, compiled):
        """Returns what gathers the tensors of a step."""
        scales = [loss_scale(optimizer) for optimizer in optimizers]
        return Collector(
            self.wish.signals,
            next((scale for scale in scales if scale is not None), None),
            self._twins.counting if self.wish.histograms else None,
            self._twins.one if compiled else None,
            self._twins.phase.signals,
            self._twins.initial,
            self._detail,
        )

    def _add_states(self, collector):
        """Notes the weights that an evaluation finds, which no gradient trains."""
        for variable in self._twins.model.non_trainable_variables:
            names = self.wish.weights.get(id(variable))
            if names is not None:
                value = tf.convert_to_tensor(variable.value)
                collector.add("state", schema.TensorKey(*names), value)

    def _packed(self, collector, outputs):
        """Returns number and values of what a collector has seen of a step."""
        if collector.failure is not None:
            self.broken = collector.failure
            return NOTHING, ()
        if not tf.executing_eagerly():
            graph = tf.compat.v1.get_default_graph()
            uses.learn(self._twins.model, graph)
            self._twins.streams.look(graph)
        renamed = self._settle_names()
        self._settled = True
        self.called.update(renamed.get(name, name) for name in collector.calls)
        for name, reason in collector.unseen().items():
            self.unseen[renamed.get(name, name)] = reason
        collector.rename(renamed)
        layout, values = collector.packed(outputs)
        return self._twins.readers.number_of(layout), _of_all_replicas(layout, values)

    def _settle_names(self):
        """Looks names up again that layers have got while an eager step built them.

        Returns:
            `{name by which a layer was tapped: its name}`, of those that differ.
        """
        if self._settled or not tf.executing_eagerly():
            return {}
        self.wish = self._twins.listeners.wish_of_all(self._detail, anew=True)
        names = {id(layer): name for name, layer in named_layers(self._twins.model)}
        return {
            old: names[id(layer)]
            for old, layer in self._named_at_first
            if names.get(id(layer), old) != old
        }


def _averaged(values):
    """Returns what left a step, of all replicas together."""
    return tf.nest.map_structure(replicas.averaged, values)


def _of_all_replicas(layout, values):
    """Returns packed values, those of signals of layers with a part a replica."""
    everything = []
    for rows, by_name in zip(layout, values, strict=True):
        arrays = list(by_name.values())
        if schema.ALL_SIGNALS[rows[0].signal].source == "layer":
            arrays = replicas.gathered(arrays)
        everything.append(dict(zip(by_name, arrays, strict=True)))
    return tuple(everything)
