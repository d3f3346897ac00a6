"""The right initializer for a weight of a given layer."""

from typing import Any

import keras

from keras_initkit.initializers._registry import get
from keras_initkit.initializers.orthogonal import DeltaOrthogonal, GateOrthogonal
from keras_initkit.initializers.scaling import FanCorrected, has_fans
from keras_initkit.structure.fans import is_convolution, layer_rule


def for_layer(
    layer: keras.layers.Layer,
    identifier: Any,
    weight: str = "kernel",
    *,
    blocks: int | None = None,
) -> keras.Initializer:
    """Returns an initializer that knows the fans of a layer's weight.

    Fan-based initializers (`VarianceScaling` and its kin, `FanInUniform`,
    `ActivationScaling`) come back with the true fans of the layer: depthwise,
    separable, transposed (with stride), grouped and fused recurrent kernels,
    `EinsumDense`, `Embedding`. `Orthogonal` comes back as `GateOrthogonal` for
    fused kernels, and as `DeltaOrthogonal` for convolutions. Anything else, and
    any layer whose shape tells all, comes back as `get(identifier)`.

    Args:
        layer: Keras layer, built or not; nothing of it is changed.
        identifier: Anything `get` takes.
        weight: Which weight: `"kernel"`, `"recurrent_kernel"`, `"depthwise_kernel"`,
            `"pointwise_kernel"`, `"embeddings"`. Defaults to `"kernel"`.
        blocks: Number of matrices packed side by side in the last axis, where the
            layer cannot tell, e.g. `3` for a Dense layer that makes queries, keys and
            values at once.

    Returns:
        A `keras.Initializer`.

    Raises:
        ValueError: If the layer wraps others (name the wrapped one).

    Example:
    >>> import keras, keras_initkit as kik
    >>> layer = keras.layers.DepthwiseConv2D(3)
    >>> initializer = kik.initializers.for_layer(layer, "he_normal")
    >>> initializer.fans((3, 3, 256, 1))
    (9, 9)
    """
    initializer = get(identifier)
    if isinstance(layer, (keras.layers.Wrapper, keras.layers.Bidirectional)):
        raise ValueError(
            "`layer` must be the layer that owns the weight: use `.layer`, "
            "`.forward_layer` or `.backward_layer` of the wrapper. "
            f"Received: {type(layer).__name__} {layer.name!r}."
        )
    rule = layer_rule(layer, weight, blocks)
    if isinstance(initializer, keras.initializers.Orthogonal):
        config = {"gain": initializer.gain, "seed": initializer.get_config()["seed"]}
        if rule.get("blocks", 1) > 1:
            return GateOrthogonal(gates=rule["blocks"], **config)
        if rule["rule"] == "plain" and is_convolution(layer):
            return DeltaOrthogonal(**config)
        return initializer
    if has_fans(initializer) and rule["rule"] != "plain":
        return FanCorrected(initializer, **rule)
    return initializer
