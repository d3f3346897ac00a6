"""The orthogonal family: weights that keep the length of every signal."""

from typing import Any

from keras import ops

from keras_initkit.initializers._base import (
    Seed,
    SeededInitializer,
    check_multiple,
    check_positive,
    check_rank,
    register,
    resolve_dtype,
    split_seed,
    working_dtype,
)
from keras_initkit.initializers._sampling import (
    at_centre,
    orthogonal,
    orthogonal_columns,
)


@register()
class DeltaOrthogonal(SeededInitializer):
    """Initializer of convolutions that are isometries: one orthogonal centre tap.

    The kernel is zero but for the centre tap `(k - 1) // 2`, which is `gain` times a
    random semi-orthogonal matrix `(in, out)`. At stride 1, `padding="same"`,
    `gain=1` and `in <= out`, `||conv(x)|| = ||x||` holds exactly, borders included,
    and so does the backward pass for `in >= out`. `keras.initializers.Orthogonal`
    makes the flattened kernel orthogonal instead, which is no isometry of images.

    Shapes: rank 3 to 5, `(*spatial, in, out)`. With `in > out` no isometry exists;
    columns are orthonormal then, so that gradients keep their length.

    Use it for very deep plain convolutional networks with tanh-like activations
    (`gain=1`, biases 0) or ReLU (`gain=√2`). Less suited to shallow networks: all
    taps but one start at zero.

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

    def __call__(self, shape: Any, dtype: Any = None) -> Any:
        """Returns a tensor of the given shape and float dtype."""
        shape = check_rank(type(self), shape, 3, 5, "(*spatial, in, out)")
        dtype = resolve_dtype(dtype)
        inputs, outputs = shape[-2:]
        matrix = orthogonal(inputs, outputs, self.seed, dtype, self.gain)
        return at_centre(matrix, shape[:-2])

    def get_config(self) -> dict[str, Any]:
        """Returns the configuration."""
        return {**super().get_config(), "gain": self.gain}


@register()
class ConvolutionOrthogonal(SeededInitializer):
    """Initializer of convolutions that are isometries and use every tap.

    The kernel is the product of a semi-orthogonal matrix and, along each axis, of
    `k - 1` two-tap kernels `[P, I - P]` with random projections `P` of half rank. Each
    factor is an isometry for circular padding, since
    `(P + (I - P) z)(P + (I - P) / z) = I`, hence so is the product. Zero padding
    loses what the taps reach beyond the border. With one output there is no such
    `P`: the kernel is a plain shift then.

    Shapes: rank 3 to 5, `(*spatial, in, out)` with `in <= out`.

    Use it as `DeltaOrthogonal`, where a start that sees its neighbourhood is wanted.
    The price is a QR of each projection: `sum(k - 1)` factorisations of
    `(out, out / 2)` beside the one of `DeltaOrthogonal`.

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

    def __call__(self, shape: Any, dtype: Any = None) -> Any:
        """Returns a tensor of the given shape and float dtype."""
        shape = check_rank(type(self), shape, 3, 5, "(*spatial, in, out)")
        dtype = resolve_dtype(dtype)
        *spatial, inputs, outputs = shape
        if inputs > outputs:
            raise ValueError(
                f"{type(self).__name__}: `shape` must have in <= out, no isometry "
                f"exists otherwise; use DeltaOrthogonal. Received: shape={shape}."
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
class GateOrthogonal(SeededInitializer):
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

    Args:
        gates: Positive number of blocks in the last axis, or `None` to take it from
            a recurrent kernel's shape, `gates = shape[-1] / shape[-2]`.
        gain: Positive factor. Defaults to `1.0`.
        seed: Integer or `None` (same values at every call), or a
            `keras.random.SeedGenerator` (new values at every call).

    Raises:
        ValueError: If `gates` or `gain` is not positive, the rank is below 2, or the
            last axis is no multiple of `gates`.

    Example:
    >>> import keras, keras_initkit as kik
    >>> layer = keras.layers.LSTM(
    ...     8, recurrent_initializer=kik.initializers.GateOrthogonal()
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
            check_positive("gates", gates)
        check_positive("gain", gain)
        self.gates = gates
        self.gain = gain
        super().__init__(seed=seed)

    def __call__(self, shape: Any, dtype: Any = None) -> Any:
        """Returns a tensor of the given shape and float dtype."""
        shape = check_rank(type(self), shape, 2, 5, "(*spatial, in, gates * units)")
        dtype = resolve_dtype(dtype)
        gates = resolve_gates(type(self), shape, self.gates)
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


def resolve_gates(cls, shape, gates):
    """Returns the number of blocks in the last axis, or raises."""
    if gates is None:
        gates, rest = divmod(shape[-1], shape[-2])
        if rest or not gates:
            raise ValueError(
                f"{cls.__name__}: `gates` must be given for a kernel that is not "
                "recurrent (units, gates * units), e.g. gates=4 for an LSTM. "
                f"Received: shape={shape}."
            )
    check_multiple(cls, shape, "gates", gates)
    return gates
