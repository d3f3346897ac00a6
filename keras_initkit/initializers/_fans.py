"""Fan-in and fan-out of a weight, from its shape."""

import math


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
