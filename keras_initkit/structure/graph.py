"""A model's graph, flat through nested models: what follows what."""

import dataclasses
from collections.abc import Iterator
from typing import Any, NamedTuple

from keras_initkit.structure import roles
from keras_initkit.structure.keras_private import (
    functional_graph,
    is_activation_operation,
    layers_below,
    nodes_in_order,
)
from keras_initkit.structure.layers import (
    activates_by_keras,
    activation_name,
    named_layers,
    parts_of,
)
from keras_initkit_light.format.schema import CARRIERS

# Layers behind which a linear function is still linear in the layer's input.
_LINEAR = (
    "Activation",  # if its function is linear
    "AlphaDropout",
    "AveragePooling",
    "Cropping",
    "Dropout",
    "Flatten",
    "GaussianDropout",
    "GaussianNoise",
    "GlobalAveragePooling",
    "Identity",
    "Permute",
    "RepeatVector",
    "Reshape",
    "SpatialDropout",
    "UpSampling",
    "ZeroPadding",
)
# Layers and operations that hand on all entries, moved, repeated or some at 0, but no
# part of them alone: columns of a table differ.
_MOVING = (
    "Dropout",
    "ExpandDims",
    "Flatten",
    "Identity",
    "Permute",
    "RepeatVector",
    "Reshape",
    "SpatialDropout",
    "Squeeze",
    "Transpose",
)
_POOLING = ("MaxPooling", "GlobalMaxPooling")
_ACTIVATIONS = ("Activation", "ReLU", "LeakyReLU", "ELU", "PReLU", "Softmax")


@dataclasses.dataclass(frozen=True)
class Call:
    """One call of a layer or operation.

    Attributes:
        layer: The layer.
        path: Its name, as in `structure.layers.named_layers`.
        inputs: Numbers of the tensors it takes.
        outputs: Numbers of the tensors it gives.
        shape: Shape of the first of these, without the batch axis.
    """

    layer: Any
    path: str
    inputs: tuple[int, ...]
    outputs: tuple[int, ...]
    shape: tuple[int | None, ...]

    @property
    def activation(self) -> str | None:
        """Name of the nonlinear function that it applies last, `None` for none."""
        name = activation_name(self.layer)
        # A function of `keras.ops` or `keras.activations` in a Functional model.
        is_operation = is_activation_operation(self.layer)
        if name is None and (is_operation or _is(self.layer, _ACTIVATIONS)):
            name = type(self.layer).__name__.lower()
        return None if name == "linear" else name

    @property
    def is_linear(self) -> bool:
        """Whether it hands its input on by a linear function without weights."""
        return _is(self.layer, _LINEAR) and self.activation is None

    @property
    def is_affine(self) -> bool:
        """Whether it is linear in its inputs up to a constant, weights or not."""
        sums = ("InputLayer", "Add", "Concatenate", "Average", "Subtract")
        known = self.is_kernel_layer or self.normalizes or _is(self.layer, sums)
        gated = roles.gates_of(self.layer) > 1
        return self.is_linear or (known and not gated and self.activation is None)

    @property
    def normalizes(self) -> bool:
        """Whether it is a normalization."""
        return roles.is_normalization(self.layer)

    @property
    def pools(self) -> bool:
        """Whether it takes maxima."""
        return _is(self.layer, _POOLING)

    @property
    def activates(self) -> bool:
        """Whether it applies an activation and nothing else."""
        return self.activation is not None and not self.is_kernel_layer

    @property
    def is_kernel_layer(self) -> bool:
        """Whether it, or its cell, multiplies by a kernel of its own."""
        return roles.holds(self.layer, "kernel")


class Graph:
    """The calls of a model, in order, nested models opened.

    Attributes:
        calls: List of `Call`.
        inputs: Numbers of the model's input tensors.
        outputs: Numbers of the model's output tensors.
    """

    def __init__(self, model: Any):
        self._paths = {id(layer): path for path, layer in named_layers(model)}
        self._count = 0
        self.calls: list[Call] = []
        self.inputs = self._new(functional_graph(model).inputs)
        self.outputs = self._open(model, self.inputs)
        self._consumers: dict[int, list[Call]] = {}
        self._makers: dict[int, Call] = {}
        for call in self.calls:
            for number in call.inputs:
                self._consumers.setdefault(number, []).append(call)
            self._makers.update(dict.fromkeys(call.outputs, call))

    @classmethod
    def of(cls, model: Any) -> "Graph | None":
        """Returns the graph of a model, `None` where it has none (subclassed)."""
        return cls(model) if functional_graph(model) is not None else None

    def consumers(self, call: Call) -> list[Call]:
        """Returns the calls that take what a call gives."""
        return [one for n in call.outputs for one in self._consumers.get(n, ())]

    def maker(self, number: int) -> Call | None:
        """Returns the call that made a tensor, `None` for an input of the model."""
        return self._makers.get(number)

    def is_output(self, call: Call) -> bool:
        """Whether a call gives an output of the model."""
        return not set(self.outputs).isdisjoint(call.outputs)

    def ways(self, call: Call) -> Iterator[tuple[list[Call], Call | None]]:
        """Yields the ways from a call on to the next weights, sum or output.

        Returns:
            Pairs of the calls in between (activations, normalizations, pooling,
            reshaping) and the call that ends the way, `None` for the model's output.
        """
        if self.is_output(call):
            yield [], None
        for following in self.consumers(call):
            between = (
                following.is_linear
                or following.normalizes
                or following.pools
                or following.activates
            )
            if between:
                for rest, end in self.ways(following):
                    yield [following, *rest], end
            else:
                yield [], following

    def last_activation(self, number: int) -> tuple[Call | None, str | None]:
        """Returns the call that shapes an output tensor, and its activation's name.

        Layers that only hand on (reshaping, dropout) are passed over.
        """
        call = self.maker(number)
        while call is not None and call.is_linear and len(call.inputs) == 1:
            call = self.maker(call.inputs[0])
        return call, None if call is None else call.activation

    def _new(self, tensors: Any) -> list[int]:
        first, self._count = self._count, self._count + len(tensors)
        return list(range(first, self._count))

    def _open(self, model: Any, inputs: list[int]) -> list[int]:
        """Adds the calls of a model; returns the numbers of its outputs."""
        graph = functional_graph(model)
        known = {id(t): n for t, n in zip(graph.inputs, inputs, strict=True)}
        for node in nodes_in_order(graph):
            tensors = list(node.input_tensors)
            if not tensors or any(id(t) not in known for t in tensors):
                continue
            numbers = [known[id(t)] for t in tensors]
            if functional_graph(node.operation) is not None:
                outputs = self._open(node.operation, numbers)
            else:
                outputs = self._new(node.output_tensors)
                self._add(node, numbers, outputs)
            pairs = zip(node.output_tensors, outputs, strict=True)
            known.update({id(t): n for t, n in pairs})
        return [known[id(t)] for t in graph.outputs if id(t) in known]

    def _add(self, node: Any, inputs: list[int], outputs: list[int]) -> None:
        layer = node.operation
        path = self._paths.get(id(layer), layer.name)
        shape = tuple(node.output_tensors[0].shape[1:])
        self.calls.append(Call(layer, path, tuple(inputs), tuple(outputs), shape))


def _is(layer: Any, names: tuple[str, ...]) -> bool:
    return type(layer).__name__.startswith(names)


class Place(NamedTuple):
    """Where a layer with a kernel or table stands.

    Attributes:
        net: Number of the graph that it is in; a subclassed model may hold several.
        depth: Layers with kernels or tables ahead of it, on the longest way from the
            inputs. All parts of a layer of layers are at the depth of that.
        hands_on: Whether its output goes to further weights on all ways, and neither
            into a sum or product nor through a normalization on any, nor through a
            function of the user's own, which may be of any scale.
        branch: Whether it lies on a residual branch: a sum adds what it makes to what
            goes past it.
        leads: Whether what it makes is known to lead to an output of the whole model.
        fed: Whether it is known to take what the whole model is given, entry by entry.
    """

    net: int
    depth: int
    hands_on: bool
    branch: bool
    leads: bool = False
    fed: bool = False


def places_of(model: Any) -> dict[int, Place]:
    """Returns `{id(layer): Place}` of the layers that graphs tell the place of.

    Args:
        model: A Keras model, or `layers.Together`. Of what a subclassed model does
            between the Functional ones that it holds, nothing is known.
    """
    found: dict[int, Place] = {}
    for net, one in enumerate(_nets(model)):
        graph = Graph(one)
        depths: dict[int, int] = {}
        on_branches = _on_branches(graph)
        leading = _leading(graph) if one is model else set()
        given = set(graph.inputs) if one is model else set()
        for number, call in enumerate(graph.calls):
            depth = max((depths.get(n, 0) for n in call.inputs), default=0)
            as_given = given.issuperset(call.inputs)
            holders = [
                layer
                for layer in _parts(call.layer)
                if roles.names_of(layer, *CARRIERS)
            ]
            for layer in holders:
                alone = layer is call.layer and _hands_on(graph, call)
                on_branch, leads = number in on_branches, number in leading
                fed = as_given and layer is call.layer
                place = Place(net, depth, alone, on_branch, leads, fed)
                found.setdefault(id(layer), place)
            if as_given and _is(call.layer, _MOVING):
                given.update(call.outputs)
            deeper = depth + 1 if holders else depth
            depths.update(dict.fromkeys(call.outputs, deeper))
    return found


def _on_branches(graph: Graph) -> set[int]:
    """Returns which calls lie on a way into a sum that another way goes past.

    All ways into a sum come from calls of their own and from common ones; where one has
    no layers of weights of its own, those of the others are its branches.
    """
    behind: dict[int, frozenset[int]] = {}
    carriers = {
        number
        for number, call in enumerate(graph.calls)
        if any(roles.names_of(layer, *CARRIERS) for layer in _parts(call.layer))
    }
    found: set[int] = set()
    for number, call in enumerate(graph.calls):
        ways = [behind.get(n, frozenset()) for n in call.inputs]
        everything = frozenset().union(*ways)
        if len(ways) > 1 and type(call.layer).__name__ in _SUMS:
            common = frozenset.intersection(*ways)
            own = [(way - common) & carriers for way in ways]
            if common and not all(own):
                found.update(*own)
        behind.update(dict.fromkeys(call.outputs, everything | {number}))
    return found


def _leading(graph: Graph) -> set[int]:
    """Returns which calls lead to an output of the model."""
    reached, found = set(graph.outputs), set()
    for number, call in reversed([*enumerate(graph.calls)]):
        if not reached.isdisjoint(call.outputs):
            found.add(number)
            reached.update(call.inputs)
    return found


_SUMS = ("Add", "Average", "Subtract")


def _parts(layer: Any) -> list[Any]:
    is_layer = hasattr(layer, "trainable_variables")
    return layers_below(layer, include_self=True) if is_layer else []


def _nets(model: Any) -> Iterator[Any]:
    """Yields the outermost models below one that have a graph."""
    inside: set[int] = set()
    for _, part in parts_of(model):
        for one in layers_below(part, include_self=True):
            if id(one) not in inside and functional_graph(one) is not None:
                inside.update(map(id, layers_below(one, include_self=True)))
                yield one


def _hands_on(graph: Graph, call: Call) -> bool:
    ways = list(graph.ways(call))
    return bool(ways) and all(
        end is not None
        and end.is_kernel_layer
        and not any(one.normalizes for one in way)
        and all(activates_by_keras(one.layer) for one in (call, *way))
        for way, end in ways
    )
