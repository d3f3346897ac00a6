"""Weights of a smaller model, selected from those of a larger, trained one."""

from typing import Any

import keras
import numpy as np

from keras_initkit.structure import forward_graph, keras_private, roles
from keras_initkit.structure.fans import layout_of
from keras_initkit.structure.in_place import Skipped
from keras_initkit.structure.layers import named_layers
from keras_initkit.structure.owners import find_owners

_IS_HEAD = (
    "is an output, whose units have another meaning in another task; name it in "
    "`layers` to treat it"
)


def evenly(size: int, wanted: int, blocks: int = 1) -> np.ndarray:
    """Returns the indices of `wanted` of `size` places, evenly spread.

    Each `size / wanted`th where that is whole, else the nearest to equal distances, the
    first and the last included. Of `blocks` side by side, in each block alike.
    """
    size, wanted = size // blocks, wanted // blocks
    if size % wanted == 0:
        within = np.arange(wanted) * (size // wanted)
    else:
        within = np.round(np.linspace(0, size - 1, wanted)).astype(int)
    return np.concatenate([within + n * size for n in range(blocks)])


def select(values: np.ndarray, shape: tuple[int, ...], blocks: int = 1) -> np.ndarray:
    """Returns an array of a shape out of a larger one, evenly along each axis."""
    for axis, wanted in enumerate(shape):
        last = blocks if axis == len(shape) - 1 else 1
        indices = evenly(values.shape[axis], wanted, last)
        values = np.take(values, indices, axis=axis)
    return values


def selected(
    model: Any, from_model: Any, chosen: set[int] | None
) -> tuple[list[tuple[str, Any, np.ndarray]], list[Skipped]]:
    """Lists what a model's weights become out of a larger model's.

    Args:
        model: The smaller model, built.
        from_model: The larger one, built.
        chosen: Ids of the layers to treat, `None` for all but the outputs.

    Returns:
        List of `(layer, variable, values)` and list of `Skipped`.
    """
    sources = dict(_by_path(from_model))
    heads = set() if chosen is not None else _heads(model)
    found, skipped = [], []
    taken: set[int] = set()
    for path, layer in _by_path(model):
        if chosen is not None and id(layer) not in chosen:
            continue
        own = [v for v in roles.weights_of(layer) if id(v) not in taken]
        own = [v for v in own if "float" in v.dtype]
        if not own:
            continue
        taken.update(id(v) for v in own)
        is_head = id(layer) in heads
        reason = _IS_HEAD if is_head else _why_not(layer, own, sources.get(path))
        if reason:
            skipped.append(Skipped(path, reason))
            continue
        for variable in own:
            source = roles.variable_of(sources[path], variable.name)
            values = np.asarray(keras.ops.convert_to_numpy(source))
            blocks = _blocks(layer, variable)
            found.append((path, variable, select(values, variable.shape, blocks)))
    return found, skipped


def _by_path(model):
    """Lists the layers below a model by their paths without its own name."""
    prefix = f"{model.name}/"
    return [(name.removeprefix(prefix), layer) for name, layer in named_layers(model)]


def _heads(model):
    """Returns the ids of the layers that make a model's outputs, and those inside.

    The last one where the forward pass cannot be traced.
    """
    layers = [owner.layer for owner in find_owners(model)[0]]
    places = forward_graph.trace(model, {id(layer) for layer in layers}).places
    heads = [one for one in layers if id(one) in places and places[id(one)].head]
    return {
        id(part)
        for head in (heads if places else layers[-1:])
        for part in keras_private.layers_below(head, include_self=True)
    }


def _blocks(layer, variable):
    """Returns how many blocks share the last axis of a weight of a layer."""
    gates = roles.gates_of(layer)
    if gates > 1:
        return gates
    if variable.name in roles.names_of(layer, "offset"):
        return getattr(layer, "groups", 1)
    return layout_of(layer, variable.name).groups


def _why_not(layer, own, source):
    """Says why a layer cannot have weights of another, `""` if it can."""
    if source is None:
        return "has no layer with its path in `from_model`"
    if type(source) is not type(layer):
        return f"is a {type(layer).__name__}, in `from_model` a {type(source).__name__}"
    settings = [(getattr(one, "groups", 1), _size(one)) for one in (layer, source)]
    if settings[0] != settings[1]:
        return "has other groups or another kernel size in `from_model`"
    for variable in own:
        larger = roles.variable_of(source, variable.name)
        if larger is None:
            return f"has a {variable.name}, but not in `from_model`"
        shapes = tuple(variable.shape), tuple(larger.shape)
        smaller = len(shapes[0]) == len(shapes[1]) and all(
            a <= b for a, b in zip(*shapes, strict=True)
        )
        if not smaller or "float" not in larger.dtype:
            return f"has a {variable.name} of {shapes[0]}, in `from_model` {shapes[1]}"
    return ""


def _size(layer):
    return getattr(layer, "kernel_size", None)
