"""The orthogonal family: weights that preserve the length of every signal."""

import copy
import math
from typing import Any

from keras import ops

from keras_initkit.arguments import check_count, check_positive
from keras_initkit.initializers._base import (
    Seed,
    SeededInitializer,
    Structural,
    check_multiple,
    check_rank,
    register,
    split_seed,
    working_dtype,
)
from keras_initkit.initializers._sampling import (
    at_centre,
    orthogonal,
    orthogonal_columns,
)
from keras_initkit.initializers.blockwise import each_matrix
from keras_initkit.structure.weight import Weight


@register()
class DeltaOrthogonal(SeededInitializer, Structural):
    """Initializer of convolutions that are isometries: one orthogonal centre tap.

    The kernel is zero except for the centre tap `(k - 1) // 2`, which is `gain` times a
    random semi-orthogonal matrix `(in, out)`. At stride 1, `padding="same"`, `gain=1`
    and `in <= out`, `||conv(x)|| = ||x||` holds exactly, borders included, and so does
    the backward pass for `in >= out`. `keras.initializers.Orthogonal` makes the
    flattened kernel orthogonal instead, which is not an isometry of images.

    Shapes: rank 3 to 5, `(*spatial, in, out)`. With `in > out` no isometry exists;
    columns are then orthonormal, so gradients keep their length.

    Use it for very deep plain convolutional networks with tanh-like activations
    (`gain=1`, biases 0) or ReLU (`gain=√2`). Less suited to shallow networks: all
    taps but one start at zero.

    Elsewhere: grouped, depthwise and transposed convolutions (stride 1) get an isometry
    of each group and channel through `for_layer` or `kik.reinitialize`, but refuse the
    initializer used directly; Dense and einsum kernels are refused. A strided
    convolution reads one pixel per stride, which is not an isometry. Dilation has no
    effect for odd sizes; a dilated kernel of even size is refused, since it has no tap
    on the pixel itself: it would shift the signal, and lose what crosses the border.
    `padding="valid"` loses the border, `"causal"` delays by half the kernel.

    Args:
        gain: Positive factor. Defaults to `1.0`.
        seed: Integer or `None` (same values at every call), or a
            `keras.random.SeedGenerator` (new values at every call).

    Raises:
        ValueError: If `gain` is not positive or the rank is not 3 to 5.

    Example:
    >>> import keras, keras_initkit as kik
    >>> kernel = kik.initializers.DeltaOrthogonal(seed=1)((3, 3, 8, 16))
    >>> round(float(keras.ops.sum(kernel**2)), 4)
    8.0

    Reference:
    - [Xiao et al., 2018](https://arxiv.org/abs/1806.05393)
    """

    def __init__(self, gain: float = 1.0, seed: Seed = None) -> None:
        check_positive("gain", gain)
        self.gain = gain
        super().__init__(seed=seed)

    def fit(self, weight: Weight) -> Any:
        """Returns this, for each matrix of a convolution's kernel."""
        check_has_centre(self, weight)
        return each_matrix(self, weight)

    def draw(self, shape: tuple[int, ...], dtype: str) -> Any:
        """Returns the values for a plain shape."""
        return self.draw_many(None, shape, dtype)

    def draw_many(self, count: int | None, shape: tuple[int, ...], dtype: str) -> Any:
        """Returns a batch of `count` kernels, independent of each other."""
        check_rank(type(self), shape, 3, 5, "(*spatial, in, out)")
        inputs, outputs = shape[-2:]
        batch = () if count is None else (count,)
        matrix = orthogonal(inputs, outputs, self.seed, dtype, self.gain, batch)
        return at_centre(matrix, shape[:-2])

    def get_config(self) -> dict[str, Any]:
        """Returns the configuration."""
        return {**super().get_config(), "gain": self.gain}


@register()
class ConvolutionOrthogonal(SeededInitializer, Structural):
    """Initializer of convolutions that are isometries and use every tap.

    The kernel is the product of a semi-orthogonal matrix and, along each axis, of
    `k - 1` two-tap kernels `[P, I - P]` with random projections `P` of half rank. Each
    factor is an isometry for circular padding, since
    `(P + (I - P) z)(P + (I - P) / z) = I`, hence so is the product. Zero padding loses
    what the taps move beyond the border. With one output there is no such `P`: the
    kernel is then a plain shift.

    Shapes: rank 3 to 5, `(*spatial, in, out)` with `in <= out`.

    Use it like `DeltaOrthogonal`, if the initial kernel should see its neighbourhood.
    The price is a QR factorisation per projection: `sum(k - 1)` of them of `(out, out /
    2)` in addition to that of `DeltaOrthogonal`.

    Elsewhere: as `DeltaOrthogonal`, but also transposed convolutions at any stride, and
    dilation at any size: an isometry in the interior, whatever the spacing of the taps.

    Args:
        gain: Positive factor. Defaults to `1.0`.
        seed: Integer or `None` (same values at every call), or a
            `keras.random.SeedGenerator` (new values at every call).

    Raises:
        ValueError: If `gain` is not positive, the rank not 3 to 5, or `in > out`.

    Reference:
    - [Xiao et al., 2018](https://arxiv.org/abs/1806.05393)
      (after Kautsky & Turcheva, 1994)
    """

    def __init__(self, gain: float = 1.0, seed: Seed = None) -> None:
        check_positive("gain", gain)
        self.gain = gain
        super().__init__(seed=seed)

    def fit(self, weight: Weight) -> Any:
        """Returns this, for each matrix of a convolution's kernel."""
        check_convolution(self, weight)
        return each_matrix(self, weight, scattering=True)

    def draw(self, shape: tuple[int, ...], dtype: str) -> Any:
        """Returns the values for a plain shape."""
        check_rank(type(self), shape, 3, 5, "(*spatial, in, out)")
        *spatial, inputs, outputs = shape
        if not math.prod(shape):
            return ops.zeros(shape, dtype)
        if inputs > outputs:
            raise ValueError(
                f"{type(self).__name__}: `shape` must have in <= out, since no "
                "isometry exists otherwise; use DeltaOrthogonal. Received: "
                f"shape={shape}."
            )
        precise = working_dtype(dtype)
        start, rest = split_seed(self.seed, 2)
        kernel = orthogonal(inputs, outputs, start, precise, self.gain)
        kernel = ops.reshape(kernel, (1,) * len(spatial) + (inputs, outputs))
        count = sum(k - 1 for k in spatial)
        if count and outputs > 1:
            half = orthogonal_columns(outputs, outputs // 2, rest, precise, (count,))
            projections = ops.matmul(half, ops.swapaxes(half, -1, -2))
        else:
            projections = ops.zeros((count, outputs, outputs), precise)
        factor = 0
        for axis, taps in enumerate(spatial):
            for _ in range(taps - 1):
                kernel = _times_two_taps(kernel, projections[factor], axis)
                factor += 1
        return ops.cast(kernel, dtype)

    def get_config(self) -> dict[str, Any]:
        """Returns the configuration."""
        return {**super().get_config(), "gain": self.gain}


def _times_two_taps(kernel, projection, axis):
    """Convolves a kernel with `[P, I - P]` along one spatial axis."""
    # Not `matmul`: TensorFlow 2.18 crashes on some shapes of which one is broadcast.
    kept = ops.tensordot(kernel, projection, axes=1)
    pads = [(0, 0)] * len(kernel.shape)
    first, second = list(pads), list(pads)
    first[axis], second[axis] = (0, 1), (1, 0)
    return ops.pad(kept, first) + ops.pad(kernel - kept, second)


@register()
class GateOrthogonal(SeededInitializer, Structural):
    """Initializer of fused recurrent kernels: each gate's block orthogonal.

    LSTM and GRU keep the kernels of their gates side by side, `(units, 4 * units)`
    and `(units, 3 * units)`. `keras.initializers.Orthogonal` makes the rows of the
    *whole* orthonormal, so that each gate's square block has a root mean square
    singular value of 0.50 (LSTM) or 0.577 (GRU) and is far from orthogonal. Here
    every block is `gain` times a semi-orthogonal matrix of its own.

    Shapes: rank 2, `(in, gates * units)`; higher ranks, `(*spatial, in,
    gates * units)`, get the blocks at the centre tap (ConvLSTM).

    Use it for `recurrent_initializer` of LSTM, GRU, ConvLSTM, and for packed
    query-key-value kernels (`gates=3`).

    Elsewhere: a SimpleRNN has one gate; other kernels are refused unless `gates` is
    given and the kernel is stored plainly.

    Args:
        gates: Positive number of blocks in the last axis; by default that of the layer,
            also through `for_layer`. A shape does not reveal it: (128, 256) is 4 gates
            of 64 units with 128 inputs, or 2 of 128.
        gain: Positive factor. Defaults to `1.0`.
        seed: Integer or `None` (same values at every call), or a
            `keras.random.SeedGenerator` (new values at every call).

    Raises:
        ValueError: If `gates` or `gain` is not positive, `gates` is neither given nor
            known from a layer, the rank is below 2, or the last axis is not a multiple
            of `gates`.

    Example:
    >>> import keras, keras_initkit as kik
    >>> layer = keras.layers.LSTM(
    ...     8, recurrent_initializer=kik.initializers.GateOrthogonal(gates=4)
    ... )

    Reference:
    - [Saxe et al., 2013](https://arxiv.org/abs/1312.6120)
    """

    def __init__(
        self,
        gates: int | None = None,
        gain: float = 1.0,
        seed: Seed = None,
    ) -> None:
        if gates is not None:
            check_count("gates", gates)
        check_positive("gain", gain)
        self.gates = gates
        self.gain = gain
        super().__init__(seed=seed)

    def fit(self, weight: Weight) -> Any:
        """Returns this, told the gates of a kernel that has some."""
        layout = weight.layout
        plain = layout.rule == "plain" and weight.is_kernel
        if plain and not weight.is_recurrent and self.gates is not None:
            return self  # packed, as no layer can tell
        if layout.rule != "blocks" and not (plain and weight.is_recurrent):
            self.refuse(weight, "a kernel with gates, or plain with `gates` given")
        if self.gates not in (None, layout.blocks):
            self.refuse(weight, f"a kernel with gates={self.gates}")
        told = copy.copy(self)
        told.gates = layout.blocks
        return told

    def draw(self, shape: tuple[int, ...], dtype: str) -> Any:
        """Returns the values for a shape whose gates are told."""
        check_rank(type(self), shape, 2, 5, "(*spatial, in, gates * units)")
        gates = self.gates
        if gates is None:
            raise ValueError(
                f"{type(self).__name__}: `gates` must be given, because the shape does "
                "not reveal them: gates=4 for an LSTM, 3 for a GRU, 1 for a SimpleRNN. "
                f"Received: shape={shape}."
            )
        check_multiple(type(self), shape, "gates", gates)
        inputs, units = shape[-2], shape[-1] // gates
        sizes = max(inputs, units), min(inputs, units)
        blocks = orthogonal_columns(*sizes, self.seed, dtype, (gates,), self.gain)
        if inputs >= units:
            matrix = ops.concatenate(ops.unstack(blocks), axis=1)
        else:
            # (gates * units, in): one transposition turns all blocks.
            matrix = ops.transpose(ops.concatenate(ops.unstack(blocks), axis=0))
        return at_centre(matrix, shape[:-2])

    def get_config(self) -> dict[str, Any]:
        """Returns the configuration."""
        return {**super().get_config(), "gates": self.gates, "gain": self.gain}


def check_convolution(initializer, weight):
    """Raises `ValueError` unless a weight is the kernel of a convolution."""
    if not weight.is_convolution:
        rule = "the kernel of a convolution; `orthogonal` and `identity` fill matrices"
        initializer.refuse(weight, rule)


def check_has_centre(initializer, weight):
    """Raises `ValueError` unless a tap of a convolution lies on the pixel itself."""
    check_convolution(initializer, weight)
    layer = weight.layer
    sizes = (1,) if weight.name == "pointwise_kernel" else layer.kernel_size
    rates = getattr(layer, "dilation_rate", (1,) * len(sizes))
    pairs = zip(sizes, rates, strict=False)
    if any(size % 2 == 0 and rate > 1 for size, rate in pairs):
        rule = "one with a tap on the pixel itself: of odd size, or not dilated"
        initializer.refuse(weight, rule)
