"""The right initializer for a weight of a given layer, or a refusal."""

import copy
import dataclasses
import functools
from typing import Any

import keras

from keras_initkit.arguments import naming
from keras_initkit.initializers._base import Structural, refuse
from keras_initkit.initializers._laid_out import LaidOut
from keras_initkit.initializers._registry import get_base
from keras_initkit.initializers.blockwise import each_matrix
from keras_initkit.initializers.identity import RecurrentIdentity
from keras_initkit.initializers.orthogonal import DeltaOrthogonal, GateOrthogonal
from keras_initkit.initializers.scaling import (
    DepthScaled,
    FanCorrected,
    MuPReadout,
    has_fans,
)
from keras_initkit.initializers.structured import ICNR
from keras_initkit.initializers.zero_sum import ZeroSum
from keras_initkit.structure.fans import PLAIN
from keras_initkit.structure.weight import Weight, weight_of


def for_layer(
    layer: keras.layers.Layer,
    identifier: Any,
    weight: str = "kernel",
    *,
    blocks: int | None = None,
) -> keras.Initializer:
    """Adapts an initializer to a weight of a layer, or refuses.

    A kernel's shape reveals neither its fans nor which matrices it holds; the layer
    does.

    - Fan-based initializers (`VarianceScaling` and its subclasses, `FanInUniform`,
      `ActivationScaling`) are returned with the true fans, as `FanCorrected`.
    - Initializers that are orthogonal, an identity, sparse or zero-sum are applied to
      each matrix that the weight holds, as `Blockwise`: for each group, channel, gate
      or head, for transposed convolutions and einsums. `Orthogonal` becomes
      `GateOrthogonal` for gates, and `DeltaOrthogonal` for convolutions.
    - Initializers inside an initializer are treated in the same way.
    - Constants, plain random numbers and custom initializers, which the kit does not
      know, are returned unchanged.

    An initializer that makes no sense for a weight, such as an identity for a
    convolution or a forget bias for a Dense layer, is refused.

    Args:
        layer: Keras layer, built or not; it is not modified. A wrapper stands for the
            layer inside it, a recurrent layer for its cell.
        identifier: Anything `get` takes, except `None`.
        weight: Name of the weight: `"kernel"`, `"recurrent_kernel"`, `"bias"`,
            `"depthwise_kernel"`, `"pointwise_kernel"`, `"embeddings"`, `"gamma"`...
            Defaults to `"kernel"`.
        blocks: Number of matrices packed side by side in the last axis, if the layer
            does not reveal it, e.g. `3` for a Dense layer that computes queries, keys
            and values at once.

    Returns:
        A `keras.Initializer`, or the function that `identifier` is.

    Raises:
        TypeError: If `layer` is not a layer.
        ValueError: If the layer holds several (a model, an attention layer, stacked
            cells), is of an unknown kind or has no such weight, or the initializer
            makes no sense for it.

    Example:
    >>> import keras, keras_initkit as kik
    >>> layer = keras.layers.DepthwiseConv2D(3)
    >>> initializer = kik.initializers.for_layer(layer, "he_normal")
    >>> initializer.fans((3, 3, 256, 1))
    (9, 9)
    """
    with naming("identifier", identifier, "be an initializer or name one"):
        initializer = get_base(identifier)
    return fit(initializer, weight_of(layer, weight, blocks))


@functools.singledispatch
def fit(initializer: Any, weight: Weight) -> Any:
    """Returns what an initializer means for a weight; see `for_layer`.

    By default, an initializer of somebody else's, it is taken to know what it does.
    """
    return _by_fans(initializer, weight) if has_fans(initializer) else initializer


def _by_fans(initializer, weight):
    """Returns a fan-based initializer with the weight's true fans."""
    if not (weight.is_kernel or weight.role == "table"):
        refuse(initializer, weight, "a kernel or a table, which has fans")
    if weight.layout == PLAIN:
        return initializer
    return FanCorrected(initializer, **dataclasses.asdict(weight.layout))


@fit.register
def _(initializer: Structural, weight: Weight) -> Any:
    return initializer.fit(weight)


@fit.register
def _(initializer: LaidOut, weight: Weight) -> Any:
    """Keeps what agrees with the weight, or is told of blocks that no layer shows."""
    told = initializer.layout
    if told == PLAIN:
        return fit(initializer.base, weight)
    packed = weight.layout == PLAIN and told.rule == "blocks"
    if told != weight.layout and not packed:
        refuse(initializer, weight, f"one of the rule that it was told, {told.rule!r}")
    return initializer


@fit.register
def _(initializer: DepthScaled, weight: Weight) -> Any:
    return _around(initializer, fit(initializer.base, weight))


@fit.register
def _(initializer: MuPReadout, weight: Weight) -> Any:
    whole = each_matrix(initializer, weight, by_unit=True)
    return _inside(initializer, whole, weight)


@fit.register
def _(initializer: ZeroSum, weight: Weight) -> Any:
    return _inside(initializer, initializer.fit(weight), weight)


@fit.register
def _(initializer: ICNR, weight: Weight) -> Any:
    return _inside(initializer, initializer.fit(weight), weight)


def _inside(initializer, whole, weight):
    """Fits the initializer inside one, too: for the weight, or one of its matrices."""
    if whole is initializer:
        return _around(initializer, fit(initializer.base, weight))
    base, one = initializer.base, dataclasses.replace(weight, layout=PLAIN)
    if isinstance(base, LaidOut) and base.layout == weight.layout:
        base = base.base  # what it was told is told outside of it now
    return _around(whole, _around(initializer, fit(base, one)))


def _around(initializer, base):
    """Returns a copy of an initializer around another base, itself if that is its."""
    if base is initializer.base:
        return initializer
    one = copy.copy(initializer)
    one.base = base
    return one


@fit.register
def _(initializer: keras.initializers.Orthogonal, weight: Weight) -> Any:
    config = {"gain": initializer.gain, "seed": initializer.get_config()["seed"]}
    if weight.layout.rule == "blocks" and weight.is_kernel:
        return GateOrthogonal(gates=weight.layout.blocks, **config)
    if weight.is_convolution:
        return fit(DeltaOrthogonal(**config), weight)
    return each_matrix(initializer, weight)


@fit.register
def _(initializer: keras.initializers.Identity, weight: Weight) -> Any:
    if weight.is_convolution:
        refuse(initializer, weight, "a matrix; `dirac` is the identity of convolutions")
    if weight.layout.rule == "blocks" and weight.is_recurrent:
        return RecurrentIdentity(initializer.gain)
    return each_matrix(initializer, weight)


@fit.register
def _(initializer: keras.initializers.STFT, weight: Weight) -> Any:
    plain = weight.is_convolution and weight.layout == PLAIN
    one_channel = plain and (weight.shape is None or weight.shape[-2] == 1)
    if not one_channel or len(weight.layer.kernel_size) != 1:
        refuse(initializer, weight, "the kernel of a plain Conv1D with one channel")
    return initializer
