"""Which layers of a model have one kernel that scales what they put out."""

import dataclasses
from typing import Any

from keras_initkit.structure import roles
from keras_initkit.structure.in_place import Skipped
from keras_initkit.structure.layers import named_layers
from keras_initkit.structure.owners import reason_to_keep, why_not_trained
from keras_initkit.structure.selection import matched


@dataclasses.dataclass(frozen=True)
class Target:
    """A layer to be scaled, and how.

    Attributes:
        name: Its unique name in the model.
        layer: The layer.
        kernel: The variable to scale.
        others: Further kernels (a separable layer's depthwise).
        bias: The variable that is added, or `None`.
        frozen: Those of `others` and `bias` that are to keep their values, as they are
            not trainable and nobody named the layer.
        projection: Whether the kernel scales what its cell gets of the inputs, not the
            outputs.
    """

    name: str
    layer: Any
    kernel: Any
    others: tuple[Any, ...] = ()
    bias: Any = None
    frozen: tuple[Any, ...] = ()
    projection: bool = False

    @property
    def kernels(self) -> tuple[Any, ...]:
        """All kernels of the layer that may change."""
        return (self.kernel, *(v for v in self.others if not self.keeps(v)))

    def keeps(self, variable: Any) -> bool:
        """Whether a variable is to keep its values."""
        return any(variable is one for one in self.frozen)

    @property
    def is_table(self) -> bool:
        """Whether rows are looked up in the kernel, not multiplied by it."""
        return roles.roles_of(self.layer).get(self.kernel.name) == "table"


def find_targets(
    model: Any, layers: Any = None, advice: str = "; name it in `layers` to treat it"
) -> tuple[list[Target], list[Skipped]]:
    """Lists a model's layers that can be scaled, and those that cannot.

    Args:
        model: A built Keras model.
        layers: What `Selection` takes, or `None` for all that are trainable.
        advice: What can be done about a layer that is not trainable.

    Returns:
        A list of `Target` and a list of `Skipped`.

    Raises:
        ValueError: If `layers` names what is not there.
    """
    named = named_layers(model)
    chosen = None if layers is None else matched("layers", layers, named)
    cells = _inside_cells(named)
    targets: list[Target] = []
    skipped: list[Skipped] = []
    taken: set[int] = set()
    for name, layer in named:
        if chosen is not None and id(layer) not in chosen:
            continue
        if id(layer) in cells or not _might_be_scaled(layer):
            continue
        kernel = roles.carrier_of(layer)
        reason = _reason_against(layer, kernel)
        if reason is None and id(kernel) in taken:
            reason = "shares its kernel with a layer before it"
        if reason is None and layers is None and not kernel.trainable:
            reason = why_not_trained(layer, kernel.name) + advice
        if reason is None:
            taken.add(id(kernel))
            target = _target(name, layer, kernel)
            if layers is None:
                further = [v for v in (*target.others, target.bias) if v is not None]
                frozen = tuple(v for v in further if not v.trainable)
                target = dataclasses.replace(target, frozen=frozen)
            targets.append(target)
        else:
            skipped.append(Skipped(name, reason))
    return targets, skipped


def _inside_cells(named: list[tuple[str, Any]]) -> set[int]:
    """Ids of the cells of recurrent layers, and of the cells stacked in these."""
    cells = [layer.cell for _, layer in named if hasattr(layer, "cell")]
    return {id(one) for cell in cells for one in (cell, *getattr(cell, "cells", ()))}


def _might_be_scaled(layer: Any) -> bool:
    """Whether a layer holds a matrix that is no scale, offset or the like of a kind."""
    if hasattr(layer, "cell"):
        return True
    kind = roles.kind_of(layer)
    if kind is not None:
        return kind.carrier is not None
    return any(len(variable.shape) > 1 for variable in roles.weights_of(layer))


def _reason_against(layer: Any, kernel: Any) -> str | None:
    """Says why a layer cannot be scaled, `None` if it can."""
    if kernel is None:
        return f"{type(layer).__name__} has no single kernel that scales its output"
    return reason_to_keep(layer, kernel) or None


def _target(name: str, layer: Any, kernel: Any) -> Target:
    if hasattr(layer, "cell"):
        return Target(name, layer, kernel, projection=True)
    others = [n for n in roles.names_of(layer, "kernel") if n != kernel.name]
    bias = roles.variable_of(layer, "bias")
    if roles.roles_of(layer)[kernel.name] == "table":
        return Target(name, layer, kernel)
    variables = tuple(roles.variable_of(layer, n) for n in others)
    return Target(name, layer, kernel, variables, bias)
