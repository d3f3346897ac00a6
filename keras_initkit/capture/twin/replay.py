"""The twin of a step as a copy of its graph: no Python code of a step runs once more.

Op by op the plain step is copied into the graph that is being traced, and what was
noted of it (`notes.py`) is collected on the way: values of weights, where the step has
an update begin and end, all else when it is complete.
"""

import tensorflow as tf

from keras_initkit.capture.tapping import collector as collecting
from keras_initkit.structure import tensorflow_private


class NotCopiedError(RuntimeError):
    """A graph cannot be copied."""


def covers(notes, wish):
    """Whether what was noted of a step holds all of a `requests.Wish`."""
    noted = notes.wish
    return (
        set(wish.signals) <= set(noted.signals)
        and set(wish.layers) <= set(noted.layers)
        and wish.weights.items() <= noted.weights.items()
    )


def step_of(notes, wish, plain):
    """Returns a train step that copies the one that was noted.

    Args:
        notes: `notes.Notes` of a step.
        wish: `requests.Wish`: what of it is collected.
        plain: The step itself, which is called where the batches are others.

    Returns:
        Function of a batch, for a graph of Keras's step that is being traced.
    """

    def step(batch):
        try:
            copies = _Copies(notes.graph, tf.compat.v1.get_default_graph())
        except NotCopiedError:
            return plain(batch)
        collector = collecting.active()
        for update in notes.updates:
            copies.take(update.begin)
            begun = collector and _begun(collector, update, copies, wish)
            copies.take(update.end)
            if begun is not None:
                collector.end_update(begun)
        copies.take()
        if collector is not None:
            _collect(collector, notes, copies, wish)
        return copies.outputs()

    return step


def _begun(collector, update, copies, wish):
    """Begins an update of the weights that are wished for."""
    applied = [
        one._replace(gradient=copies.of(one.gradient))
        for one in update.applied
        if id(one.variable) in wish.weights
    ]
    return collector.begin_update(update.optimizer, applied)


def _collect(collector, notes, copies, wish):
    """Collects what was noted of the layers that are wished for."""
    names = {name for name, _ in wish.layers}
    for name, calls in notes.calls.items():
        if name in names:
            collector.calls[name] = calls
    collector.forward_order.update(notes.forward_order)
    for layer, reasons in notes.reasons.items():
        if layer in wish.owners():
            for reason in reasons:
                collector.note(layer, reason)
    for signal, key, tensor, activation in notes.tensors:
        if key.layer in names:
            collector.add(signal, key, copies.of(tensor), activation)
    for key in notes.awaited:
        if key.layer in names:
            collector.awaits(key, None)
    for key, gradient in notes.gradients:
        tensor = copies.of(gradient)
        if key.layer in names and collector.reachable(tensor):
            collector.add("backprop", collector.pass_of(key), tensor)


class _Copies:
    """The ops of a step's graph, made once more in the graph that is being traced.

    Args:
        source: The graph.
        target: The graph that is being traced, of the same function of the same
            arguments.

    Raises:
        NotCopiedError: If it is not.
    """

    def __init__(self, source, target):
        self._source, self._target = source, target
        self._ops = source.get_operations()
        self._taken = 0
        # Tensors and ops of the target, by the names they have in the source.
        self._tensors: dict = {}
        self._made: dict = {}
        if source.deferred_internal_captures:
            raise NotCopiedError("it captures what is not known before it runs")
        self._results = tf.nest.flatten(source.structured_outputs, True)
        # TensorFlow passes what a function returns on by an op of its own, which is
        # added to the target, too.
        self._passed_on = {t.op.name for t in self._results if tf.is_tensor(t)}
        for outer, inner in source.captures:
            if hasattr(outer, "graph"):
                raise NotCopiedError("it captures a tensor of another graph")
            self._tensors[inner.name] = target.capture(outer)
            self._made[inner.op.name] = self._tensors[inner.name].op
        for op in self._ops:
            if op.type == "Placeholder" and op.name not in self._made:
                self._note(op, self._argument(op))
        tensorflow_private.copy_functions(source, target)

    def take(self, until=None):
        """Copies ops up to a place in the source, by default all."""
        for op in self._ops[self._taken : until]:
            if op.name not in self._passed_on:
                self._take_with_inputs(op)
        self._taken = len(self._ops) if until is None else max(self._taken, until)

    def _take_with_inputs(self, op):
        """Copies an op behind those that it needs.

        Gradients of loops give the loop inputs that are made later than it.
        """
        left = [op]
        while left:
            one = left[-1]
            needed = [*(t.op for t in one.inputs), *one.control_inputs]
            missing = [o for o in needed if o.name not in self._made]
            if one.name in self._made:
                left.pop()
            elif missing:
                left += missing
            else:
                self._take(left.pop())

    def _take(self, op):
        inputs = [self._tensors[tensor.name] for tensor in op.inputs]
        after = [self._made[one.name] for one in op.control_inputs]
        self._note(op, tensorflow_private.copy_op(op, inputs, after, self._target))

    def _note(self, op, made):
        self._made[op.name] = made
        for old, new in zip(op.outputs, made.outputs, strict=True):
            self._tensors[old.name] = new

    def _argument(self, op):
        """Returns the argument of the target that an argument of the source is."""
        try:
            made = self._target.get_operation_by_name(op.name)
        except KeyError:
            raise NotCopiedError(f"{op.name!r} is no argument here") from None
        (old,), (new,) = op.outputs, made.outputs
        if (
            made.type != op.type
            or new.dtype != old.dtype
            or new.shape.as_list() != old.shape.as_list()
        ):
            raise NotCopiedError(f"the argument {op.name!r} is another one here")
        return made

    def of(self, tensor):
        """Returns what a tensor of the source is here, part by part."""
        if tensor is None:
            return None
        parts = tf.nest.flatten(tensor, expand_composites=True)
        here = [self._tensors.get(part.name) for part in parts]
        if None in here:
            raise NotCopiedError(f"{tensor!r} is not of its graph")
        return tf.nest.pack_sequence_as(tensor, here, expand_composites=True)

    def outputs(self):
        """Returns what the step returns."""
        results = [
            self._tensors[t.op.inputs[0].name] if tf.is_tensor(t) else t
            for t in self._results
        ]
        structure = self._source.structured_outputs
        return tf.nest.pack_sequence_as(structure, results, True)
