"""Jacobian spectra: Fuss-Catalan numbers, the variance formula, finite products."""

import math
import re

import numpy as np
import pytest

from keras_initkit import theory


@pytest.mark.parametrize(
    ("depth", "third"), [(1, 5), (2, 12), (5, 51), (10, 176)], ids=str
)
def test_linear_gaussian_moments_are_fuss_catalan(depth, third):
    spectrum = theory.jacobian_spectrum("linear", depth, order=5)
    expected = [theory.fuss_catalan(k, depth) for k in range(1, 6)]
    assert expected[:3] == [1, depth + 1, third]
    np.testing.assert_allclose(spectrum.moments, expected, rtol=1e-12)


@pytest.mark.parametrize(
    ("name", "weights", "per_layer"),
    [
        ("linear", "gaussian", 1.0),
        ("linear", "orthogonal", 0.0),
        ("relu", "gaussian", 2.0),
        ("relu", "orthogonal", 1.0),
    ],
)
def test_relative_variance_grows_linearly_with_depth(name, weights, per_layer):
    sigma_w = theory.gain(name, "backward")
    for depth in (1, 8, 50):
        spectrum = theory.jacobian_spectrum(name, depth, sigma_w, weights=weights)
        np.testing.assert_allclose(spectrum.mean, 1.0, rtol=1e-12)
        np.testing.assert_allclose(
            spectrum.relative_variance, per_layer * depth, atol=1e-9
        )


def test_tanh_orthogonal_becomes_isometric_near_zero_as_relu_cannot():
    for bias, bound in ((2.01e-5, 1.0), (1e-8, 0.01)):  # ReLU: 200
        point = theory.critical_point("tanh", math.sqrt(bias))
        spectrum = theory.jacobian_spectrum(
            "tanh", 200, point.sigma_w, point.q_star, "orthogonal"
        )
        np.testing.assert_allclose(spectrum.mean, 1.0, rtol=1e-9)
        assert spectrum.relative_variance < bound


@pytest.mark.parametrize(
    ("weights", "width"),
    [
        ("gaussian", 100),
        ("gaussian", 250),
        ("orthogonal", 100),
        pytest.param("orthogonal", 250, marks=pytest.mark.slow),
    ],
)
def test_spectrum_agrees_with_finite_matrices(weights, width):
    """ReLU as random masks, depth 4; the finite-width bias is O(depth² / width)."""
    rng, depth, draws = np.random.default_rng(1), 4, 12
    found = []
    for _ in range(draws):
        jacobian = np.eye(width)
        for _ in range(depth):
            matrix = rng.normal(size=(width, width))
            if weights == "orthogonal":
                matrix = np.linalg.qr(matrix)[0] * math.sqrt(2)
            else:
                matrix *= math.sqrt(2 / width)
            jacobian = (rng.random(width) < 0.5)[:, None] * (matrix @ jacobian)
        eigenvalues = np.linalg.svd(jacobian, compute_uv=False) ** 2
        found.append([np.mean(eigenvalues**k) for k in (1, 2)])
    expected = theory.jacobian_spectrum("relu", depth, 2**0.5, weights=weights).moments
    mean, error = np.mean(found, 0), np.std(found, 0, ddof=1) / math.sqrt(draws)
    slack = 7 * error + depth**2 / width * np.array(expected[:2])
    assert np.all(np.abs(mean - expected[:2]) < slack), (mean, expected, slack)


@pytest.mark.parametrize("depth", [1, 2, 8])
def test_largest_singular_value_of_a_gaussian_product(depth):
    width = 500
    rng = np.random.default_rng(depth)
    product = np.eye(width)
    for _ in range(depth):
        product = rng.normal(size=(width, width)) / math.sqrt(width) @ product
    largest = np.linalg.norm(product, 2)
    # Fluctuations at the edge are of relative order width^(-2/3) = 0.016.
    np.testing.assert_allclose(
        largest, theory.largest_singular_value(depth), rtol=5 * width ** (-2 / 3)
    )


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"depth": 0}, "`depth` must be positive. Received: depth=0."),
        ({"order": 1}, "`order` must be at least 2. Received: order=1."),
        ({"q": 0.0}, "`q` must be positive. Received: q=0.0."),
        (
            {"activation": lambda x: 0 * x},
            "`activation` must let gradients through. Received: '<lambda>', whose "
            "slope is 0 at q=1.0.",
        ),
        (
            {"weights": "uniform"},
            "`weights` must be known. Use one of ('gaussian', 'orthogonal'). "
            "Received: weights='uniform'.",
        ),
    ],
)
def test_jacobian_spectrum_rejects(arguments, message):
    with pytest.raises(ValueError, match=f"^{re.escape(message)}$"):
        theory.jacobian_spectrum(**{"activation": "tanh", "depth": 2, **arguments})


def test_largest_singular_value_needs_a_layer():
    message = "`depth` must be positive. Received: depth=0."
    with pytest.raises(ValueError, match=f"^{re.escape(message)}$"):
        theory.largest_singular_value(0)
