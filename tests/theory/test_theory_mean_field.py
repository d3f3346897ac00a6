"""Fixed points, depth scales and the critical line, against published numbers."""

import math

import numpy as np
import pytest

from keras_initkit import theory
from keras_initkit.theory import _quadrature
from keras_initkit.theory import activation_functions as activations

CRITICAL_TANH = [
    (1e-5, 0.020338, 1.039521),
    (2.01e-5, 0.025919, 1.049996),
    (1e-4, 0.045709, 1.086026),
    (1e-3, 0.107292, 1.189190),
    (0.01, 0.273301, 1.424205),
    (0.05, 0.570048, 1.760955),
    (0.1, 0.805799, 1.986073),
    (0.2, 1.164496, 2.285152),
    (0.3, 1.461169, 2.505127),
    (0.5, 1.971031, 2.843167),
]
# sigma_w², sigma_b², q*, chi_1, xi_q, c*, xi_c as printed (so half a last digit).
SCALES_TANH = [
    (0.5, 0.05, 0.08758, 0.43199, 1.009, 1, 1.191),
    (1.0, 0.05, 0.19359, 0.75903, 1.748, 1, 3.627),
    (1.3, 0.05, 0.31532, 0.88016, 1.785, 1, 7.834),
    (1.5, 0.05, 0.41804, 0.93864, 1.683, 1, 15.79),
    (1.7, 0.05, 0.53308, 0.98674, 1.558, 1, 74.9),
    (1.9, 0.05, 0.65711, 1.02845, 1.441, 0.83820, 39.4),
    (2.5, 0.05, 1.06396, 1.13352, 1.180, 0.44680, 11.8),
    (4.0, 0.05, 2.19549, 1.34240, 0.873, 0.16506, 6.98),
    (2.5, 0.3, 1.45772, 0.99893, 0.859, 1, 933),
    (0.9, 1e-6, 1e-5, 0.89998, 9.49, 1, 9.49),
]


def assert_as_printed(actual, printed):
    """Compares to half a unit of the last digit that `printed` shows."""
    text = repr(printed)
    digits = len(text.split(".")[1]) if "." in text else 0
    np.testing.assert_allclose(actual, printed, rtol=0, atol=0.51 * 10.0**-digits)


@pytest.mark.parametrize(("bias", "q", "weight"), CRITICAL_TANH)
def test_critical_line_of_tanh(bias, q, weight):
    point = theory.critical_point("tanh", math.sqrt(bias))
    np.testing.assert_allclose(point.q_star, q, rtol=0, atol=5.1e-7)
    np.testing.assert_allclose(point.sigma_w**2, weight, rtol=0, atol=5.1e-7)
    chi = theory.chi_1("tanh", point.sigma_w, point.sigma_b)
    np.testing.assert_allclose(chi, 1.0, rtol=1e-9)


@pytest.mark.parametrize("row", SCALES_TANH, ids=lambda row: f"{row[0]}-{row[1]}")
def test_depth_scales_of_tanh(row):
    sigma_w, sigma_b = math.sqrt(row[0]), math.sqrt(row[1])
    found = theory.depth_scale("tanh", sigma_w, sigma_b)
    actual = (found.q_star, found.chi_1, found.xi_q, found.c_star, found.xi_c)
    for value, printed in zip(actual, row[2:], strict=True):
        assert_as_printed(value, printed)
    assert found.phase == ("ordered" if found.chi_1 < 1 else "chaotic")
    assert found.trainable_depth == 6 * found.xi_c
    assert found.c_star == theory.c_star("tanh", sigma_w, sigma_b)


def test_correlation_map_of_relu():
    printed = {
        1: 0.318310,
        2: 0.493731,
        5: 0.735946,
        10: 0.871536,
        20: 0.948428,
        50: 0.987862,
        100: 0.996423,
        1000: 0.999957,
    }
    c = 0.0
    for layer in range(1, 1001):
        c = theory.correlation_map(c, "relu", math.sqrt(2))
        if layer in printed:
            np.testing.assert_allclose(c, printed[layer], rtol=0, atol=5.1e-7)
    # 1 - c ~ 9 pi² / (2 l²), with corrections of order log(l) / l.
    np.testing.assert_allclose(1 - c, 9 * math.pi**2 / (2 * 1000**2), rtol=0.05)


@pytest.mark.parametrize("c", [-1.0, -0.5, 0.0, 0.3, 0.9, 0.9999, 1.0])
def test_correlation_map_quadrature_agrees_with_closed_forms(c):
    relu = activations.resolve("relu")
    pair = _quadrature.expectation_pair(relu.function, 1.0, c, relu.kinks)
    closed = theory.correlation_map(c, "relu", math.sqrt(2)) / 2
    np.testing.assert_allclose(pair, closed, atol=1e-12)
    # erf: Williams 1997, E[erf(u) erf(v)] = (2/pi) asin(2 q c / (1 + 2 q)).
    erf = activations.resolve("erf")
    pair = _quadrature.expectation_pair(erf.function, 2.0, c, ())
    np.testing.assert_allclose(pair, 2 / math.pi * math.asin(4 * c / 5), atol=1e-12)
    sine = activations.resolve("sin")
    pair = _quadrature.expectation_pair(sine.function, 1.5, c, ())
    np.testing.assert_allclose(pair, math.exp(-1.5) * math.sinh(1.5 * c), atol=1e-12)


def test_correlation_map_slope_at_one_is_chi_1():
    sigma_w, sigma_b = math.sqrt(1.7), math.sqrt(0.05)
    step = 1e-5
    slope = (
        1 - theory.correlation_map(1 - step, "tanh", sigma_w, sigma_b)
    ) / step  # the map is 1 at 1
    chi = theory.chi_1("tanh", sigma_w, sigma_b)
    np.testing.assert_allclose(slope, chi, rtol=1e-4)


@pytest.mark.parametrize(
    ("name", "sigma_w", "sigma_b", "expected"),
    [
        ("relu", math.sqrt(2), 0.0, 1.0),  # every q is fixed: the start
        ("relu", 1.0, 0.0, 0.0),
        ("relu", 1.0, 1.0, 2.0),
        ("relu", 2.0, 0.0, math.inf),
        ("tanh", 0.9, 0.0, 0.0),
        ("linear", 1.0, 0.1, math.inf),
        ("exponential", 2.0, 1.0, math.inf),
    ],
)
def test_q_star_dies_stays_or_explodes(name, sigma_w, sigma_b, expected):
    np.testing.assert_allclose(theory.q_star(name, sigma_w, sigma_b), expected)


def test_depth_scale_names_the_phase():
    relu = theory.depth_scale("relu", math.sqrt(2))
    assert (relu.phase, relu.c_star, relu.xi_c) == ("critical", 1.0, math.inf)
    dead = theory.depth_scale("relu", 1.0)
    assert (dead.phase, dead.q_star, dead.chi_1) == ("undefined", 0.0, 0.5)
    assert math.isnan(theory.c_star("relu", 1.0))
    assert math.isnan(theory.correlation_map(0.5, "relu", 2.0))


def test_signals_start_from_a_positive_size():
    with pytest.raises(
        ValueError, match=r"^`start` must be positive\. Received: start=0"
    ):
        theory.q_star("tanh", 1.0, start=0)


def test_critical_point_limits():
    assert theory.critical_point("relu").sigma_w == pytest.approx(math.sqrt(2))
    assert theory.critical_point("tanh") == theory.CriticalPoint(1.0, 0.0, 0.0)
    assert theory.critical_point("softsign").sigma_w == 1.0
    selu = theory.critical_point("selu")
    slopes = activations.SELU_SCALE**2 * (1 + activations.SELU_ALPHA**2) / 2
    assert selu.sigma_w == pytest.approx(1 / math.sqrt(slopes))
    with pytest.raises(ValueError, match=r"critical point of 'relu'; there is none"):
        theory.critical_point("relu", 0.2)


def test_phase_diagram_has_one_row_a_pair():
    rows = theory.phase_diagram("tanh", [1.0, 2.0], [0.1, 0.2])
    assert [(r["sigma_w"], r["sigma_b"]) for r in rows] == [
        (1.0, 0.1),
        (2.0, 0.1),
        (1.0, 0.2),
        (2.0, 0.2),
    ]
    assert [r["phase"] for r in rows] == ["ordered", "chaotic"] * 2


@pytest.mark.parametrize("width", [150, 600])
@pytest.mark.parametrize(("name", "sigma_w2"), [("tanh", 1.7), ("tanh", 2.5)])
def test_maps_agree_with_a_finite_network(name, sigma_w2, width):
    """Eight layers, 10 draws; errors of the mean shrink like 1 / sqrt(width)."""
    sigma_w, sigma_b, start = math.sqrt(sigma_w2), math.sqrt(0.05), 0.3
    rng = np.random.default_rng(width)
    q, c = 1.0, start
    x = rng.normal(size=(10, width, 2)) @ np.linalg.cholesky([[1, c], [c, 1]]).T
    phi = activations.resolve(name).function
    for _ in range(8):
        weights = rng.normal(size=(10, width, width)) * sigma_w / math.sqrt(width)
        x = weights @ phi(x) + sigma_b * rng.normal(size=(10, width, 1))
        c = theory.correlation_map(c, name, sigma_w, sigma_b, q)
        q = theory.variance_map(q, name, sigma_w, sigma_b)
        products = (x[..., 0] * x[..., 1]).mean(axis=1)
        squares = (x**2).mean(axis=(1, 2))
        for measured, expected in ((squares, q), (products, q * c)):
            error = measured.std(ddof=1) / math.sqrt(10)
            # Student's t with 9 degrees: 7.5 errors is as rare as 5 of a normal;
            # 2 / width is the bias of a finite width.
            slack = 7.5 * error + 2 / width * q
            np.testing.assert_allclose(measured.mean(), expected, rtol=0, atol=slack)
