"""The right initializer for a weight of a given layer."""

import keras

from keras_initkit.initializers._registry import get
from keras_initkit.initializers.orthogonal import DeltaOrthogonal, GateOrthogonal
from keras_initkit.initializers.scaling import FanCorrected, has_fans

GATES = {"LSTM": 4, "GRU": 3, "SimpleRNN": 1, "ConvLSTM": 4}


def for_layer(layer, identifier, weight="kernel", blocks=None):
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


def layer_rule(layer, weight="kernel", blocks=None):
    """Returns the arguments of `FanCorrected` for a layer's weight, as a dict."""
    k = keras.layers
    if blocks is not None:
        return {"rule": "blocks", "blocks": blocks}
    gates = gates_of(layer)
    if gates > 1:
        return {"rule": "blocks", "blocks": gates}
    if weight == "depthwise_kernel" or _is(layer, "DepthwiseConv", k.DepthwiseConv2D):
        return {"rule": "depthwise"}
    if weight == "pointwise_kernel":
        return {"rule": "plain"}
    if type(layer).__name__.endswith("Transpose") and is_convolution(layer):
        stride = 1
        for step in layer.strides:
            stride *= step
        return {"rule": "transposed", "stride": stride}
    if is_convolution(layer) and getattr(layer, "groups", 1) > 1:
        return {"rule": "grouped", "groups": layer.groups}
    if isinstance(layer, k.EinsumDense):
        input_axes, output_axes = _einsum_axes(layer.equation)
        return {
            "rule": "axes",
            "input_axes": input_axes,
            "output_axes": output_axes,
        }
    if isinstance(layer, k.Embedding):
        return {"rule": "embedding"}
    return {"rule": "plain"}


def gates_of(layer):
    """Returns how many gates share a recurrent layer's or cell's kernel, else 1."""
    name = type(layer).__name__
    for base in type(layer).__mro__:
        if base.__module__.startswith("keras."):
            name = base.__name__
            break
    for known, gates in GATES.items():
        if name.startswith(known):
            return gates
    return 1


def is_convolution(layer):
    """Returns whether a layer is one of Keras's convolutions, transposed or not."""
    return hasattr(layer, "kernel_size") and hasattr(layer, "strides")


def _is(layer, prefix, cls):
    return isinstance(layer, cls) or any(
        base.__name__.startswith(prefix) for base in type(layer).__mro__
    )


def _einsum_axes(equation):
    """Returns the kernel's input axes (summed over) and output axes.

    Axes that input and output share with the kernel are batch axes, in neither.
    """
    left, output = equation.replace(" ", "").split("->")
    inputs, kernel = left.split(",")
    input_axes = [n for n, a in enumerate(kernel) if a in inputs and a not in output]
    output_axes = [n for n, a in enumerate(kernel) if a in output and a not in inputs]
    return input_axes, output_axes
