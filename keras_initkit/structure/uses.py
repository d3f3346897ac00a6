"""The role of a weight, read from what a graph does with it.

The operand of a matrix product, a convolution or an einsum is a kernel; what is
gathered from is a table; a factor is a scale, a summand an offset. The graph is one in
which the layer's `call` was traced: that of a train step, or of a forward pass. An
operation tells the role of a weight if it brings the weight, or what was made of
weights alone (a cast, a normalized kernel), together with something that depends on
data; the first in the graph's order counts.
"""

from collections.abc import Iterable, Mapping
from typing import Any, NamedTuple

from keras_initkit.structure import keras_private, roles
from keras_initkit.structure.layers import named_layers, parts_of

_PRODUCTS = (
    "MatMul",
    "BatchMatMul",
    "BatchMatMulV2",
    "BatchMatMulV3",
    "Einsum",
    "XlaEinsum",
    "Conv",
    "Conv2D",
    "Conv3D",
    "DepthwiseConv2dNative",
    "Conv2DBackpropInput",
    "Conv3DBackpropInputV2",
    "DepthwiseConv2dNativeBackpropInput",
)
_FACTORS = ("Mul", "RealDiv", "Div", "DivNoNan", "Xdivy", "MulNoNan")
_SUMS = ("Add", "AddV2", "AddN", "Sub", "BiasAdd", "SquaredDifference")
_LOOKUPS = ("GatherV2", "Gather", "GatherNd", "ResourceGather", "ResourceGatherNd")
# What these tell of a tensor does not depend on its values.
_STATIC = ("Shape", "ShapeN", "Size", "Rank", "ZerosLike", "OnesLike")
# Attributes in which an operation names the functions it calls.
_CALLED = ("body", "f", "then_branch", "else_branch")
# Operands of a fused batch normalization: what it normalizes, scale, offset, moments.
_NORMALIZED = ("offset", "scale", "offset", "offset", "scale")


class _Made(NamedTuple):
    """What a tensor is made of, if it is made of weights and constants alone.

    Attributes:
        weights: Ids of the weights.
        is_handle: Whether it is a weight's handle, not its value.
    """

    weights: frozenset[int]
    is_handle: bool = False


_CONSTANT = _Made(frozenset())


def learn(model: Any, graph: Any) -> None:
    """Notes the roles of those weights that no table tells, from a graph that has them.

    Args:
        model: A built Keras model, or `layers.Together`.
        graph: `tf.Graph` of a function that called the model.
    """
    asked = unknown_weights(model)
    if not asked:
        return
    found = read(graph, [variable for _, variable in asked])
    for layer, variable in asked:
        if id(variable) in found:
            roles.note(layer, {variable.name: found[id(variable)]})


def unknown_weights(model: Any) -> list[tuple[Any, Any]]:
    """Lists layer and variable of each weight whose role is not known yet."""
    layers = [layer for _, layer in named_layers(model)]
    layers += [one for _, one in parts_of(model)]
    return [
        (layer, variable) for layer in layers for variable in roles.not_yet_known(layer)
    ]


def read(graph: Any, variables: Iterable[Any]) -> dict[int, str]:
    """Returns `{id(variable): role}` of the Keras variables that a graph uses."""
    reading = _Reading(variables)
    reading.enter(graph, {})
    return reading.found


class _Reading:
    """One pass over a graph and the functions that it calls."""

    def __init__(self, variables: Iterable[Any]):
        self.found: dict[int, str] = {}
        self._shapes: dict[int, tuple[int, ...]] = {}
        self._trained: set[int] = set()
        self._handles: dict[int, int] = {}
        # What a product of weights alone, or a scale on weights alone, made of one.
        self._within: dict[int, str] = {}
        for variable in variables:
            self._shapes[id(variable)] = tuple(variable.shape)
            if variable.trainable:
                self._trained.add(id(variable))
            # Of a variable that is spread over replicas, each has a part.
            for part in getattr(variable.value, "values", None) or [variable.value]:
                self._handles[id(getattr(part, "handle", part))] = id(variable)

    def enter(self, graph: Any, given: Mapping[str, _Made | None]) -> None:
        """Reads a graph whose inputs are made of what is `given` by their names."""
        made: dict[str, _Made | None] = dict(given)
        for outer, inner in getattr(graph, "captures", ()):
            weight = self._handles.get(id(outer))
            if weight is not None:
                made[inner.name] = _Made(frozenset([weight]), is_handle=True)
        for op in graph.get_operations():
            if op.type in ("Placeholder", "_Arg"):
                continue
            inputs = [made.get(tensor.name) for tensor in op.inputs]
            output = self._visit(op, inputs)
            for tensor in op.outputs:
                made[tensor.name] = output

    def _visit(self, op: Any, inputs: list[_Made | None]) -> _Made | None:
        """Returns what the outputs of an operation are made of, `None` for data."""
        if op.type in _STATIC:
            return _CONSTANT
        called = [name for name in _CALLED if name in op.node_def.attr]
        if called:
            for name in called:
                self._call(op, op.get_attr(name).name, inputs)
            return None
        if any(one is None for one in inputs):
            for place, one in enumerate(inputs):
                if one is not None:
                    for weight in one.weights:
                        self._decide(weight, op, place)
            return None
        known = [one for one in inputs if one is not None]
        if op.type in ("ReadVariableOp", "ResourceGather"):
            return _Made(known[0].weights)
        groups = [one.weights for one in known if one.weights]
        if len(groups) > 1:
            self._combine(op.type, groups)
        elif op.type in _PRODUCTS and groups:
            # With a constant, such as the first state of a recurrent layer.
            for weight in groups[0]:
                self._decide(weight, op, 0)
        return _Made(frozenset().union(*groups))

    def _call(self, op: Any, name: str, inputs: list[_Made | None]) -> None:
        graph = keras_private.graph_called_by(op, name)
        if graph is None:
            return
        # The condition of an `If` is no argument of its branches.
        own = inputs[len(inputs) - len(graph.inputs) :]
        # A loop's own variables start as constants and become data.
        loops = op.type.endswith("While")
        given = {
            tensor.name: None if loops and one is not None and not one.weights else one
            for tensor, one in zip(graph.inputs, own, strict=True)
        }
        self.enter(graph, given)

    def _combine(self, kind: str, groups: list[frozenset[int]]) -> None:
        """Notes what weights are to each other that are put together ahead of data."""
        if kind in _PRODUCTS:
            role = "low_rank"
            weights = {w for group in groups for w in group}
            if all(group & self._trained for group in groups):
                self._within.update(dict.fromkeys(weights, role))
            return
        if kind in _FACTORS or kind in _SUMS:
            role = "scale" if kind in _FACTORS else "offset"
            for weight in frozenset().union(*groups):
                if len(self._shapes.get(weight, ())) < 2:
                    self._within.setdefault(weight, role)

    def _decide(self, weight: int, op: Any, place: int) -> None:
        if weight in self.found or weight not in self._shapes:
            return
        self.found[weight] = self._role(weight, op.type, place)

    def _role(self, weight: int, kind: str, place: int) -> str:
        if kind in _LOOKUPS:
            return "table" if place == 0 else "other"
        if kind in _PRODUCTS:
            return self._within.get(weight, "kernel")
        if kind in _FACTORS:
            return "scale"
        if kind in _SUMS:
            shape = self._shapes[weight]
            return "position" if sum(n > 1 for n in shape) > 1 else "offset"
        if kind.startswith("FusedBatchNorm"):
            return _NORMALIZED[place]
        return "other"
