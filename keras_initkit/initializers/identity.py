"""Identity-like weights: signals pass unchanged, without random numbers."""

from typing import Any

from keras import ops

from keras_initkit.arguments import check_count, check_finite
from keras_initkit.initializers._base import (
    Structural,
    check_multiple,
    check_rank,
    register,
)
from keras_initkit.initializers._sampling import at_centre
from keras_initkit.initializers.blockwise import each_matrix
from keras_initkit.initializers.orthogonal import check_has_centre
from keras_initkit.structure.weight import Weight


@register()
class Dirac(Structural):
    """Initializer of layers that copy their input: a scaled identity, any rank.

    Output channel `j` is `gain` times input channel `j` if both exist, and 0 otherwise;
    the identity sits at the centre tap `(k - 1) // 2` of a convolution, where
    `padding="same"` keeps every pixel in place. With `groups`, each group copies its
    own channels. `keras.initializers.Identity` raises above rank 2.

    Shapes: rank 2 to 5, `(*spatial, in, out)`; grouped: `in` is per group, as Keras
    stores it.

    Use it for residual branches without shortcut, adapters, and for growing a trained
    network by layers that change nothing. Do not use it for a plain stack: copies learn
    alike until the data break the tie.

    Elsewhere: through `for_layer` or `kik.reinitialize`, each group, channel, gate and
    head copies its own inputs, and transposed convolutions at stride 1 copy like plain
    ones; used directly, it is refused there. It is refused for strided transposed
    convolutions, which would copy to one pixel per stride, for dilated kernels of even
    size, which have no tap on the pixel, and for tables.

    Args:
        gain: Number to put on the diagonal. Defaults to `1.0`.
        groups: Groups of the convolution. Defaults to `1`.

    Raises:
        ValueError: If the rank is not 2 to 5, or `out` no multiple of `groups`.

    Example:
    >>> import keras, keras_initkit as kik
    >>> kernel = kik.initializers.Dirac()((3, 1, 2))
    >>> keras.ops.convert_to_numpy(kernel)[:, 0, :].tolist()
    [[0.0, 0.0], [1.0, 0.0], [0.0, 0.0]]

    Reference:
    - [Zagoruyko & Komodakis, 2017](https://arxiv.org/abs/1706.00388)
    """

    def __init__(self, gain: float = 1.0, groups: int = 1) -> None:
        check_finite("gain", gain)
        check_count("groups", groups)
        self.gain = gain
        self.groups = groups

    def fit(self, weight: Weight) -> Any:
        """Returns this, for each matrix of a kernel."""
        if weight.is_convolution:
            check_has_centre(self, weight)
        if self.groups == 1:
            return each_matrix(self, weight)
        if weight.layout.rule != "grouped" or weight.layout.groups != self.groups:
            self.refuse(weight, f"a kernel of groups={self.groups}")
        return self

    def draw(self, shape: tuple[int, ...], dtype: str) -> Any:
        """Returns the values for a plain shape."""
        check_rank(type(self), shape, 2, 5, "(*spatial, in, out)")
        check_multiple(type(self), shape, "groups", self.groups)
        eye = ops.eye(shape[-2], shape[-1] // self.groups, dtype=dtype)
        matrix = self.gain * ops.tile(eye, (1, self.groups))
        return at_centre(matrix, shape[:-2])

    def get_config(self) -> dict[str, Any]:
        """Returns the configuration."""
        return {"gain": self.gain, "groups": self.groups}


@register()
class RecurrentIdentity(Structural):
    """Initializer of recurrent kernels: the identity, for every gate.

    `h_t = phi(gain * h_{t-1} + ...)`: with ReLU, `gain=1`, zero bias and no input the
    state stays constant and gradients pass through any number of steps unchanged
    (IRNN). Fused kernels get one identity per gate; `keras.initializers.Identity` would
    leave all gates but the first without recurrence.

    Shapes: rank 2, `(units, gates * units)`.

    Elsewhere: input kernels and ConvLSTM are refused; use `identity` and `dirac` for
    those.

    Use it for `SimpleRNN(activation="relu")` on long sequences, together with
    small input weights (the paper: normal, standard deviation 0.001) and gradient
    clipping. `gain` slightly below 1 forgets on purpose.

    Args:
        gain: Number to put on the diagonals. Defaults to `1.0`.

    Raises:
        ValueError: If the shape is not `(units, gates * units)`.

    Reference:
    - [Le et al., 2015](https://arxiv.org/abs/1504.00941)
    """

    def __init__(self, gain: float = 1.0) -> None:
        check_finite("gain", gain)
        self.gain = gain

    def fit(self, weight: Weight) -> Any:
        """Returns this, for the matrix of a recurrence."""
        if not weight.is_recurrent or weight.is_convolution:
            self.refuse(weight, "a recurrent kernel (units, gates * units)")
        return self

    def draw(self, shape: tuple[int, ...], dtype: str) -> Any:
        """Returns the values for a plain shape."""
        check_rank(type(self), shape, 2, 2, "(units, gates * units)")
        units, width = shape
        if (width and not units) or (units and width % units):
            raise ValueError(
                f"{type(self).__name__}: `shape` must be (units, gates * units), the "
                f"kernel of a recurrence. Received: shape={shape}."
            )
        gates = width // units if units else 1
        return self.gain * ops.tile(ops.eye(units, dtype=dtype), (1, gates))

    def get_config(self) -> dict[str, Any]:
        """Returns the configuration."""
        return {"gain": self.gain}


@register("zero_hadamard")
class ZerO(Structural):
    """Initializer with zeros and ones only: identities and Hadamard transforms.

    - `out <= in`: the partial identity;
    - `out > in`: `c I* H_m I*`, the Hadamard matrix of size `2^m >= out` cut to the
      shape, `c = 2^(-(m-1)/2)`. All outputs then see all inputs, so that the step to
      more channels breaks the symmetry that a padded identity would keep. For
      `out = 2^m` the rows are orthogonal and the squared length doubles (He's factor
      for ReLU); otherwise every row has the squared length `2 out / 2^m`.

    Convolutions have the matrix at the centre tap. Nothing is random.

    Shapes: rank 2 to 5, `(*spatial, in, out)`.

    Use it for residual networks with normalization or with zero-initialized branch
    ends, and where bit-identical starts matter. Its name is `"zero_hadamard"`, because
    `"zero"` is `Zeros`.

    Elsewhere: as `Dirac`.

    Raises:
        ValueError: If the rank is not 2 to 5.

    Example:
    >>> import keras, keras_initkit as kik
    >>> kernel = kik.initializers.ZerO()((2, 4))
    >>> (keras.ops.convert_to_numpy(kernel) * 2**0.5).round(4).tolist()
    [[1.0, 1.0, 1.0, 1.0], [1.0, -1.0, 1.0, -1.0]]

    Reference:
    - [Zhao et al., 2022](https://arxiv.org/abs/2110.12661), algorithm 1
    """

    def fit(self, weight: Weight) -> Any:
        """Returns this, for each matrix of a kernel."""
        if weight.is_convolution:
            check_has_centre(self, weight)
        return each_matrix(self, weight)

    def draw(self, shape: tuple[int, ...], dtype: str) -> Any:
        """Returns the values for a plain shape."""
        check_rank(type(self), shape, 2, 5, "(*spatial, in, out)")
        inputs, outputs = shape[-2:]
        if outputs <= inputs:
            matrix = ops.eye(inputs, outputs, dtype=dtype)
        else:
            power = (outputs - 1).bit_length()
            scale = 2.0 ** (-(power - 1) / 2)
            matrix = scale * _hadamard(inputs, outputs, power, dtype)
        return at_centre(matrix, shape[:-2])


def _hadamard(rows, columns, power, dtype):
    """Returns the first rows and columns of Sylvester's matrix of size `2^power`.

    Doubled along the columns first, then only as far down as `rows` needs: O(1) a
    value that is kept.
    """
    matrix = ops.ones((1, 1), dtype)
    height = 1
    for _ in range(power):
        if height < rows:
            upper = ops.concatenate([matrix, matrix], axis=1)
            lower = ops.concatenate([matrix, -matrix], axis=1)
            matrix = ops.concatenate([upper, lower], axis=0)
            height *= 2
        else:
            matrix = ops.concatenate([matrix, matrix], axis=1)
    return matrix[:rows, :columns]
