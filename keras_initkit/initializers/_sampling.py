"""Draws of a given variance, and random orthogonal matrices."""

import keras
import numpy as np
from keras import ops

from keras_initkit.initializers._base import working_dtype

# Standard deviation of N(0, 1) cut at +-2.
TRUNCATED_STD = 0.87962566103423978
DISTRIBUTIONS = ("truncated_normal", "uniform", "untruncated_normal")


def sample(shape, variance, distribution, seed, dtype):
    """Draws independent values of mean 0 and the given variance.

    Args:
        shape: Tuple of integers.
        variance: Non-negative float.
        distribution: `"truncated_normal"` (cut at two standard deviations of the
            normal it is cut from), `"untruncated_normal"` or `"uniform"`.
        seed: Integer or `keras.random.SeedGenerator`.
        dtype: Name of a float dtype.

    Returns:
        Tensor.
    """
    std = variance**0.5
    if distribution == "uniform":
        limit = 3**0.5 * std
        return keras.random.uniform(shape, -limit, limit, dtype=dtype, seed=seed)
    if distribution == "untruncated_normal":
        return keras.random.normal(shape, 0.0, std, dtype=dtype, seed=seed)
    return keras.random.truncated_normal(
        shape, 0.0, std / TRUNCATED_STD, dtype=dtype, seed=seed
    )


def orthogonal_columns(rows, columns, seed, dtype, batch=(), gain=1.0):
    """Draws matrices of orthogonal columns from the Haar measure.

    The Q of a Gaussian matrix, its columns multiplied by the signs of R's diagonal
    ([Mezzadri, 2007](https://arxiv.org/abs/math-ph/0609050)). Small matrices cost what
    their eager operations cost; there are as few as can be.

    Args:
        rows: Positive integer.
        columns: Positive integer, at most `rows`.
        seed: Integer or `keras.random.SeedGenerator`.
        dtype: Name of a float dtype; the factorisation runs in float32 or float64.
        batch: Shape of a batch of independent matrices.
        gain: Positive length of the columns.

    Returns:
        Tensor `(*batch, rows, columns)`.
    """
    precise = working_dtype(dtype)
    normal = keras.random.normal((*batch, rows, columns), dtype=precise, seed=seed)
    q, r = ops.qr(normal)
    scales = ops.sign(ops.diagonal(r, axis1=-2, axis2=-1))
    if gain != 1:
        scales = gain * scales
    if batch:
        scales = ops.expand_dims(scales, -2)
    matrices = q * scales
    return matrices if dtype == precise else ops.cast(matrices, dtype)


def orthogonal(inputs, outputs, seed, dtype, gain=1.0, batch=()):
    """Draws `gain` times semi-orthogonal matrices `(*batch, inputs, outputs)`.

    Orthogonal columns if `inputs >= outputs`, else orthogonal rows, as
    `orthogonal_columns` draws them.
    """
    if inputs >= outputs:
        return orthogonal_columns(inputs, outputs, seed, dtype, batch, gain)
    columns = orthogonal_columns(outputs, inputs, seed, dtype, batch, gain)
    return ops.swapaxes(columns, -1, -2)


def at_centre(matrix, spatial):
    """Places a matrix `(in, out)` at the centre tap of a zero kernel.

    The centre of `k` taps is `(k - 1) // 2`: the tap that lies on the pixel itself
    under `padding="same"` at stride 1, for even sizes too.

    Args:
        matrix: Tensor `(*batch, in, out)`.
        spatial: Tuple of kernel sizes.

    Returns:
        Tensor `(*batch, *spatial, in, out)`.
    """
    if not spatial:
        return matrix
    *batch, inputs, outputs = matrix.shape
    if batch:
        matrix = ops.reshape(matrix, (*batch, *[1] * len(spatial), inputs, outputs))
    centre = np.zeros((*spatial, 1, 1), "float32")
    # Slices, not indices: where there is no tap, there is no centre.
    centre[tuple(slice((k - 1) // 2, (k + 1) // 2) for k in spatial)] = 1
    # A product: `ops.where` costs nearly twice as much for small kernels.
    return matrix * ops.convert_to_tensor(centre, matrix.dtype)
