"""Fixup: residual networks that train without normalization."""

import dataclasses
import os
from typing import Any

import keras

from keras_initkit import initializers
from keras_initkit.arguments import check_bool, check_seed
from keras_initkit.report import result_plots
from keras_initkit.structure import keras_private
from keras_initkit.structure.in_place import Skipped, editing
from keras_initkit.structure.layers import lasting_names, named_layers
from keras_initkit.structure.needs import check_model
from keras_initkit.structure.roles import is_normalization
from keras_initkit.structure.scalable import find_targets


@dataclasses.dataclass(frozen=True)
class FixupResult:
    """What `fixup` did to a model.

    Attributes:
        branches: Names of the weight layers of each residual branch, in forward order.
        scaled: `{layer: factor}` for the layers redrawn by He's rule and scaled.
        zeroed: Layers whose kernels are now zero: ends of branches, the head.
        skipped: Branches and layers that were left unchanged, and why.
    """

    branches: tuple[tuple[str, ...], ...]
    scaled: dict[str, float]
    zeroed: tuple[str, ...]
    skipped: tuple[Skipped, ...]

    def plot(self, path: str | os.PathLike[str] | None = None) -> Any:
        """Plots the factor on each layer's draw, 0 where it starts from zeros.

        Args:
            path: File to save the figure to as well (PNG, or what the suffix says).

        Returns:
            The `matplotlib` figure.

        Raises:
            ImportError: If matplotlib is not installed.
        """
        return result_plots.fixup(self._factors(), path)

    def _factors(self) -> dict[str, float]:
        """Returns the factor of each layer, the end of a branch behind its last."""
        last = {branch[-2]: branch[-1] for branch in self.branches}
        layers: list[str] = []
        for layer in self.scaled:
            layers += [layer, last[layer]] if layer in last else [layer]
        layers += [layer for layer in self.zeroed if layer not in layers]
        return {layer: self.scaled.get(layer, 0.0) for layer in layers}


def fixup(
    model: keras.Model, *, seed: int | None = None, zero_head: bool = True
) -> FixupResult:
    """Initializes a residual network with Fixup, in place.

    Every branch that an `Add` (or `+`) joins to a shortcut is found in the graph. With
    L branches of m weight layers, the last kernel of a branch becomes zero, and its
    others become He-normal draws times `L^(-1/(2m-2))`; all other kernels become
    He-normal; the last layer of the model becomes zero. One step of gradient descent
    then changes the function by the order of the learning rate, at any depth.

    The paper's scalar biases and multipliers are layers, which cannot be added in
    place; a model without them trains as well, a little worse.

    Args:
        model: A built Functional model with residual branches and no normalization.
        seed: Integer for He's draws, or `None`.
        zero_head: Whether the model's last weight layer becomes zero.

    Returns:
        `FixupResult`. Branches with normalization, or with a single weight layer, are
        left unchanged and listed.

    Raises:
        ValueError: If the model has no graph of layers, or no residual branch.

    Reference:
    - [Zhang et al., 2019](https://arxiv.org/abs/1901.09321)
    """
    check_model("fixup", model)
    check_seed("seed", seed)
    check_bool("zero_head", zero_head)
    graph = keras_private.functional_graph(model)
    if graph is None:
        raise ValueError(
            "`model` must be a built Functional model, whose branches are visible. "
            f"Received: {type(model).__name__} {model.name!r}."
        )
    targets, skipped = find_targets(model, advice="")
    branches, normalized, others = _weighted_branches(model, graph, targets)
    skipped += others
    if not branches:
        raise ValueError(
            "`model` must have residual branches of two or more weight layers without "
            f"normalization. Received: {model.name!r}, whose branches are: "
            f"{[(skip.layer, skip.reason) for skip in skipped]}."
        )
    factors, zeroed = {}, []
    for branch in branches:
        factor = initializers.depth_factor("fixup", len(branches), len(branch))
        factors.update({target.name: factor for target in branch[:-1]})
        zeroed.append(branch[-1].name)
    untouched = normalized | {skip.layer for skip in skipped}
    chosen = [target for target in targets if target.name not in untouched]
    if zero_head and chosen and chosen[-1].name not in factors:
        zeroed.append(chosen[-1].name)
    lasting = lasting_names(model)
    with editing(model) as edit:
        for target in chosen:
            if target.name in zeroed:
                factor, draw = 0.0, None
            else:
                factor = factors.get(target.name, 1.0)
                path = f"{lasting[target.name]}/{target.kernel.name}"
                draw = initializers.seeded("he_normal", seed, path)
            _assign(target, factor, draw, edit)
    scaled = {t.name: factors.get(t.name, 1.0) for t in chosen if t.name not in zeroed}
    return FixupResult(
        tuple(tuple(target.name for target in branch) for branch in branches),
        scaled,
        tuple(dict.fromkeys(zeroed)),
        tuple(skipped),
    )


def _weighted_branches(model, graph, targets):
    """Splits residual branches into those that Fixup is for and others.

    Returns:
        List of the targets of each branch that it is for, the names of targets on
        branches with normalization, and a `Skipped` for each branch that it is not for.
    """
    by_layer = {id(target.layer): target for target in targets}
    names = {id(layer): name for name, layer in named_layers(model)}
    branches, undone, single = [], [], []
    normalized: set[str] = set()
    for layers in _branches(graph):
        weighted = [by_layer[id(layer)] for layer in layers if id(layer) in by_layer]
        if any(is_normalization(layer) for layer in layers):
            normalized.update(target.name for target in weighted)
            reason = "its branch has a normalization layer, which undoes any scale"
            undone.append(Skipped(names.get(id(layers[-1]), layers[-1].name), reason))
        elif len(weighted) == 1:
            reason = "is the only weight layer of its branch; Fixup needs two or more"
            single.append(Skipped(weighted[0].name, reason))
        elif weighted:
            branches.append(weighted)
    return branches, normalized, undone + single


def _assign(target, factor, draw, edit):
    """Draws a kernel by He's rule with its true fans, scaled; zero without a draw."""
    if target.is_table:
        return
    shape = target.kernel.shape
    if draw is None:
        edit.assign(target.kernel, keras.ops.zeros(shape, target.kernel.dtype))
        return
    draw = initializers.for_layer(target.layer, draw, target.kernel.name)
    edit.assign(target.kernel, factor * draw(shape, dtype="float32"))


def _branches(graph):
    """Lists, for each merge in a graph, the layers of its longest way from the fork.

    The fork is the nearest tensor from which all inputs of the merge come; the
    other ways are shortcuts, with or without a projection.
    """
    nodes = keras_private.nodes_in_order(graph)
    producers = {id(tensor): node for node in nodes for tensor in node.output_tensors}
    found = []
    for node in nodes:
        if type(node.operation).__name__ != "Add" or len(node.input_tensors) < 2:
            continue
        ways = [_ancestors(tensor, producers) for tensor in node.input_tensors]
        common = set(ways[0]).intersection(*ways[1:])
        paths = []
        for way in ways:
            own = [key for key in way if key not in common]
            paths.append([producers[key].operation for key in reversed(own)])
        longest = max(paths, key=len)
        if longest:
            found.append(longest)
    return found


def _ancestors(tensor, producers):
    """Lists the ids of a tensor and of all it is computed from, nearest first."""
    order, queue = [], [tensor]
    while queue:
        current = queue.pop(0)
        if id(current) in order or id(current) not in producers:
            continue
        order.append(id(current))
        queue.extend(producers[id(current)].input_tensors)
    return order
