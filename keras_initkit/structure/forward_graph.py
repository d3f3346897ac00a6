"""What stands behind each weight layer: a model's forward pass, traced once.

The pass is traced into a TensorFlow graph, so that subclassed models, nested layers and
bare operations (`x + y`, `keras.ops.relu`) are seen like any Functional model.
"""

import collections
import contextlib
import dataclasses
import functools
from typing import Any

import keras
import numpy as np

from keras_initkit.structure import keras_private, uses
from keras_initkit.structure.in_place import forward, unchanged
from keras_initkit.structure.layers import named_layers
from keras_initkit.structure.needs import tensorflow as tf
from keras_initkit.structure.roles import is_normalization
from keras_initkit.structure.shadowing import shadowed

k = keras.layers
_ACTIVATION_LAYERS = (k.Activation, k.ReLU, k.LeakyReLU, k.ELU, k.PReLU, k.Softmax)
_ACTIVATION_OPS = {
    "Relu": "relu",
    "Relu6": "relu6",
    "Elu": "elu",
    "Selu": "selu",
    "Tanh": "tanh",
    "Sigmoid": "sigmoid",
    "Softplus": "softplus",
    "Softsign": "softsign",
    "LeakyRelu": "leaky_relu",
    "Erf": "gelu",
    "Softmax": "softmax",
}
# Operations behind which a tensor still holds what a layer put out, moved or summed.
_CARRYING = {"Identity", "Reshape", "Transpose", "Cast", "Squeeze", "ExpandDims", "Pad"}
_CARRYING |= {"StridedSlice", "ConcatV2", "MaxPool", "AvgPool", "Mean", "Max"}
_SUMS = {"Add", "AddV2", "AddN"}
# For the activation they make with their own input.
_CARRYING |= {"Mul", "RealDiv", *_SUMS}


@dataclasses.dataclass(frozen=True)
class Place:
    """Where a weight layer stands in the forward pass.

    Attributes:
        order: Place in the order of calls.
        activation: The activation that follows (its own or a later layer's) as Keras
            function, layer or name; `None` if there is none before the next weights.
        normalized: Whether a normalization layer follows ahead of any sum.
        branch: Whether it lies on a residual branch.
        ends_branch: Whether it is the last weight layer of one.
        head: Whether no weight layer follows.
        steps: Time steps of its inputs, `None` if that is not known.
        calls: How often it is called.
        after: Id of the one weight layer whose output it gets, in as many positions and
            merged with no other; `None` if there is no such.
    """

    order: float
    activation: Any = None
    normalized: bool = False
    branch: bool = False
    ends_branch: bool = False
    head: bool = False
    steps: int | None = None
    calls: int = 1
    after: int | None = None


@dataclasses.dataclass(frozen=True)
class ForwardGraph:
    """The places of a model's layers.

    Attributes:
        places: `{id(layer): Place}` of the weight layers that the pass calls.
        branches: Number of residual branches.
        reason: Why the pass could not be traced, `""` if it was.
    """

    places: dict[int, Place]
    branches: int = 0
    reason: str = ""


def trace(model, owners, x=None):
    """Traces a built model's forward pass in inference mode; nothing is computed.

    Args:
        model: A built Keras model.
        owners: Ids of the weight layers to find.
        x: Inputs, whose shapes and dtypes count. By default those with which the model
            was built.

    Returns:
        `ForwardGraph`. Where the pass cannot be traced, it has no places.
    """
    recorder = _Recorder(owners)

    def began(graph, inputs):
        recorder.graph = graph
        recorder.inputs = [tensor.op.name for tensor in inputs]

    try:
        with recorder.listening(model):
            _trace(model, x, began)
    except Exception as error:  # whatever the user's own `call` raises
        text = str(error).strip().partition("\n")[0]
        return ForwardGraph({}, 0, f"{type(error).__name__}: {text}")
    return recorder.result()


def learn_roles(model, x=None):
    """Finds out what weights of unknown kinds do, by a trace; nothing is computed.

    Args:
        model: A built Keras model. Where its forward pass cannot be traced, the roles
            stay unknown.
        x: Inputs, as for `trace`.
    """
    if not uses.unknown_weights(model):
        return
    # Whatever the user's own `call` raises.
    with contextlib.suppress(Exception):
        uses.learn(model, _trace(model, x))


def _trace(model, x, began=lambda graph, inputs: None):
    """Returns the graph of a forward pass; tells of it and its inputs at the start."""
    specs = _specs(model, x)

    def run(*inputs):
        began(tf.compat.v1.get_default_graph(), keras.tree.flatten(inputs))
        forward(model, keras.tree.pack_sequence_as(specs, inputs))

    flat = keras.tree.flatten(specs)
    # A `call` may count its calls, or keep what it saw.
    with unchanged(model), keras_private.name_scopes_kept():
        function = tf.function(run, autograph=False)
        return function.get_concrete_function(*flat).graph


def _specs(model, x):
    if x is not None:
        return keras.tree.map_structure(
            lambda value: tf.TensorSpec(np.shape(value), _dtype(value)), x
        )
    graph = keras_private.functional_graph(model)
    if graph is not None:
        return keras.tree.map_structure(
            lambda t: tf.TensorSpec(t.shape, t.dtype, t.name), graph.input
        )
    shape = (model.get_build_config() or {}).get("input_shape")
    if not isinstance(shape, tuple):
        raise ValueError("the shapes of its inputs are unknown; pass `x`")
    table = any(isinstance(layer, k.Embedding) for _, layer in named_layers(model))
    return tf.TensorSpec((None, *shape[1:]), "int32" if table else "float32")


def _dtype(value):
    dtype = keras.backend.standardize_dtype(getattr(value, "dtype", "float32"))
    return "float32" if dtype == "float64" else dtype


@dataclasses.dataclass(eq=False)
class _Call:
    """One call of one layer."""

    layer: Any
    role: str
    inputs: list
    outputs: list


class _Recorder:
    """Notes which layer made which operations of a graph."""

    def __init__(self, owners):
        self.owners = owners
        self.graph: Any = None
        self.inputs: list = []
        self.calls: list = []
        self._maker: dict = {}
        self._inside = False

    def listening(self, model):
        """Shadows the calls of a model's layers, for the duration of a `with`."""
        stack = contextlib.ExitStack()
        for _, layer in named_layers(model):
            if isinstance(layer, k.RNN) or not keras_private.sublayers(layer):
                call = functools.wraps(layer.call)(
                    functools.partial(self._record, layer, layer.call)
                )
                stack.enter_context(shadowed(layer, "call", call))
        return stack

    def _record(self, layer, original, *args, **kwargs):
        here = None if tf.executing_eagerly() else tf.compat.v1.get_default_graph()
        if self._inside or here is not self.graph:
            return original(*args, **kwargs)
        first = len(here.get_operations())
        self._inside = True
        try:
            outputs = original(*args, **kwargs)
        finally:
            self._inside = False
        tensors = [t for t in keras.tree.flatten((args, kwargs)) if tf.is_tensor(t)]
        call = _Call(layer, self._role(layer), tensors, keras.tree.flatten(outputs))
        for op in here.get_operations()[first:]:
            self._maker[op.name] = call
        self.calls.append(call)
        return outputs

    def _role(self, layer):
        if id(layer) in self.owners:
            return "weights"
        if isinstance(layer, _ACTIVATION_LAYERS):
            return "activation"
        if isinstance(layer, k.Add | k.Average):
            return "sum"
        return "normalization" if is_normalization(layer) else "other"

    def result(self):
        """Reads the finished graph."""
        branches = self._branches()
        ends = {max(branch, key=self.calls.index) for branch in branches}
        inside = {call for branch in branches for call in branch}
        places: dict[int, Place] = {}
        for order, call in enumerate(self.calls):
            if call.role != "weights":
                continue
            known = places.get(id(call.layer))
            if known is not None:
                more = dataclasses.replace(known, calls=known.calls + 1)
                places[id(call.layer)] = more
                continue
            activation, normalized, head = self._ahead(call)
            shape: Any = call.inputs[0].shape if call.inputs else ()
            places[id(call.layer)] = Place(
                order=order,
                activation=own_activation(call.layer) or activation,
                normalized=normalized,
                branch=call in inside,
                ends_branch=call in ends,
                head=head,
                steps=shape[1] if len(shape) > 2 else None,
                after=self._after(call),
            )
        return ForwardGraph(places, len(branches))

    def _ahead(self, call):
        """Returns the activation and whether a normalization and no weights follow."""
        activation, normalized, head = None, False, True
        queue = collections.deque((tensor, True, False) for tensor in call.outputs)
        seen = {tensor.name for tensor in call.outputs}
        while queue:
            tensor, carries, summed = queue.popleft()
            for op in tensor.consumers():
                reader: Any = self._maker.get(op.name)
                if reader is call:
                    continue
                kind = "op" if reader is None else reader.role
                still, after = carries, summed
                if kind == "weights":
                    head = False
                    continue
                if kind == "op":
                    if op.type in _ACTIVATION_OPS:
                        found = _named(op) if carries else None
                        activation = activation or found
                        still = False
                    still = still and op.type in _CARRYING
                    after = after or (op.type in _SUMS and self._merges(op))
                elif kind == "activation":
                    activation = activation or (reader.layer if carries else None)
                    still = False
                elif kind == "normalization":
                    normalized = normalized or (carries and not summed)
                elif kind == "sum":
                    after = True
                for output in op.outputs if reader is None else reader.outputs:
                    if output.name not in seen:
                        seen.add(output.name)
                        queue.append((output, still, after))
        return activation, normalized, head

    def _after(self, call):
        """Returns the id of the weight layer that a call is right behind, or `None`."""
        queue = [t.op for t in call.inputs if t.op.name in self._data]
        seen = {op.name for op in queue}
        found = set()
        while queue:
            op = queue.pop()
            maker = self._maker.get(op.name)
            if maker is not None and maker.role == "weights":
                found.add(id(maker.layer))
                continue
            sources = [t.op for t in op.inputs if t.op.name in self._data]
            if not sources or op.type in ("Mean", "Max", "Sum"):
                return None
            queue += [one for one in sources if one.name not in seen]
            seen.update(one.name for one in sources)
        return found.pop() if len(found) == 1 else None

    @functools.cached_property
    def _data(self):
        """Names of the operations whose values depend on the inputs."""
        found, queue = set(self.inputs), list(self.inputs)
        while queue:
            op = self.graph.get_operation_by_name(queue.pop())
            for tensor in op.outputs:
                for reader in tensor.consumers():
                    if reader.name not in found and reader.type != "Shape":
                        found.add(reader.name)
                        queue.append(reader.name)
        return found

    def _merges(self, op):
        return sum(tensor.op.name in self._data for tensor in op.inputs) > 1

    def _branches(self):
        """Lists the weight calls of each residual branch.

        A branch is the way into a sum that has more weight layers of its own than
        the others, all of them coming from a common tensor.
        """
        found = []
        for op in self.graph.get_operations():
            maker = self._maker.get(op.name)
            if op.type not in _SUMS or not self._merges(op):
                continue
            if maker is not None and maker.role != "sum":
                continue
            ways = [self._behind(t) for t in op.inputs if t.op.name in self._data]
            common = set.intersection(*ways)
            if not common:
                continue
            own = [self._weights_in(way - common) for way in ways]
            first, second = sorted(map(len, own), reverse=True)[:2]
            if first > second:
                found.append(max(own, key=len))
        return found

    def _behind(self, tensor):
        """Names of the data operations that a tensor is computed from."""
        found, queue = {tensor.op.name}, [tensor.op]
        while queue:
            for source in queue.pop().inputs:
                name = source.op.name
                if name in self._data and name not in found:
                    found.add(name)
                    queue.append(source.op)
        return found

    def _weights_in(self, names):
        calls = {self._maker[name] for name in names if name in self._maker}
        return [call for call in calls if call.role == "weights"]


def own_activation(layer):
    """Returns a layer's own activation function, `None` for linear or none."""
    activation = getattr(layer, "activation", None)
    return None if activation is keras.activations.linear else activation


def _named(op):
    """Names the activation of an operation: a sigmoid times its input is a SiLU."""
    if op.type == "Sigmoid":
        source = _origins(op.inputs[0])
        for reader in op.outputs[0].consumers():
            others = [t for t in reader.inputs if t is not op.outputs[0]]
            if reader.type == "Mul" and any(source & _origins(t) for t in others):
                return "silu"
    return _ACTIVATION_OPS[op.type]


def _origins(tensor):
    """Names a tensor and those it is only a copy or a multiple of."""
    found, queue = set(), [tensor]
    while queue:
        tensor = queue.pop()
        found.add(tensor.name)
        if tensor.op.type in ("Identity", "IdentityN", "Mul", "Cast"):
            queue += [t for t in tensor.op.inputs if t.op.type != "Const"]
    return found
