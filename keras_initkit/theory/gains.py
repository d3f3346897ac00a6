"""Gains: the factor on 1/sqrt(fan) that preserves a signal through an activation."""

import math

import numpy as np

from keras_initkit.theory._closed_forms import Moments
from keras_initkit.theory._quadrature import expectation
from keras_initkit.theory.activation_functions import (
    Activation,
    ActivationLike,
    resolve,
)

# torch.nn.init.calculate_gain: what torch states, for whoever ports a model.
TORCH_GAINS = {
    "linear": 1.0,
    "sigmoid": 1.0,
    "tanh": 5 / 3,
    "relu": math.sqrt(2),
    "leaky_relu": math.sqrt(2 / (1 + 0.01**2)),
    "selu": 3 / 4,
}
CONVENTIONS = ("backward", "forward", "torch", "variance")


def moments(
    activation: ActivationLike, variance: float = 1.0, mean: float = 0.0
) -> Moments:
    """Computes the moments of an activation of a Gaussian pre-activation.

    Uses a closed form if there is one (piecewise polynomials, the ELU family, GELU,
    sin, exp; `mean` 0), else quadrature split at the kinks.

    Args:
        activation: Keras name, `Activation`, or elementwise function on arrays.
        variance: Non-negative variance of the pre-activation; 0 gives the limit.
        mean: Its mean.

    Returns:
        `Moments(mean, second_moment, derivative_second_moment)`.

    Raises:
        ValueError: If `variance` is negative or the activation unknown.

    Example:
    >>> round(moments("gelu").second_moment, 6)
    0.425221
    """
    if not variance >= 0:
        raise ValueError(
            f"`variance` must not be negative. Received: variance={variance!r}."
        )
    phi = resolve(activation)
    if phi.closed_form is not None and mean == 0:
        return phi.closed_form(variance)

    def mean_of(function: object, power: int) -> float:
        return expectation(
            lambda x: function(x) ** power,  # type: ignore[operator]
            variance,
            mean,
            phi.kinks,
        )

    return Moments(
        mean_of(phi.function, 1), mean_of(phi.function, 2), mean_of(phi.derivative, 2)
    )


def _slope_below_zero(phi: Activation) -> float:
    return float(phi.derivative(np.array([-1.0]))[0])


def gain(
    activation: ActivationLike, convention: str = "forward", variance: float = 1.0
) -> float:
    """Computes the gain of an activation.

    With `Var(w) = gain² / fan` and a pre-activation `x ~ N(0, variance)`:

    - `"forward"`: `sqrt(variance / E[phi²])` preserves the second moment of the
      pre-activations through layers, fan = `fan_in` (He's √2 for ReLU).
    - `"backward"`: `1 / sqrt(E[phi'²])` preserves that of the gradients, fan =
      `fan_out`.
    - `"variance"`: `sqrt(variance / Var[phi])` preserves the variance, for networks
      that centre their activations (weight standardisation, NF-nets).
    - `"torch"`: the values of `torch.nn.init.calculate_gain`, which uses 5/3 instead of
      1.592537 for tanh, and 3/4 instead of 1 for selu; other activations raise. Leaky
      ReLU has torch's slope 0.01 if given by name, its own as an `Activation`.

    Args:
        activation: Keras name, `Activation`, or elementwise function on arrays.
        convention: One of the four above.
        variance: Positive pre-activation variance. Only for homogeneous activations
            (ReLU and its variants) is the gain independent of it.

    Returns:
        Float.

    Raises:
        ValueError: For unknown names, a variance that is not positive, and an
            activation whose moment is 0 (no gain restores a lost signal).

    Example:
    >>> round(gain("tanh"), 6), round(gain("tanh", "torch"), 6)
    (1.592537, 1.666667)

    Reference:
    - [He et al., 2015](https://arxiv.org/abs/1502.01852)
    """
    if convention not in CONVENTIONS:
        raise ValueError(
            f"`convention` must be known. Use one of {CONVENTIONS}. "
            f"Received: convention={convention!r}."
        )
    if not variance > 0:
        raise ValueError(
            f"`variance` must be positive. Received: variance={variance!r}."
        )
    phi = resolve(activation)
    if convention == "torch":
        if phi.name not in TORCH_GAINS or phi.kinks not in ((), (0.0,)):
            raise ValueError(
                "`convention='torch'` states a gain for "
                f"{tuple(sorted(TORCH_GAINS))} only; use 'forward'. "
                f"Received: activation={phi.name!r}"
                f"{f' with kinks at {phi.kinks}' if phi.kinks else ''}."
            )
        if phi.name in ("leaky_relu", "relu") and not isinstance(activation, str):
            return math.sqrt(2 / (1 + _slope_below_zero(phi) ** 2))
        return TORCH_GAINS[phi.name]
    found = moments(phi, variance)
    if convention == "backward":
        numerator, moment = 1.0, found.derivative_second_moment
    elif convention == "variance":
        numerator, moment = variance, found.variance
    else:
        numerator, moment = variance, found.second_moment
    if not moment > 0:
        raise ValueError(
            f"`activation` must let a signal through. Received: {phi.name!r}, whose "
            f"moment for the {convention!r} gain is {moment!r}."
        )
    return math.sqrt(numerator / moment)
