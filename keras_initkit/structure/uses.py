"""The role of a weight, read from what a graph does with it.

The operand of a matrix product, a convolution or an einsum is a kernel; what is
gathered from is a table; a factor is a scale, a summand an offset. The graph is one in
which the layer's `call` was traced: that of a train step, or of a forward pass. An
operation tells the role of a weight if it brings the weight, or what was made of
weights alone (a cast, a normalized kernel), together with something that depends on
data; the first in the graph's order counts. Where several weights meet ahead of data,
each is told by how they met; what that leaves open is `"other"`, until a clearer use.
"""

from collections.abc import Iterable, Mapping
from typing import Any, NamedTuple

from keras_initkit.structure import roles, tensorflow_private
from keras_initkit.structure.layers import all_layers
from keras_initkit.structure.needs import tensorflow as tf

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
_REDUCTIONS = ("Sum", "Mean", "Prod", "Max", "Min", "L2Loss", "EuclideanNorm")
_READS = ("ReadVariableOp", "ResourceGather", "ResourceGatherNd", "Identity")
# What these tell of a tensor does not depend on its values.
_STATIC = ("Shape", "ShapeN", "Size", "Rank", "ZerosLike", "OnesLike")
# Operations that draw numbers have one of these in their names.
_DRAWING = ("Random", "Normal", "Uniform")
# Operands of a fused batch normalization: what it normalizes, scale, offset, moments.
_NORMALIZED = ("other", "scale", "offset", "offset", "scale")
# The name scope in which TensorFlow differentiates.
_BACKWARD = "gradient_tape/"

# What a weight was to others that it met ahead of data.
_FACTOR = "a factor of a matrix product of trained weights"
_EARLY = "a factor of a matrix product with a constant"
_NOISE = "a factor of random numbers, entry by entry"
_BESIDE = "a factor of another weight of its size, entry by entry"
_LOST = "a part of what tells nothing of it: a norm, a product with what is not trained"
# The role that the operand of a product with data has then.
_IN_PRODUCT = {
    None: "kernel",
    _EARLY: "kernel",
    _NOISE: "kernel",
    "scale": "scale",
    "offset": "offset",
    "low_rank": "low_rank",
}
_Marks = dict[int, str | None]


class _Made(NamedTuple):
    """What a tensor is made of, if it is made of weights and constants alone.

    Attributes:
        weights: `{id of the weight: what it was to others}`, `None` for nothing yet.
        is_handle: Whether it is a weight's handle, not its value.
        is_random: Whether it was drawn.
    """

    weights: _Marks
    is_handle: bool = False
    is_random: bool = False


_CONSTANT = _Made({})
_DRAWN = _Made({}, is_random=True)


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
    told: dict[int, tuple[Any, dict[str, set[str]]]] = {}
    for layer, variable in asked:
        if id(variable) in found:
            _, names = told.setdefault(id(layer), (layer, {}))
            names.setdefault(variable.name, set()).add(found[id(variable)])
    for layer, names in told.values():
        # Weights of one name cannot be told apart.
        one = {n: min(r) if len(r) == 1 else "other" for n, r in names.items()}
        roles.note(layer, one)


def unknown_weights(model: Any) -> list[tuple[Any, Any]]:
    """Lists layer and variable of each weight whose role is not known yet."""
    return [
        (layer, variable)
        for layer in all_layers(model)
        for variable in roles.not_yet_known(layer)
    ]


def read(graph: Any, variables: Iterable[Any]) -> dict[int, str]:
    """Returns `{id(variable): role}` of the Keras variables that a graph uses."""
    reading = _Reading(variables)
    reading.enter(graph, {})
    return reading.result()


class _Reading:
    """One pass over a graph and the functions that it calls."""

    def __init__(self, variables: Iterable[Any]):
        self._found: dict[int, str] = {}
        # Those that a clearer use may still tell.
        self._open: set[int] = set()
        self._early: set[int] = set()
        self._shapes: dict[int, tuple[int, ...]] = {}
        self._trained: set[int] = set()
        self._handles: dict[int, int] = {}
        for variable in variables:
            self._shapes[id(variable)] = tuple(variable.shape)
            if variable.trainable:
                self._trained.add(id(variable))
            # Of a variable that is spread over replicas, each has a part.
            for part in getattr(variable.value, "values", None) or [variable.value]:
                self._handles[id(getattr(part, "handle", part))] = id(variable)

    def result(self) -> dict[int, str]:
        """Returns what was found; where all signals are drawn, no weight met data."""
        alone = self._early & set(self._shapes)
        return {**dict.fromkeys(alone, "kernel"), **self._found}

    def enter(self, graph: Any, given: Mapping[str, _Made | None]) -> list[Any]:
        """Reads a graph whose inputs are made of what is `given` by their names.

        Returns:
            What its outputs are made of, `None` for data.
        """
        made: dict[str, _Made | None] = dict(given)
        for outer, inner in getattr(graph, "captures", ()):
            if inner.name not in made and not tf.is_symbolic_tensor(outer):
                made[inner.name] = self._captured(outer)
        for op in graph.get_operations():
            if op.type in ("Placeholder", "_Arg"):
                continue
            inputs = [made.get(tensor.name) for tensor in op.inputs]
            outputs = self._visit(op, inputs)
            for tensor, output in zip(op.outputs, outputs, strict=True):
                made[tensor.name] = output
        return [made.get(tensor.name) for tensor in getattr(graph, "outputs", ())]

    def _captured(self, outer: Any) -> _Made:
        """Returns what a tensor from outside is: any variable's handle is a weight's.

        Those of known kinds, of seed generators and of the optimizer are no data.
        """
        if outer.dtype != tf.resource:
            return _CONSTANT
        weight = self._handles.get(id(outer), id(outer))
        return _Made({weight: None}, is_handle=True)

    def _visit(self, op: Any, inputs: list[_Made | None]) -> list[_Made | None]:
        """Returns what the outputs of an operation are made of, `None` for data."""
        if op.type in _STATIC:
            return [_CONSTANT] * len(op.outputs)
        if op.type == "IdentityN":
            return inputs
        called = tensorflow_private.graphs_called_by(op)
        if called:
            return self._call(op, called, inputs)
        return [self._made_by(op, inputs)] * len(op.outputs)

    def _made_by(self, op: Any, inputs: list[_Made | None]) -> _Made | None:
        known = [one for one in inputs if one is not None]
        if len(known) < len(inputs):
            if _BACKWARD not in op.name:
                self._meet_data(op, inputs)
            return None
        if op.type != "RandomShuffle" and any(word in op.type for word in _DRAWING):
            return _DRAWN
        handle = next((one for one in known if one.is_handle), None)
        if handle is not None and op.type in _READS:
            return handle._replace(is_handle=op.type == "Identity")
        if handle is not None or "PyFunc" in op.type:
            return None  # what comes out of an iterator, a look-up table, or Python
        operands = [
            _Operand(one, _long_axes(tensor))
            for one, tensor in zip(known, op.inputs, strict=True)
        ]
        if not any(one.weights for one in known):
            return _DRAWN if any(one.is_random for one in known) else _CONSTANT
        if len(operands) > 1 and op.type in _PRODUCTS:
            return _Made(self._multiplied(operands))
        if len(operands) > 1 and op.type in (*_FACTORS, *_SUMS):
            return _Made(_entrywise(op.type, operands))
        merged = _merged([one.weights for one in known])
        return _Made(_mark(merged, _LOST) if op.type in _REDUCTIONS else merged)

    def _call(
        self, op: Any, graphs: list[Any], inputs: list[_Made | None]
    ) -> list[_Made | None]:
        """Reads the graphs of the functions that an operation calls."""
        results = []
        for graph in graphs:
            if graph is None:
                return [None] * len(op.outputs)
            # The condition of an `If` is no argument of its branches.
            own = inputs[len(inputs) - len(graph.inputs) :]
            if op.type.endswith("While"):
                # A loop's own variables become data, whatever they start as.
                kept = [
                    _origin(end) is start
                    for start, end in zip(graph.inputs, graph.outputs, strict=True)
                ]
                own = [one if k else None for one, k in zip(own, kept, strict=True)]
            names_of = [tensor.name for tensor in graph.inputs]
            made = self.enter(graph, dict(zip(names_of, own, strict=True)))
            results.append(own if op.type.endswith("While") else made)
        if any(len(result) != len(op.outputs) for result in results):
            return [None] * len(op.outputs)
        return [_either(ways) for ways in zip(*results, strict=True)]

    def _multiplied(self, operands: list["_Operand"]) -> _Marks:
        """Returns what weights are to each other in a matrix product of them."""
        groups = [one.made.weights for one in operands if one.made.weights]
        merged = _merged(groups)
        early = [_EARLY in group.values() for group in groups]
        if len(groups) == 1 or (any(early) and not all(early)):
            # A drawn or constant signal, such as a recurrent layer's first state.
            whole = [g for g, is_early in zip(groups, early, strict=True) if is_early]
            signal = {weight for group in whole for weight in group}
            new = [w for w, mark in merged.items() if mark is None and w not in signal]
            self._early.update(new)
            return {**merged, **dict.fromkeys(new, _EARLY)}
        trained = all(self._trained.intersection(group) for group in groups)
        mark = _FACTOR if trained else _LOST
        # One that meets itself is told by its use with data.
        return {
            weight: was if sum(weight in group for group in groups) > 1 else mark
            for weight, was in merged.items()
        }

    def _meet_data(self, op: Any, inputs: list[_Made | None]) -> None:
        ranks = [
            tensor.shape.rank
            for tensor, one in zip(op.inputs, inputs, strict=True)
            if one is None
        ]
        rank = None if None in ranks else max(ranks)
        for place, one in enumerate(inputs):
            for weight, mark in ({} if one is None else one.weights).items():
                if weight not in self._shapes:
                    continue
                role = self._role(weight, mark, op, place, rank)
                if weight not in self._found:
                    self._found[weight] = role
                    if role == "other" and mark is not None:
                        self._open.add(weight)
                elif weight in self._open and role == "kernel":
                    self._open.remove(weight)
                    self._found[weight] = role

    def _role(
        self, weight: int, mark: str | None, op: Any, place: int, rank: int | None
    ) -> str:
        """Returns the role of a weight in an operation that it shares with data."""
        kind, tensor, shape = op.type, op.inputs[place], self._shapes[weight]
        if kind in _PRODUCTS:
            return _IN_PRODUCT.get(mark, "other")
        if mark == _EARLY:
            return "kernel"
        if mark in (_FACTOR, _LOST, "low_rank"):
            return "other"
        if kind in _LOOKUPS:
            plain = place == 0 and mark is None and len(shape) < 3
            return "table" if plain else "other"
        if kind.startswith("FusedBatchNorm"):
            return _NORMALIZED[place]
        if kind not in (*_FACTORS, *_SUMS):
            return "other"
        axes = _long_axes(tensor, rank)
        if axes < 2:
            role = "scale" if kind in _FACTORS else "offset"
            fits = mark in (None, role) or (role == "scale" and mark != "offset")
            return role if fits else "other"
        of_places = (
            kind in ("Add", "AddV2")
            and mark is None
            and rank is not None
            and axes == rank - 1
            and sum(n > 1 for n in shape) > 1
        )
        return "position" if of_places else "other"


class _Operand(NamedTuple):
    """One of several tensors that an operation brings together ahead of data."""

    made: _Made
    axes: int


def _entrywise(kind: str, operands: list[_Operand]) -> _Marks:
    """Returns what weights are to each other where entries are multiplied or added."""
    most = max(one.axes for one in operands)
    largest = [one.made for one in operands if one.axes == most]
    weighted = [made for made in largest if made.weights]
    drawn = any(one.made.is_random for one in operands)
    groups = []
    for made, axes in operands:
        others = [other.made for other in operands if other.made is not made]
        weights, mark = made.weights, None
        if axes < min(most, 2):
            mark = "offset" if kind in _SUMS else "scale"
        elif axes < most and weighted:
            mark = _BESIDE
        elif kind in _FACTORS:
            mark = _BESIDE if len(weighted) > 1 else _NOISE if drawn else None
        elif axes == most > 1:
            weights = _added(weights, [one for one in largest if one is not made])
        # One that meets itself is told by its use with data.
        again = {weight for other in others for weight in other.weights}
        groups.append(_mark(weights, mark, but=again))
    return _merged(groups)


def _added(weights: _Marks, others: list[_Made]) -> _Marks:
    """Returns what weights are whose product is added to a kernel, if it is one."""
    kernels = [
        one
        for one in others
        if None in one.weights.values() or not (one.weights or one.is_random)
    ]
    if all(one.weights.keys() & weights.keys() for one in kernels):
        return weights
    now = {_FACTOR: "low_rank", _EARLY: _LOST}
    return {w: mark and now.get(mark, mark) for w, mark in weights.items()}


def _mark(weights: _Marks, mark: str | None, but: Iterable[int] = ()) -> _Marks:
    """Marks those weights that have no mark yet."""
    return {w: was or (None if w in but else mark) for w, was in weights.items()}


def _merged(groups: Iterable[_Marks]) -> _Marks:
    """Puts weights together; one that is unmarked in any of the groups stays so."""
    merged: _Marks = {}
    for group in groups:
        for weight, mark in group.items():
            was = merged.setdefault(weight, mark)
            if was != mark:
                merged[weight] = None if None in (was, mark) else _LOST
    return merged


def _either(ways: tuple[_Made | None, ...]) -> _Made | None:
    """Returns what a tensor is made of that one of several functions gives."""
    known = [one for one in ways if one is not None]
    if len(known) < len(ways):
        return None
    return known[0]._replace(weights=_merged([one.weights for one in known]))


def _origin(tensor: Any) -> Any:
    """Returns the tensor that another is a copy of."""
    while tensor.op.type == "Identity":
        tensor = tensor.op.inputs[0]
    return tensor


def _long_axes(tensor: Any, rank: int | None = None) -> int:
    """Counts axes longer than 1; without that of the batch, beside data of a rank."""
    if tensor.shape.rank is None:
        return 2
    sizes = list(tensor.shape)
    if sizes and sizes[0] is None and len(sizes) == rank:
        del sizes[0]
    return sum(size != 1 for size in sizes)
