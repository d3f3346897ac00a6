"""Reading a tensor without changing how the step computes it.

TensorFlow's graph optimizer fuses, reorders and regroups ops whose results nothing else
reads: a contraction, its bias and its activation become one kernel, a Sigmoid and its
product with its input another; sums of sums and products of products are regrouped.
What comes out rounds differently, and a fused Relu makes 0 of NaN. A tap is one more
reader and would undo that.

So what may be merged with what reads it is computed once more for the tap, by copies of
its ops, from the next tensors that may be read. What decides is the finished graph:

- A result that is read in two places that do not lead into one another again within a
  few ops is kept by the optimizer, and one more reader changes nothing. All its passes
  ask that what they remove is read inside the pattern only.
- A result whose readers all lead into one op within a few ops (a single reader; the two
  of `x * sigmoid(x)`) may be part of a pattern, unless sources say that its op, or that
  one, is in none (`_is_merged`, `_absorbs`).
- What is computed of shapes alone goes away where they can be told ahead of the step,
  and what waits for it (by a control dependency, too) is then regrouped: it is computed
  once more, from the shapes of tensors that may be read.
- What may turn out to pass on what it reads, when shapes are told (a sum over the axes
  that were broadcast, a reshape), is computed once more: how many read it decides
  whether they wait for the shapes in its place.
- What nothing needs (the result of a layer that is not used, what a tap has computed)
  is removed; to read it would keep what leads to it.

A reader that is removed for that reason, that reads no more than the shape, or that
does what another does, is none. Copies and all that reduces a tensor stand behind ops
of their own (`_door`) and are marked (`tensorflow_private.marked`), constants
too, so that they are not taken for ops of the step that do the same.

After tensorflow/core/grappler/optimizers: remapper.cc, arithmetic_optimizer.cc,
constant_folding.cc, common_subgraph_elimination.cc; held by `tests/fuzz`.
"""

import collections

import tensorflow as tf

from keras_initkit.capture.tapping import op_types

# Ops that do not count as readers of what they read.
_NO_READERS = (*op_types.IDENTITIES, *op_types.OF_SHAPE)
# The longest pattern (layer normalization, gelu) has fewer ops.
_MOST_OPS = 16
# `Graph.create_op` without its look at deprecated arguments, which takes milliseconds.
_create_op = getattr(tf.Graph.create_op, "__wrapped__", tf.Graph.create_op)


def reading(outputs=()):
    """Returns a function that gives tensors of the same values that may be read freely.

    Call it when the graph is complete: who else reads a tensor decides; and what it
    returns where `tensorflow_private.marked` marks what is made.

    Args:
        outputs: What the function being traced returns, in any structure.
    """
    if tf.executing_eagerly():
        return list
    copies = Copies(_Step(tf.compat.v1.get_default_graph(), outputs), _door)
    return lambda tensors: [copies.of(tensor) for tensor in tensors]


class _Step:
    """The ops that a step needs, and where their results go.

    Tensors are told by name. What only passes a tensor on stands for it (`first`). Ops
    that do the same to the same may be made one, or not (control dependencies differ):
    to what they read they are one reader, while what reads one of them does not count
    as reading the other.
    """

    def __init__(self, graph, outputs):
        self._ops = graph.get_operations()
        self._stateful: dict = {}
        self._firsts: dict = {}
        self._alike: dict = {}
        self._numbers: dict = {}
        self._of_shapes: dict = {}
        # By the place of an op, those of all that do the same, itself among them.
        self._same: dict = {}
        # By a tensor's name, the places of the ops that read it; -1 is the end.
        self._readers = collections.defaultdict(list)
        for op in self._ops:
            if op.type in op_types.IDENTITIES:
                for given, output in zip(op.inputs, op.outputs, strict=True):
                    self._firsts[output.name] = self.first(given)
        ends = [
            self.first(tensor)
            for tensor in tf.nest.flatten(outputs, expand_composites=True)
            if tf.is_tensor(tensor) and getattr(tensor, "graph", None) is graph
        ]
        needed = self._led_to(ends)
        for place, op in enumerate(self._ops):
            if op.name in needed and op.type not in _NO_READERS:
                self._note(place, op)
        for tensor in ends:
            self._readers[tensor.name].append(-1)

    def first(self, tensor):
        """Follows what passes a tensor on back to where its values are made."""
        return self._firsts.get(tensor.name, tensor)

    def _note(self, place, op):
        inputs = tuple(self.first(tensor).name for tensor in op.inputs)
        one = place
        if inputs and not self.is_stateful(op):
            # Their inputs may in turn be made by ops that do the same.
            numbered = tuple(self._numbers.get(name, name) for name in inputs)
            alike = self._alike.setdefault((op.type, numbered), [])
            attributes = _attributes(op) if alike else None
            one = next(
                (p for p in alike if _attributes(self._ops[p]) == attributes), place
            )
            if one == place:
                alike.append(place)
            for number, output in enumerate(op.outputs):
                self._numbers[output.name] = (one, number)
        self._same.setdefault(one, []).append(place)
        for name in inputs:
            self._readers[name].append(one)

    def is_stateful(self, op):
        if op.type not in self._stateful:
            self._stateful[op.type] = op.op_def.is_stateful
        return self._stateful[op.type]

    def _led_to(self, ends):
        """Returns the names of the ops that lead to effects or to tensors."""
        left = [tensor.op for tensor in ends]
        left += [
            op
            for op in self._ops
            if self.is_stateful(op)
            and op.type != "ReadVariableOp"
            # Random numbers are not drawn where nothing reads them.
            and not op.type.startswith(op_types.DRAWING)
        ]
        needed = set()
        while left:
            op = left.pop()
            if op.name not in needed:
                needed.add(op.name)
                left += [self.first(tensor).op for tensor in op.inputs]
                left += op.control_inputs
        return needed

    def may_be_read(self, tensor):
        """Whether one more reader of a tensor changes nothing."""
        if tensor.op.type == "Const":
            # Gradients make some wait for what they multiply, needed or not.
            return not tensor.op.control_inputs
        if tensor.op.type == "Placeholder" or self.is_stateful(tensor.op):
            return True
        readers = self._readers.get(tensor.name)
        if not readers:
            return False
        if not (tensor.dtype.is_floating or tensor.dtype.is_complex):
            return not self._is_of_shapes(tensor.op)
        if op_types.is_alone(tensor.op):
            return True
        return not (self._may_pass_on(tensor.op) or self._is_merged(tensor, readers))

    def _may_pass_on(self, op):
        """Whether an op may turn out to pass an input on, once shapes are told.

        It then is an identity that waits for the shapes. Whether it is left out at
        once, so that its readers wait in its place and are not regrouped, is decided
        by how many they are.
        """
        return any(
            source.op.type in op_types.LIKE
            or (_is_of_numbers(source) and self._is_of_shapes(source.op))
            for source in map(self.first, op.inputs)
        )

    def _is_of_shapes(self, op):
        """Whether an op computes with shapes only.

        Where nothing reads them any more, what waits for them is free to be regrouped.
        """
        if op.name not in self._of_shapes:
            sources = [self.first(one).op for one in op.inputs]
            known = [one for one in sources if one.type != "Const"]
            self._of_shapes[op.name] = op.type in op_types.OF_SHAPE or (
                bool(known)
                and all(map(_is_of_numbers, op.outputs))
                and all(map(self._is_of_shapes, known))
            )
        return self._of_shapes[op.name]

    def _is_merged(self, tensor, readers):
        """Whether the readers of a tensor lead into one op that may take it in."""
        ahead, passed = set(readers), 0
        while len(ahead) > 1:
            place = min(ahead)
            if place < 0 or passed == _MOST_OPS or self._ends(self._ops[place]):
                return False
            ahead.remove(place)
            passed += 1
            found = self._readers_of_all(place)
            if not found:
                return False
            ahead.update(found)
        (place,) = ahead
        if place < 0:
            return False
        reader = self._ops[place]
        if self._ends(reader):
            return tensor.op.type == "ReluGrad" and "BatchNormGrad" in reader.type
        return passed > 0 or self._absorbs(tensor, reader)

    def _readers_of_all(self, place):
        """Lists the readers of all ops that do what one does."""
        outputs = [t for same in self._same[place] for t in self._ops[same].outputs]
        return [p for t in outputs for p in self._readers.get(t.name, ())]

    def _ends(self, op):
        """Whether an op is the last that a tensor reaches: it is in no pattern."""
        if op.type in op_types.CALLS:
            return op_types.is_alone(op)
        return op_types.is_alone(op) or self.is_stateful(op)

    def _absorbs(self, tensor, reader):
        """Whether an op may be merged with what makes its one input."""
        made_by = tensor.op.type
        if reader.type in op_types.CALLS:
            return True
        if reader.type in op_types.CONTRACTIONS:
            return made_by in op_types.INTO_CONTRACTIONS
        if made_by == "BiasAdd":
            return reader.type in op_types.AFTER_BIAS
        if made_by not in op_types.CONTRACTIONS:
            return True
        if reader.type in op_types.MOVES:
            return any(
                place >= 0 and self._absorbs(tensor, self._ops[place])
                for output in reader.outputs
                for place in self._readers.get(output.name, ())
            )
        if reader.type in ("Add", "AddV2"):
            return any(_may_be_bias(t) for t in reader.inputs)
        if reader.type == "Mul":
            return "Batch" in made_by or tensor.op.inputs[1].op.type == "Const"
        return reader.type == "BiasAdd" or reader.type in op_types.BATCH_NORMS


def _is_of_numbers(tensor):
    """Whether a tensor holds integers or truth values, as shapes and what they tell."""
    return tensor.dtype.is_integer or tensor.dtype.is_bool


def _may_be_bias(tensor):
    """Whether all axes of a tensor but the last have length 1, as far as is known."""
    shape = tensor.shape
    return shape.rank is None or all(n in (1, None) for n in shape[:-1])


def _attributes(op):
    return {k: v for k, v in op.node_def.attr.items() if k[0] != "_"}


class Copies:
    """Tensors that may be read, and copies of those that may not, each made once.

    Args:
        step: Has `first` and `may_be_read`, as `_Step`.
        door: Function of a tensor that may be read, returns the same values for copies
            to read.
    """

    def __init__(self, step, door):
        self._step = step
        self._door = door
        self._graph = tf.compat.v1.get_default_graph()
        self._made: dict = {}

    def of(self, tensor):
        """Returns a tensor of the same values that may be read."""
        tensor = self._step.first(tensor)
        left = [tensor]
        while left:
            one = left[-1]
            if one.name in self._made:
                left.pop()
            elif self._step.may_be_read(one):
                self._open(one)
            else:
                inputs = [self._step.first(t) for t in one.op.inputs]
                missing = [t for t in inputs if t.name not in self._made]
                left += missing
                if not missing:
                    self._copy(one.op, [self._made[t.name] for t in inputs])
        return self._made[tensor.name]

    def _copy(self, op, inputs):
        with tf.device(op.device or None):
            copy = _create_op(
                self._graph,
                op.type,
                inputs,
                [output.dtype for output in op.outputs],
                attrs=_attributes(op),
            )
        for old, new in zip(op.outputs, copy.outputs, strict=True):
            new.set_shape(old.shape)
            self._made[old.name] = new

    def _open(self, tensor):
        if tensor.op.type == "Const":
            # One more reader would keep it, and what waits for it, though all that the
            # step does with it is simplified away.
            self._copy(tensor.op, [])
        else:
            self._made[tensor.name] = self._door(tensor)


def _door(tensor):
    """Passes a tensor on by an op that the optimizer does not see through."""
    if not tensor.dtype.is_floating:
        return tensor
    with tf.device(tensor.op.device or None):
        door = _create_op(
            tensor.graph,
            "EnsureShape",
            [tensor],
            [tensor.dtype],
            attrs={
                "T": tf.compat.v1.AttrValue(type=tensor.dtype.as_datatype_enum),
                "shape": tf.compat.v1.AttrValue(shape=tensor.shape.as_proto()),
            },
        )
    return door.outputs[0]
