"""Every elementwise activation of Keras, for theory: value, slope, kinks."""

import dataclasses
import math
from collections.abc import Callable

import numpy as np
from scipy.optimize import brentq
from scipy.special import erf, expit, ndtr

from keras_initkit.theory import _closed_forms as closed
from keras_initkit.theory._closed_forms import ClosedForm
from keras_initkit.theory._quadrature import (
    Array,
    Function,
    find_kinks,
    numeric_derivative,
)


@dataclasses.dataclass(frozen=True)
class Activation:
    """An elementwise function with what integrals over it need.

    Attributes:
        name: Keras's name, or that of a callable.
        function: Value, on float64 arrays.
        derivative: Slope almost everywhere, as back-propagation has it.
        kinks: Points where the function or its slope jumps.
        closed_form: Moments as a function of the pre-activation variance, or
            `None` if quadrature is required.
    """

    name: str
    function: Function
    derivative: Function
    kinks: tuple[float, ...] = ()
    closed_form: ClosedForm | None = None


ActivationLike = str | Activation | Callable[[Array], Array]

# Klambauer et al. 2017 (https://arxiv.org/abs/1706.02515): the fixed point of mean 0
# and variance 1 determines both.
SELU_SCALE = 1.0507009873554804934
SELU_ALPHA = 1.6732632423543772848


def resolve(activation: ActivationLike) -> Activation:
    """Returns the `Activation` for a Keras name, an `Activation` or a callable.

    Args:
        activation: A name from `names()`; an `Activation`; or any elementwise function
            of a float64 array, whose kinks and slope are then found numerically.

    Returns:
        `Activation`.

    Raises:
        ValueError: If the name is unknown, or names a function that is not
            elementwise (softmax, glu...), which has no gain of its own.
    """
    if isinstance(activation, Activation):
        return activation
    if isinstance(activation, str):
        if activation in NOT_ELEMENTWISE:
            raise ValueError(
                "`activation` must be elementwise. Received: "
                f"activation={activation!r}, which mixes the values of an axis."
            )
        if activation not in _TABLE:
            raise ValueError(
                f"`activation` must be known. Use one of {names()}, or a function. "
                f"Received: activation={activation!r}."
            )
        return _TABLE[activation]
    if not callable(activation):
        raise ValueError(
            "`activation` must be a name, an Activation or a function. "
            f"Received: activation={activation!r}."
        )
    kinks = find_kinks(activation)
    name = getattr(activation, "__name__", type(activation).__name__)
    slope = numeric_derivative(activation, kinks)
    return Activation(name, activation, slope, kinks)


def names() -> tuple[str, ...]:
    """Returns the names of the activations in the table, sorted."""
    return tuple(sorted(_TABLE))


# A share of the largest slope that is too small to learn by.
SATURATED_SLOPE = 0.05


def saturation(activation: ActivationLike) -> float | None:
    """Returns the magnitude above which a squashing activation is saturated.

    There its slope is below 5 % of its maximum, which is at 0.

    Args:
        activation: As `resolve` takes it.

    Returns:
        The magnitude, or `None` for a function that does not level off on both sides.

    Example:
    >>> round(saturation("tanh"), 3), saturation("relu")
    (2.178, None)
    """
    slope = resolve(activation).derivative
    end = 50.0
    grid = np.linspace(-end, end, 2001)
    slopes = np.abs(slope(grid))
    limit = SATURATED_SLOPE * abs(float(slope(np.array(0.0))))
    beyond = grid[slopes >= limit]
    if slopes.max() * SATURATED_SLOPE > limit or abs(beyond).max() >= end:
        return None
    low, high = (
        abs(brentq(lambda z: abs(float(slope(np.array(z)))) - limit, 0.0, sign * end))
        for sign in (-1, 1)
    )
    return max(low, high)


def leaky_relu(negative_slope: float) -> Activation:
    """Returns leaky ReLU with the given slope below 0 (Keras: 0.2; torch: 0.01)."""
    return _polynomial("leaky_relu", (0.0,), ((0, negative_slope), (0, 1)))


def elu(alpha: float) -> Activation:
    """Returns ELU with the given `alpha`."""
    return _exponential_linear("elu", 1.0, alpha, 1.0)


def relu(
    negative_slope: float = 0.0,
    max_value: float | None = None,
    threshold: float = 0.0,
) -> Activation:
    """Returns Keras's general ReLU.

    `x` from `threshold` on, at most `max_value`;
    `negative_slope * (x - threshold)` below `threshold`.
    """
    below = (-negative_slope * threshold, negative_slope)
    if max_value is None:
        return _polynomial("relu", (threshold,), (below, (0, 1)))
    return _polynomial("relu", (threshold, max_value), (below, (0, 1), (max_value,)))


def _polynomial(
    name: str, breaks: tuple[float, ...], pieces: tuple[tuple[float, ...], ...]
) -> Activation:
    function = closed.piecewise(breaks, pieces)
    return Activation(name, function, function.derivative(), breaks, function.moments)


def _exponential_linear(
    name: str, scale: float, alpha: float, rate: float
) -> Activation:
    def function(x: Array) -> Array:
        low = alpha * np.expm1(rate * np.minimum(x, 0))
        return scale * np.where(x > 0, x, low)

    def derivative(x: Array) -> Array:
        low = alpha * rate * np.exp(rate * np.minimum(x, 0))
        return scale * np.where(x > 0, 1.0, low)

    form = closed.exponential_linear(scale, alpha, rate)
    return Activation(name, function, derivative, (0.0,), form)


def _normal_density(x: Array) -> Array:
    return np.exp(-(x**2) / 2) / math.sqrt(2 * math.pi)


def _softplus(x: Array) -> Array:
    return np.logaddexp(0.0, x)


def _sigmoid_slope(x: Array) -> Array:
    return expit(x) * expit(-x)


def _tanh_slope(x: Array) -> Array:
    return 1 / np.cosh(np.clip(x, -350, 350)) ** 2


def _mish_slope(x: Array) -> Array:
    inner = np.tanh(_softplus(x))
    return inner + x * (1 - inner**2) * expit(x)


# The tanh form of GELU (Hendrycks & Gimpel 2016, https://arxiv.org/abs/1606.08415).
_GELU_RATE = math.sqrt(2 / math.pi)
_GELU_CUBIC = 0.044715


def _gelu_tanh(x: Array) -> Array:
    return 0.5 * x * (1 + np.tanh(_GELU_RATE * (x + _GELU_CUBIC * x**3)))


def _gelu_tanh_slope(x: Array) -> Array:
    t = np.tanh(_GELU_RATE * (x + _GELU_CUBIC * x**3))
    return 0.5 * (1 + t) + 0.5 * x * (1 - t**2) * _GELU_RATE * (
        1 + 3 * _GELU_CUBIC * x**2
    )


NOT_ELEMENTWISE = ("glu", "log_softmax", "softmax", "sparsemax")

_ROWS = (
    _polynomial("linear", (), ((0, 1),)),
    _polynomial("relu", (0.0,), ((0,), (0, 1))),
    _polynomial("relu6", (0.0, 6.0), ((0,), (0, 1), (6,))),
    leaky_relu(0.2),
    elu(1.0),
    _exponential_linear("celu", 1.0, 1.0, 1.0),
    _exponential_linear("selu", SELU_SCALE, SELU_ALPHA, 1.0),
    _polynomial("hard_tanh", (-1.0, 1.0), ((-1,), (0, 1), (1,))),
    _polynomial("hard_sigmoid", (-3.0, 3.0), ((0,), (1 / 2, 1 / 6), (1,))),
    _polynomial("hard_silu", (-3.0, 3.0), ((0,), (0, 1 / 2, 1 / 6), (0, 1))),
    _polynomial("hard_shrink", (-0.5, 0.5), ((0, 1), (0,), (0, 1))),
    _polynomial("soft_shrink", (-0.5, 0.5), ((0.5, 1), (0,), (-0.5, 1))),
    _polynomial("sparse_plus", (-1.0, 1.0), ((0,), (1 / 4, 1 / 2, 1 / 4), (0, 1))),
    _polynomial("sparse_sigmoid", (-1.0, 1.0), ((0,), (1 / 2, 1 / 2), (1,))),
    Activation(
        "gelu",
        lambda x: x * ndtr(x),
        lambda x: ndtr(x) + x * _normal_density(x),
        closed_form=closed.gelu,
    ),
    Activation("gelu_tanh", _gelu_tanh, _gelu_tanh_slope),
    Activation(
        "silu",
        lambda x: x * expit(x),
        lambda x: expit(x) + x * _sigmoid_slope(x),
    ),
    Activation("mish", lambda x: x * np.tanh(_softplus(x)), _mish_slope),
    Activation("softplus", _softplus, expit),
    Activation("log_sigmoid", lambda x: -_softplus(-x), lambda x: expit(-x)),
    Activation(
        "softsign",
        lambda x: x / (1 + np.abs(x)),
        lambda x: 1 / (1 + np.abs(x)) ** 2,
        (0.0,),
    ),
    Activation("tanh", np.tanh, _tanh_slope),
    Activation("tanh_shrink", lambda x: x - np.tanh(x), lambda x: np.tanh(x) ** 2),
    Activation("sigmoid", expit, _sigmoid_slope),
    Activation(
        "squareplus",
        lambda x: (x + np.sqrt(x**2 + 4)) / 2,
        lambda x: (1 + x / np.sqrt(x**2 + 4)) / 2,
    ),
    Activation("exponential", np.exp, np.exp, closed_form=closed.exponential),
    Activation("sin", np.sin, np.cos, closed_form=closed.sine),
    Activation(
        "erf",
        erf,
        lambda x: 2 / math.sqrt(math.pi) * np.exp(-(x**2)),
    ),
)
_TABLE = {row.name: row for row in _ROWS}
_TABLE["swish"] = _TABLE["silu"]
_TABLE["hard_swish"] = _TABLE["hard_silu"]
