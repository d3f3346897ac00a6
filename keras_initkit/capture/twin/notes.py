"""What taps see while the plain step is traced, from which its twin is made.

The step itself gets nothing of ours: not an op is added to its graph. What is noted is
which tensors of the graph are outputs, gradients and pre-activations of which layer,
and where in it the optimizer changes the weights.
"""

import contextlib
import dataclasses
import functools
import typing

import tensorflow as tf

from keras_initkit.capture.guard import tried
from keras_initkit.capture.tapping import taps
from keras_initkit.capture.tapping.collector import Collector, listening
from keras_initkit.structure import keras_private, tensorflow_private


@dataclasses.dataclass
class Update:
    """An update of weights.

    Attributes:
        optimizer: The optimizer.
        applied: List of `collector.Applied`.
        begin: How many ops the graph had ahead of it.
        end: How many it had behind it.
    """

    optimizer: typing.Any
    applied: list
    begin: int
    end: int


class Notes(Collector):
    """Notes what a twin of a step is to reduce, while the step is traced.

    TensorFlow may trace it twice; what is noted is of the last trace that began.

    Args:
        wish: `requests.Wish`: what is tapped.
        optimizers: Those that the step may apply.
        anew: Function that returns the wish by the names that a step has given to
            layers while it built them; `None` where they are settled.

    Attributes:
        wish: What is tapped, by the names at the end.
        tensors: List of signal, `TensorKey`, tensor and activation.
        gradients: List of a `TensorKey` and the gradient of its output, in the order
            found.
        updates: List of `Update`.
    """

    def __init__(self, wish, optimizers, anew=None):
        self.wish = self._tapped = wish
        self._optimizers = optimizers
        self._anew = anew
        self._begin(None)

    def _begin(self, graph):
        super().__init__(self._tapped.signals)
        self._graph = graph
        self.tensors: list = []
        self.gradients: list = []
        self.updates: list = []
        self._recorded: list = []
        self._is_mixed = False

    @property
    def graph(self):
        """The graph of the step; `None` while there is none."""
        return self._graph

    @property
    def awaited(self):
        """The keys of outputs whose gradients are expected."""
        return tuple(self._awaited)

    @property
    def reasons(self):
        """What of layers is not seen, `{layer: reasons}`."""
        return self._notes

    def weight_names(self):
        """Returns `{id(weight): (owner's name, weight's name)}` of what is tapped."""
        if self._anew is not None:
            self.wish = self._anew()
        return self.wish.weights

    def settle(self, optimizers):
        """Gives all the names that layers have at the end of the trace.

        Args:
            optimizers: Those that the step may apply, at the end.
        """
        self.weight_names()
        if optimizers != self._optimizers:
            self.fail(None, "tapping optimizers that are made while it is traced")
        now = {id(layer): name for name, layer in self.wish.layers}
        then = {id(layer): name for name, layer in self._tapped.layers}
        if now == then:
            return
        if now.keys() - then.keys():
            self.fail(None, "tapping layers that are made while the step is traced")
            return
        renamed = {then[layer]: name for layer, name in now.items()}

        def named(key):
            return dataclasses.replace(key, layer=renamed.get(key.layer, key.layer))

        def by_name(values):
            return {renamed.get(name, name): value for name, value in values.items()}

        self.tensors = [(s, named(key), *rest) for s, key, *rest in self.tensors]
        self.gradients = [(named(key), *rest) for key, *rest in self.gradients]
        self._awaited = [named(key) for key in self._awaited]
        self.calls, self._notes = by_name(self.calls), by_name(self._notes)
        self.forward_order = by_name(self.forward_order)

    def present(self):
        """Returns this within a step of Keras's that is traced, else `None`."""
        graph = keras_private.step_graph()
        if graph is None:
            return None
        if graph is not self.graph:
            self._begin(graph)
        return self

    def is_whole(self, graph):
        """Whether a graph runs the step that was noted, and all of it was."""
        return (
            self.graph is not None
            and self.failure is None
            and not self._is_mixed
            and tensorflow_private.calls_graph(graph, self.graph)
            # By `tf.gradients` they are found otherwise.
            and not (self._recorded and self.updates and not self.gradients)
        )

    def add(self, signal, key, tensor, activation=None, variable=None):
        """Notes a tensor of the graph."""
        self.tensors.append((signal, key, tensor, activation))

    def awaits(self, key, tensor, is_passed_on=False):
        """Awaits the gradient of an output from the tape, not from a tap."""
        if super().awaits(key, tensor) and tensorflow_private.is_recorded(tensor):
            self._recorded.append((key, tensor))
            # A tape does not tell what comes back through the layer from the rest.
            self._is_mixed = self._is_mixed or is_passed_on
        return False

    def begin_update(self, optimizer, applied):
        """Notes where an update begins."""
        self.updates.append(Update(optimizer, applied, self._place(), self._place()))
        return self.updates[-1]

    def end_update(self, begun):
        """Notes where an update ends."""
        begun.end = self._place()

    def _place(self):
        return len(self.graph.get_operations())

    @contextlib.contextmanager
    def tapping(self):
        """Has a step noted that is traced on this thread meanwhile."""
        layers, optimizers = self._tapped.layers, self._optimizers
        ours = functools.partial(tried, self._not_noted)
        with (
            taps.installed(layers, optimizers, self.weight_names),
            tensorflow_private.gradients_also(
                functools.partial(ours, self._outputs_here),
                functools.partial(ours, self._note_gradients),
            ),
            listening(self),
        ):
            yield

    def _not_noted(self, error):
        self.fail(error, "noting gradients while a step is traced")

    def _outputs_here(self):
        """Lists the outputs whose gradients a tape may be asked for now."""
        if tf.executing_eagerly():
            return []
        here = tf.compat.v1.get_default_graph()
        if here is not self.graph:
            return []
        return list({id(tensor): tensor for _, tensor in self._recorded}.values())

    def _note_gradients(self, tensors, gradients):
        found = dict(zip(map(id, tensors), gradients, strict=True))
        self.gradients += [
            (key, found[id(tensor)])
            for key, tensor in self._recorded
            if found.get(id(tensor)) is not None
        ]
