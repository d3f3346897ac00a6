"""One weight of one layer: what is known of it before anything is drawn."""

import dataclasses
from typing import Any

import keras

from keras_initkit.structure import roles
from keras_initkit.structure.fans import (
    Layout,
    is_convolution,
    layout_of,
    sums_its_kernel,
)


@dataclasses.dataclass(frozen=True)
class Weight:
    """A weight of a layer of a known kind, which may be yet to be built.

    Attributes:
        layer: The layer or cell that holds it.
        name: Its name.
        role: One of `schema.ROLES`.
        layout: Which matrices it holds.
    """

    layer: Any
    name: str
    role: str
    layout: Layout

    @property
    def is_kernel(self) -> bool:
        """Whether it multiplies a signal."""
        return self.is_recurrent or self.role == "kernel"

    @property
    def is_recurrent(self) -> bool:
        """Whether it multiplies a state."""
        return self.role == "recurrent_kernel"

    @property
    def is_bias(self) -> bool:
        """Whether it is added to what a kernel makes."""
        return self.name == "bias" and self.role == "offset"

    @property
    def is_convolution(self) -> bool:
        """Whether it is the kernel of a convolution, transposed or not."""
        return self.is_kernel and is_convolution(self.layer)

    @property
    def has_own_axis(self) -> bool:
        """Whether an axis of it meets neither inputs nor outputs of its einsum."""
        return self.is_kernel and sums_its_kernel(self.layer)

    @property
    def shape(self) -> tuple[int, ...] | None:
        """Its shape, `None` while the layer is not built."""
        variable = roles.variable_of(self.layer, self.name)
        return None if variable is None else tuple(variable.shape)

    @property
    def label(self) -> str:
        """Names the weight: `kernel of Dense 'head'`."""
        return f"{self.name} of {type(self.layer).__name__} {self.layer.name!r}"


def weight_of(layer: Any, name: str = "kernel", blocks: int | None = None) -> Weight:
    """Returns what is known of a layer's weight.

    Args:
        layer: Keras layer, built or not. A wrapper stands for the layer inside it, a
            recurrent layer for its cell.
        name: Name of the weight.
        blocks: Number of matrices side by side in its last axis, where the layer cannot
            tell.

    Raises:
        TypeError: If `layer` is no layer.
        ValueError: If the layer holds several layers, is of an unknown kind, or has no
            such weight.
    """
    if not isinstance(name, str):
        raise TypeError(
            "`weight` must be the name of a weight, such as 'kernel'. "
            f"Received: weight={name!r} of type {type(name).__name__}."
        )
    holder = holder_of(layer)
    kind = roles.kind_of(holder)
    if kind is None:
        raise ValueError(
            "`layer` must be of a known kind: declare the roles of its weights with "
            "`kik.structure.register(layer_class, {name: role})`, and build it. "
            f"Received: {_named(holder)}{'' if holder.built else ', not built'}."
        )
    told = {**kind.roles, **roles.roles_of(holder)}
    known = {n: role for n, role in told.items() if role in _DRAWN}
    if name == "bias" and not getattr(holder, "use_bias", True):
        known.pop("bias", None)
    if name not in known:
        raise ValueError(
            f"`weight` must name a weight of {_named(holder)}, one of {tuple(known)}. "
            f"Received: weight={name!r}."
        )
    return Weight(holder, name, known[name], layout_of(holder, name, blocks))


# What is drawn from an initializer, or starts at a constant.
_DRAWN = ("kernel", "recurrent_kernel", "table", "scale", "offset")


_ATTENTIONS = (keras.layers.MultiHeadAttention, keras.layers.GroupQueryAttention)


def holder_of(layer: Any) -> Any:
    """Returns the layer or cell that holds the weights that are meant by a layer.

    Raises:
        TypeError: If `layer` is no layer.
        ValueError: If it holds several that may be meant.
    """
    if not isinstance(layer, keras.Layer):
        raise TypeError(
            f"`layer` must be a Keras layer, not its name. Received: {layer!r}."
        )
    if isinstance(layer, keras.layers.Bidirectional):
        forward, backward = map(holder_of, (layer.forward_layer, layer.backward_layer))
        if type(forward) is not type(backward):
            raise _several(layer, "`.forward_layer` or `.backward_layer`")
        return forward
    if isinstance(layer, keras.layers.Wrapper):
        return holder_of(layer.layer)
    if isinstance(layer, keras.Model):
        raise _several(layer, "one of its layers, or use `kik.reinitialize`")
    if isinstance(layer, _ATTENTIONS):
        raise _several(
            layer, "one of its projections, such as `.query_dense`, once it is built"
        )
    if hasattr(layer, "cells"):
        raise _several(layer, "one of its `.cells`")
    cell = getattr(layer, "cell", None)
    return layer if cell is None else holder_of(cell)


def _several(layer: Any, way: str) -> ValueError:
    return ValueError(
        "`layer` must be the layer that holds the weight. It holds several: name "
        f"{way}. Received: {_named(layer)}."
    )


def _named(layer: Any) -> str:
    return f"{type(layer).__name__} {layer.name!r}"
