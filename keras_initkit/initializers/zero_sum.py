"""Kernels that ignore the mean of their inputs."""

from typing import Any

from keras import ops

from keras_initkit.initializers._base import Structural, check_rank, draw, register
from keras_initkit.initializers.blockwise import each_matrix
from keras_initkit.initializers.scaling import Scaled
from keras_initkit.structure.weight import Weight


@register()
class ZeroSum(Structural, Scaled):
    """Initializer whose units have incoming weights that sum to zero.

    Each unit's mean weight is subtracted from the values of `base`, so a constant added
    to all inputs of the layer has no effect. Sigmoids output `1/2 + tanh(x / 2) / 2`,
    so a stack of them with `ZeroSum(Orthogonal(gain=4))` and zero biases starts like a
    tanh network whose weights are orthogonal except for one direction: at the edge of
    chaos, where `E[x²]` falls like `2 / depth` instead of exponentially; with other
    weights, the constant halves dominate.

    Shapes: rank 2 or more, `(*spatial, in, out)`.

    Use it after squashing activations with a nonzero mean, with a gain of one over
    their slope at 0: sigmoid (4), hard sigmoid (6). Softplus has no gain that works at
    depth: 1.92 preserves variance 1, but this is unstable. Do not use it after ReLU,
    whose mean carries part of the signal, or in the first layer for inputs that differ
    only by their mean.

    Elsewhere: units of depthwise, transposed (stride 1) and einsum kernels sum over
    their own inputs through `for_layer` or `kik.reinitialize`; used directly, it is
    refused there. Tables and strided transposed convolutions are refused.

    Args:
        base: Anything `kik.initializers.get` takes. Defaults to `"glorot_normal"`.

    Raises:
        ValueError: If the rank is below 2.

    Example:
    >>> import keras, keras_initkit as kik
    >>> kernel = kik.initializers.ZeroSum("orthogonal")((4, 4))
    >>> bool(keras.ops.all(abs(keras.ops.sum(kernel, axis=0)) < 1e-6))
    True

    Reference:
    - [Schoenholz et al., 2017](https://arxiv.org/abs/1611.01232) for the criterion,
      a slope of 1 at the fixed point
    """

    def __init__(self, base: Any = "glorot_normal") -> None:
        super().__init__(base)

    def fit(self, weight: Weight) -> Any:
        """Returns this, for each matrix of a kernel."""
        return each_matrix(self, weight, by_unit=True)

    def draw(self, shape: tuple[int, ...], dtype: str) -> Any:
        """Returns the values for a plain shape."""
        check_rank(type(self), shape, 2, layout="(*spatial, in, out)")
        values = draw(self.base, shape, dtype)
        return values - ops.mean(values, tuple(range(len(shape) - 1)), keepdims=True)
