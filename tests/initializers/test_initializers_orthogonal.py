"""Isometries: norms kept through layers, stacks, gates and circular convolutions."""

import re

import keras
import numpy as np
import pytest
from keras import ops

from keras_initkit import initializers as I


def norm_ratio(layer, shape, seed=0):
    x = np.random.default_rng(seed).normal(size=shape).astype("float32")
    y = ops.convert_to_numpy(layer(x))
    return np.linalg.norm(y) / np.linalg.norm(x)


def convolution(rank, kernel_size, filters, initializer, **arguments):
    cls = getattr(keras.layers, f"Conv{rank}D")
    return cls(
        filters,
        kernel_size,
        padding="same",
        use_bias=False,
        kernel_initializer=initializer,
        **arguments,
    )


@pytest.mark.parametrize("size", [1, 2, 3, 4, 5])
@pytest.mark.parametrize("rank", [1, 2, 3])
def test_delta_orthogonal_is_an_isometry_of_images(rank, size):
    layer = convolution(rank, size, 10, I.DeltaOrthogonal(seed=1))
    ratio = norm_ratio(layer, (2, *[6] * rank, 5))
    np.testing.assert_allclose(ratio, 1.0, rtol=2e-6)


def test_delta_orthogonal_keeps_the_norm_through_200_linear_layers():
    x = np.random.default_rng(0).normal(size=(1, 8, 8, 16)).astype("float32")
    y = x
    for depth in range(200):
        y = convolution(2, 3, 16, I.DeltaOrthogonal(seed=depth))(y)
    # Rounding adds up like a random walk: sqrt(200) * 1e-7 a value, much less here.
    np.testing.assert_allclose(
        np.linalg.norm(ops.convert_to_numpy(y)), np.linalg.norm(x), rtol=1e-5
    )


def test_delta_orthogonal_beside_keras_orthogonal():
    """Keras's flattened kernel is orthogonal, its operator no isometry."""
    keras_ratio = norm_ratio(
        convolution(2, 3, 64, keras.initializers.Orthogonal(seed=1)), (1, 16, 16, 64)
    )
    assert abs(keras_ratio**2 - 1) > 0.03
    ours = norm_ratio(convolution(2, 3, 64, I.DeltaOrthogonal(seed=1)), (1, 16, 16, 64))
    np.testing.assert_allclose(ours, 1.0, rtol=2e-6)


@pytest.mark.parametrize("shape", [(3, 5, 10), (2, 3, 10, 5), (3, 3, 7, 7)])
def test_delta_orthogonal_orthonormal_on_the_smaller_side(shape):
    kernel = ops.convert_to_numpy(I.DeltaOrthogonal(gain=2.0, seed=1)(shape))
    centre = kernel[tuple((k - 1) // 2 for k in shape[:-2])]
    assert np.count_nonzero(kernel) == np.count_nonzero(centre)
    inner = min(shape[-2:])
    gram = centre @ centre.T if shape[-2] <= shape[-1] else centre.T @ centre
    np.testing.assert_allclose(gram, 4 * np.eye(inner), atol=2e-6)


@pytest.mark.parametrize(
    ("rank", "size", "channels"),
    [
        (1, 3, (4, 9)),
        (1, 4, (6, 6)),
        (2, (3, 2), (5, 8)),
        (2, 5, (1, 1)),
        (3, 2, (3, 6)),
    ],
)
def test_convolution_orthogonal_is_an_isometry_of_circular_images(rank, size, channels):
    inputs, outputs = channels
    sizes = size if isinstance(size, tuple) else (size,) * rank
    kernel = ops.convert_to_numpy(
        I.ConvolutionOrthogonal(seed=1)((*sizes, inputs, outputs))
    )
    assert outputs == 1 or all(np.any(kernel[tap]) for tap in np.ndindex(*sizes))
    x = np.random.default_rng(0).normal(size=(*[7] * rank, inputs))
    y = np.zeros((*[7] * rank, outputs))
    for tap in np.ndindex(*sizes):
        y += np.roll(x, tap, axis=tuple(range(rank))) @ kernel[tap]
    np.testing.assert_allclose(np.linalg.norm(y), np.linalg.norm(x), rtol=1e-5)


def test_convolution_orthogonal_refuses_to_shrink():
    message = (
        "ConvolutionOrthogonal: `shape` must have in <= out, since no isometry exists "
        "otherwise; use DeltaOrthogonal. Received: shape=(3, 3, 8, 4)."
    )
    with pytest.raises(ValueError, match=f"^{re.escape(message)}$"):
        I.ConvolutionOrthogonal()((3, 3, 8, 4))


@pytest.mark.parametrize(
    ("cls", "gates", "keras_rms"), [("LSTM", 4, 0.5), ("GRU", 3, 3**-0.5)]
)
def test_gate_orthogonal_makes_each_gate_orthogonal(cls, gates, keras_rms):
    units = 32

    def singular_values(initializer):
        layer = getattr(keras.layers, cls)(units, recurrent_initializer=initializer)
        layer.build((None, None, 5))
        kernel = ops.convert_to_numpy(layer.cell.recurrent_kernel)
        assert kernel.shape == (units, gates * units)
        blocks = np.split(kernel, gates, axis=1)
        return np.array([np.linalg.svd(b, compute_uv=False) for b in blocks])

    keras_values = singular_values(keras.initializers.Orthogonal(seed=1))
    np.testing.assert_allclose(np.sqrt(np.mean(keras_values**2)), keras_rms, rtol=1e-5)
    assert keras_values.min() < 0.1
    assert keras_values.max() > 0.8
    ours = singular_values(I.GateOrthogonal(seed=1))
    np.testing.assert_allclose(ours, 1.0, rtol=1e-5)


@pytest.mark.parametrize("inputs", [4, 6, 9])
def test_gate_orthogonal_blocks_are_orthogonal_on_the_smaller_side(inputs):
    kernel = I.GateOrthogonal(gates=3, gain=2.0, seed=1)((2, inputs, 18))
    blocks = np.split(ops.convert_to_numpy(kernel)[0], 3, axis=-1)
    for block in blocks:
        short = block if inputs <= 6 else block.T
        np.testing.assert_allclose(short @ short.T, 4 * np.eye(len(short)), atol=2e-6)


def test_gate_orthogonal_blocks_differ_and_gates_are_told():
    kernel = ops.convert_to_numpy(I.GateOrthogonal(gates=4, seed=1)((6, 24)))
    blocks = np.split(kernel, 4, axis=1)
    assert not np.allclose(blocks[0], blocks[1])
    message = (
        "GateOrthogonal: `gates` must be given, because the shape does not reveal "
        "them: gates=4 for an LSTM, 3 for a GRU, 1 for a SimpleRNN. Received: "
        "shape=(12, 24)."
    )
    with pytest.raises(ValueError, match=f"^{re.escape(message)}$"):
        I.GateOrthogonal()((12, 24))
    assert I.GateOrthogonal(gates=4)((5, 24)).shape == (5, 24)


def test_deep_linear_orthogonal_net_has_all_singular_values_one():
    """Depth 100, float32 weights, products in float64 (Saxe et al., 2013)."""
    product = np.eye(64)
    for depth in range(100):
        matrix = I.GateOrthogonal(gates=1, seed=depth)((64, 64))
        product = product @ ops.convert_to_numpy(matrix).astype(float)
    values = np.linalg.svd(product, compute_uv=False)
    np.testing.assert_allclose(values, 1.0, atol=1e-5)
    gaussian = np.eye(64)
    for depth in range(100):
        matrix = keras.initializers.VarianceScaling(
            distribution="untruncated_normal", seed=depth
        )((64, 64))
        gaussian = gaussian @ ops.convert_to_numpy(matrix).astype(float)
    spread = np.linalg.svd(gaussian, compute_uv=False)
    assert spread[0] / spread[-1] > 1e10


@pytest.mark.parametrize("rank", [0, 1, 2, 3])
def test_dirac_copies_its_input(rank):
    x = np.random.default_rng(0).normal(size=(2, *[5] * rank, 4)).astype("float32")
    if rank:
        layer = convolution(rank, 3, 4, I.Dirac())
    else:
        layer = keras.layers.Dense(4, kernel_initializer=I.Dirac())
    np.testing.assert_array_equal(ops.convert_to_numpy(layer(x)), x)


def test_dirac_with_groups_copies_each_group():
    x = np.random.default_rng(0).normal(size=(2, 5, 5, 6)).astype("float32")
    layer = convolution(2, 3, 6, I.Dirac(groups=3), groups=3)
    np.testing.assert_allclose(ops.convert_to_numpy(layer(x)), x, rtol=1e-6)


def test_keras_identity_raises_where_dirac_serves():
    with pytest.raises(ValueError, match="2D"):
        keras.initializers.Identity()((3, 3, 4, 4))
    assert I.Dirac()((3, 3, 4, 4)).shape == (3, 3, 4, 4)


def test_recurrent_identity_keeps_state_and_gradient():
    layer = keras.layers.SimpleRNN(
        8, activation="relu", recurrent_initializer=I.RecurrentIdentity()
    )
    layer.build((None, None, 3))
    state = np.random.default_rng(0).uniform(size=(2, 8)).astype("float32")
    silence = np.zeros((2, 50, 3), "float32")
    kept = layer(silence, initial_state=[ops.convert_to_tensor(state)])
    np.testing.assert_array_equal(ops.convert_to_numpy(kept), state)
    kernel = ops.convert_to_numpy(I.RecurrentIdentity(0.5)((4, 12)))
    np.testing.assert_array_equal(kernel, 0.5 * np.tile(np.eye(4), 3))


@pytest.mark.parametrize("shape", [(4, 8), (6, 16), (5, 12), (3, 3, 5, 12)])
def test_zero_breaks_symmetry_with_orthogonal_rows(shape):
    kernel = ops.convert_to_numpy(I.ZerO()(shape))
    matrix = kernel if kernel.ndim == 2 else kernel[1, 1]
    inputs, outputs = shape[-2:]
    assert len(np.unique(np.abs(matrix))) == 1  # c everywhere
    power = (outputs - 1).bit_length()
    np.testing.assert_allclose(abs(matrix[0, 0]), 2 ** (-(power - 1) / 2), rtol=1e-6)
    np.testing.assert_allclose(np.sum(matrix**2, axis=1), 2 * outputs / 2**power, 1e-6)
    if outputs == 2**power:
        np.testing.assert_allclose(matrix @ matrix.T, 2 * np.eye(inputs), atol=1e-6)


def test_zero_is_scipys_hadamard_matrix_and_a_partial_identity_downwards():
    from scipy.linalg import hadamard

    kernel = ops.convert_to_numpy(I.ZerO()((20, 64)))
    np.testing.assert_allclose(kernel * 2**2.5, hadamard(64)[:20], rtol=1e-6)
    np.testing.assert_array_equal(ops.convert_to_numpy(I.ZerO()((8, 5))), np.eye(8, 5))
