"""Gains: the table; closed form, quadrature, Monte-Carlo and Keras agree."""

import math
import re

import keras
import numpy as np
import pytest

from keras_initkit import theory
from keras_initkit.theory import _quadrature
from keras_initkit.theory import activation_functions as activations

# Name or activation; E[phi], E[phi²], gain_fwd, gain_var, E[phi'²], gain_bwd: from a
# trapezoid rule on [-12, 12] with 2.4 million points, whose error is below 1e-6.
TABLE = [
    ("linear", 0, 1, 1, 1, 1, 1),
    ("relu", 0.398942, 0.5, 1.414214, 1.712859, 0.5, 1.414214),
    ("relu6", 0.398942, 0.5, 1.414214, 1.712859, 0.5, 1.414214),
    (0.01, 0.394953, 0.500050, 1.414143, 1.704832, 0.500050, 1.414143),
    ("leaky_relu", 0.319154, 0.52, 1.386750, 1.546460, 0.52, 1.386750),
    (0.3, 0.279260, 0.545, 1.354571, 1.463306, 0.545, 1.354571),
    ("elu", 0.160521, 0.644945, 1.245198, 1.270843, 0.668102, 1.223429),
    ("celu", 0.160521, 0.644945, 1.245198, 1.270843, 0.668102, 1.223429),
    ("selu", 0, 1, 1, 1, 1.071574, 0.966026),
    ("gelu", 0.282095, 0.425221, 1.533530, 1.700926, 0.455851, 1.481114),
    ("gelu_tanh", 0.282039, 0.425194, 1.533581, 1.700917, 0.455818, 1.481168),
    ("silu", 0.206621, 0.355776, 1.676532, 1.787187, 0.379482, 1.623320),
    ("mish", 0.240404, 0.452342, 1.486848, 1.592025, 0.479084, 1.444755),
    ("softplus", 0.806059, 0.921246, 1.041867, 1.919126, 0.293379, 1.846229),
    ("softsign", 0, 0.183014, 2.337533, 2.337533, 0.227671, 2.095781),
    ("tanh", 0, 0.394294, 1.592537, 1.592537, 0.464403, 1.467414),
    ("sigmoid", 0.5, 0.293379, 1.846229, 4.801313, 0.044836, 4.722646),
    ("hard_sigmoid", 0.5, 0.277639, 1.897840, 6.015034, 0.027703, 6.008116),
    ("hard_silu", 0.166217, 0.331567, 1.736657, 1.813871, 0.358532, 1.670076),
    ("hard_tanh", 0, 0.516059, 1.392036, 1.392036, 0.682688, 1.210288),
    ("tanh_shrink", 0, 0.182883, 2.338368, 2.338368, 0.252992, 1.988139),
    ("squareplus", 1.109306, 1.5, 0.816497, 1.926495, 0.289315, 1.859149),
    ("log_sigmoid", -0.806059, 0.921246, 1.041867, 1.919126, 0.293379, 1.846229),
    ("exponential", math.e**0.5, math.e**2, 0.367879, 0.462706, math.e**2, 0.367879),
    ("sin", 0, 0.432332, 1.520867, 1.520867, 0.567668, 1.327251),
]
CLOSED = [n for n in activations.names() if activations.resolve(n).closed_form]


def by_quadrature(phi, variance):
    def mean(function):
        return _quadrature.expectation(function, variance, 0.0, phi.kinks)

    return theory.Moments(
        mean(phi.function),
        mean(lambda x: phi.function(x) ** 2),
        mean(lambda x: phi.derivative(x) ** 2),
    )


def assert_moments_close(actual, expected, rtol, atol=0.0):
    for field in ("mean", "second_moment", "derivative_second_moment"):
        np.testing.assert_allclose(
            getattr(actual, field), getattr(expected, field), rtol, atol, err_msg=field
        )


@pytest.mark.parametrize("row", TABLE, ids=lambda row: str(row[0]))
def test_gains_of_the_table(row):
    name, mean, second, forward, variance, slope, backward = row
    phi = activations.leaky_relu(name) if isinstance(name, float) else name
    found = theory.moments(phi)
    actual = (
        found.mean,
        found.second_moment,
        theory.gain(phi),
        theory.gain(phi, "variance"),
        found.derivative_second_moment,
        theory.gain(phi, "backward"),
    )
    expected = (mean, second, forward, variance, slope, backward)
    np.testing.assert_allclose(actual, expected, rtol=0, atol=1.5e-6)


def test_gains_known_exactly():
    np.testing.assert_allclose(theory.gain("elu") ** 2, 1.5505188080679277, rtol=1e-14)
    selu = theory.moments("selu")
    np.testing.assert_allclose(selu.mean, 0.0, atol=1e-15)
    np.testing.assert_allclose(selu.second_moment, 1.0, rtol=1e-15)


@pytest.mark.parametrize("variance", [0.01, 1.0, 4.0])
@pytest.mark.parametrize("name", CLOSED)
def test_closed_form_agrees_with_quadrature(name, variance):
    phi = activations.resolve(name)
    closed = theory.moments(name, variance)
    assert_moments_close(closed, by_quadrature(phi, variance), rtol=1e-11, atol=1e-14)


@pytest.mark.parametrize("name", ["tanh", "sigmoid", "mish", "silu", "gelu"])
def test_quadrature_agrees_with_gauss_hermite_where_smooth(name):
    phi = activations.resolve(name)
    exact = _quadrature.expectation(lambda x: phi.function(x) ** 2)
    hermite = _quadrature.gauss_hermite(lambda x: phi.function(x) ** 2)
    np.testing.assert_allclose(exact, hermite, rtol=1e-9)


@pytest.mark.parametrize("name", activations.names())
def test_moments_agree_with_monte_carlo(name):
    phi = activations.resolve(name)
    x = np.random.default_rng(0).normal(size=400_000)
    found = theory.moments(name)
    for values, expected in (
        (phi.function(x), found.mean),
        (phi.function(x) ** 2, found.second_moment),
        (phi.derivative(x) ** 2, found.derivative_second_moment),
    ):
        error = 5 * values.std() / math.sqrt(x.size) + 1e-12
        np.testing.assert_allclose(values.mean(), expected, rtol=0, atol=error)


@pytest.mark.parametrize("name", activations.names())
def test_callable_finds_kinks_and_slope_by_itself(name):
    phi = activations.resolve(name)
    found = theory.moments(lambda x: phi.function(x))
    # A jump of the second derivative (softsign) is no kink to the finder: 2e-7.
    assert_moments_close(found, by_quadrature(phi, 1.0), 1e-6, 1e-12)


@pytest.mark.parametrize("name", activations.names())
def test_table_computes_what_keras_computes(name):
    if name in ("sin", "erf"):
        function = getattr(keras.ops, name)
    elif name == "gelu_tanh":
        function = lambda x: keras.activations.gelu(x, approximate=True)  # noqa: E731
    else:
        function = getattr(keras.activations, name)
    x = np.linspace(-7, 7, 200)
    ours = activations.resolve(name).function(x)
    np.testing.assert_allclose(ours, np.asarray(function(x)), rtol=1e-6, atol=1e-12)


def test_table_has_every_elementwise_activation_of_keras():
    apart = {"deserialize", "get", "serialize", "threshold"}
    mixing = set(activations.NOT_ELEMENTWISE)
    public = {n for n, f in vars(keras.activations).items() if callable(f)}
    assert public - apart - mixing - set(activations.names()) == set()


def test_relu_with_all_parameters_is_keras_relu():
    x = np.linspace(-3, 9, 100)
    phi = activations.relu(negative_slope=0.1, max_value=6.0, threshold=0.5)
    expected = keras.activations.relu(x, 0.1, 6.0, 0.5)
    np.testing.assert_allclose(phi.function(x), np.asarray(expected), atol=1e-6)


def test_moments_at_variance_zero_are_the_limit():
    assert theory.moments("relu", 0.0).derivative_second_moment == 0.5
    assert theory.moments("tanh", 0.0) == theory.Moments(0.0, 0.0, 1.0)
    tiny = theory.moments("selu", 1e-12)
    assert_moments_close(theory.moments("selu", 0.0), tiny, rtol=1e-5, atol=1e-6)


def test_moments_with_a_mean():
    found = theory.moments("relu", 4.0, mean=-1.0)
    density = math.exp(-1 / 8) / math.sqrt(2 * math.pi)
    above = 0.5 * math.erfc(0.5 / math.sqrt(2))
    np.testing.assert_allclose(found.mean, 2 * density - above, rtol=1e-12)
    np.testing.assert_allclose(found.derivative_second_moment, above, rtol=1e-12)


@pytest.mark.parametrize(
    ("name", "expected"),
    [("tanh", 5 / 3), ("selu", 0.75), ("sigmoid", 1.0), ("relu", math.sqrt(2))],
)
def test_torch_convention(name, expected):
    assert theory.gain(name, "torch") == expected


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (
            ("softmax",),
            "`activation` must be elementwise. Received: activation='softmax', which "
            "mixes the values of an axis.",
        ),
        (
            ("tahn",),
            f"`activation` must be known. Use one of {activations.names()}, or a "
            "function. Received: activation='tahn'.",
        ),
        (
            ("tanh", "both"),
            "`convention` must be known. Use one of ('backward', 'forward', 'torch', "
            "'variance'). Received: convention='both'.",
        ),
        (
            ("gelu", "torch"),
            "`convention='torch'` states a gain for ('leaky_relu', 'linear', 'relu', "
            "'selu', 'sigmoid', 'tanh') only; use 'forward'. Received: "
            "activation='gelu'.",
        ),
        (
            ("relu", "forward", 0.0),
            "`variance` must be positive. Received: variance=0.0.",
        ),
        (
            (activations.relu(threshold=50.0),),
            "`activation` must let a signal through. Received: 'relu', whose moment "
            "for the 'forward' gain is 0.0.",
        ),
        (
            (3,),
            "`activation` must be a name, an Activation or a function. Received: "
            "activation=3.",
        ),
    ],
)
def test_gain_rejects(arguments, message):
    with pytest.raises(ValueError, match=f"^{re.escape(message)}$"):
        theory.gain(*arguments)
