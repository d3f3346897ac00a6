"""Fan-in and fan-out of a weight, from its shape and its layer."""

import math

from keras_initkit.structure import roles

_PLAIN = {"rule": "plain"}


def compute_fans(shape, input_axes=None, output_axes=None):
    """Computes `(fan_in, fan_out)` of a kernel, by Keras's rule.

    A kernel is `(*spatial, in, out)`: `fan_in = in * prod(spatial)` and
    `fan_out = out * prod(spatial)`. With both `input_axes` and `output_axes`, the
    fans are the products over those axes instead.

    The rule is right for dense kernels and plain convolutions only; depthwise,
    transposed, grouped and fused kernels need `for_layer`.

    Args:
        shape: Tuple of at least two integers.
        input_axes: Axes summed over in one output value, or `None`.
        output_axes: Axes that one input value reaches, or `None`.

    Returns:
        Tuple of two integers, each at least 1.
    """
    if input_axes is not None and output_axes is not None:
        fan_in = math.prod(shape[axis] for axis in input_axes)
        fan_out = math.prod(shape[axis] for axis in output_axes)
    else:
        receptive_field = math.prod(shape[:-2])
        fan_in, fan_out = shape[-2] * receptive_field, shape[-1] * receptive_field
    return max(1, int(fan_in)), max(1, int(fan_out))


MODES = ("fan_avg", "fan_in", "fan_out")


def fan_of_mode(mode, fan_in, fan_out):
    """Returns the fan that a `mode` divides by."""
    return {"fan_in": fan_in, "fan_out": fan_out, "fan_avg": (fan_in + fan_out) / 2}[
        mode
    ]


RULES = (
    "axes",
    "blocks",
    "depthwise",
    "embedding",
    "grouped",
    "plain",
    "transposed",
)


def layer_fans(
    shape,
    rule,
    *,
    groups=1,
    stride=1,
    blocks=1,
    input_axes=None,
    output_axes=None,
):
    """Computes the true `(fan_in, fan_out)` of a layer's kernel.

    `fan_in` is the number of terms summed up in one output value (on average over
    positions, where a transposed convolution's stride makes it uneven), `fan_out`
    the number of terms in which one input value appears.

    Args:
        shape: Tuple of at least two integers.
        rule: One of `RULES`, see `FanCorrected`.
        groups: Groups of a grouped convolution.
        stride: Product of the strides of a transposed convolution.
        blocks: Matrices side by side in the last axis.
        input_axes: For `"axes"`.
        output_axes: For `"axes"`.

    Returns:
        Tuple of two numbers above 0.
    """
    if rule == "axes":
        return compute_fans(shape, input_axes, output_axes)
    if rule == "embedding":
        return 1, shape[-1]
    taps = math.prod(shape[:-2])
    inputs, outputs = shape[-2], shape[-1]
    if rule == "depthwise":
        return taps, taps * outputs
    if rule == "transposed":  # (*spatial, out, in)
        return taps * outputs / stride, taps * inputs
    divisor = {"grouped": groups, "blocks": blocks}.get(rule, 1)
    return taps * inputs, taps * outputs / divisor


def layer_rule(layer, weight="kernel", blocks=None):
    """Returns the arguments of `FanCorrected` for a layer's weight, as a dict."""
    if blocks is not None:
        return {"rule": "blocks", "blocks": blocks}
    kind = roles.kind_of(getattr(layer, "cell", layer))
    rule = "plain" if kind is None else kind.fans.get(weight, "plain")
    if rule == "blocks":
        return {"rule": "blocks", "blocks": roles.gates_of(layer)}
    if rule == "transposed":
        return {"rule": "transposed", "stride": math.prod(layer.strides)}
    if rule == "grouped":
        groups = getattr(layer, "groups", 1)
        return {"rule": "grouped", "groups": groups} if groups > 1 else _PLAIN
    if rule == "axes":
        input_axes, output_axes = _einsum_axes(layer.equation)
        return {
            "rule": "axes",
            "input_axes": input_axes,
            "output_axes": output_axes,
        }
    return {"rule": rule}


def is_convolution(layer):
    """Returns whether a layer is one of Keras's convolutions, transposed or not."""
    return hasattr(layer, "kernel_size") and hasattr(layer, "strides")


def _einsum_axes(equation):
    """Returns the kernel's input axes (summed over) and output axes.

    Axes that input and output share with the kernel are batch axes, in neither.
    """
    left, output = equation.replace(" ", "").split("->")
    inputs, kernel = left.split(",")
    input_axes = [n for n, a in enumerate(kernel) if a in inputs and a not in output]
    output_axes = [n for n, a in enumerate(kernel) if a in output and a not in inputs]
    return input_axes, output_axes
